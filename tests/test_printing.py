"""Printing agrees with PyTorch to the letter, and its options do what they say."""

import itertools

import numpy as np
import pytest

from flambeau import printing
from flambeau.ir import dtype as dtypes

SHAPES = [
    (), (1,), (5,), (7,), (40,), (1001,), (0,), (0, 3), (2, 0), (3, 4), (1, 1), (2, 3, 4),
    (2, 1, 2, 3), (30, 40), (7, 6, 30), (1200, 1), (2, 600), (1, 2, 501), (5, 2, 3, 40), (3, 30),
]  # fmt: skip
SPECIAL = np.array([0.0, -0.0, np.nan, np.inf, -np.inf, 1.0, -1.0, 1e-4, 1000.0, 1e8])
OPTIONS = [
    {}, {}, {}, dict(precision=0), dict(precision=8), dict(linewidth=30), dict(linewidth=200),
    dict(edgeitems=1, threshold=5), dict(edgeitems=5, threshold=20), dict(sci_mode=True),
    dict(sci_mode=False), dict(profile="short"), dict(profile="full"), dict(profile="DEFAULT"),
    dict(profile="short", precision=3), dict(edgeitems=0, threshold=4), dict(threshold=0),
]  # fmt: skip


@pytest.fixture(autouse=True)
def usual_options():
    printing.set_printoptions(profile="default")
    yield
    printing.set_printoptions(profile="default")


@pytest.fixture(scope="module")
def torch():
    module = pytest.importorskip("torch", reason="compares with PyTorch, which is not installed")
    yield module
    module.set_printoptions(profile="default")
    module.set_default_dtype(module.float32)


def floats(rng, shape):
    """Random floats of one of the kinds that printing tells apart."""
    kind = rng.integers(8)
    scale = 10.0 ** rng.integers(-8, 9)
    values = rng.standard_normal(shape)
    if kind == 0:
        values = np.round(values * scale)
    elif kind == 1:
        values = values * scale
    elif kind == 2:
        values = np.round(values * 4) / 4
    elif kind == 3:
        values = np.abs(values)
    elif kind == 4:
        values = rng.choice(SPECIAL, shape)
    elif kind == 5:
        values = np.where(rng.random(shape) < 0.3, rng.choice(SPECIAL[:5], shape), values)
    elif kind == 6:
        values = 10.0 ** (values * 40)
    return np.asarray(values)


def values_of(rng, shape, dtype):
    if dtype.kind == "c":
        pair = np.stack([floats(rng, shape), floats(rng, shape)], axis=-1)
        return pair.view(np.complex128)[..., 0]
    if dtype.kind == "f":
        return floats(rng, shape)
    if dtype.kind == "b":
        return rng.random(shape) < rng.random()
    info = np.iinfo(dtype.numpy)
    low, high = (info.min, info.max) if rng.random() < 0.3 else (max(info.min, -99), 100)
    return rng.integers(low, high, shape, dtype=dtype.numpy, endpoint=True)


def in_torch(torch, values, dtype):
    """A PyTorch tensor of these values, and what Flambeau would see of it."""
    with np.errstate(all="ignore"):
        carrier = {"f": np.float64, "c": np.complex128}.get(dtype.kind, dtype.numpy)
        tensor = torch.from_numpy(np.array(values, carrier)).to(getattr(torch, dtype.name))
    wide = {"float16": "float32", "bfloat16": "float32", "complex32": "complex64"}
    array = tensor.to(getattr(torch, wide.get(dtype.name, dtype.name))).numpy()
    return tensor, array


STORED = [dtype for dtype in dtypes.ALL if dtype in dtypes.SUPPORTED]


# PyTorch warns of its complex32 and, on some hosts, of nothing that matters here.
@pytest.mark.filterwarnings("ignore:ComplexHalf")
@pytest.mark.parametrize("dtype", STORED, ids=lambda dtype: dtype.name)
def test_elements_agree_with_pytorch(torch, dtype):
    rng = np.random.default_rng(sum(map(ord, dtype.name)))
    for shape, options in itertools.product(SHAPES, OPTIONS):
        tensor, array = in_torch(torch, values_of(rng, shape, dtype), dtype)
        for framework in (torch, printing):
            framework.set_printoptions(profile="default")
            framework.set_printoptions(**options)
        ours, theirs = printing.format_tensor(array, dtype), repr(tensor)
        assert ours == theirs, f"{shape} {options}\n{ours[:2000]}\n{theirs[:2000]}"


def test_suffixes_agree_with_pytorch(torch):
    rng = np.random.default_rng(0)
    names = ["float32", "float64", "bfloat16", "complex64"]
    for shape, name, default, width in itertools.product(
        SHAPES, names, ["float32", "float64"], [30, 80]
    ):
        dtype = dtypes.BY_NAME[name]
        torch.set_default_dtype(getattr(torch, default))
        torch.set_printoptions(profile="default", linewidth=width)
        printing.set_printoptions(profile="default", linewidth=width)
        tensor, array = in_torch(torch, values_of(rng, shape, dtype), dtype)
        leaf = tensor.clone().requires_grad_()
        for shown, facts in [
            (leaf, dict(requires_grad=True)),
            (leaf.clone(), dict(requires_grad=True, grad_fn="CloneBackward0")),
            (torch.nn.Parameter(tensor), dict(requires_grad=True, parameter=True)),
        ]:
            head = "Parameter containing:\n" if facts.pop("parameter", False) else ""
            ours = printing.format_tensor(
                array, dtype, default_dtype=dtypes.BY_NAME[default], prefix=head + "tensor(",
                **facts,
            )  # fmt: skip
            assert ours == repr(shown)


def test_a_subclass_has_its_own_prefix():
    array = np.arange(30, dtype=np.int64)
    lines = printing.format_tensor(array, dtypes.int64, prefix="MyOwn(").split("\n")
    assert lines[0].startswith("MyOwn([ 0,  1,") and lines[1].startswith("       18, ")


def test_device_comes_before_dtype():
    array = np.zeros(1, np.int32)
    text = printing.format_tensor(array, dtypes.int32, device="cuda:0")
    assert text == "tensor([0], device='cuda:0', dtype=torch.int32)"


def test_options_hold_for_a_block():
    with printing.printoptions(precision=1):
        assert (
            printing.format_tensor(np.array(0.25), dtypes.float64, default_dtype=dtypes.float64)
            == "tensor(0.2)"
        )
        assert printing.get_printoptions()["precision"] == 1
    assert printing.get_printoptions()["precision"] == 4
