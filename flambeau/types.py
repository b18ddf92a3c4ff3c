"""torch.types: the types that annotations name."""

from __future__ import annotations

import os
from typing import IO, Any, TypeAlias

from flambeau.device import device as _device
from flambeau.device import layout as _layout
from flambeau.ir.dtype import DType as _dtype
from flambeau.size import Size
from flambeau.tensor import Tensor

Number: TypeAlias = int | float | bool
PySymType: TypeAlias = int | float | bool
IntLikeType: TypeAlias = int
FloatLikeType: TypeAlias = float
BoolLikeType: TypeAlias = bool
Device: TypeAlias = _device | str | int | None
FileLike: TypeAlias = str | os.PathLike[str] | IO[bytes]
TensorOrTensors: TypeAlias = Tensor | tuple[Tensor, ...]
Storage: TypeAlias = Any
_int, _float, _bool, _complex = int, float, bool, complex
_size: TypeAlias = Size | list[int] | tuple[int, ...]

__all__ = ["Device", "FileLike", "Number", "Size", "Storage", "Tensor", "_dtype", "_layout",
           "_size"]  # fmt: skip
