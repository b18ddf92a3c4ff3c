"""Chooses, from sizes alone, how a convolution is done, and fills in the words of its launches."""

from __future__ import annotations

from flambeau.ir.record import frozen, replace

from ....ir.dtype import DType
from ....ir.kernel import Access, Store
from ....ir.layout import Ints
from ...values import computed
from .convolve import Convolve, convolve_text
from .cut import MOST_TASKS, TASK_WORK, ceil
from .epilogue import Epilogue
from .kernel import KEPT
from .micro import Micro
from .spec import Launch, Machine, Plan
from .weights import PackWeights, weights_text
from .windows import Geometry
from .words import Words, ordered

DEEPEST = 2304  # rows of a panel up to which it is filled at once; else in blocks of BLOCK rows
BLOCK = 1024
GROUP_BYTES = 1 << 20  # of A that a task goes through for each of its panels
FEW_ROWS = 10  # rows of A for which all columns that fit the registers make one tile
STACK_BYTES = 1 << 20  # of a panel, which lies on the stack
CHUNK = 1 << 15  # weights that a task packs


@frozen
class Kernels:
    """The weights [group, row, channel, *taps]; strides in elements, those of taps may be < 0.

    `start` is the offset of the first tap that is walked.
    """

    dtype: DType
    groups: int
    rows: int
    channels: int
    strides: Ints
    start: int = 0


@frozen
class Convolution:
    """What is asked for: the operands, and the epilogue over (image, row of any group, place)."""

    element: DType
    image: DType
    kernels: Kernels
    geometry: Geometry
    accesses: tuple[Access, ...]
    strides: tuple[Ints, ...]
    scalars: tuple[DType, ...]
    stores: tuple[Store, ...]


def convolution_plan(conv: Convolution, machine: Machine) -> Plan:
    """The launches for one convolution, which has elements."""
    kernels, geometry = conv.kernels, conv.geometry
    lanes = machine.vector_bytes // conv.element.itemsize
    windows = geometry.windows(conv.image, lanes, may_cross=True)
    steps = kernels.channels * geometry.window
    columns = geometry.images * geometry.area(lanes, windows.crosses)
    block = channel_block(kernels.channels, geometry.window)
    depth = min(block, kernels.channels) * geometry.window
    room = max(64, 1 << (depth - 1).bit_length())
    most = 4 * STACK_BYTES // (room * machine.vector_bytes)
    if not most:
        raise NotImplementedError(f"a convolution with {geometry.window} taps; hint: cut its "
                                  "kernel into parts, and add what they give")  # fmt: skip
    vectors = min(most, tile_vectors(kernels.rows, ceil(columns, lanes), machine))
    height, tiles, full = tile_rows(kernels.rows, vectors, machine)
    panels = ceil(columns, vectors * lanes)
    groups_m, groups_n = tasks_of(conv, steps, tiles, panels, columns, steps > DEEPEST)
    a: Words = {"a": ("a", kernels.start * kernels.dtype.itemsize)}
    launches: list[Launch] = []
    scratch = 0
    plain = is_plain(kernels, geometry) and kernels.dtype is conv.element
    if plain:
        item, row = kernels.dtype.itemsize, kernels.strides[1] * kernels.dtype.itemsize
        a |= {"a_group": kernels.strides[0] * item, "a_tile": 0, "a_row": row, "a_step": item,
              "a_stride": row}  # fmt: skip
    else:
        launch, scratch, a = packed(conv, machine, lanes, (height, tiles, full))
        launches.append(launch)
    micro = Micro(
        element=computed(conv.element), lanes=lanes, height=height, vectors=vectors,
        along_k=plain, ragged=True, packed=True, keeps=steps > DEEPEST, ahead_a=0, ahead_b=0,
    )  # fmt: skip
    accesses = tuple(map(refined, conv.accesses, conv.strides))
    epilogue = Epilogue(1, accesses, conv.scalars, conv.stores)
    code = Convolve(micro, full < tiles, room, windows, epilogue)
    values: Words = a | {
        "x": ("b", 0), "channels": kernels.channels, "block": block, "full": full,
        "height": height, "tiles": tiles, "panels": panels,
        "task_tiles": ceil(tiles, groups_m), "groups_m": groups_m, "groups_n": groups_n,
        "rows": kernels.rows,
        "x_group": kernels.channels * geometry.x[1] * conv.image.itemsize,
    }  # fmt: skip
    values |= geometry.values(windows) | epilogue_values(epilogue, conv.strides)
    text = convolve_text(code, machine.vector_bytes)
    tasks = kernels.groups * groups_m * groups_n
    launches.append(Launch(text, "convolve", ordered(code.words, values), tasks))
    return Plan(tuple(launches), scratch)


