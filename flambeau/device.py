"""Devices: today the CPU alone; other names can be spoken of, but not used."""

from __future__ import annotations

from typing import Any

KINDS = "cpu cuda ipu xpu mkldnn opengl opencl ideep hip ve fpga maia xla lazy vulkan mps meta hpu mtia privateuseone"  # fmt: skip # noqa: E501


class device:  # noqa: N801 PyTorch's name
    """Where a tensor lies: `device("cpu")`, `device("cuda:1")`, `device("cuda", 1)`."""

    __slots__ = ("type", "index")
    type: str
    index: int | None

    def __init__(self, type: Any, index: int | None = None) -> None:
        if isinstance(type, device):
            type, index = type.type, type.index
        elif isinstance(type, int):
            type, index = "cuda", type
        elif ":" in type:
            type, _, number = type.partition(":")
            if not number.isdigit():
                raise RuntimeError(f"Invalid device string: '{type}:{number}'")
            index = int(number)
        if type not in KINDS.split():
            raise RuntimeError(
                f"Expected one of {', '.join(KINDS.split())} device type at start of "
                f"device string: {type}"
            )
        self.type, self.index = type, index

    def __eq__(self, other: object) -> bool:
        return isinstance(other, device) and (self.type, self.index) == (other.type, other.index)

    def __hash__(self) -> int:
        return hash((self.type, self.index))

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"

    def __repr__(self) -> str:
        index = "" if self.index is None else f", index={self.index}"
        return f"device(type='{self.type}'{index})"

    def __reduce__(self) -> Any:
        return device, (self.type, self.index)

    def __enter__(self) -> device:
        check_device(self)
        return self

    def __exit__(self, *_: object) -> None: ...


CPU = device("cpu")


def check_device(wanted: Any, kept: Any = None) -> None:
    """Refuse what tensors cannot be made on, and layouts (`kept`) that they cannot have."""
    if kept is not None and kept is not strided:
        refuse_layout(kept)
    if wanted is None or wanted is CPU or wanted == "cpu":
        return
    wanted = device(wanted)
    if wanted.type == "cuda":
        raise AssertionError("Torch not compiled with CUDA enabled")
    if wanted.type != "cpu":
        raise NotImplementedError(f"tensors on '{wanted}' are not supported; use device='cpu'")


class layout:  # noqa: N801 PyTorch's name
    """How a tensor's elements are kept. Tensors are strided; the others are names to refuse."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"torch.{self.name}"


def refuse_layout(kept: Any) -> None:
    """Say that there are no such tensors."""
    if not isinstance(kept, layout):
        raise TypeError(f"argument 'layout' must be torch.layout, not {type(kept).__name__}")
    raise NotImplementedError(f"tensors of layout {kept} are not supported; use torch.strided")


class memory_format:  # noqa: N801 PyTorch's name
    """A name for an order of strides."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return f"torch.{self.name}"

    def __reduce__(self) -> str:
        return self.name


strided = layout("strided")
sparse_coo, jagged, _mkldnn = layout("sparse_coo"), layout("jagged"), layout("_mkldnn")
sparse_csr, sparse_csc = layout("sparse_csr"), layout("sparse_csc")
sparse_bsr, sparse_bsc = layout("sparse_bsr"), layout("sparse_bsc")
contiguous_format = memory_format("contiguous_format")
preserve_format = memory_format("preserve_format")
channels_last = memory_format("channels_last")
channels_last_3d = memory_format("channels_last_3d")
