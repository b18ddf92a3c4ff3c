"""exp, log, sin, tanh, erf, pow …: polynomials in IR, for float32 and float64, on any vector width.

The coefficients are minimax fits of our own (Remez exchange in 50 digits). Errors are measured in
tests/codegen/test_mathlib.py: at most 2 ulp for float32, 4 for float64. How arguments are reduced
and results put together follows the usual practice: W. J. Cody and W. Waite, Software Manual for
the Elementary Functions, 1980. Infinities, NaN and signed zeros come out as in IEEE 754.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf, log, nan, pi

from .builder import Builder
from .values import Value, element_of, lanes_of

# expm1(r) = r + r² · q(r) for |r| ≤ ln(2)/2
EXP = {
    "float": (0.5000000095483267, 0.16666518307191366, 0.04166620467142056,
              0.008368953477997723, 0.0013950573059828165),
    "double": (0.5, 0.16666666666666685, 0.04166666666666673, 0.008333333333316617,
               0.001388888888885828, 0.00019841269897362418, 2.4801587374012135e-05,
               2.7557233928901138e-06, 2.755723315396602e-07, 2.5112348678581075e-08,
               2.0927001310756313e-09),
}  # fmt: skip
# log(1 + f) = f - f²/2 + f³ · q(f) for √½ - 1 ≤ f ≤ √2 - 1
LOG = (0.3333331674915691, -0.2500081031856615, 0.2000228427494747, -0.16624555146703401,
       0.14181235832174016, -0.13128791290351563, 0.12881372096716712,
       -0.07859178001490139)  # fmt: skip
# log(1 + f) = 2·artanh(s), s = f / (2 + f);  2·artanh(s) = 2s + s³ · R(s²)
ARTANH = (0.6666666666666735, 0.39999999999411096, 0.28571428743261246, 0.22222198476201815,
          0.18183569724916684, 0.153139037143084, 0.14797502272859106)  # fmt: skip
# sin(r) = r + r³ · S(r²) and cos(r) = 1 - r²/2 + r⁴ · C(r²) for |r| ≤ π/4
SIN = {
    "float": (-0.16666666641427322, 0.008333329362365057, -0.0001983932716175347,
              2.718237495221489e-06),
    "double": (-0.16666666666666632, 0.008333333333322314, -0.0001984126982972479,
               2.755731366193706e-06, -2.5050753248176757e-08, 1.589650410651989e-10),
}  # fmt: skip
COS = {
    "float": (0.041666646748591815, -0.0013887361489894827, 2.4437734324590382e-05),
    "double": (0.0416666666666666, -0.001388888888887399, 2.4801587289394987e-05,
               -2.755731432604803e-07, 2.0875719561101614e-09, -1.1359448807932591e-11),
}  # fmt: skip
# erf(x) = x + x · E(x²) for |x| ≤ 1
ERF = {
    "float": (0.1283791670631609, -0.37612638483788874, 0.11283782746882139,
              -0.026865445804502477, 0.005221074835500277, -0.0008484710893644659,
              0.00011270540870542149, -9.680127069112038e-06),
    "double": (0.12837916709551256, -0.3761263890318375, 0.11283791670954885,
               -0.02686617064507787, 0.005223977624828403, -0.0008548326981424524,
               0.0001205533113293673, -1.4925595772101988e-05, 1.646100848190051e-06,
               -1.6350396316591782e-07, 1.4660329653293905e-08, -1.1374960365156406e-09,
               5.96069472563374e-11),
}  # fmt: skip

# tanh(x) = x + x³ · T(x²) for |x| < 0.625
TANH = (-0.3333328392510284, 0.13331491277619495, -0.05374349711933389,
        0.020650583864982235, -0.0057170410619077575)  # fmt: skip
# -log(erfc(x)) = Q(x - centre) for 1 ≤ x ≤ limit, beyond which erf(x) rounds to 1
ERF_LIMIT = {"float": (4.1, 0.0), "double": (6.0, 3.0)}
ERFC = {
    "float": (-0.0003023721428649038, 1.1301610267867992, 0.6319510409028692,
              0.10996065435154619, -0.026351977851103048, 0.004734712522152582,
              -0.0005913652043487009, 4.539625490979444e-05, -1.6028073619027544e-06),
    "double": (10.720363041981113, 6.303753689003213, 0.9573942188012264, 0.007411891795870169,
               -0.0013533104378956994, 0.00024569213252588224, -4.308179151019478e-05,
               7.11546781504984e-06, -1.0693885238168166e-06, 1.3617404483051955e-07,
               -1.1460330381848164e-08, -6.319235515326272e-10, 6.102504194453026e-10,
               -1.8984950011672027e-10, 4.4161247890672426e-11, -8.319842074281587e-12,
               1.3123806664861633e-12, -1.980154348945006e-13, 2.1167411428160863e-14,
               5.5678679259546864e-15, -3.2947057381178578e-15, 6.117029193453506e-16,
               -4.130088173989483e-17),
}  # fmt: skip

# log10(2), ln 2 and π/2 in parts: products of the leading parts with small whole numbers are exact.
LN2 = {
    "float": (0.693145751953125, 1.4286068203094172e-06),
    "double": (0.6931471803691238, 1.9082149292705877e-10),
}
LOG10_2 = {
    "float": (0.301025390625, 4.605038981195214e-06),
    "double": (0.30102999566361177, 3.694239077158931e-13),
}
HALF_PI = {
    "float": (1.5707963705062866, -4.371138828673793e-08, -1.7151245100058819e-15),
    "double": (1.5707963267948966, 6.123233995736766e-17, -1.4973849048591833e-33),
}
# Beyond these the parts of π/2 do not suffice, and the C library is asked, lane by lane.
LARGE_ANGLE = {"float": 1e5, "double": 1e9}


class Format:
    """The figures of a floating-point format."""

    def __init__(self, kind: str) -> None:
        self.element = element_of(kind)
        single = self.element == "float"
        self.integer = "i32" if single else "i64"
        self.mantissa = 23 if single else 52
        self.bias = 127 if single else 1023
        self.exp_range = (-104.0, 89.0) if single else (-746.0, 710.0)
        self.smallest_normal = 2.0**-126 if single else 2.0**-1022
        self.half_root_bits = 0x3F3504F3 if single else 0x3FE6A09E667F3BCD


def horner(b: Builder, x: Value, coefficients: Sequence[float]) -> Value:
    """The polynomial, constant coefficient first."""
    value = b.like(x, coefficients[-1])
    for c in reversed(coefficients[:-1]):
        value = b.fma(value, x, c)
    return value


def exp(b: Builder, x: Value) -> Value:
    """2ⁿ · exp(r) with n = round(x / ln 2)."""
    f = Format(x.type)
    low, high = f.exp_range
    nothing = b.fcmp("olt", x, low)  # taken out: to round a result to zero costs a hundred cycles
    x = b.select(b.fcmp("olt", b.like(x, high), x), b.like(x, high), x)
    x = b.select(nothing, b.like(x, 0), x)
    n = b.intrinsic("roundeven", b.mul(x, 1 / log(2)))
    r = _subtract(b, x, n, LN2[f.element])
    y = _scale(b, b.add(_expm1_near_zero(b, r), 1.0), n)
    return b.select(nothing, b.like(y, 0), y)


def exp2(b: Builder, x: Value) -> Value:
    """2ⁿ · exp(r ln 2) with n = round(x)."""
    low, high = Format(x.type).exp_range
    x = _clamp(b, x, low / log(2) - 1, high / log(2) + 1)
    n = b.intrinsic("roundeven", x)
    r = b.mul(b.sub(x, n), log(2))
    return _scale(b, b.add(_expm1_near_zero(b, r), 1.0), n)


def expm1(b: Builder, x: Value) -> Value:
    """2ⁿ · expm1(r) + (2ⁿ - 1), all halved on the way, so that 2ⁿ does not overflow."""
    f = Format(x.type)
    clamped = _clamp(b, x, -40.0, f.exp_range[1])
    n = b.intrinsic("roundeven", b.mul(clamped, 1 / log(2)))
    r = _subtract(b, clamped, n, LN2[f.element])
    half_power = _power_of_two(b, b.sub(n, 1.0))
    half = b.fma(half_power, _expm1_near_zero(b, r), b.sub(half_power, 0.5))
    tiny = b.fcmp("olt", b.intrinsic("fabs", x), 2.0 ** -(f.mantissa + 2))
    return b.select(tiny, x, b.add(half, half))


def _expm1_near_zero(b: Builder, r: Value) -> Value:
    return b.fma(horner(b, r, EXP[element_of(r.type)]), b.mul(r, r), r)


def _clamp(b: Builder, x: Value, low: float, high: float) -> Value:
    """Between low and high; NaN stays."""
    lowest, highest = b.like(x, low), b.like(x, high)
    x = b.select(b.fcmp("ogt", lowest, x), lowest, x)
    return b.select(b.fcmp("olt", highest, x), highest, x)


def _subtract(b: Builder, x: Value, n: Value, parts: Sequence[float]) -> Value:
    """x minus n times a constant that is given in parts."""
    for part in parts:
        x = b.fma(n, -part, x)
    return x


def _power_of_two(b: Builder, n: Value) -> Value:
    """2ⁿ for a whole n within the normal range."""
    f = Format(n.type)
    whole = b.convert("fptosi", n, f.integer)
    bits = b.int("shl", b.add(whole, f.bias), f.mantissa)
    return b.convert("bitcast", bits, f.element)


def _scale(b: Builder, x: Value, n: Value) -> Value:
    """x · 2ⁿ for a whole n, rounded once where the result is subnormal."""
    most = 16 if element_of(x.type) == "float" else 8
    if b.scalef and lanes_of(x.type) % most == 0:
        return _scale_avx512(b, x, n, most)
    f = Format(x.type)
    whole = b.convert("fptosi", n, f.integer)
    half = b.int("ashr", whole, 1)
    other = b.sub(whole, half)
    for part in (half, other):
        power = b.convert(
            "bitcast", b.int("shl", b.add(part, f.bias), f.mantissa), f.element
        )
        x = b.mul(x, power)
    return x


def _scale_avx512(b: Builder, x: Value, n: Value, most: int) -> Value:
    """By AVX-512's own instruction, a register at a time."""
    lanes = lanes_of(x.type)
    if lanes > most:
        half = lanes // 2
        low, high = (
            _scale_avx512(b, b.shuffle(x, x, part), b.shuffle(n, n, part), most)
            for part in (range(half), range(half, lanes))
        )
        return b.shuffle(low, high, range(lanes))
    suffix, mask = "ps" if most == 16 else "pd", f"i{most}"
    name = f"llvm.x86.avx512.mask.scalef.{suffix}.512"
    b.declare(name, x.type, [x.type, x.type, x.type, mask, "i32"])
    args = f"{x.typed}, {n.typed}, {x.typed}, {mask} -1, i32 4"
    return b.op(f"call {x.type} @{name}({args})", x.type)


