"""The random stream and every draw beside PyTorch's, bit for bit, the state after it included."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from flambeau.ir import dtype as dt
from flambeau.runtime import draws, exact, generator

torch = pytest.importorskip("torch")

SIZES = (0, 1, 2, 15, 16, 17, 31, 32, 1000, 1003)
FLOATS = (dt.float32, dt.float64, dt.float16, dt.bfloat16)
INTEGERS = (dt.bool_, dt.uint8, dt.int8, dt.int16, dt.int32, dt.int64)


def theirs(dtype: dt.DType) -> Any:
    return getattr(torch, dtype.name)


def memory(tensor: Any) -> np.ndarray:
    """A PyTorch tensor's elements as they lie in memory."""
    if tensor.dtype == torch.bfloat16:
        return tensor.view(torch.int16).numpy().view(np.uint16)
    return tensor.numpy()


def both(
    ours: Callable[[generator.State], np.ndarray], pytorch: Callable[[Any], Any], s: int = 7,
    skip: int = 3,
) -> None:  # fmt: skip
    """Draw on both sides from the same state; compare values and the state afterwards."""
    state, g = generator.new_state(s), torch.Generator().manual_seed(s)
    draws.uniform(state, skip, dt.float32), torch.rand(skip, generator=g)
    expected = memory(pytorch(g))
    got = ours(state)
    np.testing.assert_array_equal(got, expected.reshape(-1))
    assert got.dtype == expected.dtype
    same_state(state, g)


def same_state(state: generator.State, g: Any) -> None:
    np.testing.assert_array_equal(generator.to_torch_bytes(state), g.get_state().numpy())


@pytest.mark.parametrize("s", [0, 1, 2**32 - 1, 2**32, 2**40 + 5, 2**64 - 1, -1, -(2**63)])
def test_seed(s: int) -> None:
    state, g = generator.new_state(s), torch.Generator().manual_seed(s)
    same_state(state, g)
    assert int(generator.fields(state)["seed"]) == g.initial_seed()


@pytest.mark.parametrize("s", [2**64, -(2**63) - 1])
def test_seed_out_of_range(s: int) -> None:
    with pytest.raises(ValueError, match="Overflow"):
        generator.new_state(s)


def test_a_new_generator_has_the_default_seed() -> None:
    same_state(generator.new_state(), torch.Generator())


def test_state_goes_to_pytorch_and_back() -> None:
    state = generator.new_state(11)
    draws.normal(state, 7, dt.float32)
    g = torch.Generator()
    g.set_state(torch.from_numpy(generator.to_torch_bytes(state)))
    same_state(state, g)
    back = generator.from_torch_bytes(g.get_state().numpy())
    np.testing.assert_array_equal(back, state)


@pytest.mark.parametrize("size", [5, 5056])
def test_a_state_that_is_none_is_refused(size: int) -> None:
    with pytest.raises(RuntimeError, match="state"):
        generator.from_torch_bytes(np.zeros(size, np.uint8))


@pytest.mark.parametrize("n", (*SIZES, 100003))
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("low, high", [(0.0, 1.0), (-0.3, 0.7), (2.0, 2.0)])
def test_uniform(dtype: dt.DType, n: int, low: float, high: float) -> None:
    both(lambda s: draws.uniform(s, n, dtype, low, high),
         lambda g: torch.empty(n, dtype=theirs(dtype)).uniform_(low, high, generator=g))


@pytest.mark.parametrize("n", (*SIZES, 100003))
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("mean, std", [(0.0, 1.0), (0.37, 1.9)])
def test_normal(dtype: dt.DType, n: int, mean: float, std: float) -> None:
    both(lambda s: draws.normal(s, n, dtype, mean, std),
         lambda g: torch.empty(n, dtype=theirs(dtype)).normal_(mean, std, generator=g))


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("name, args", [
    ("exponential", ()), ("exponential", (2.5,)), ("cauchy", (1.0, 3.0)), ("geometric", (0.2,)),
    ("log_normal", (0.5, 0.7))])  # fmt: skip
def test_skewed_draws(dtype: dt.DType, n: int, name: str, args: tuple[float, ...]) -> None:
    both(lambda s: getattr(draws, name)(s, n, dtype, *args),
         lambda g: getattr(torch.empty(n, dtype=theirs(dtype)), name + "_")(*args, generator=g))


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("dtype", FLOATS + INTEGERS, ids=str)
def test_bernoulli(dtype: dt.DType, n: int) -> None:
    both(lambda s: draws.bernoulli(s, n, dtype, 0.3),
         lambda g: torch.empty(n, dtype=theirs(dtype)).bernoulli_(0.3, generator=g))


