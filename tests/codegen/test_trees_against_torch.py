"""Each word of the scalar algebra against PyTorch, for each element type, edges included."""

import numpy as np
import pytest

from flambeau.codegen.scalar import Load, k
from flambeau.ir import dtype as dt

from .harness import Run, apply, elementwise

torch = pytest.importorskip("torch")

FLOATS = [dt.float16, dt.bfloat16, dt.float32, dt.float64]
INTEGERS = [dt.uint8, dt.int8, dt.int16, dt.int32, dt.int64]
ANY = [dt.bool_, *INTEGERS, *FLOATS]


def to_torch(array, dtype):
    if dtype is dt.bfloat16:
        return torch.from_numpy(array.view(np.int16).copy()).view(torch.bfloat16)
    return torch.from_numpy(array.copy())


def from_torch(tensor, dtype):
    if dtype is dt.bfloat16:
        return tensor.view(torch.int16).numpy().view(np.uint16)
    return tensor.numpy()


def values(dtype, seed=0, n=1003):
    """Values of a type as they lie in memory, edges first."""
    rng = np.random.default_rng(seed)
    if dtype.kind == "b":
        return rng.integers(0, 2, n).astype(bool)
    if dtype.kind in "iu":
        info = np.iinfo(dtype.numpy)
        small = rng.integers(max(info.min, -9), 10, n // 2).astype(dtype.numpy)
        wide = rng.integers(info.min, info.max, n - len(small), dtype=dtype.numpy, endpoint=True)
        out = np.concatenate([small, wide])
        out[:3] = info.min, info.max, 0
        rng.shuffle(out)
        return out
    x = rng.normal(size=n) * rng.choice([0.1, 1, 10, 1000], n)
    x[: n // 4] = np.round(x[: n // 4])
    x[:8] = 0.0, -0.0, np.inf, -np.inf, np.nan, 0.5, 1.5, -2.5
    rng.shuffle(x)
    return dt.narrow(x, dtype)


def widened(array, dtype):
    return dt.widen(array, dtype)


def compare(tree, call, dtypes, out, rtol=0.0):
    arrays = [values(dtype, seed) for seed, dtype in enumerate(dtypes)]
    got = apply(tree, arrays, dtypes, out)
    want = from_torch(call(*(to_torch(a, d) for a, d in zip(arrays, dtypes, strict=True))), out)
    assert want.dtype == got.dtype
    got, want = widened(got, out), widened(want, out)
    np.testing.assert_allclose(got, want, rtol=rtol, atol=0, equal_nan=True)
    if out.kind == "f":
        number = ~np.isnan(want)
        assert np.array_equal(np.signbit(got[number]), np.signbit(want[number]))


@pytest.mark.parametrize("target", ANY, ids=str)
@pytest.mark.parametrize("source", ANY, ids=str)
def test_cast(source, target):
    if target.kind in "iu" and source.kind == "f" and target.itemsize < 4:
        pytest.skip("out of range is undefined in C; the next test has what is defined")
    compare(
        k.cast(Load(0, source), target), lambda x: x.to(getattr(torch, target.name)),
        [source], target,
    )  # fmt: skip


@pytest.mark.parametrize("target", [dt.uint8, dt.int8, dt.int16], ids=str)
def test_cast_of_floats_in_range(target):
    low = 0 if target is dt.uint8 else -100
    x = np.linspace(low, 100, 333, dtype=np.float32)
    got = apply(k.cast(Load(0, dt.float32), target), [x], [dt.float32], target)
    assert np.array_equal(got, np.trunc(x).astype(target.numpy))


BINARY = {
    "add": (lambda a, b: a + b, lambda a, b: a + b),
    "sub": (lambda a, b: a - b, lambda a, b: a - b),
    "mul": (lambda a, b: a * b, lambda a, b: a * b),
    "minimum": (k.minimum, torch.minimum),
    "maximum": (k.maximum, torch.maximum),
}
COMPARE = {"eq": torch.eq, "ne": torch.ne, "lt": torch.lt, "le": torch.le, "gt": torch.gt}


@pytest.mark.parametrize("dtype", INTEGERS + FLOATS, ids=str)
@pytest.mark.parametrize("name", BINARY)
def test_binary(name, dtype):
    ours, theirs = BINARY[name]
    compare(ours(Load(0, dtype), Load(1, dtype)), theirs, [dtype, dtype], dtype)


@pytest.mark.parametrize("dtype", ANY, ids=str)
@pytest.mark.parametrize("name", COMPARE)
def test_compare(name, dtype):
    tree = getattr(k, name)(Load(0, dtype), Load(1, dtype))
    compare(tree, COMPARE[name], [dtype, dtype], dt.bool_)


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("name", ["floor", "ceil", "trunc", "round", "abs", "sign", "neg"])
def test_exact_functions_of_floats(name, dtype):
    compare(getattr(k, name)(Load(0, dtype)), getattr(torch, name), [dtype], dtype)


@pytest.mark.parametrize("dtype", [dt.float32, dt.float64], ids=str)
def test_square_root_is_rounded_correctly(dtype):
    """Against NumPy: PyTorch's own is an ulp off for some float64, sqrt(2) among them."""
    x = np.abs(values(dtype))
    got = apply(k.sqrt(Load(0, dtype)), [x], [dtype], dtype)
    np.testing.assert_array_equal(got, np.sqrt(x))


@pytest.mark.parametrize("dtype", INTEGERS, ids=str)
@pytest.mark.parametrize("name", ["abs", "sign", "neg"])
def test_functions_of_integers(name, dtype):
    compare(getattr(k, name)(Load(0, dtype)), getattr(torch, name), [dtype], dtype)


@pytest.mark.parametrize("dtype", [dt.float32, dt.float64], ids=str)
def test_division_of_floats(dtype):
    a, b = Load(0, dtype), Load(1, dtype)
    compare(a / b, torch.div, [dtype, dtype], dtype)
    compare(k.fmod(a, b), torch.fmod, [dtype, dtype], dtype)
    compare(k.floor_div(a, b), torch.floor_divide, [dtype, dtype], dtype)
    compare(k.copysign(a, b), torch.copysign, [dtype, dtype], dtype)
    got = apply(k.remainder(a, b), [values(dtype, 0), values(dtype, 1)], [dtype] * 2, dtype)
    want = torch.remainder(to_torch(values(dtype, 0), dtype), to_torch(values(dtype, 1), dtype))
    np.testing.assert_array_equal(got, want.numpy())


DIVISIONS = {
    "floor_div": torch.floor_divide,
    "trunc_div": lambda a, b: torch.div(a, b, rounding_mode="trunc"),
    "remainder": torch.remainder,
    "fmod": torch.fmod,
}


@pytest.mark.parametrize("dtype", INTEGERS, ids=str)
@pytest.mark.parametrize("name", DIVISIONS)
def test_division_of_integers(name, dtype):
    a, b = values(dtype, 0), values(dtype, 1)
    b[b == 0] = 3
    if dtype.kind == "i":  # the lowest number by -1 stops PyTorch's own process
        b[a == np.iinfo(dtype.numpy).min] = 2
    tree = getattr(k, name)(Load(0, dtype), Load(1, dtype))
    arrays = [a, b, np.zeros_like(a)]
    run = Run(elementwise(tree, [dtype, dtype], dtype), arrays, [len(a)], [[1]] * 3)
    assert run() == 0
    want = DIVISIONS[name](to_torch(a, dtype), to_torch(b, dtype))
    np.testing.assert_array_equal(arrays[2], want.numpy())


@pytest.mark.parametrize("dtype", INTEGERS, ids=str)
def test_division_by_zero_is_reported_and_survived(dtype):
    a, b = values(dtype, 0), values(dtype, 1)
    b[b == 0] = 1
    tree = k.trunc_div(Load(0, dtype), Load(1, dtype))
    nest = elementwise(tree, [dtype, dtype], dtype)
    if dtype.kind == "i":
        a[3], b[3] = np.iinfo(dtype.numpy).min, -1
    fine = Run(nest, [a, b, np.zeros_like(a)], [len(a)], [[1]] * 3)
    assert fine() == 0
    for place in (0, 500, len(b) - 1):
        b[:] = 1
        b[place] = 0
        broken = Run(nest, [a, b, np.zeros_like(a)], [len(a)], [[1]] * 3)
        assert broken() == 1
        assert broken.record[0] == 1


@pytest.mark.parametrize("dtype", INTEGERS, ids=str)
def test_integer_powers_and_bits(dtype):
    a, b = Load(0, dtype), Load(1, dtype)
    base, exponent = values(dtype, 0), (np.arange(1003) % 9).astype(dtype.numpy)
    got = apply(k.pow(a, b), [base, exponent], [dtype] * 2, dtype)
    want = torch.pow(to_torch(base, dtype), to_torch(exponent, dtype))
    np.testing.assert_array_equal(got, want.numpy())
    for tree, call in (
        (a & b, torch.bitwise_and), (a | b, torch.bitwise_or), (a ^ b, torch.bitwise_xor),
        (a << b, torch.bitwise_left_shift), (a >> b, torch.bitwise_right_shift),
    ):  # fmt: skip
        compare(tree, call, [dtype, dtype], dtype)
    compare(~a, torch.bitwise_not, [dtype], dtype)


def test_negative_integer_powers():
    base = np.array([-3, -1, -1, 0, 1, 2, 5], np.int64)
    exponent = np.array([-1, -2, -3, -1, -5, -1, -2], np.int64)
    got = apply(k.pow(Load(0, dt.int64), Load(1, dt.int64)), [base, exponent], [dt.int64] * 2,
                dt.int64)  # fmt: skip
    want = torch.pow(torch.from_numpy(base), torch.from_numpy(exponent))
    np.testing.assert_array_equal(got, want.numpy())


@pytest.mark.parametrize("dtype", ANY, ids=str)
def test_logic_and_where(dtype):
    a, b = Load(0, dtype), Load(1, dtype)
    compare(k.logical_and(a, b), torch.logical_and, [dtype, dtype], dt.bool_)
    compare(k.logical_or(a, b), torch.logical_or, [dtype, dtype], dt.bool_)
    compare(k.logical_xor(a, b), torch.logical_xor, [dtype, dtype], dt.bool_)
    compare(k.logical_not(a), torch.logical_not, [dtype], dt.bool_)
    compare(k.where(a, a, b), lambda x, y: torch.where(x != 0, x, y), [dtype, dtype], dtype)


@pytest.mark.parametrize("dtype", [dt.float32, dt.float64], ids=str)
@pytest.mark.parametrize("name", ["isnan", "isinf", "isfinite"])
def test_classes(name, dtype):
    compare(getattr(k, name)(Load(0, dtype)), getattr(torch, name), [dtype], dt.bool_)


@pytest.mark.parametrize("exponent", [-2, -1, -0.5, 0, 0.5, 1, 2, 3, 1.7])
def test_constant_powers(exponent):
    x = np.abs(values(dt.float32)) + np.float32(0.1)
    got = apply(k.pow(Load(0, dt.float32), exponent), [x], [dt.float32], dt.float32)
    np.testing.assert_allclose(got, torch.pow(torch.from_numpy(x), exponent), rtol=4e-7)