def log_(b: Builder, x: Value) -> Value:
    """The natural logarithm."""
    e, f, _ = _split(b, x)
    return _log_limits(b, x, _log_sum(b, e, f, None))


def log1p(b: Builder, x: Value) -> Value:
    """log(1 + x): what rounding 1 + x lost is added again."""
    u = b.add(x, 1.0)
    e, f, _ = _split(b, u)
    big = b.fcmp("ogt", u, 2.0)
    lost = b.select(big, b.sub(b.like(x, 1), b.sub(u, x)), b.sub(x, b.sub(u, b.like(x, 1))))
    y = _log_limits(b, u, _log_sum(b, e, f, b.fdiv(lost, u)))
    return b.select(b.fcmp("oeq", x, 0.0), x, y)


def log2(b: Builder, x: Value) -> Value:
    """The logarithm to base 2."""
    e, f, _ = _split(b, x)
    y = b.fma(_log_sum(b, b.like(x, 0), f, None), 1 / log(2), e)
    return _log_limits(b, x, y)


def log10(b: Builder, x: Value) -> Value:
    """The logarithm to base 10."""
    e, f, _ = _split(b, x)
    high, low = LOG10_2[element_of(x.type)]
    y = b.fma(_log_sum(b, b.like(x, 0), f, None), 1 / log(10), b.mul(e, low))
    return _log_limits(b, x, b.fma(e, high, y))