def tile_vectors(rows: int, needed: int, machine: Machine) -> int:
    """How many vectors a tile is wide: two, more where there are few rows."""
    vectors = 2
    while rows <= FEW_ROWS and rows * (vectors + 1) + vectors + 2 <= machine.registers:
        vectors += 1
    return max(1, min(vectors, needed, 8))


def tile_rows(rows: int, vectors: int, machine: Machine) -> tuple[int, int, int]:
    """The rows of a tile, how many tiles there are, and how many have that many rows."""
    tallest = min(28, (machine.registers - vectors - 1) // vectors)
    tiles = ceil(rows, tallest)
    height = ceil(rows, tiles)
    return height, tiles, rows - tiles * (height - 1)


def channel_block(channels: int, window: int) -> int:
    """How many channels are packed at once."""
    if channels * window <= DEEPEST:
        return max(1, channels)
    return max(1, BLOCK // window)


def tasks_of(conv: Convolution, steps: int, tiles: int, panels: int, columns: int,
             keeps: bool) -> tuple[int, int]:  # fmt: skip
    """Groups of tiles and groups of panels."""
    kernels = conv.kernels
    groups_m = min(tiles, ceil(kernels.rows * steps * conv.element.itemsize, GROUP_BYTES))
    work = 2 * kernels.groups * kernels.rows * steps * columns
    wanted = min(max(2, work // TASK_WORK), MOST_TASKS)
    groups_n = min(panels, ceil(wanted, kernels.groups * groups_m))
    if keeps:
        groups_m = max(groups_m, ceil(tiles, KEPT))
        groups_n = min(panels, max(groups_n, ceil(panels, KEPT // ceil(tiles, groups_m))))
    while kernels.groups * groups_m * groups_n < min(wanted, 8) and groups_m < tiles:
        groups_m += 1
    return groups_m, groups_n


def is_plain(kernels: Kernels, geometry: Geometry) -> bool:
    """Whether each row of the weights is contiguous, so that it can be read where it lies."""
    expected = 1
    for n, stride in zip(geometry.taps[::-1], kernels.strides[:2:-1]):
        if n != 1 and stride != expected:
            return False
        expected *= n
    return kernels.channels == 1 or kernels.strides[2] == expected


def packed(conv: Convolution, machine: Machine, lanes: int,
           cut: tuple[int, int, int]) -> tuple[Launch, int, Words]:  # fmt: skip
    """The launch that packs the weights, the scratch memory it fills, and where they lie then."""
    kernels, geometry, (height, tiles, full) = conv.kernels, conv.geometry, cut
    pack = PackWeights(kernels.dtype, computed(conv.element), lanes, ceil(height, lanes),
                       len(geometry.taps))  # fmt: skip
    panel = kernels.channels * geometry.window * pack.row_bytes
    chunk = ceil(CHUNK, geometry.window * kernels.rows)
    chunks = max(1, ceil(kernels.channels, chunk))
    values: Words = {
        "a": ("a", kernels.start * kernels.dtype.itemsize), "target": ("scratch", 0),
        "lines": kernels.rows, "channels": kernels.channels, "full": full, "height": height,
        "tiles": tiles, "panel_bytes": panel, "group": kernels.strides[0],
        "group_bytes": tiles * panel, "line": kernels.strides[1], "channel": kernels.strides[2],
        "chunk": chunk, "chunks": chunks, "window": geometry.window,
    }  # fmt: skip
    for d, (n, stride) in enumerate(zip(geometry.taps, kernels.strides[3:])):
        values |= {f"taps{d}": n, f"tap{d}": stride}
    text = weights_text(pack, machine.vector_bytes)
    launch = Launch(text, "weights", ordered(pack.words, values), kernels.groups * chunks)
    there: Words = {"a": ("scratch", 0), "a_group": tiles * panel, "a_tile": panel, "a_row": 0,
                    "a_step": pack.row_bytes, "a_stride": pack.row_bytes}  # fmt: skip
    return launch, kernels.groups * tiles * panel, there


def refined(access: Access, strides: Ints) -> Access:
    """An access with strides of 0 compiled in, and along places those of 1, too."""
    known = tuple(0 if n == 0 else None for n in strides)
    last = strides[-1] if strides[-1] in (0, 1) else None
    return replace(access, strides=(*known[:-1], last))


def epilogue_values(epilogue: Epilogue, strides: tuple[Ints, ...]) -> Words:
    """Pointers, run-time strides and scalars."""
    values: Words = {f"scalar{j}": (f"scalar{j}", 0) for j in range(len(epilogue.scalars))}
    for i, (access, steps) in enumerate(zip(epilogue.accesses, strides, strict=True)):
        values[f"pointer{i}"] = (f"access{i}", 0)
        values |= {f"stride{i}.{loop}": steps[loop]
                   for loop, stride in enumerate(access.strides) if stride is None}  # fmt: skip
    return values
