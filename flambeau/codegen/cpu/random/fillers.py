"""How the words of the stream become elements of each distribution: the bodies of the loops."""

from __future__ import annotations

import math
from collections.abc import Callable

from ....ir.dtype import DType, bfloat16, float16, float32, float64
from .filling import CHUNK, Filler, broadcast, double, llvm, number, rounded, single

ERROR_PROBABILITY = 40  # the code of the error record, with the place of the bad one

PAIRS = """
  %pairs = load <8 x i64>, ptr %from, align 4
  %swapped = call <8 x i64> @llvm.fshl.v8i64(<8 x i64> %pairs, <8 x i64> %pairs,
                                             <8 x i64> splat (i64 32))"""
UNIT64 = PAIRS + f"""
  %kept = and <8 x i64> %swapped, splat (i64 {2**53 - 1})
  %counted = uitofp <8 x i64> %kept to <8 x double>
  %unit = fmul <8 x double> %counted, splat (double {double(2.0**-53)})"""
UNIT32 = f"""
  %word = load <16 x i32>, ptr %from, align 4
  %kept = and <16 x i32> %word, splat (i32 {2**24 - 1})
  %counted = uitofp <16 x i32> %kept to <16 x float>
  %unit = fmul <16 x float> %counted, splat (float {single(2.0**-24)})"""

MODULO = """
  %word = load <16 x i32>, ptr %from, align 4
  %word.real = uitofp <16 x i32> %word to <16 x double>
  %quotient = fdiv <16 x double> %word.real, %span.real
  %floor = fptoui <16 x double> %quotient to <16 x i32>
  %taken = mul <16 x i32> %floor, %span
  %rest.short = sub <16 x i32> %word, %taken"""


def uniform(dtype: DType) -> Filler:
    """low + unit * (high - low), fused; what rounds up to `high` becomes `low`."""
    wide = dtype is float64
    width, kind = (8, "double") if wide else (16, "float")
    work, element = float64 if wide else float32, f"<{width} x {llvm(dtype)}>"
    vector = f"<{width} x {kind}>"
    head = number("a", 3, work, width) + number("b", 4, work, width)
    head += f"\n  %span = fsub {vector} %b, %a"
    head += number("lowest", 3, dtype, width) + number("highest", 4, dtype, width)
    fused = f"""
  %spread = call {vector} @llvm.fma.v{width}f{64 if wide else 32}(
      {vector} %unit, {vector} %span, {vector} %a)"""
    narrowed = (f"\n  %inside = bitcast {vector} %spread to {vector}" if wide
                else rounded("inside", "spread", dtype, width))  # fmt: skip
    # bfloat16 lies there as bits; -0 and 0 are the one pair that would compare wrongly, and
    # choosing between equal numbers is harmless but for the sign, which is taken from `low`
    same = "icmp eq" if dtype is bfloat16 else "fcmp oeq"
    return Filler(width, 2 if wide else 1, head, f"""{UNIT64 if wide else UNIT32}{fused}{narrowed}
  %reached = {same} {element} %inside, %highest
  %value = select <{width} x i1> %reached, {element} %lowest, {element} %inside""")


def bernoulli(dtype: DType) -> Filler:
    """unit < p, compared as integers: unit * 2**53 < ceil(p * 2**53)."""
    head = f"""
  %p = call double @real(ptr %args, i64 3)
  %p.scaled = fmul double %p, {double(2.0**53)}
  %p.up = call double @llvm.ceil.f64(double %p.scaled)
  %p.whole = fptoui double %p.up to i64"""
    head += broadcast("limit", "%p.whole", "i64", 8) + number("success", 4, dtype, 8)
    element = f"<8 x {llvm(dtype)}>"
    return Filler(8, 2, head, f"""{PAIRS}
  %kept = and <8 x i64> %swapped, splat (i64 {2**53 - 1})
  %hit = icmp ult <8 x i64> %kept, %limit
  %value = select <8 x i1> %hit, {element} %success, {element} zeroinitializer""")


def integers(dtype: DType, width: int, words: str) -> Filler:
    """low + %modulus (a vector of i64), as elements."""
    old, new = f"<{width} x i64>", f"<{width} x {llvm(dtype)}>"
    head = "\n  %low.word = call i64 @whole(ptr %args, i64 3)"
    head += broadcast("low", "%low.word", "i64", width)
    head += "\n  %span.word = call i64 @whole(ptr %args, i64 4)"
    body = words + f"\n  %sum = add {old} %modulus, %low"
    if dtype in (float16, bfloat16):
        body += f"\n  %real = sitofp {old} %sum to <{width} x float>"
        body += rounded("value", "real", dtype, width)
    elif dtype.kind == "f":
        body += f"\n  %value = sitofp {old} %sum to {new}"
    else:
        body += f"\n  %value = {'trunc' if dtype.itemsize < 8 else 'bitcast'} {old} %sum to {new}"
    return Filler(width, 1 if width == 16 else 2, head, body)


