"""Templates: code for all sizes is what would have been made for each, and little is compiled."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import flambeau
from flambeau.compiler import emit, single, template
from flambeau.ir.dims import later, session, waits
from flambeau.settings import settings
from flambeau.trace import programs, trie

torch = pytest.importorskip("torch", reason="PyTorch is the oracle of these tests")

SIZES = (*range(1, 20), 31, 32, 33, 47, 64, 100, 129)


def lstm(T: Any, x: Any) -> Any:
    gates = T.arange(4 * 12 * 6, dtype=T.float32).view(48, 6) % 7 / 7 - 0.5
    net = T.nn.LSTMCell(6, 12)
    with T.no_grad():
        for parameter in net.parameters():
            parameter.copy_(gates.flatten()[:1].expand(parameter.shape))
    return net(x[:, :6])[0]


def back(T: Any, x: Any) -> Any:
    """The gradient of a loss over classes."""
    x = x.clone().requires_grad_()
    T.nn.functional.cross_entropy(x, T.arange(len(x)) % x.shape[1]).backward()
    return x.grad


def padded(T: Any, x: Any) -> Any:
    return T.cat((x, x[:1] * 2, T.stack((x, x))[1]))


def looked_up(T: Any, x: Any) -> Any:
    return T.nn.functional.embedding(T.arange(len(x)) % 3, x[:3].contiguous())


def put_in(T: Any, x: Any) -> Any:
    """The same op along two dims."""
    index = T.arange(3)
    return T.zeros(len(x), 24).index_add(0, index % len(x), x[:1].expand(3, 24)).index_add(
        1, index, x[:, :3])  # fmt: skip


BODIES: dict[str, Callable[[Any, Any], Any]] = {
    "mm": lambda T, x: x @ x.t()[:, :5],
    "mm of rows": lambda T, x: x.t() @ x,
    "linear": lambda T, x: T.nn.functional.linear(x, x[:1], x[0, :1]),
    "exp": lambda T, x: x.exp(),
    "broadcast": lambda T, x: (x + x[:1]) * x[:, :1],
    "strided": lambda T, x: (x[::2, ::3] - 1).tanh(),
    "sum": lambda T, x: x.sum(0) + x.sum(),
    "mean": lambda T, x: x.mean(0) - x.var(1, unbiased=False).mean(),
    "amax": lambda T, x: x.amax(1) - x.amax(0).sum(),
    "argmax": lambda T, x: x.argmax(0),
    "softmax": lambda T, x: x.softmax(1) + x.log_softmax(0),
    "layer norm": lambda T, x: T.nn.functional.layer_norm(x, x.shape[1:]),
    "gelu": lambda T, x: T.nn.functional.gelu(x),
    "cumsum": lambda T, x: x.cumsum(0),
    "attention": lambda T, x: T.nn.functional.scaled_dot_product_attention(
        *x.reshape(1, len(x), 3, 8).permute(2, 0, 1, 3), is_causal=True),
    "triangle": lambda T, x: x.tril() + x.triu(1),
    "conv": lambda T, x: T.nn.functional.conv1d(x.t()[None], T.ones(4, 24, 1)),
    "index_add": put_in, "cat and stack": padded, "embedding": looked_up, "lstm": lstm,
    "cross entropy": back,
}  # fmt: skip


@pytest.fixture
def anew() -> Iterator[None]:
    """Nothing is known of any call, neither before nor after."""
    forget()
    yield
    forget()


def forget() -> None:
    trie.prune(trie.ROOT, 1 << 60)
    single.forget()


def results(body: Callable[[Any, Any], Any], module: Any) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    inputs = [random.standard_normal((n, 24)).astype(np.float32) for n in SIZES]
    return [body(module, module.tensor(x)).detach().numpy() for x in inputs]


@pytest.mark.parametrize("name", BODIES)
def test_all_sizes(name: str, anew: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bits are those of code that was made for each size; values are PyTorch's."""
    body = BODIES[name]
    found = results(body, flambeau)
    again = results(body, flambeau)
    if not settings.check and settings.compile and not settings.numpy:
        assert any(f.templates for f in template._families.values())
    forget()
    monkeypatch.setattr(single, "by_template", lambda *args: None)
    alone = results(body, flambeau)
    wanted = results(body, torch)
    for size, x, y, z, w in zip(SIZES, found, again, alone, wanted, strict=True):
        assert x.tobytes() == y.tobytes(), size
        assert x.tobytes() == z.tobytes(), size
        np.testing.assert_allclose(x, w, rtol=1e-4, atol=1e-4, err_msg=str(size))