@pytest.mark.parametrize("n", [0, 1, 1003])
@pytest.mark.parametrize("dtype", FLOATS + INTEGERS, ids=str)
@pytest.mark.parametrize("p_dtype", FLOATS, ids=str)
def test_bernoulli_of_a_tensor(p_dtype: dt.DType, dtype: dt.DType, n: int) -> None:
    p = torch.rand(n).to(theirs(p_dtype))
    both(lambda s: draws.bernoulli_tensor(s, memory(p), p_dtype, dtype),
         lambda g: torch.empty(n, dtype=theirs(dtype)).bernoulli_(p, generator=g))
    both(lambda s: draws.bernoulli_tensor(s, memory(p), p_dtype, p_dtype),
         lambda g: torch.bernoulli(p, generator=g))


def test_bernoulli_refuses_what_is_no_probability() -> None:
    with pytest.raises(RuntimeError, match="p_in"):
        draws.bernoulli_tensor(generator.new_state(), np.array([0.5, np.nan]), dt.float64, dt.bool_)


@pytest.mark.parametrize("p", [0.1, 0.5, 0.75])
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_dropout(dtype: dt.DType, p: float) -> None:
    torch.manual_seed(5)
    x = torch.ones(1003, dtype=theirs(dtype))
    expected = memory(torch.nn.functional.dropout(x, p))
    state = generator.new_state(5)
    np.testing.assert_array_equal(draws.dropout_mask(state, 1003, dtype, p), expected)
    same_state(state, torch.default_generator)


@pytest.mark.parametrize("dtype", INTEGERS[1:], ids=str)
def test_geometric_of_integers(dtype: dt.DType) -> None:
    both(lambda s: draws.geometric(s, 1003, dtype, 0.3),
         lambda g: torch.empty(1003, dtype=theirs(dtype)).geometric_(0.3, generator=g))


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("dtype", FLOATS + INTEGERS, ids=str)
def test_random(dtype: dt.DType, n: int) -> None:
    both(lambda s: draws.random_(s, n, dtype),
         lambda g: torch.empty(n, dtype=theirs(dtype)).random_(generator=g))


RANGES = ((0, 10), (-5, 7), (0, 2**28 - 1), (0, 2**28), (3, 2**31), (0, 2**32 + 5),
          (-(2**40), 2**50), (-(2**63), 2**63 - 1), (0, 2**24 + 3), (2**24 + 1, 2**24 + 9),
          (-(2**24) - 9, -(2**24) - 1), (0, 2048), (0, 2050), (-300, -256), (0, 65504))  # fmt: skip


@pytest.mark.parametrize("low, high", RANGES)
@pytest.mark.parametrize("dtype", FLOATS + INTEGERS, ids=str)
@pytest.mark.filterwarnings("ignore:.*is out of bounds")
def test_randint(dtype: dt.DType, low: int, high: int) -> None:
    try:
        torch.empty(3, dtype=theirs(dtype)).random_(low, high)
    except RuntimeError:
        pytest.skip("PyTorch refuses the range for the type")
    both(lambda s: draws.randint(s, 100, low, high, dtype),
         lambda g: torch.empty(100, dtype=theirs(dtype)).random_(low, high, generator=g))


@pytest.mark.parametrize("low", [0, -7, 1, 300, 2**24 + 1, -(2**63)])
@pytest.mark.parametrize("dtype", FLOATS + INTEGERS, ids=str)
@pytest.mark.filterwarnings("ignore:.*is out of bounds")
def test_random_from(dtype: dt.DType, low: int) -> None:
    try:
        torch.empty(3, dtype=theirs(dtype)).random_(low, None)
    except (RuntimeError, NotImplementedError):
        pytest.skip("PyTorch refuses the bound for the type")
    both(lambda s: draws.integers(s, 100, draws.span_from(low, dtype), dtype),
         lambda g: torch.empty(100, dtype=theirs(dtype)).random_(low, None, generator=g))


@pytest.mark.parametrize("n", (*SIZES, 100003))
def test_randperm(n: int) -> None:
    both(lambda s: draws.randperm(s, n), lambda g: torch.randperm(n, generator=g))


@pytest.mark.parametrize("dtype", (dt.int32, dt.int16, dt.uint8, dt.float32, dt.float16), ids=str)
def test_randperm_types(dtype: dt.DType) -> None:
    both(lambda s: draws.randperm(s, 101, dtype),
         lambda g: torch.randperm(101, generator=g, dtype=theirs(dtype)))


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("shape", [(10,), (4, 10)])
@pytest.mark.parametrize("n, replacement", [(1, False), (1, True), (2, False), (9, False),
                                            (2, True), (40, True)])  # fmt: skip
