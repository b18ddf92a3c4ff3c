"""The kernel of randperm."""

from __future__ import annotations

from ....ir.dtype import DType, float64
from ....runtime.draws import WIDE_PERMUTATION
from .fillers import MODULO
from .filling import CHUNK, HEAD, broadcast, llvm, rounded


def randperm_text(name: str, dtype: DType) -> str:
    """Fisher and Yates' shuffle; the places to swap with are computed a chunk at a time."""
    element, size = llvm(dtype), dtype.itemsize
    convert = counted_text(dtype)
    lanes = ", ".join(f"i32 {lane}" for lane in range(16))
    return f"""
define void @{name}(ptr %args, i64 %begin, i64 %end, i64 %thread) nounwind {{{HEAD}
  %buffer = alloca [{4 * CHUNK + 128} x i8], align 64
  %wide = icmp sge i64 %n, {WIDE_PERMUTATION}
  br label %count
count:
  %c = phi i64 [0, %entry], [%c.next, %count.one]
  %c.more = icmp slt i64 %c, %n
  br i1 %c.more, label %count.one, label %counted
count.one:{convert}
  %c.to = getelementptr {element}, ptr %out, i64 %c
  store <1 x {element}> %value, ptr %c.to, align {size}
  %c.next = add i64 %c, 1
  br label %count
counted:
  %swaps = sub i64 %n, 1
  br i1 %wide, label %wide.step, label %chunk
chunk:
  %first = phi i64 [0, %counted], [%following, %chunk.end]
  %rest = sub i64 %swaps, %first
  %any = icmp sgt i64 %rest, 0
  br i1 %any, label %draw, label %exit
draw:
  %drawn = call i64 @llvm.smin.i64(i64 %rest, i64 {CHUNK})
  call void @words(ptr %state, ptr %buffer, i64 %drawn)
  %choices = sub i64 %n, %first
  %choices.32 = trunc i64 %choices to i32{broadcast("most", "%choices.32", "i32", 16)}
  br label %modulo
modulo:
  %i = phi i64 [0, %draw], [%i.next, %modulo]
  %i.32 = trunc i64 %i to i32{broadcast("passed", "%i.32", "i32", 16)}
  %fewer = sub <16 x i32> %most, %passed
  %span.any = sub <16 x i32> %fewer, <{lanes}>
  %span = call <16 x i32> @llvm.smax.v16i32(<16 x i32> %span.any, <16 x i32> splat (i32 1))
  %span.real = uitofp <16 x i32> %span to <16 x double>
  %from = getelementptr i32, ptr %buffer, i64 %i{MODULO}
  store <16 x i32> %rest.short, ptr %from, align 4
  %i.next = add i64 %i, 16
  %i.more = icmp slt i64 %i.next, %drawn
  br i1 %i.more, label %modulo, label %swap
swap:
  %s = phi i64 [0, %modulo], [%s.next, %swap]
  %here = add i64 %first, %s
  %step.at = getelementptr i32, ptr %buffer, i64 %s
  %step.32 = load i32, ptr %step.at, align 4
  %step = zext i32 %step.32 to i64
  %there = add i64 %here, %step
  %here.at = getelementptr {element}, ptr %out, i64 %here
  %there.at = getelementptr {element}, ptr %out, i64 %there
  %here.value = load {element}, ptr %here.at, align {size}
  %there.value = load {element}, ptr %there.at, align {size}
  store {element} %there.value, ptr %here.at, align {size}
  store {element} %here.value, ptr %there.at, align {size}
  %s.next = add i64 %s, 1
  %s.more = icmp slt i64 %s.next, %drawn
  br i1 %s.more, label %swap, label %chunk.end
chunk.end:
  %following = add i64 %first, {CHUNK}
  br label %chunk{wide_steps_text(element, size)}
exit:
  ret void
}}
"""


def wide_steps_text(element: str, size: int) -> str:
    """For so many that a word would skew: each number, in turn, goes to an earlier place.

    Place i still holds i when its turn comes, so that this is a swap of i and an earlier place.
    """
    return f"""
wide.step:
  %w = phi i64 [0, %counted], [%w.next, %wide.step]
  call void @words(ptr %state, ptr %buffer, i64 2)
  %w.pair = load i64, ptr %buffer, align 4
  %w.swapped = call i64 @llvm.fshl.i64(i64 %w.pair, i64 %w.pair, i64 32)
  %w.next = add i64 %w, 1
  %w.place = urem i64 %w.swapped, %w.next
  %w.at = getelementptr {element}, ptr %out, i64 %w
  %w.there = getelementptr {element}, ptr %out, i64 %w.place
  %w.value = load {element}, ptr %w.at, align {size}
  %w.moved = load {element}, ptr %w.there, align {size}
  store {element} %w.moved, ptr %w.at, align {size}
  store {element} %w.value, ptr %w.there, align {size}
  %w.more = icmp slt i64 %w.next, %n
  br i1 %w.more, label %wide.step, label %exit"""


def counted_text(dtype: DType) -> str:
    """The counter %c as %value, a vector of one element."""
    element = llvm(dtype)
    if dtype.kind != "f":
        cast = f"trunc i64 %c to {element}" if dtype.itemsize < 8 else "add i64 %c, 0"
        return f"""
  %short = {cast}
  %value = insertelement <1 x {element}> poison, {element} %short, i64 0"""
    if dtype is float64:
        return """
  %real = sitofp i64 %c to double
  %value = insertelement <1 x double> poison, double %real, i64 0"""
    return """
  %real = sitofp i64 %c to float
  %lane = insertelement <1 x float> poison, float %real, i64 0
  """ + rounded("value", "lane", dtype, 1)
