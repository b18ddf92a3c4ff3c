"""Kernels for normals: Box and Muller's transform with PyTorch's very bits.

float32 follows runtime/exact.py operation by operation, two blocks of 16 at a time; float64 and
the normals drawn one by one call the C library, as PyTorch does.
"""

from __future__ import annotations

import math

from ....ir.dtype import DType, float64
from ....runtime import exact
from ....runtime.generator import OFFSET
from .filling import CHUNK, HEAD, broadcast, double, llvm, rounded, single

V = "<16 x float>"
INTS = "<16 x i32>"
FIRST = ", ".join(f"i32 {lane}" for lane in (*range(8), *range(16, 24)))
SECOND = ", ".join(f"i32 {lane}" for lane in (*range(8, 16), *range(24, 32)))


def constant(value: float) -> str:
    return f"splat (float {single(value)})"


def fma(to: str, a: str, b: str, c: str) -> str:
    return f"\n  %{to} = call {V} @llvm.fma.v16f32({V} {a}, {V} {b}, {V} {c})"


def polynomial(to: str, x: str, coefficients: tuple[float, ...]) -> str:
    """Horner's rule, fused."""
    text, last = "", constant(coefficients[0])
    for i, coefficient in enumerate(coefficients[1:], 1):
        name = to if i == len(coefficients) - 1 else f"{to}.{i}"
        text += fma(name, last, x, constant(coefficient))
        last = f"%{name}"
    return text


def unit(to: str, word: str) -> str:
    return f"""
  %{to}.kept = and {INTS} {word}, splat (i32 {2**24 - 1})
  %{to}.counted = uitofp {INTS} %{to}.kept to {V}
  %{to} = fmul {V} %{to}.counted, {constant(2.0**-24)}"""


def log_text() -> str:
    """%x → %log."""
    return f"""
  %bits = bitcast {V} %x to {INTS}
  %exponent = lshr {INTS} %bits, splat (i32 23)
  %fraction = and {INTS} %bits, splat (i32 {0x7FFFFF})
  %scaled = or disjoint {INTS} %fraction, splat (i32 {0x3F000000})
  %m = bitcast {INTS} %scaled to {V}
  %low = fcmp olt {V} %m, {constant(exact.SQRT_HALF)}
  %twice = fadd {V} %m, %m
  %m1 = select <16 x i1> %low, {V} %twice, {V} %m
  %m2 = fsub {V} %m1, {constant(1.0)}
  %bias = select <16 x i1> %low, {INTS} splat (i32 127), {INTS} splat (i32 126)
  %e.whole = sub {INTS} %exponent, %bias
  %e = sitofp {INTS} %e.whole to {V}
  %square = fmul {V} %m2, %m2{polynomial("p", "%m2", exact.LOG)}
  %px = fmul {V} %p, %m2
  %e.low = fmul {V} %e, {constant(exact.LN2_LOW)}{fma("y1", "%px", "%square", "%e.low")}
  %minus = fneg {V} %square{fma("y2", "%minus", constant(0.5), "%y1")}
  %y3 = fadd {V} %m2, %y2{fma("log", "%e", constant(exact.LN2_HIGH), "%y3")}"""


def sincos_text() -> str:
    """%theta → %sine, %cosine."""
    reduced = "".join(
        fma(f"t{i + 1}", "%octant.real", constant(-part), f"%t{i}" if i else "%theta")
        for i, part in enumerate(exact.PI_4)
    )
    return f"""
  %turned = fmul {V} %theta, {constant(exact.FOUR_OVER_PI)}
  %octant.down = fptosi {V} %turned to {INTS}
  %octant.up = add {INTS} %octant.down, splat (i32 1)
  %octant = and {INTS} %octant.up, splat (i32 -2)
  %octant.real = sitofp {INTS} %octant to {V}{reduced}
  %t.square = fmul {V} %t3, %t3{polynomial("c1", "%t.square", exact.COS)}
  %c2 = fmul {V} %c1, %t.square
  %t.half = fmul {V} %t.square, {constant(-0.5)}{fma("c3", "%c2", "%t.square", "%t.half")}
  %c = fadd {V} %c3, {constant(1.0)}{polynomial("s1", "%t.square", exact.SIN)}
  %s2 = fmul {V} %s1, %t.square{fma("s", "%s2", "%t3", "%t3")}
  %swap.bit = and {INTS} %octant, splat (i32 2)
  %swap = icmp ne {INTS} %swap.bit, zeroinitializer
  %sine.size = select <16 x i1> %swap, {V} %c, {V} %s
  %cosine.size = select <16 x i1> %swap, {V} %s, {V} %c
  %sine.bit = and {INTS} %octant, splat (i32 4)
  %sine.sign = shl {INTS} %sine.bit, splat (i32 29)
  %before = sub {INTS} %octant, splat (i32 2)
  %other = xor {INTS} %before, splat (i32 -1)
  %cosine.bit = and {INTS} %other, splat (i32 4)
  %cosine.sign = shl {INTS} %cosine.bit, splat (i32 29){signed("sine")}{signed("cosine")}"""