def _split(b: Builder, x: Value) -> tuple[Value, Value, Value]:
    """x = 2ᵉ · (1 + f) with √½ ≤ 1 + f < √2; e as a float. Also 1 + f itself."""
    form = Format(x.type)
    small = b.fcmp("olt", x, form.smallest_normal)
    scaled = b.select(small, b.mul(x, 2.0 ** (form.mantissa + 1)), x)
    bits = b.sub(b.convert("bitcast", scaled, form.integer), form.half_root_bits)
    e = b.convert("sitofp", b.int("ashr", bits, form.mantissa), form.element)
    e = b.select(small, b.sub(e, float(form.mantissa + 1)), e)
    rest = b.int("and", bits, (1 << form.mantissa) - 1)
    m = b.convert("bitcast", b.add(rest, form.half_root_bits), form.element)
    return e, b.sub(m, 1.0), m


def _log_sum(b: Builder, e: Value, f: Value, low: Value | None) -> Value:
    """e · ln 2 + log(1 + f) + low."""
    high, rest = LN2[element_of(f.type)]
    low = b.mul(e, rest) if low is None else b.fma(e, rest, low)
    square = b.mul(f, f)
    if element_of(f.type) == "float":
        tail = b.fma(b.mul(square, f), horner(b, f, LOG), low)
        near = b.add(b.fma(square, -0.5, tail), f)
        return b.fma(e, high, near)
    s = b.fdiv(f, b.add(f, 2.0))
    z = b.mul(s, s)
    half = b.mul(square, 0.5)
    tail = b.fma(s, b.add(half, b.mul(z, horner(b, z, ARTANH))), low)
    return b.fma(e, high, b.sub(f, b.sub(half, tail)))