def integers32(dtype: DType) -> Filler:
    """A word modulo the span. In float64 the quotient's floor is exact for 32-bit numbers."""
    f = integers(dtype, 16, MODULO + "\n  %modulus = zext <16 x i32> %rest.short to <16 x i64>")
    head = "\n  %span.short = trunc i64 %span.word to i32"
    head += broadcast("span", "%span.short", "i32", 16)
    head += "\n  %span.real = uitofp <16 x i32> %span to <16 x double>"
    return Filler(f.width, f.words, f.head + head, f.body)


def integers64(dtype: DType) -> Filler:
    """Two words modulo the span, which 0 switches off."""
    f = integers(dtype, 8, PAIRS + """
  %modulus.some = urem <8 x i64> %swapped, %span
  %modulus = select i1 %all, <8 x i64> %swapped, <8 x i64> %modulus.some""")
    head = """
  %all = icmp eq i64 %span.word, 0
  %span.safe = select i1 %all, i64 1, i64 %span.word"""
    head += broadcast("span", "%span.safe", "i64", 8)
    return Filler(f.width, f.words, f.head + head, f.body)


def bernoulli_tensor(p_dtype: DType, dtype: DType) -> Filler:
    """unit < p with a p for each element; all of them are looked at before anything is drawn."""
    width, words = (8, 2) if p_dtype is float64 else (16, 1)
    kind = f"<{width} x {'double' if words == 2 else 'float'}>"
    memory, size, element = llvm(p_dtype), p_dtype.itemsize, f"<{width} x {llvm(dtype)}>"
    head = f"""
  %p.word = call i64 @whole(ptr %args, i64 3)
  %p = inttoptr i64 %p.word to ptr
  %chances = alloca [{(CHUNK + width) * size} x i8], align 64
  %good = call i64 @probabilities(ptr %p, i64 %n)
  %all.good = icmp eq i64 %good, %n
  br i1 %all.good, label %accepted, label %refused
refused:
  %record.word = call i64 @whole(ptr %args, i64 4)
  %record = inttoptr i64 %record.word to ptr
  %fact = getelementptr i64, ptr %record, i64 1
  store i64 {ERROR_PROBABILITY}, ptr %record, align 8
  store i64 %good, ptr %fact, align 8
  ret void
accepted:
  %one.one = insertelement <{width} x float> poison, float 1.0, i64 0
  %ones = shufflevector <{width} x float> %one.one, <{width} x float> poison, \
<{width} x i32> zeroinitializer""" + one(dtype, width)
    chunk = f"""
  %p.chunk = getelementptr {memory}, ptr %p, i64 %first
  %p.bytes = mul i64 %count, {size}
  call void @llvm.memcpy.p0.p0.i64(ptr %chances, ptr %p.chunk, i64 %p.bytes, i1 false)"""
    body = (UNIT64 if words == 2 else UNIT32) + f"""
  %chance.at = getelementptr {memory}, ptr %chances, i64 %i
  %stored = load <{width} x {memory}>, ptr %chance.at, align {size}
  {widened("chance", "stored", p_dtype, width)}
  %hit = fcmp olt {kind} %unit, %chance
  %value = select <{width} x i1> %hit, {element} %success, {element} zeroinitializer"""
    return Filler(width, words, head, body, chunk)


def one(dtype: DType, width: int) -> str:
    """%ones, of float32, as %success."""
    if dtype is float64:
        return f"\n  %success = fpext <{width} x float> %ones to <{width} x double>"
    return rounded("success", "ones", dtype, width)


def widened(to: str, value: str, dtype: DType, width: int) -> str:
    """Elements in memory as float32, or float64 as they are."""
    old, new = f"<{width} x {llvm(dtype)}>", f"<{width} x float>"
    if dtype is float16:
        return f"%{to} = fpext {old} %{value} to {new}"
    if dtype is bfloat16:
        whole = f"<{width} x i32>"
        return f"""%{to}.low = zext {old} %{value} to {whole}
  %{to}.high = shl {whole} %{to}.low, splat (i32 16)
  %{to} = bitcast {whole} %{to}.high to {new}"""
    return f"%{to} = bitcast {old} %{value} to {old}"