def signed(name: str) -> str:
    return f"""
  %{name}.bits = bitcast {V} %{name}.size to {INTS}
  %{name}.flipped = xor {INTS} %{name}.bits, %{name}.sign
  %{name} = bitcast {INTS} %{name}.flipped to {V}"""


def two_blocks_text() -> str:
    """32 words at %from → %first and %second, 16 normals each."""
    return f"""
  %from.2 = getelementptr i8, ptr %from, i64 64
  %word.1 = load {INTS}, ptr %from, align 4
  %word.2 = load {INTS}, ptr %from.2, align 4
  %radii = shufflevector {INTS} %word.1, {INTS} %word.2, {INTS} <{FIRST}>
  %angles = shufflevector {INTS} %word.1, {INTS} %word.2, {INTS} <{SECOND}>{unit("u1", "%radii")}
  {unit("u2", "%angles")}
  %x = fsub {V} {constant(1.0)}, %u1{log_text()}
  %doubled = fmul {V} %log, {constant(-2.0)}
  %radius = call {V} @llvm.sqrt.v16f32({V} %doubled)
  %theta = fmul {V} %u2, {constant(2 * math.pi)}{sincos_text()}
  %n1 = fmul {V} %radius, %cosine
  %n2 = fmul {V} %radius, %sine{fma("z1", "%n1", "%stds", "%means")}
  {fma("z2", "%n2", "%stds", "%means")}
  %first = shufflevector {V} %z1, {V} %z2, {INTS} <{FIRST}>
  %second = shufflevector {V} %z1, {V} %z2, {INTS} <{SECOND}>"""


def fill_text(dtype: DType) -> str:
    """`@fill(state, out, count, mean, std)`: count, a multiple of 16, normals."""
    return fill64_text() if dtype is float64 else fill32_text(dtype)


def fill32_text(dtype: DType) -> str:
    """`@fill` for types that are computed in float32."""
    element, size = llvm(dtype), dtype.itemsize
    stored = f"<16 x {element}>"
    narrow = rounded("first.stored", "first", dtype, 16)
    narrow += rounded("second.stored", "second", dtype, 16)
    return f"""
define internal void @fill(ptr %state, ptr %out, i64 %n, double %mean, double %std) nounwind {{
entry:
  %buffer = alloca [{4 * CHUNK + 128} x i8], align 64
  %spare = alloca [{32 * size} x i8], align 64
  %mean.32 = fptrunc double %mean to float
  %std.32 = fptrunc double %std to float{broadcast("means", "%mean.32", "float", 16)}
  {broadcast("stds", "%std.32", "float", 16)}
  br label %chunk
chunk:
  %start = phi i64 [0, %entry], [%following, %chunk.end]
  %rest = sub i64 %n, %start
  %any = icmp sgt i64 %rest, 0
  br i1 %any, label %draw, label %tail
draw:
  %count = call i64 @llvm.smin.i64(i64 %rest, i64 {CHUNK})
  call void @words(ptr %state, ptr %buffer, i64 %count)
  %chunk.out = getelementptr {element}, ptr %out, i64 %start
  br label %pair
pair:
  %i = phi i64 [0, %draw], [%i.next, %pair]
  %from = getelementptr i32, ptr %buffer, i64 %i{two_blocks_text()}
  %i.next = add i64 %i, 32
  %whole = icmp sle i64 %i.next, %count
  %to = getelementptr {element}, ptr %chunk.out, i64 %i
  %target = select i1 %whole, ptr %to, ptr %spare
  %target.2 = getelementptr {element}, ptr %target, i64 16{narrow}
  store {stored} %first.stored, ptr %target, align {size}
  store {stored} %second.stored, ptr %target.2, align {size}
  %more = icmp slt i64 %i.next, %count
  br i1 %more, label %pair, label %chunk.end
chunk.end:
  %following = add i64 %start, {CHUNK}
  br label %chunk
tail:
  %odd = and i64 %n, 16
  %single = icmp ne i64 %odd, 0
  br i1 %single, label %last, label %exit
last:
  %last.at = sub i64 %n, 16
  %last.out = getelementptr {element}, ptr %out, i64 %last.at
  %last.block = load {stored}, ptr %spare, align 64
  store {stored} %last.block, ptr %last.out, align {size}
  br label %exit
exit:
  ret void
}}
"""


