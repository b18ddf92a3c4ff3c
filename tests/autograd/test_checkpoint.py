"""Checkpoints: values, gradients and random numbers as without them; the function runs twice."""

import warnings

import pytest

import flambeau
import flambeau.utils.checkpoint

torch = pytest.importorskip("torch")
pytest.importorskip("torch.utils.checkpoint")

EXPRESSIONS = """
C.checkpoint(f, x)
C.checkpoint(f, y, use_reentrant=True)
C.checkpoint(f, y, use_reentrant=False)
C.checkpoint(f, x, use_reentrant=True, foo=3)
C.checkpoint(f, x, use_reentrant=True, debug=True)
C.checkpoint(f, x, use_reentrant=False, foo=3)
torch.autograd.grad(C.checkpoint(f, x, use_reentrant=True).sum(), x)
torch.autograd.grad(C.checkpoint(f, x, use_reentrant=False).sum(), x)
C.checkpoint(lambda x: (x * 2, 3, None), x, use_reentrant=True)
C.checkpoint(lambda x, y=1: (x * y, 3, None), x, use_reentrant=False, y=2)
C.checkpoint(lambda d: d["a"] * 2, {"a": x}, use_reentrant=True)
C.checkpoint(lambda d: d["a"] * 2, {"a": x}, use_reentrant=False)
C.checkpoint_sequential([f, f, f], 2, x)
C.checkpoint_sequential([f, f, f], 2, x, use_reentrant=False, foo=3)
[C.checkpoint(f, x, use_reentrant=False).sum().backward(retain_graph=n < 1) for n in (0, 1)], x.grad
twice(C.checkpoint(f, x, use_reentrant=False).sum())
twice(C.checkpoint(f, x, use_reentrant=True).sum())
second(C.checkpoint(lambda x: x**3, x, use_reentrant=False).sum(), x)
second(C.checkpoint(nested, x, use_reentrant=False).sum(), x)
C.checkpoint(changing(), x, use_reentrant=False).sum().backward()
""".strip().splitlines()


def shown(torch, expression):
    """What an expression gives, with its warnings and its error."""
    C = torch.utils.checkpoint

    def f(x):
        return x.sin() * 2

    def nested(x):
        return C.checkpoint(f, x.cos(), use_reentrant=False) * x

    def twice(loss):
        loss.backward()
        loss.backward()

    def second(loss, x):
        (grad,) = torch.autograd.grad(loss, x, create_graph=True)
        return torch.autograd.grad(grad.sum(), x)

    def changing():
        runs = []

        def run(x):
            runs.append(x)
            return x.exp().sin() if len(runs) == 1 else x[:1].exp().sin()

        return run

    names = dict(torch=torch, C=C, f=f, nested=nested, twice=twice, second=second,
                 changing=changing, x=torch.ones(2, requires_grad=True),
                 y=torch.ones(2))  # fmt: skip
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            text = str(eval(expression, names))
        except Exception as error:
            text = f"{type(error).__name__}: {str(error)[:200]}"
    return text, [(w.category, str(w.message)) for w in caught]


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_shows_what_pytorch_shows(expression):
    ours, theirs = shown(flambeau, expression), shown(torch, expression)
    if "changing" in expression:  # the two differ in which tensors they compare
        assert ours[0].startswith("CheckpointError: torch.utils.checkpoint: Recomputed values")
        assert theirs[0].startswith("CheckpointError: torch.utils.checkpoint: Recomputed values")
    else:
        assert ours == theirs


def training(torch, **options):
    """Losses and gradients of a net in two checkpoints, and how often they ran."""
    torch.manual_seed(0)
    nn, runs = torch.nn, []
    net = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Dropout(0.3), nn.Linear(8, 4))
    x, found = torch.randn(3, 4, requires_grad=True), []

    def part(x):
        runs.append(x)
        return net(x)

    def run(x):
        return torch.utils.checkpoint.checkpoint(part, x, **options) if options else part(x)

    for _ in range(4):
        net.zero_grad()
        loss = run(run(x).relu() + x).square().sum()
        loss.backward()
        found += [
            loss.item(),
            torch.rand(1).item(),
            *(p.grad.sum().item() for p in net.parameters()),
        ]
    return len(runs), found + x.grad.reshape(-1).tolist()


@pytest.mark.parametrize("options", [{"use_reentrant": True}, {"use_reentrant": False},
                                     {"use_reentrant": False, "preserve_rng_state": False}],
                         ids=str)  # fmt: skip
def test_trains_as_pytorch(options):
    runs, found = training(flambeau, **options)
    expected = training(torch, **options)
    assert runs == expected[0] == 16
    assert found == pytest.approx(expected[1], rel=1e-4, abs=1e-6)
    if len(options) == 1:
        assert found == pytest.approx(training(flambeau)[1], rel=1e-5, abs=1e-6)


def test_nothing_is_kept():
    """The inner results are gone after the forward pass."""
    import weakref

    kept = []

    def part(x):
        inner = x.exp()
        kept.append(weakref.ref(inner._storage))
        return inner.sin().cos()

    x = flambeau.ones(3, requires_grad=True)
    y = flambeau.utils.checkpoint.checkpoint(part, x, use_reentrant=False)
    assert kept[0]() is None
    y.sum().backward()
    assert len(kept) == 2
