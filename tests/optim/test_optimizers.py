"""Optimizers take PyTorch's steps, keep its state and raise its errors."""

import warnings

import pytest

import flambeau

torch = pytest.importorskip("torch")

OPTIMIZERS = [
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.3, "maximize": True}),
    ("Adam", {"lr": 0.01}),
    ("Adam", {"lr": 0.01, "amsgrad": True, "weight_decay": 0.1}),
    ("AdamW", {"lr": 0.01}),
    ("AdamW", {"lr": 0.01, "maximize": True, "betas": (0.5, 0.8), "eps": 1e-4}),
    ("AdamW", {"lr": 0.01, "amsgrad": True}),
]


def train(torch, name, options, steps=4):
    """The losses and the parameters' sums of a short training."""
    nn = torch.nn
    torch.manual_seed(1)
    net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
    optimizer = getattr(torch.optim, name)(net.parameters(), **options)
    x, target = torch.randn(16, 4), torch.randint(0, 3, (16,))
    numbers = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(net(x), target)
        loss.backward()
        optimizer.step()
        numbers.append(loss.item())
    return numbers + [p.sum().item() for p in net.parameters()]


@pytest.mark.parametrize("name, options", OPTIMIZERS, ids=str)
def test_takes_pytorchs_steps(name, options):
    assert train(flambeau, name, options) == pytest.approx(train(torch, name, options), rel=1e-4)


EXPRESSIONS = """
O.SGD([], lr=1)
O.SGD(p, lr=1)
O.SGD([torch.ones(1) * p], lr=1)
O.SGD([p, p], lr=1)
O.SGD([{'params': [p]}, {'params': [p]}], lr=1)
O.SGD([3], lr=1)
O.SGD([p], lr=-1)
O.SGD([p], momentum=-1)
O.SGD([p], nesterov=True)
O.SGD([('a', p), ('b', q)])
O.SGD([('a', p), q])
O.Adam([p], betas=(1.0, 0.9))
O.Adam([p], eps=-1)
O.AdamW([p])
O.SGD([{'params': {p}}])
O.Optimizer([p], {}).step()
O.SGD([{'lr': 1}])
O.SGD([p], lr=torch.ones(2))
O.SGD([p], foreach=True, fused=True)
O.SGD([p]).state_dict()
O.SGD([p]).add_param_group(3)
O.SGD([p]).load_state_dict({'state': {}, 'param_groups': []})
O.SGD([p]).load_state_dict({'state': {}, 'param_groups': [{'params': [0, 1]}]})
S.StepLR(3, 2)
S.StepLR(O.SGD([p]), 2, last_epoch=3)
S.LambdaLR(O.SGD([p]), [1, 2])
S.StepLR(O.SGD([p]), 2).state_dict()
S.StepLR(O.SGD([p]), 2).step()
""".strip().splitlines()


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_shows_what_pytorch_shows(expression):
    assert shown(flambeau, expression) == shown(torch, expression)


def shown(torch, expression):
    p, q = torch.nn.Parameter(torch.ones(2)), torch.nn.Parameter(torch.ones(3))
    names = {"torch": torch, "O": torch.optim, "S": torch.optim.lr_scheduler, "p": p, "q": q}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            text = str(eval(expression, names))
        except Exception as error:
            text = f"{type(error).__name__}: {error}"
    return text, [(w.category, str(w.message)) for w in caught]


SCHEDULERS = ["S.StepLR(o, 2)", "S.MultiStepLR(o, [2, 4, 4])", "S.ExponentialLR(o, .9)",
              "S.CosineAnnealingLR(o, 5, .1)", "S.LambdaLR(o, lambda e: .9 ** e)",
              "S.MultiplicativeLR(o, lambda e: .9)", "S.ConstantLR(o, .3, 4)",
              "S.LinearLR(o, .3, .8, 4)"]  # fmt: skip


def rates(torch, expression):
    p, q = torch.nn.Parameter(torch.ones(2)), torch.nn.Parameter(torch.ones(2))
    o = torch.optim.SGD([{"params": [p]}, {"params": [q], "lr": 3.0}], lr=1.0)
    scheduler = eval(expression, {"S": torch.optim.lr_scheduler, "o": o})
    found = [scheduler.get_last_lr()]
    for _ in range(12):
        o.step()
        scheduler.step()
        found.append(scheduler.get_last_lr())
    return found


@pytest.mark.parametrize("expression", SCHEDULERS)
def test_learning_rates(expression):
    assert rates(flambeau, expression) == rates(torch, expression)


def state_of_adam(torch):
    """Parameters that join later, a loaded state, a step with a closure."""
    p, q = torch.nn.Parameter(torch.ones(2)), torch.nn.Parameter(torch.ones(3))
    first = torch.optim.Adam([p, q])
    p.grad = torch.ones(2)
    first.step()
    text = [str(first.state_dict()["state"])]
    q.grad = torch.ones(3)
    first.step()
    text.append(str((first.state[p]["step"], first.state[q]["step"], p, q)))
    second = torch.optim.Adam([p, q])
    second.load_state_dict(first.state_dict())

    def closure():
        second.zero_grad()
        loss = (p * p).sum()
        loss.backward()
        return loss

    return [*text, str((second.step(closure).detach(), second.state[p]["step"], p))]


def test_state():
    assert state_of_adam(flambeau) == state_of_adam(torch)


def shared_memory(torch):
    """Two parameters in one storage."""
    base = torch.arange(4.0)
    a, b = torch.nn.Parameter(base[:2]), torch.nn.Parameter(base[2:])
    for optimizer in (
        torch.optim.SGD([a, b], lr=0.1, momentum=0.5),
        torch.optim.Adam([a, b], lr=0.1),
    ):
        for _ in range(2):
            a.grad, b.grad = torch.ones(2), torch.ones(2) * 2
            optimizer.step()
    return base.tolist()


def test_parameters_that_share_memory():
    assert shared_memory(flambeau) == pytest.approx(shared_memory(torch))


def test_hooks_and_zero_grad():
    p = flambeau.nn.Parameter(flambeau.ones(2))
    optimizer, seen = flambeau.optim.SGD([p], lr=0.1), []
    optimizer.register_step_pre_hook(lambda *args: seen.append("pre"))
    optimizer.register_step_post_hook(lambda *args: seen.append("post"))
    p.grad = flambeau.ones(2)
    optimizer.step()
    optimizer.zero_grad(set_to_none=False)
    assert seen == ["pre", "post"] and p.grad.tolist() == [0, 0]
    optimizer.zero_grad()
    assert p.grad is None