def polar_text(k: str, log: str, u1: str, u2: str) -> str:
    """The radius from %u1 by `log`, the angle from %u2 → %a (cosine) and %b (sine)."""
    return f"""
  %log{k} = call double @{log}(double {u1})
  %doubled{k} = fmul double %log{k}, -2.0
  %radius{k} = call double @llvm.sqrt.f64(double %doubled{k})
  %theta{k} = fmul double {u2}, {double(2 * math.pi)}
  %cosine{k} = call double @cos(double %theta{k})
  %sine{k} = call double @sin(double %theta{k})
  %a{k} = fmul double %radius{k}, %cosine{k}
  %b{k} = fmul double %radius{k}, %sine{k}"""


def fill64_text() -> str:
    """`@fill` for float64."""
    return f"""
define internal void @fill(ptr %state, ptr %out, i64 %n, double %mean, double %std) nounwind {{
entry:
  %buffer = alloca [{4 * 32 + 64} x i8], align 64
  br label %block
block:
  %start = phi i64 [0, %entry], [%following, %block.end]
  %any = icmp slt i64 %start, %n
  br i1 %any, label %draw, label %exit
draw:
  call void @words(ptr %state, ptr %buffer, i64 32)
  br label %pair
pair:
  %i = phi i64 [0, %draw], [%i.next, %pair]
  %j = add i64 %i, 8
  %at.1 = getelementptr i64, ptr %buffer, i64 %i
  %at.2 = getelementptr i64, ptr %buffer, i64 %j
  %u1 = call double @unit64(ptr %at.1)
  %u2 = call double @unit64(ptr %at.2)
  %x = fsub double 1.0, %u1{polar_text("", "log", "%x", "%u2")}
  %z1 = call double @llvm.fma.f64(double %a, double %std, double %mean)
  %z2 = call double @llvm.fma.f64(double %b, double %std, double %mean)
  %to.1 = add i64 %start, %i
  %to.2 = add i64 %start, %j
  %out.1 = getelementptr double, ptr %out, i64 %to.1
  %out.2 = getelementptr double, ptr %out, i64 %to.2
  store double %z1, ptr %out.1, align 8
  store double %z2, ptr %out.2, align 8
  %i.next = add i64 %i, 1
  %more = icmp slt i64 %i.next, 8
  br i1 %more, label %pair, label %block.end
block.end:
  %following = add i64 %start, 16
  br label %block
exit:
  ret void
}}
"""