def _log_limits(b: Builder, x: Value, y: Value) -> Value:
    """-inf at 0, NaN below, inf and NaN as they came."""
    ordinary = b.int("and", b.fcmp("ogt", x, 0.0), b.fcmp("olt", x, inf))
    below = b.select(b.fcmp("olt", x, 0.0), b.like(x, nan), x)
    special = b.select(b.fcmp("oeq", x, 0.0), b.like(x, -inf), below)
    return b.select(ordinary, y, special)


def tanh(b: Builder, x: Value) -> Value:
    """1 - 2(1 + t) / (2 + t) with t = expm1(-2|x|), and what is more exact for a small x."""
    size = b.intrinsic("fabs", x)
    t = expm1(b, b.mul(size, -2.0))
    if element_of(x.type) == "float":
        y = b.fma(b.fdiv(b.add(t, 1.0), b.add(t, 2.0)), -2.0, 1.0)
        square = b.mul(x, x)
        near = b.fma(b.mul(square, size), horner(b, square, TANH), size)
        y = b.select(b.fcmp("olt", size, 0.625), near, y)
    else:
        large = b.fcmp("olt", t, -0.7)
        ratio = b.fdiv(b.select(large, b.add(t, 1.0), t), b.add(t, 2.0))
        y = b.select(large, b.fma(ratio, -2.0, 1.0), b.fneg(ratio))
    return b.intrinsic("copysign", y, x)


def erf(b: Builder, x: Value) -> Value:
    """x + x · E(x²) below 1, above it 1 - exp(-Q(|x|))."""
    element = element_of(x.type)
    size, square = b.intrinsic("fabs", x), b.mul(x, x)
    near = b.fma(x, horner(b, square, ERF[element]), x)
    limit, centre = ERF_LIMIT[element]
    clamped = _clamp(b, size, 0.0, limit)
    power = horner(b, b.sub(clamped, centre), ERFC[element])
    far = b.sub(b.like(x, 1), exp(b, b.fneg(power)))
    return b.select(b.fcmp("olt", size, 1.0), near, b.intrinsic("copysign", far, x))


def sin(b: Builder, x: Value) -> Value:
    """The sine."""
    return _large_angles(b, "sin", x, lambda s, c, n: _turned(b, s, c, n))


def cos(b: Builder, x: Value) -> Value:
    """The cosine: the sine a quarter turn later."""
    return _large_angles(b, "cos", x, lambda s, c, n: _turned(b, s, c, b.add(n, 1)))


def tan(b: Builder, x: Value) -> Value:
    """Sine over cosine, in float64."""
    if element_of(x.type) == "float":
        return b.convert("fptrunc", tan(b, b.convert("fpext", x, "double")), "float")

    def ratio(s: Value, c: Value, n: Value) -> Value:
        odd = b.icmp("ne", b.int("and", n, 1), 0)
        y = b.fdiv(b.select(odd, c, s), b.select(odd, s, c))
        return b.select(odd, b.fneg(y), y)

    return _large_angles(b, "tan", x, ratio)


