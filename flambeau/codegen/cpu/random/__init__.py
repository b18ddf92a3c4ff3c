"""Kernels that draw random numbers, as LLVM IR: the values and the state of runtime/draws.py.

    name, text = kernel_name("uniform", float32), kernel_text("uniform", float32)
    kernel = cpu().load_text(text, name)

Every kernel is one task, for the stream is serial. The first words of its arguments are the
state's address, the output's address (contiguous) and the number of elements; the rest is in
`PARAMETERS`. A float64 parameter comes as `bits(value)`.
"""

from __future__ import annotations

import functools
import struct

from ....ir.dtype import DType
from .fillers import ERROR_PROBABILITY, FILLERS, bernoulli_tensor, probabilities_text
from .filling import filler_text
from .mersenne import stream_text
from .normals import normal_text
from .shuffle import randperm_text

__all__ = ["ERROR_PROBABILITY", "PARAMETERS", "bits", "kernel_name", "kernel_text"]

# What follows (state, out, n) in the words of each kernel.
PARAMETERS = {
    "uniform": ("low", "high"),
    "normal": ("mean", "std"),
    "normal_one_by_one": ("mean", "std"),  # for a target that is not contiguous
    "log_normal": ("mean", "std"),
    "bernoulli": ("p", "success"),  # success: the value, 1, or draws.dropout_scale
    "bernoulli_tensor": ("p address", "error record's address"),
    "integers32": ("low", "size"),  # of a draws.Span that is not wide; both as integers
    "integers64": ("low", "size"),  # of a wide one
    "exponential": ("rate",),
    "cauchy": ("median", "sigma"),
    "geometric": ("p",),
    "randperm": (),
}


def bits(value: float) -> int:
    """A float64 parameter as the word that carries it."""
    return int(struct.unpack("<q", struct.pack("<d", value))[0])


def kernel_name(kind: str, dtype: DType, p_dtype: DType | None = None) -> str:
    """The name of the kernel's function."""
    return f"{kind}_{dtype.name}" + (f"_{p_dtype.name}" if p_dtype else "")


@functools.cache
def kernel_text(kind: str, dtype: DType, p_dtype: DType | None = None) -> str:
    """The IR of one kernel; `p_dtype` is for bernoulli_tensor alone."""
    name = kernel_name(kind, dtype, p_dtype)
    return stream_text() + PARAMETER_TEXT + body_text(kind, name, dtype, p_dtype) + DECLARATIONS


def body_text(kind: str, name: str, dtype: DType, p_dtype: DType | None) -> str:
    """The kernel's function and those that it alone needs."""
    if kind in ("normal", "normal_one_by_one", "log_normal"):
        return normal_text(name, dtype, blocks=kind == "normal", exp=kind == "log_normal")
    if kind == "randperm":
        return randperm_text(name, dtype)
    if p_dtype:
        filler = bernoulli_tensor(p_dtype, dtype)
        return probabilities_text(p_dtype) + filler_text(name, dtype, filler)
    return filler_text(name, dtype, FILLERS[kind](dtype))


# A word of the arguments, as it is or as float64.
PARAMETER_TEXT = """
define internal i64 @whole(ptr %args, i64 %i) nounwind {
  %at = getelementptr i64, ptr %args, i64 %i
  %word = load i64, ptr %at, align 8
  ret i64 %word
}
define internal double @real(ptr %args, i64 %i) nounwind {
  %at = getelementptr i64, ptr %args, i64 %i
  %number = load double, ptr %at, align 8
  ret double %number
}
"""

DECLARATIONS = """
declare i64 @llvm.smin.i64(i64, i64)
declare i64 @llvm.fshl.i64(i64, i64, i64)
declare <8 x i64> @llvm.fshl.v8i64(<8 x i64>, <8 x i64>, <8 x i64>)
declare <16 x i32> @llvm.smax.v16i32(<16 x i32>, <16 x i32>)
declare double @llvm.ceil.f64(double)
declare double @llvm.sqrt.f64(double)
declare double @llvm.fma.f64(double, double, double)
declare <8 x double> @llvm.fma.v8f64(<8 x double>, <8 x double>, <8 x double>)
declare <16 x float> @llvm.fma.v16f32(<16 x float>, <16 x float>, <16 x float>)
declare <16 x float> @llvm.sqrt.v16f32(<16 x float>)
declare <8 x double> @llvm.ceil.v8f64(<8 x double>)
declare <8 x i64> @llvm.fptosi.sat.v8i64.v8f64(<8 x double>)
declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)
declare double @exp(double)
declare double @tan(double)
declare double @log(double)
declare double @log1p(double)
declare double @sin(double)
declare double @cos(double)
"""