@pytest.mark.skipif(settings.check or settings.numpy, reason="no templates then")
def test_few_passes(anew: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A text that grows: its calls go through the passes for a handful of lengths only."""
    begun: list[int] = []
    begin = emit.Emitter.begin

    def counted(self: Any) -> None:
        begun.append(1)
        begin(self)

    monkeypatch.setattr(emit.Emitter, "begin", counted)
    layer = flambeau.nn.TransformerEncoderLayer(32, 4, 64, batch_first=True).eval()
    with flambeau.no_grad():
        for length in range(1, 65):
            layer(flambeau.zeros(1, length, 32)).sum().item()
    counts = [len(f.templates) for f in template._families.values()]
    assert max(counts) < template.MOST
    assert len(begun) <= sum(counts) + (template.SEEN + 1) * len(counts) < 100


# ------------------------------------------------------------------ sizes that are not known yet


def made_by(now: Any, result: Any) -> Callable[..., Any]:
    """A session's lines as a function of its sizes, which answers a result."""
    lines = [*now.lines, f"return {now.say(result)}"]
    source = "\n    ".join([f"def make({', '.join(now.names)}):", *lines])
    scope = dict(now.constants)
    exec(source, scope)
    return scope["make"]  # type: ignore[no-any-return]


def test_formulas_and_questions() -> None:
    with session((3, 128)) as now:
        n, m = now.dims
        assert n * 4 < m
        result = (n * m + 1, -(-n // 2), m % n, max(n, 2), 5 - n)
    make = made_by(now, result)
    assert make(3, 128) == (385, 2, 2, 3, 2)
    assert make(5, 64) == (321, 3, 4, 5, 0)
    assert make(20, 64) is None  # n * 4 < m no longer
    assert make(1, 64) is None  # the larger of n and 2 is another


def test_a_plain_number_is_that_number() -> None:
    for need in (range, lambda n: [0] * n, float, str, lambda n: n / 2, lambda n: n << 1,
                 lambda n: {n: 1}[n], lambda n: f"{n}", lambda n: (1, 2, 3, 4, 5)[:n]):  # fmt: skip
        with session((3,)) as now:
            (n,) = now.dims
            assert isinstance(n, int)
            need(n)
        fits = made_by(now, 0)
        assert fits(3) == 0
        if now.lines:
            assert fits(4) is None
        else:
            assert need(n) == 1  # as a key it is itself, whatever it is


def test_what_is_remembered_for_sizes_stays_apart() -> None:
    known = {(3, 4): "plain"}
    with session((3, 4)) as now:
        key = tuple(now.dims)
        assert key not in known and key == key
        known[key] = "for all sizes"
    with session((3, 4)) as other:
        assert tuple(other.dims) not in known
    assert known[3, 4] == "plain" and not now.lines and not other.lines


def test_later() -> None:
    def cut(size: int, parts: list[int]) -> tuple[int, list[int]]:
        return size // 2, [size, *parts]

    with session((6,)) as now:
        (n,) = now.dims
        half, listed = later(cut, n, [n + 1, 9])
        assert half > 0
        result = half + 1, listed
    assert made_by(now, result)(6) == (4, [6, 7, 9])
    assert made_by(now, result)(9) == (5, [9, 10, 9])
    assert made_by(now, result)(1) is None
    assert later(cut, 4, []) == (2, [4])


# ------------------------------------------------------------------ whole programs


@pytest.mark.skipif(not settings.compile or settings.numpy, reason="nothing is compiled then")
def test_where_sizes_vary_programs_are_dearer(anew: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first few are compiled when they have cost what compiling costs, the others later."""
    monkeypatch.setattr(programs, "COMPILE_CALL", programs.RUN_CALL)
    compiled = []
    for size in range(40, 40 + 2 * programs.FEW):
        before = programs.counters.compiled
        for _ in range(3):
            (flambeau.ones(size) * 3 - 1).sqrt().sum().item()
        compiled.append(programs.counters.compiled - before)
    assert compiled == [1] * programs.FEW + [0] * programs.FEW


def test_what_is_shared_is_looked_at_once() -> None:
    """A tree whose parts share theirs: walked path by path this would take for ever."""
    tree: tuple[Any, ...] = ()
    for _ in range(200):
        tree = (tree, tree)
    assert not waits(tree)
