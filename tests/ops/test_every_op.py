"""Every row of the table, with the samples it declares, against PyTorch and against differences.

Values, dtypes, sizes, strides, errors, in-place and `out=` forms come from PyTorch; first and
second derivatives are compared with its own. A new row is tested by being declared.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from flambeau.ir import dtype as dt
from flambeau.ops.table import TABLE
from flambeau.settings import settings

from . import cases
from .references import reference

torch = pytest.importorskip("torch", reason="PyTorch is the oracle of these tests")
flambeau = pytest.importorskip("flambeau")

ROWS = cases.tested()
NAMES = [op.name for op in ROWS]


@pytest.fixture(params=["numpy"], autouse=True)
def tier(request: pytest.FixtureRequest) -> Any:
    """How calls run. Further tiers are further words here: 'kernels', 'compiled'."""
    with settings.override(numpy=request.param == "numpy", compile=request.param == "compiled"):
        yield


def ours(op: Any) -> Callable[..., Any]:
    return flambeau.methods.FUNCTIONS[op.name]


def report(failures: list[str]) -> None:
    assert not failures, f"{len(failures)} differences:\n" + "\n".join(failures[:12])


def describe(sample: Any, dtype: dt.DType) -> str:
    def brief(x: Any) -> str:
        if isinstance(x, cases.Operand):
            return f"{x.dtype.name}{list(x.array.shape)}" + "".join(f".{v[0]}" for v in x.views)
        return str(x)

    args = [brief(a) for a in sample.args] + [f"{k}={brief(v)}" for k, v in sample.kwargs.items()]
    return f"[{dtype.name}] ({', '.join(args)})"


def both(op: Any, sample: Any) -> tuple[Any, Any]:
    """What our function and PyTorch's give."""
    args, kwargs, _ = cases.arguments(sample, cases.ours)
    mine = cases.outcome(lambda: ours(op)(*args, **kwargs), cases.our_facts)
    args, kwargs, _ = cases.arguments(sample, cases.theirs)
    other = cases.outcome(lambda: reference(op, torch)(*args, **kwargs), cases.their_facts)
    return mine, other


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("extremes", [False, True], ids=["usual", "extremes"])
def test_values_are_those_of_pytorch(name: str, extremes: bool) -> None:
    op, failures = TABLE[name], []
    for dtype in cases.DTYPES:
        if extremes and (dtype.kind != "f" or name in cases.UNSPICED):
            continue
        for sample in cases.samples_of(op, dtype, extremes):
            mine, other = both(op, sample)
            slack = 10 if name in cases.STEPWISE else cases.ROUGH.get(name, 1)
            if text := cases.difference(mine, other, slack=slack):
                failures.append(f"{describe(sample, dtype)}: {text}")
    report(failures)


# ------------------------------------------------------------------ derivatives


def derivatives(
    op: Any, call: Callable[..., Any], sample: Any, make: Any, grad: Any, draw: Any
) -> Any:
    """Results' first and second derivatives, each along directions that `draw` makes."""
    args, kwargs, leaves = cases.arguments(sample, make, op)
    results = call(*args, **kwargs)
    results = results if isinstance(results, (tuple, list)) else (results,)
    smooth = [r for r in results if r.requires_grad]
    first = grad(smooth, leaves, [draw(r) for r in smooth])
    kept = [g for g in first if g is not None and g.requires_grad]
    second = grad(kept, leaves, [draw(g) for g in kept]) if kept else [None] * len(leaves)
    return [solid(g, leaf) for g, leaf in zip([*first, *second], [*leaves, *leaves])]


def solid(g: Any, leaf: Any) -> Any:
    """No gradient and PyTorch's symbolic zeros are zeros."""
    zero = g is None or getattr(g, "_is_zerotensor", lambda: False)()
    return leaf.detach() * 0 if zero else g


def directions(tensor: Any) -> Callable[[Any], Any]:
    """Gradients that are the same numbers in both frameworks."""
    counter = iter(range(1 << 30))

    def draw(like: Any) -> Any:
        state = cases.np.random.RandomState(next(counter))
        values = state.uniform(0.5, 1.5, tuple(like.shape))
        if like.is_complex():
            values = values + 1j * state.uniform(0.5, 1.5, tuple(like.shape))
        return tensor(values.tolist(), dtype=like.dtype).reshape(tuple(like.shape))

    return draw


def gradient(framework: Any) -> Callable[..., Any]:
    def grad(outs: Any, leaves: Any, grads: Any) -> Any:
        return framework.autograd.grad(outs, leaves, grads, create_graph=True, allow_unused=True)

    return grad