def _turned(b: Builder, s: Value, c: Value, n: Value) -> Value:
    """The sine after n quarter turns."""
    y = b.select(b.icmp("ne", b.int("and", n, 1), 0), c, s)
    return b.select(b.icmp("ne", b.int("and", n, 2), 0), b.fneg(y), y)


def _large_angles(
    b: Builder, name: str, x: Value, finish: Callable[[Value, Value, Value], Value]
) -> Value:
    """Reduce by quarter turns; vectors with a large angle are left to the C library."""
    f = Format(x.type)
    n = b.intrinsic("roundeven", b.mul(x, 2 / pi))
    r = _subtract(b, x, n, HALF_PI[f.element])
    z = b.mul(r, r)
    s = b.fma(b.mul(z, r), horner(b, z, SIN[f.element]), r)
    c = b.fma(z, horner(b, z, (-0.5, *COS[f.element])), 1.0)
    y = finish(s, c, b.convert("fptosi", n, f.integer))
    if name != "cos":
        y = b.select(b.fcmp("oeq", x, 0.0), x, y)
    size = b.intrinsic("fabs", x)
    large = b.int("and", b.fcmp("ogt", size, LARGE_ANGLE[f.element]), b.fcmp("olt", size, inf))
    return _instead(b, b.any(large), y, lambda: _library(b, name, x))


def _instead(b: Builder, condition: Value, usual: Value, rare: Callable[[], Value]) -> Value:
    """The usual value, or another one that is computed only where the condition holds."""
    inside, after, before = b.fresh("rare"), b.fresh("after"), b.block
    b.branch(condition, inside, after)
    b.label(inside)
    other = rare()
    end = b.block
    b.jump(after)
    b.label(after)
    return b.phi(usual.type, (usual, before), (other, end))


def _library(b: Builder, name: str, *args: Value) -> Value:
    """Call the C library for each lane."""
    element, lanes = element_of(args[0].type), lanes_of(args[0].type)
    name += "f" if element == "float" else ""
    if lanes == 1:
        return b.call(name, element, *args)
    with b.loop(0, lanes, carry=[args[0]]) as lane:
        items = [b.extract(arg, lane.index) for arg in args]
        item = b.call(name, element, *items)
        lane.next = [b.insert(lane.carried[0], item, lane.index)]
    return lane.results[0]


def pow_(b: Builder, x: Value, y: Value) -> Value:
    """x to the power y: float32 by logarithm in float64, float64 by the C library."""
    if element_of(x.type) == "double":
        return _library(b, "pow", x, y)
    wide_y = b.convert("fpext", y, "double")
    wide = log_(b, b.convert("fpext", b.intrinsic("fabs", x), "double"))
    power = b.convert("fptrunc", exp(b, b.mul(wide, wide_y)), "float")
    whole = b.fcmp("oeq", b.intrinsic("trunc", y), y)
    half = b.mul(y, 0.5)
    odd = b.int("and", whole, b.fcmp("une", b.intrinsic("trunc", half), half))
    signed = b.select(odd, b.intrinsic("copysign", power, x), power)
    negative = b.int("and", b.fcmp("olt", x, 0.0), b.fcmp("ogt", x, -inf))
    undefined = b.int("and", negative, b.int("xor", whole, True))
    signed = b.select(undefined, b.like(x, nan), signed)
    size = b.intrinsic("fabs", x)
    endless = b.fcmp("oeq", b.intrinsic("fabs", y), inf)
    one = b.int("and", b.fcmp("oeq", size, 1.0), endless)
    one = b.int("or", one, b.int("or", b.fcmp("oeq", x, 1.0), b.fcmp("oeq", y, 0.0)))
    return b.select(one, b.like(x, 1), signed)


FUNCTIONS: dict[str, Callable[..., Value]] = {
    "exp": exp, "exp2": exp2, "expm1": expm1, "log": log_, "log1p": log1p, "log2": log2,
    "log10": log10, "sin": sin, "cos": cos, "tan": tan, "tanh": tanh, "erf": erf,
}  # fmt: skip