def test_multinomial(dtype: dt.DType, shape: tuple[int], n: int, replacement: bool) -> None:
    w = torch.rand(shape).to(theirs(dtype))
    w[..., 3] = 0
    both(lambda s: draws.multinomial(s, memory(w), dtype, n, replacement).reshape(-1),
         lambda g: torch.multinomial(w, n, replacement, generator=g))


@pytest.mark.parametrize("weights", [[1.0, -1.0], [0.0, 0.0], [np.nan, 1.0], [np.inf, 1.0]])
def test_multinomial_refuses_bad_weights(weights: list[float]) -> None:
    with pytest.raises(RuntimeError):
        torch.multinomial(torch.tensor(weights), 1)
    with pytest.raises(RuntimeError):
        draws.multinomial(generator.new_state(), np.array(weights, np.float32), dt.float32, 1)


TARGETS = (
    lambda x: x.t(), lambda x: x[:, ::2], lambda x: x[::3, 1:], lambda x: x.view(4, 6, 10).mT,
    lambda x: x.view(2, 3, 4, 10).permute(0, 2, 3, 1),
    lambda x: x.view(2, 3, 4, 10).permute(3, 1, 0, 2),
    lambda x: x[:, :1].t(), lambda x: x.view(-1).as_strided((5, 4, 3), (1, 5, 40)),
    lambda x: x.view(-1).as_strided((3, 1, 7), (2, 2, 9)),
    lambda x: x.view(-1).as_strided((3, 5), (30, 1))[:, :2], lambda x: x[:3, :4].t(),
)  # fmt: skip


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("name", ["uniform_", "normal_", "random_", "bernoulli_"])
def test_targets_that_are_not_contiguous(target: Any, name: str) -> None:
    view = target(torch.zeros(24, 10))
    g, state = torch.Generator().manual_seed(2), generator.new_state(2)
    getattr(view, name)(generator=g)
    draw = {
        "uniform_": lambda: draws.uniform(state, view.numel(), dt.float32),
        "normal_": lambda: draws.normal(
            state, view.numel(), dt.float32, contiguous=view.is_contiguous()),
        "random_": lambda: draws.random_(state, view.numel(), dt.float32),
        "bernoulli_": lambda: draws.bernoulli(state, view.numel(), dt.float32, 0.5),
    }[name]  # fmt: skip
    order = draws.draw_order(view.shape, view.stride())
    ordered = view.permute(order)
    np.testing.assert_array_equal(draw().reshape(ordered.shape), ordered.numpy())
    same_state(state, g)


def test_a_tensor_of_probabilities_takes_part_in_the_order() -> None:
    p = torch.rand(5, 6).t()
    g, state = torch.Generator().manual_seed(2), generator.new_state(2)
    for view in (torch.zeros(6, 5), torch.zeros(5, 6).t(), torch.zeros(6, 10)[:, ::2]):
        view.bernoulli_(p, generator=g)
        order = draws.draw_order(view.shape, view.stride(), p.stride())
        drawn = draws.bernoulli_tensor(state, p.permute(order).numpy(), dt.float32, dt.float32)
        ordered = view.permute(order)
        np.testing.assert_array_equal(drawn.reshape(ordered.shape), ordered.numpy())
    same_state(state, g)


def test_mixed_draws_walk_the_same_stream() -> None:
    g, state = torch.Generator().manual_seed(99), generator.new_state(99)
    rng = np.random.default_rng(0)
    for n in rng.integers(0, 700, 60).tolist():
        for dtype, kind in ((dt.float32, "normal"), (dt.float64, "normal"), (dt.float32, "uniform"),
                            (dt.float64, "uniform"), (dt.bfloat16, "normal")):  # fmt: skip
            m = n % 23 if n % 2 else n
            expected = getattr(torch.empty(m, dtype=theirs(dtype)), kind + "_")(generator=g)
            np.testing.assert_array_equal(getattr(draws, kind)(state, m, dtype), memory(expected))
        np.testing.assert_array_equal(
            draws.randperm(state, n), torch.randperm(n, generator=g).numpy())
    same_state(state, g)


def test_fma_rounds_once() -> None:
    from fractions import Fraction

    rng = np.random.default_rng(1)
    a, b = rng.standard_normal((2, 2000))
    c = -a * b * (1 + rng.integers(-3, 3, 2000) * 2.0 ** -rng.integers(1, 60, 2000))
    exactly = [float(Fraction(x) * Fraction(y) + Fraction(z)) for x, y, z in zip(a, b, c)]
    np.testing.assert_array_equal(exact.fma(a, b, c), exactly)
