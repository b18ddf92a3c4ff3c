"""Values as the messages that TensorBoard reads."""

from __future__ import annotations

import struct
import zlib
from typing import Any

import numpy as np
from tensorboard.compat.proto.summary_pb2 import HistogramProto, Summary, SummaryMetadata
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto

from flambeau.tensor import Tensor


def array_of(x: Any) -> np.ndarray:
    """A tensor, array, list or number as an array; TensorBoard has no narrow floats."""
    if isinstance(x, Tensor):
        return x.detach()._numbers()
    if isinstance(x, (list, tuple)) and x and all(isinstance(part, Tensor) for part in x):
        return np.stack([array_of(part) for part in x])
    return np.asarray(x)


def number(x: Any) -> float:
    """The one number that a value holds."""
    array = array_of(x).squeeze()
    if array.ndim:
        raise ValueError(f"a scalar should be 0D, but has the size {array.shape}")
    return float(array)


def scalar(tag: str, value: Any) -> Any:
    """A number."""
    return Summary(value=[Summary.Value(tag=tag, simple_value=number(value))])


def tensor_scalar(tag: str, value: Any) -> Any:
    """A number in the newer form."""
    tensor = TensorProto(float_val=[number(value)], dtype="DT_FLOAT")
    plugin = SummaryMetadata.PluginData(plugin_name="scalars")
    metadata = SummaryMetadata(plugin_data=plugin)
    return Summary(value=[Summary.Value(tag=tag, tensor=tensor, metadata=metadata)])


def edges() -> np.ndarray:
    """TensorFlow's bins: from 1e-12 on each a tenth wider, and the same below zero."""
    steps = []
    edge = 1e-12
    while edge < 1e20:
        steps.append(edge)
        edge *= 1.1
    return np.array([-x for x in reversed(steps)] + [0.0] + steps)


def histogram(tag: str, values: Any, bins: Any, max_bins: int | None) -> Any:
    """How values are distributed; empty bins at either end are left out."""
    array = array_of(values).reshape(-1).astype(np.float64)
    if not array.size:
        raise ValueError("The input has no element.")
    counts, limits = np.histogram(array, edges() if bins == "tensorflow" else bins)
    if max_bins is not None and len(counts) > max_bins:
        step = -(-len(counts) // max_bins)
        counts = np.add.reduceat(counts, np.arange(0, len(counts), step))
        limits = np.append(limits[:-1:step], limits[-1])
    filled = np.flatnonzero(counts)
    if not filled.size:
        raise ValueError("The histogram is empty, please file a bug report.")
    first, last = filled[0], filled[-1] + 1
    counts, limits = counts[first:last], limits[first : last + 1]
    proto = HistogramProto(
        min=array.min(), max=array.max(), num=array.size, sum=array.sum(),
        sum_squares=array.dot(array), bucket_limit=limits.tolist(), bucket=[0, *counts.tolist()],
    )  # fmt: skip
    return Summary(value=[Summary.Value(tag=tag, histo=proto)])


def image(tag: str, picture: Any, dims: str) -> Any:
    """A picture, or several in a grid; floats are from 0 to 1."""
    array = array_of(picture)
    if array.ndim != len(dims) or len(set(dims)) != len(dims):
        raise AssertionError(f"size of input tensor and input format are different. tensor shape: "
                             f"{array.shape}, input_format: {dims}")  # fmt: skip
    pixels = rows_columns_colours(array, dims.upper())
    if pixels.dtype != np.uint8:
        pixels = (pixels.astype(np.float64) * 255).clip(0, 255).astype(np.uint8)
    height, width, colours = pixels.shape
    proto = Summary.Image(height=height, width=width, colorspace=colours,
                          encoded_image_string=png(pixels))  # fmt: skip
    return Summary(value=[Summary.Value(tag=tag, image=proto)])


def rows_columns_colours(array: np.ndarray, dims: str) -> np.ndarray:
    """Any order of dims as height, width and one of 3 or 4 colours."""
    if "N" in dims:
        pictures = np.moveaxis(array, dims.index("N"), 0)
        rest = dims.replace("N", "")
        return grid([rows_columns_colours(picture, rest) for picture in pictures])
    if dims == "HW" or dims == "WH":
        array, dims = array[..., None], dims + "C"
    array = array.transpose([dims.index(d) for d in "HWC"])
    return array.repeat(3, 2) if array.shape[2] == 1 else array


def grid(pictures: list[np.ndarray]) -> np.ndarray:
    """Pictures of one size, eight in a row."""
    height, width, colours = pictures[0].shape
    columns = min(len(pictures), 8)
    rows = -(-len(pictures) // columns)
    out = np.zeros((rows * height, columns * width, colours), pictures[0].dtype)
    for i, picture in enumerate(pictures):
        y, x = i // columns * height, i % columns * width
        out[y : y + height, x : x + width] = picture
    return out


def png(pixels: np.ndarray) -> bytes:
    """The picture as a file (Portable Network Graphics, W3C 2003): no filter, one chunk."""
    height, width, colours = pixels.shape
    lines = np.zeros((height, 1 + width * colours), np.uint8)
    lines[:, 1:] = pixels.reshape(height, -1)
    kind = {3: 2, 4: 6}[colours]
    header = struct.pack(">2I5B", width, height, 8, kind, 0, 0, 0)
    parts = (b"IHDR", header), (b"IDAT", zlib.compress(lines.tobytes())), (b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in parts
    )


def drawn(figure: Any, close: bool) -> np.ndarray:
    """A figure of matplotlib's as pixels."""
    from matplotlib import pyplot
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())[:, :, :3].copy()
    if close:
        pyplot.close(figure)
    return pixels


def stacked(pictures: list[np.ndarray]) -> np.ndarray:
    """Pictures of one size as one array."""
    return np.stack(pictures)


def text(tag: str, words: str) -> Any:
    """Text."""
    content = SummaryMetadata.PluginData(plugin_name="text", content=b"")
    shape = TensorShapeProto(dim=[TensorShapeProto.Dim(size=1)])
    tensor = TensorProto(dtype="DT_STRING", string_val=[words.encode()], tensor_shape=shape)
    metadata = SummaryMetadata(plugin_data=content)
    return Summary(value=[Summary.Value(tag=f"{tag}/text_summary", tensor=tensor,
                                        metadata=metadata)])  # fmt: skip