def one_text() -> str:
    """`@one(state)`: a float64 normal, the kept one or the first of two; and `@unit64`."""
    return f"""
define internal double @unit64(ptr %at) nounwind {{
  %pair = load i64, ptr %at, align 4
  %swapped = call i64 @llvm.fshl.i64(i64 %pair, i64 %pair, i64 32)
  %kept = and i64 %swapped, {2**53 - 1}
  %counted = sitofp i64 %kept to double
  %unit = fmul double %counted, {double(2.0**-53)}
  ret double %unit
}}
define internal double @one(ptr %state) nounwind {{
entry:
  %buffer = alloca [128 x i8], align 64
  %kept.at = getelementptr i8, ptr %state, i64 {OFFSET["normal"]}
  %has.at = getelementptr i8, ptr %state, i64 {OFFSET["has_normal"]}
  %has = load i64, ptr %has.at, align 8
  %none = icmp eq i64 %has, 0
  br i1 %none, label %draw, label %kept
kept:
  %normal = load double, ptr %kept.at, align 8
  store double 0.0, ptr %kept.at, align 8
  store i64 0, ptr %has.at, align 8
  ret double %normal
draw:
  call void @words(ptr %state, ptr %buffer, i64 4)
  %second = getelementptr i8, ptr %buffer, i64 8
  %u1 = call double @unit64(ptr %buffer)
  %u2 = call double @unit64(ptr %second)
  %x = fneg double %u2{polar_text("", "log1p", "%x", "%u1")}
  store double %b, ptr %kept.at, align 8
  store i64 1, ptr %has.at, align 8
  ret double %a
}}
"""


def some_text(element: str, narrow: str) -> str:
    """`@some(state, out, n, mean, std)`: normals one by one."""
    return f"""
define internal void @some(ptr %state, ptr %out, i64 %n, double %mean, double %std) nounwind {{
entry:
  br label %more
more:
  %i = phi i64 [0, %entry], [%i.next, %next]
  %any = icmp slt i64 %i, %n
  br i1 %any, label %next, label %exit
next:
  %z = call double @one(ptr %state)
  %normal = call double @llvm.fma.f64(double %z, double %std, double %mean){narrow}
  %to = getelementptr {element}, ptr %out, i64 %i
  store <1 x {element}> %value, ptr %to, align 1
  %i.next = add i64 %i, 1
  br label %more
exit:
  ret void
}}
"""


def dropped_words(dtype: DType, rest: str) -> str:
    """Those of a last, broken block that PyTorch draws and draws anew; not for half precision."""
    if dtype.itemsize < 4:
        return ""
    return f"""
  %dropped = mul i64 {rest}, {2 if dtype is float64 else 1}
  %bin = alloca [256 x i8], align 64
  call void @words(ptr %state, ptr %bin, i64 %dropped)"""


def normal_text(name: str, dtype: DType, blocks: bool, exp: bool = False) -> str:
    """Normals in blocks of 16, where there are so many; else, or always, one by one.

    With `exp` their exponentials.
    """
    element = llvm(dtype)
    return one_text() + some_text(element, finish_one(dtype, exp)) + f"""
{fill_text(dtype) if blocks else ""}
define void @{name}(ptr %args, i64 %begin, i64 %end, i64 %thread) nounwind {{{HEAD}
  %mean = call double @real(ptr %args, i64 3)
  %std = call double @real(ptr %args, i64 4){choose_blocks(dtype, element) if blocks else ""}
  call void @some(ptr %state, ptr %out, i64 %n, double %mean, double %std)
  ret void
}}
"""


def finish_one(dtype: DType, exp: bool) -> str:
    """%normal, perhaps its exponential, as %value, a vector of one element."""
    text, drawn = "", "%normal"
    if exp:
        text, drawn = "\n  %drawn = call double @exp(double %normal)", "%drawn"
    if dtype is float64:
        return text + f"\n  %value = insertelement <1 x double> poison, double {drawn}, i64 0"
    return text + f"""
  %short = fptrunc double {drawn} to float
  %lane = insertelement <1 x float> poison, float %short, i64 0
  {rounded("value", "lane", dtype, 1)}"""


def choose_blocks(dtype: DType, element: str) -> str:
    """16 normals or more: the whole blocks, then the last 16 anew where something is left."""
    return f"""
  %few = icmp slt i64 %n, 16
  br i1 %few, label %one.by.one, label %blocks
blocks:
  %broken = and i64 %n, 15
  %whole = sub i64 %n, %broken
  call void @fill(ptr %state, ptr %out, i64 %whole, double %mean, double %std)
  %even = icmp eq i64 %broken, 0
  br i1 %even, label %exit, label %last
last:{dropped_words(dtype, "%broken")}
  %last.at = sub i64 %n, 16
  %last.out = getelementptr {element}, ptr %out, i64 %last.at
  call void @fill(ptr %state, ptr %last.out, i64 16, double %mean, double %std)
  br label %exit
exit:
  ret void
one.by.one:"""