@pytest.mark.parametrize("name", [n for n in NAMES if TABLE[n].grad and n not in cases.UNDERIVED])
@pytest.mark.parametrize("dtype", [dt.float64, dt.complex128], ids=lambda d: d.name)
def test_derivatives_are_those_of_pytorch(name: str, dtype: dt.DType) -> None:
    op, failures = TABLE[name], []
    if dtype.kind == "c" and name in cases.UNDERIVED_COMPLEX:
        return
    for sample in cases.samples_of(op, dtype):
        if cases.refused(sample):
            continue
        mine = cases.outcome(
            lambda s=sample: derivatives(
                op, ours(op), s, cases.ours, gradient(flambeau), directions(flambeau.tensor)
            ),
            cases.our_facts,
        )
        other = cases.outcome(
            lambda s=sample: derivatives(
                op, reference(op, torch), s, cases.theirs, gradient(torch), directions(torch.tensor)
            ),
            cases.their_facts,
        )
        if text := cases.difference(mine, other, strides=False, slack=100):
            failures.append(f"{describe(sample, dtype)}: {text}")
    report(failures)


@pytest.mark.parametrize("name", [n for n in NAMES if TABLE[n].grad and n not in cases.UNNAMED])
def test_nodes_have_pytorchs_names(name: str) -> None:
    op = TABLE[name]
    for sample in cases.samples_of(op, dt.float64):
        if cases.refused(sample):
            continue
        args, kwargs, _ = cases.arguments(sample, cases.theirs, op)
        result = reference(op, torch)(*args, **kwargs)
        result = result[0] if isinstance(result, (tuple, list)) else result
        assert result.grad_fn is not None
        args, kwargs, _ = cases.arguments(sample, cases.ours, op)
        mine = ours(op)(*args, **kwargs)
        mine = mine[0] if isinstance(mine, (tuple, list)) else mine
        assert mine.grad_fn.name() == result.grad_fn.name()
        return


# ------------------------------------------------------------------ in place and out=


@pytest.mark.parametrize(
    "name", [n for n in NAMES if TABLE[n].inplace and "Tensor" in TABLE[n].public]
)
def test_in_place_forms(name: str) -> None:
    op, failures = TABLE[name], []
    for dtype in (dt.float32, dt.int64, dt.bool_)[: 3 if op.kind == "elementwise" else 2]:
        for sample in cases.samples_of(op, dtype):
            args, kwargs, _ = cases.arguments(sample, cases.ours)
            mine = cases.outcome(
                lambda a=args, k=kwargs: getattr(a[0], name + "_")(*a[1:], **k), cases.our_facts
            )
            args, kwargs, _ = cases.arguments(sample, cases.theirs)
            other = cases.outcome(
                lambda a=args, k=kwargs: getattr(a[0], name + "_")(*a[1:], **k), cases.their_facts
            )
            if text := cases.difference(mine, other):
                failures.append(f"{describe(sample, dtype)}: {text}")
    report(failures)


WITH_OUT = [n for n in NAMES if "torch" in TABLE[n].public and TABLE[n].kind != "effect"]


@pytest.mark.parametrize("name", WITH_OUT)
def test_out_forms(name: str) -> None:
    op = TABLE[name]
    for sample in cases.samples_of(op, dt.float32):
        args, kwargs, _ = cases.arguments(sample, cases.ours)
        try:
            plain = ours(op)(*args, **kwargs)
            plain.tolist()
        except (RuntimeError, ValueError, IndexError, TypeError):
            continue
        out = flambeau.empty(tuple(plain.shape), dtype=plain.dtype)
        assert ours(op)(*args, **kwargs, out=out) is out
        same = cases.difference(
            cases.Outcome((cases.our_facts(out),)), cases.Outcome((cases.our_facts(plain),)), False
        )
        assert not same, describe(sample, dt.float32)


def of_type(plain: Any, make: Any, dtype: Any) -> Any:
    """An `out=` of some type for a result, or for each of several."""
    if isinstance(plain, (tuple, list)):
        return tuple(of_type(p, make, dtype) for p in plain)
    return make(tuple(plain.shape), dtype=dtype)


@pytest.mark.parametrize("name", WITH_OUT)
def test_out_of_other_types(name: str) -> None:
    """The same types are taken and refused as by PyTorch."""
    op, failures = TABLE[name], []
    for dtype in (dt.float32, dt.int32, dt.bool_):
        usual = (s for s in cases.samples_of(op, dtype) if not cases.refused(s))
        if (sample := next(usual, None)) is None:
            continue
        for wanted in (dt.float64, dt.int64, dt.bool_, dt.complex64):

            def outcome(function: Any, make: Any, framework: Any, facts: Any) -> Any:
                args, kwargs, _ = cases.arguments(sample, make)  # noqa: B023
                kind = getattr(framework, wanted.name)  # noqa: B023

                def call() -> Any:
                    plain = function(*args, **kwargs)
                    return function(*args, **kwargs, out=of_type(plain, framework.empty, kind))

                return cases.outcome(call, facts)

            other = outcome(reference(op, torch), cases.theirs, torch, cases.their_facts)
            if other.error is TypeError or other.error and "not implemented" in other.words:
                continue  # no such argument, or no such input
            mine = outcome(ours(op), cases.ours, flambeau, cases.our_facts)
            if text := cases.difference(mine, other, strides=False, slack=1e4):
                failures.append(f"{describe(sample, dtype)} into {wanted.name}: {text}")
    report(failures)
