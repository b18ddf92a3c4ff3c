"""Structured calls, natively: beside PyTorch, in both tiers; what a wrong index does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import flambeau
from flambeau.compiler import emit
from flambeau.compiler.rules import RULES
from flambeau.ops.table import TABLE
from flambeau.settings import settings
from flambeau.trace import programs

torch = pytest.importorskip("torch", reason="PyTorch is the oracle of these tests")

RUNS = 3  # the first sighting, the compile, a replay
DTYPES = ("float32", "float64", "float16", "int64", "int32", "uint8", "bool")
Body = Callable[..., Any]


@pytest.fixture(params=["compiled", "call by call", "numpy"], autouse=True)
def tier(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Compile at the second sighting, or never; or do without kernels altogether."""
    monkeypatch.setattr(programs, "COMPILE_CALL", 0.0)
    with settings.override(numpy=request.param == "numpy", compile=request.param == "compiled"):
        yield request.param


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The names of calls that run by their NumPy meaning inside compiled code."""
    found: set[str] = set()
    whole = emit.Emitter.compiled

    def compiled(self: Any, arena: int) -> Any:
        found.update(step.call.op.name for step in self.steps if step.call is not None)
        return whole(self, arena)

    monkeypatch.setattr(emit.Emitter, "compiled", compiled)
    return found


def array(*size: int, dtype: str = "float32", seed: int = 0) -> np.ndarray:
    drawn = np.random.default_rng(seed).standard_normal(size) * 3
    return np.abs(drawn).astype(dtype) if dtype == "uint8" else drawn.astype(dtype)


def index(*size: int, high: int, low: int = 0) -> np.ndarray:
    return np.random.default_rng(1).integers(low, high, size)


def numbers(result: Any) -> list[np.ndarray]:
    results = result if isinstance(result, (tuple, list)) else [result]
    return [r.detach().numpy() for r in results]


def agree(body: Body, *arrays: np.ndarray) -> None:
    """The same values, dtypes and sizes as PyTorch's, however often it runs."""
    expected = numbers(body(torch, *(torch.from_numpy(a.copy()) for a in arrays)))
    for _ in range(RUNS):
        got = numbers(body(flambeau, *(flambeau.from_numpy(a.copy()).clone() for a in arrays)))
        for mine, theirs in zip(got, expected, strict=True):
            assert mine.shape == theirs.shape and mine.dtype == theirs.dtype
            np.testing.assert_allclose(mine, theirs, rtol=2e-5, atol=1e-5)


def gradient(body: Body) -> Body:
    """The body's derivative with respect to its first tensor."""

    def run(t: Any, x: Any, *rest: Any) -> Any:
        x = x.clone().requires_grad_()
        (body(t, x, *rest) ** 2).sum().backward()
        return x.grad

    return run


READS: dict[str, tuple[Body, tuple[np.ndarray, ...]]] = {
    "index_select": (lambda t, x, i: t.index_select(x * 1, 0, i), (index(4, high=6),)),
    "index_select last": (lambda t, x, i: t.index_select(x, 1, i) * 1, (index(7, high=5),)),
    "index_select turned": (lambda t, x, i: t.index_select(x.t(), 1, i), (index(4, high=6),)),
    "gather": (lambda t, x, i: t.gather(x, 1, i), (index(6, 9, high=5),)),
    "gather columns": (lambda t, x, i: t.gather(x, 0, i), (index(4, 5, high=6),)),
    "take": (lambda t, x, i: t.take(x, i), (index(3, 4, high=30, low=-30),)),
    "x[i]": (lambda t, x, i: x[i] * 1, (index(4, high=6, low=-6),)),
    "x[:, i]": (lambda t, x, i: x[:, i], (index(2, 3, high=5, low=-5),)),
    "x[i, j]": (lambda t, x, i, j: x[i, j], (index(4, high=6), index(3, 1, high=5, low=-5))),
    "rows": (lambda t, x, i: t.embedding(x, i), (index(2, 3, high=6),)),
}


@pytest.mark.parametrize("name", READS)
def test_reads_by_index(name: str, tier: str, steps: set[str]) -> None:
    body, rest = READS[name]
    agree(body, array(6, 5), *rest)
    agree(gradient(body), array(6, 5), *rest)
    assert tier == "numpy" or not steps


@pytest.mark.parametrize("dtype", DTYPES)
def test_reads_of_every_type(dtype: str) -> None:
    body = READS["index_select last"][0]
    agree(lambda t, x, i: (t.index_select(x, 0, i), t.gather(x, 1, i.reshape(4, 1)), x[i]),
          array(6, 5, dtype=dtype), index(4, high=5))  # fmt: skip
    agree(body, array(70, 5, dtype="float32"), index(40, high=5))