def probabilities_text(p_dtype: DType) -> str:
    """`@probabilities(p, n)`: how many there are before one that is not in [0, 1]."""
    memory, kind = llvm(p_dtype), "double" if p_dtype is float64 else "float"
    return f"""
define internal i64 @probabilities(ptr %p, i64 %n) nounwind {{
entry:
  br label %more
more:
  %i = phi i64 [0, %entry], [%i.next, %look]
  %any = icmp slt i64 %i, %n
  br i1 %any, label %look, label %exit
look:
  %at = getelementptr {memory}, ptr %p, i64 %i
  %stored = load <1 x {memory}>, ptr %at, align {p_dtype.itemsize}
  {widened("lane", "stored", p_dtype, 1)}
  %chance = extractelement <1 x {kind}> %lane, i64 0
  %low = fcmp oge {kind} %chance, 0.0
  %high = fcmp ole {kind} %chance, 1.0
  %good = and i1 %low, %high
  %i.next = add i64 %i, 1
  br i1 %good, label %more, label %exit
exit:
  ret i64 %i
}}
"""


def called(head: str, argument: str, function: str, result: str, dtype: DType) -> Filler:
    """A float64 function of the C library on each of 8: its bits are PyTorch's.

    `argument` makes %x from %unit, `result` makes %made from %y.
    """
    body, done = UNIT64 + argument, "poison"
    for j in range(8):
        body += f"""
  %x{j} = extractelement <8 x double> %x, i64 {j}
  %y{j} = call double @{function}(double %x{j})
  %ys{j} = insertelement <8 x double> {done}, double %y{j}, i64 {j}"""
        done = f"%ys{j}"
    body += f"\n  %y = bitcast <8 x double> {done} to <8 x double>{result}"
    return Filler(8, 2, head, body + finished(dtype))


def finished(dtype: DType) -> str:
    """%made, 8 of float64, as %value."""
    element = f"<8 x {llvm(dtype)}>"
    if dtype is float64:
        return f"\n  %value = bitcast <8 x double> %made to {element}"
    if dtype.kind == "f":
        text = "\n  %single = fptrunc <8 x double> %made to <8 x float>"
        return text + rounded("value", "single", dtype, 8)
    text = "\n  %long = call <8 x i64> @llvm.fptosi.sat.v8i64.v8f64(<8 x double> %made)"
    how = "trunc" if dtype.itemsize < 8 else "bitcast"
    return text + f"\n  %value = {how} <8 x i64> %long to {element}"


def exponential(dtype: DType) -> Filler:
    """-1 / rate * log1p(-unit)."""
    head = """
  %rate = call double @real(ptr %args, i64 3)
  %factor = fdiv double -1.0, %rate""" + broadcast("scale", "%factor", "double", 8)
    return called(head, "\n  %x = fneg <8 x double> %unit", "log1p",
                  "\n  %made = fmul <8 x double> %y, %scale", dtype)  # fmt: skip


def cauchy(dtype: DType) -> Filler:
    """median + sigma * tan(pi * (unit - 1/2)), fused."""
    head = number("median", 3, float64, 8) + number("sigma", 4, float64, 8)
    argument = f"""
  %centred = fsub <8 x double> %unit, splat (double {double(0.5)})
  %x = fmul <8 x double> %centred, splat (double {double(math.pi)})"""
    return called(head, argument, "tan", """
  %made = call <8 x double> @llvm.fma.v8f64(
      <8 x double> %y, <8 x double> %sigma, <8 x double> %median)""", dtype)  # fmt: skip


def geometric(dtype: DType) -> Filler:
    """ceil(log(unit) / log1p(-p))."""
    head = """
  %p = call double @real(ptr %args, i64 3)
  %p.minus = fneg double %p
  %p.log = call double @log1p(double %p.minus)""" + broadcast("fails", "%p.log", "double", 8)
    return called(head, "\n  %x = bitcast <8 x double> %unit to <8 x double>", "log", """
  %trials = fdiv <8 x double> %y, %fails
  %made = call <8 x double> @llvm.ceil.v8f64(<8 x double> %trials)""", dtype)


FILLERS: dict[str, Callable[[DType], Filler]] = {
    "uniform": uniform,
    "bernoulli": bernoulli,
    "integers32": integers32,
    "integers64": integers64,
    "exponential": exponential,
    "cauchy": cauchy,
    "geometric": geometric,
}