PARTS: dict[str, Body] = {
    "cat": lambda t, x: t.cat([x * 1, x[:, :2], x], 1),
    "cat of one": lambda t, x: t.cat([x]),
    "cat, promoted": lambda t, x: t.cat([x, (x > 0).to(t.int32)]),
    "stack": lambda t, x: t.stack([x * 1, x, x + x], 1),
    "repeat": lambda t, x: (x * 1).repeat(2, 1, 3),
    "flip": lambda t, x: t.flip(x, (0, 1)),
    "flip one": lambda t, x: t.flip(x.t(), (1,)) * 1,
    "roll": lambda t, x: t.roll(x, (1, -2), (0, 1)),
    "roll all": lambda t, x: t.roll(x, 7),
    "pad": lambda t, x: t.constant_pad_nd(x, (1, 2, -1, 3), 1),
    "tril": lambda t, x: (t.tril(x * 1, 1), t.triu(x, -1), t.tril(x.t())),
    "tril_": lambda t, x: (x * 1).tril_(),
    "diag_embed": lambda t, x: (t.diag_embed(x, 1), t.diag_embed(x, -2, 0, 1)),
}


@pytest.mark.parametrize("name", PARTS)
def test_put_together_from_parts(name: str, tier: str, steps: set[str]) -> None:
    agree(PARTS[name], array(6, 5))
    assert tier == "numpy" or not steps


@pytest.mark.parametrize("dtype", DTYPES)
def test_parts_of_every_type(dtype: str) -> None:
    agree(lambda t, x: tuple(PARTS[n](t, x) for n in ("cat", "flip", "roll", "repeat")),
          array(6, 5, dtype=dtype))  # fmt: skip


def test_pieces_fuse_with_what_made_them() -> None:
    agree(lambda t, x: t.cat([x.exp(), (x + 1).tanh()], 1).sum(0), array(6, 5))


WRITES: dict[str, tuple[Body, tuple[np.ndarray, ...]]] = {
    "index_add": (lambda t, x, i, s: t.index_add(x, 0, i, s[:4, :5]), (index(4, high=6),)),
    "index_add scaled": (
        lambda t, x, i, s: t.index_add(x, 1, i, s[:6, :4], alpha=3), (index(4, high=5),)),
    "index_add turned": (
        lambda t, x, i, s: t.index_add(x.t(), 1, i, s[:5, :4]), (index(4, high=6),)),
    "index_copy": (lambda t, x, i, s: t.index_copy(x, 0, i, s[:3, :5]), (np.array([4, 0, 1]),)),
    "index_fill": (lambda t, x, i, s: t.index_fill(x, 1, i, 2), (index(3, high=5),)),
    "scatter_add": (lambda t, x, i, s: t.scatter_add(x, 1, i, s), (index(6, 7, high=5),)),
    "scatter_add columns": (lambda t, x, i, s: t.scatter_add(x, 0, i, s), (index(4, 5, high=6),)),
    "x[i] = s": (lambda t, x, i, s: t.index_put(x, (i,), s[:3, :5]), (np.array([-1, 0, 2]),)),
    "x[i] += s": (
        lambda t, x, i, s: t.index_put(x, (i,), s[:4, :5], accumulate=True), (index(4, high=6),)),
    "x[i, j] += s": (
        lambda t, x, i, j, s: t.index_put(x, (i, j), s[0, :4], accumulate=True),
        (index(4, high=6), index(4, high=5, low=-5))),
    "in place": (lambda t, x, i, s: x.index_add_(0, i, s[:4, :5]) * 2, (index(4, high=6),)),
}  # fmt: skip


@pytest.mark.parametrize("name", WRITES)
def test_writes_by_index(name: str, tier: str, steps: set[str]) -> None:
    body, rest = WRITES[name]
    agree(body, array(6, 5), *rest, array(9, 9, seed=2))
    assert tier == "numpy" or not steps


@pytest.mark.parametrize("dtype", DTYPES)
def test_writes_of_every_type(dtype: str) -> None:
    body, rest = WRITES["index_add"]
    agree(body, array(6, 5, dtype=dtype), *rest, array(9, 9, dtype=dtype, seed=2))


def test_many_writes_are_the_same_bits_on_any_number_of_threads() -> None:
    x, i = array(5000, 130), index(5000, high=300)

    def run(threads: int) -> np.ndarray:
        flambeau.set_num_threads(threads)
        return flambeau.zeros(300, 130).index_add(0, flambeau.tensor(i), flambeau.tensor(x)).numpy()

    before = flambeau.get_num_threads()
    one, several = run(1), run(3)
    flambeau.set_num_threads(before)
    assert one.tobytes() == several.tobytes()


@pytest.mark.parametrize("size", [(7,), (5, 3), (33, 70), (70, 33), (3, 4, 50), (4, 0)], ids=str)
def test_running_sums(size: tuple[int, ...]) -> None:
    for dim in range(len(size)):
        agree(lambda t, x, d=dim: (t.cumsum(x, d), t.cumprod(x, d)), array(*size))
        agree(gradient(lambda t, x, d=dim: t.cumsum(x, d)), array(*size))


@pytest.mark.parametrize("dims", [(0, 2), (0, 2, 3), (1, 3)], ids=str)
def test_reductions_over_dims_that_are_no_one_loop(
    dims: tuple[int, ...], tier: str, steps: set[str]
) -> None:
    for keepdim in (False, True):
        agree(lambda t, x, k=keepdim: (x.sum(dims, k), x.mean(dims, k), x.amax(dims, k)),
              array(3, 4, 2, 5))  # fmt: skip
    assert tier == "numpy" or not steps


LOSSES: list[dict[str, Any]] = [{}, {"reduction": "sum"}, {"reduction": "none"}, {"weight": True}]


@pytest.mark.parametrize("kwargs", LOSSES,
                         ids=str)  # fmt: skip
def test_losses_of_classes(kwargs: dict[str, Any], tier: str, steps: set[str]) -> None:
    target = index(64, high=10)
    target[::7] = -100

    def body(t: Any, x: Any, y: Any, w: Any) -> Any:
        loss = (torch.nn.functional if t is torch else flambeau.losses).cross_entropy
        x = x.clone().requires_grad_()
        out = loss(x, y, **{**kwargs, **({"weight": w} if "weight" in kwargs else {})})
        out.sum().backward()
        return out.detach(), x.grad

    agree(body, array(64, 10), target, np.arange(1, 11).astype("float32"))
    assert tier == "numpy" or not steps


def draws(t: Any) -> list[np.ndarray]:
    t.manual_seed(5)
    found = []
    for n in (0, 3, 16, 40):
        found += [t.rand(n), t.randn(n), t.randint(0, 10, (n,)), t.randint(-5, 2**40, (n,)),
                  t.randperm(n), t.zeros(n).bernoulli_(0.3), t.zeros(n).exponential_(2.0),
                  t.bernoulli(t.rand(n))]  # fmt: skip
    return [x.numpy() for x in found]


def test_draws_are_pytorchs_numbers(tier: str, steps: set[str]) -> None:
    expected = draws(torch)
    for _ in range(RUNS):
        for mine, theirs in zip(draws(flambeau), expected, strict=True):
            np.testing.assert_array_equal(mine, theirs)
    assert tier == "numpy" or not steps


# ------------------------------------------------------------------ failing

FAILING: dict[str, tuple[Body, type[Exception], str]] = {
    "index_select": (
        lambda x, i: x.index_select(0, i), IndexError, "index out of range in self"),
    "x[i]": (lambda x, i: x[i], IndexError, "index 7 is out of bounds for dimension 0 with size 4"),
    "gather": (lambda x, i: x.gather(0, i.reshape(1, 3)), RuntimeError,
               "index 7 is out of bounds for dimension 0 with size 4"),
    "take": (lambda x, i: x.take(i * 2), IndexError,
             "out of range: tried to access index 14 on a tensor of 12 elements."),
    "embedding": (lambda x, i: flambeau.embedding(x, i), IndexError, "index out of range in self"),
    "cross_entropy": (lambda x, i: flambeau.losses.cross_entropy(x[:3], i), IndexError,
                      "Target 7 is out of bounds."),
    "index_add": (lambda x, i: x.index_add(0, i, x[:3]), IndexError, "index out of range in self"),
    "division": (lambda x, i: i // (i - 7), RuntimeError, "ZeroDivisionError"),
}  # fmt: skip


@pytest.mark.parametrize("name", FAILING)
def test_failures_are_pytorchs_and_transactional(name: str) -> None:
    body, error, says = FAILING[name]
    for last in (2, 2, 2, 7):
        x = flambeau.arange(12.0).reshape(4, 3).clone()
        i = flambeau.tensor([0, last, 1]) + 0  # pending: what is there is looked at by the call
        written = flambeau.zeros(3)
        before = x * 2
        written.add_(1)
        result = body(x, i) * 1
        written.add_(5)
        after = x + 1
        if last == 2:
            assert result.numel() and result.isfinite().all().item()
            assert written.tolist() == [6, 6, 6]
            continue
        with pytest.raises(error, match=says.replace(".", r"\.")) as caught:
            result.tolist()
        assert any("test_lower.py" in note for note in caught.value.__notes__)
        assert before.tolist()[1] == [6, 8, 10], "what was made before is there"
        assert written.tolist() == [1, 1, 1], "earlier writes took effect, later ones did not"
        with pytest.raises(error):
            after.tolist()


def test_the_table_names_ops_that_exist() -> None:
    assert set(RULES) - {"any reduction"} <= set(TABLE)


def test_an_expansion_may_look_into_a_moving_view() -> None:
    """A composite whose expansion takes a part of its argument, given X[i:i + b]."""
    x = flambeau.arange(40.0).reshape(10, 4)
    for start in (0, 2, 4, 6, 1):
        part = x[start:start + 3]
        found = flambeau.nn.functional.glu(part, dim=1)
        left, gate = np.split(np.arange(40.0).reshape(10, 4)[start:start + 3], 2, 1)
        np.testing.assert_allclose(found.numpy(), left / (1 + np.exp(-gate)), rtol=1e-5)
