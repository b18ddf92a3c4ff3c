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
    ("Adam", {"lr": 0.01, "betas": (0.4, 0.9)}),
    ("Adagrad", {"lr": 0.1, "lr_decay": 0.1, "weight_decay": 0.1}),
    ("Adagrad", {"initial_accumulator_value": 0.2, "maximize": True}),
    ("Adadelta", {"weight_decay": 0.1}),
    ("RMSprop", {}),
    ("RMSprop", {"momentum": 0.5, "weight_decay": 0.1}),
    ("RMSprop", {"centered": True, "momentum": 0.9, "maximize": True}),
    ("Adamax", {"weight_decay": 0.1}),
    ("NAdam", {"weight_decay": 0.1}),
    ("NAdam", {"weight_decay": 0.1, "decoupled_weight_decay": True, "maximize": True}),
    ("RAdam", {"weight_decay": 0.1}),
    ("RAdam", {"betas": (0.9, 0.8), "weight_decay": 0.1, "decoupled_weight_decay": True}),
    ("ASGD", {}),
    ("ASGD", {"t0": 2, "lr": 0.1, "weight_decay": 0.1}),
    ("Rprop", {}),
    ("Rprop", {"maximize": True, "lr": 0.1}),
    ("Adafactor", {"weight_decay": 0.1}),
    ("Adafactor", {"eps": (1e-3, 1e-2), "d": 2.0, "maximize": True}),
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


@pytest.mark.parametrize("name", ["SGD", "Adam", "RMSprop"])
def test_hundreds_of_parameters(name):
    """One call updates them all: its arguments are more than a call usually has."""

    def values(torch):
        params = [torch.nn.Parameter(torch.full((2,), float(i % 9))) for i in range(600)]
        options = {"momentum": 0.9} if name == "SGD" else {}
        optimizer = getattr(torch.optim, name)(params, lr=0.1, **options)
        for _ in range(2):
            for i, param in enumerate(params):
                param.grad = torch.full((2,), 1.0 + i % 5)
            optimizer.step()
        return torch.stack([p.detach() for p in params]).flatten().tolist()

    assert values(flambeau) == pytest.approx(values(torch), rel=1e-5)


@pytest.mark.parametrize("name, options", OPTIMIZERS, ids=str)
def test_resumes_from_pytorchs_state(name, options):
    """A state goes from PyTorch to Flambeau and back; both go on alike."""

    def made(torch):
        return [torch.nn.Parameter(torch.arange(6.0).reshape(2, 3) - 2.5),
                torch.nn.Parameter(torch.ones(3))]  # fmt: skip

    def step(torch, params, optimizer, n):
        for i, p in enumerate(params):
            p.grad = (torch.arange(float(p.numel())).reshape(p.shape) - 1.5) * (i + n + 1) * 0.1
        optimizer.step()

    def across(x, target):
        if isinstance(x, (torch.Tensor, flambeau.Tensor)):
            return target.tensor(x.tolist(), dtype=getattr(target, str(x.dtype).split(".")[1]))
        if isinstance(x, dict):
            return {k: across(v, target) for k, v in x.items()}
        return type(x)(across(v, target) for v in x) if isinstance(x, (list, tuple)) else x

    theirs, ours = made(torch), made(flambeau)
    first = getattr(torch.optim, name)(theirs, **options)
    for n in range(3):
        step(torch, theirs, first, n)
    second = getattr(flambeau.optim, name)(ours, **options)
    second.load_state_dict(across(first.state_dict(), flambeau))
    for p, q in zip(theirs, ours):
        q.data = flambeau.tensor(p.tolist())
    third_params = made(torch)
    third = getattr(torch.optim, name)(third_params, **options)
    third.load_state_dict(across(second.state_dict(), torch))
    names = [list(o.state_dict()["state"].get(0, ())) for o in (first, second)]
    assert names[0] == names[1]
    for p, q in zip(theirs, third_params):
        q.data = p.data.clone()
    for n in range(3, 6):
        step(torch, theirs, first, n)
        step(flambeau, ours, second, n)
        step(torch, third_params, third, n)
        for p, q, r in zip(theirs, ours, third_params):
            assert q.reshape(-1).tolist() == pytest.approx(p.reshape(-1).tolist(), rel=1e-5)
            assert torch.equal(p, r)


def muon(torch):
    torch.manual_seed(0)
    params = [torch.nn.Parameter(torch.randn(*size)) for size in ((4, 5), (7, 3), (3, 3))]
    found = []
    for options in ({}, {"nesterov": False, "adjust_lr_fn": "match_rms_adamw", "lr": 0.1}):
        optimizer = torch.optim.Muon(params, **options)
        for _ in range(3):
            for p in params:
                p.grad = torch.randn(p.shape)
            optimizer.step()
        found += [x for p in params for x in p.reshape(-1).tolist()]
    return found


def test_muon():
    assert muon(flambeau) == pytest.approx(muon(torch), abs=2e-3)


def lbfgs(torch, **options):
    """Losses and parameters on a curved valley, in double precision."""
    x = torch.nn.Parameter(torch.tensor([-1.5, 2.0], dtype=torch.float64))
    y = torch.nn.Parameter(torch.tensor([[0.3, -0.7]], dtype=torch.float64))
    optimizer, found = torch.optim.LBFGS([x, y], **options), []

    def closure():
        optimizer.zero_grad()
        loss = (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2 + ((y - x) ** 4).sum()
        loss.backward()
        return loss

    for _ in range(3):
        found += [optimizer.step(closure).item(), *x.tolist(), *y[0].tolist()]
    state = optimizer.state_dict()["state"][0]
    return found, list(state), state["n_iter"], state["func_evals"]


@pytest.mark.parametrize("options", [
    {"lr": 0.01}, {"lr": 0.1, "max_iter": 3}, {"line_search_fn": "strong_wolfe", "max_iter": 12},
    {"lr": 5.0, "line_search_fn": "strong_wolfe", "max_iter": 8},
    {"line_search_fn": "strong_wolfe", "max_eval": 7},
    {"lr": 0.1, "history_size": 3, "max_iter": 15, "line_search_fn": "strong_wolfe"},
], ids=str)  # fmt: skip
def test_lbfgs(options):
    (ours, *rest), (theirs, *expected) = lbfgs(flambeau, **options), lbfgs(torch, **options)
    assert rest == expected
    assert ours == pytest.approx(theirs, rel=1e-6)


def test_differentiable():
    """With differentiable=True gradients go through a step; a leaf may not be written to."""

    def run(torch):
        p = torch.ones(3, requires_grad=True)
        inner = p.clone()
        optimizer = torch.optim.Adam([inner.detach().requires_grad_()], differentiable=True)
        optimizer.param_groups[0]["params"] = [inner]
        inner.retain_grad()
        (inner * inner).sum().backward(retain_graph=True)
        inner.grad = inner.grad * p
        optimizer.step()
        (grad,) = torch.autograd.grad(inner.square().sum(), p)
        return grad.tolist()

    assert run(flambeau) == pytest.approx(run(torch), rel=1e-5)
    p = flambeau.nn.Parameter(flambeau.ones(2))
    p.grad = flambeau.ones(2)
    for name in ("SGD", "Adam", "RMSprop", "Rprop"):
        with pytest.raises(RuntimeError, match="a leaf Variable that requires grad"):
            getattr(flambeau.optim, name)([p], differentiable=True).step()


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
O.Adam([p], betas=(0.9, torch.tensor(0.99)))
O.Adagrad([p], lr_decay=-1)
O.Adadelta([p], rho=2)
O.RMSprop([p], alpha=-1)
O.NAdam([p], momentum_decay=-1)
O.RAdam([{'params': [p]}, {'params': [q], 'lr': 0.1}])
O.ASGD([p])
O.Rprop([p], etas=(1.0, 2.0))
O.Adafactor([p], beta2_decay=1.0)
O.Adafactor([p], eps=(-1.0, 1.0))
O.Adafactor([p], d=0.5)
O.Muon([p])
O.Muon([p.reshape(1, 2).detach()], adjust_lr_fn='x')
O.LBFGS([{'params': [p]}, {'params': [q]}])
O.LBFGS([p])
O.SparseAdam([p], eps=0)
given(O.SparseAdam([p])).step()
given(O.Adam([p], capturable=True)).step()
given(O.LBFGS([p], line_search_fn='x')).step(lambda: (p * p).sum())
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
S.StepLR(O.SGD([p]), 2).step(3)
S.ReduceLROnPlateau(O.SGD([p]), factor=1.0)
S.ReduceLROnPlateau(O.SGD([p]), mode='x')
S.ReduceLROnPlateau(O.SGD([p]), min_lr=[1.0, 2.0])
S.ReduceLROnPlateau(O.SGD([p])).state_dict()
S.CyclicLR(O.SGD([p]), [0.1, 0.2], 0.2)
S.CyclicLR(O.SGD([p]), 0.1, 0.2, mode='x')
S.CyclicLR(O.Adagrad([p]), 0.1, 0.2)
S.CyclicLR(O.SGD([p]), 0.1, 0.2).state_dict()
S.CosineAnnealingWarmRestarts(O.SGD([p]), 0)
S.CosineAnnealingWarmRestarts(O.SGD([p]), 2, 0)
S.CosineAnnealingWarmRestarts(O.SGD([p]), 2).state_dict()
S.OneCycleLR(O.SGD([p]), 0.1)
S.OneCycleLR(O.SGD([p]), 0.1, total_steps=-1)
S.OneCycleLR(O.SGD([p]), 0.1, total_steps=9, pct_start=1)
S.OneCycleLR(O.SGD([p]), 0.1, total_steps=9, anneal_strategy='x')
S.OneCycleLR(O.SGD([p]), 0.1, epochs=2, steps_per_epoch=3).state_dict()
S.ChainedScheduler([])
S.ChainedScheduler([S.StepLR(O.SGD([p]), 2), S.StepLR(O.SGD([p]), 2)])
S.SequentialLR(O.SGD([p]), [], [])
S.SequentialLR(O.SGD([p]), [S.StepLR(O.SGD([p]), 2)], [])
W.SWALR(O.SGD([p]), 0.1, anneal_strategy='x')
W.SWALR(O.SGD([p]), 0.1).state_dict()
W.get_ema_avg_fn(2.0)
""".strip().splitlines()


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_shows_what_pytorch_shows(expression):
    assert shown(flambeau, expression) == shown(torch, expression)


def shown(torch, expression):
    p, q = torch.nn.Parameter(torch.ones(2)), torch.nn.Parameter(torch.ones(3))
    p.grad = torch.ones(2)
    names = {"torch": torch, "O": torch.optim, "S": torch.optim.lr_scheduler, "p": p, "q": q,
             "W": torch.optim.swa_utils, "given": lambda optimizer: optimizer}  # fmt: skip
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
              "S.LinearLR(o, .3, .8, 4)", "S.PolynomialLR(o, 6, 2.)",
              "S.CosineAnnealingWarmRestarts(o, 2, 3, .01)", "S.CyclicLR(o, .1, .2, 2, 3)",
              "S.CyclicLR(o, .1, .2, 2, mode='triangular2')",
              "S.CyclicLR(o, .1, .2, 2, mode='exp_range', gamma=.9)",
              "S.CyclicLR(o, .1, .2, 2, scale_fn=lambda x: .5 ** x, scale_mode='iterations')",
              "S.OneCycleLR(o, .1, total_steps=14)",
              "S.OneCycleLR(o, [.1, .2], total_steps=14, three_phase=True, "
              "anneal_strategy='linear')",
              "S.ReduceLROnPlateau(o, patience=1, cooldown=2, min_lr=1e-3)",
              "S.ReduceLROnPlateau(o, mode='max', patience=2, threshold_mode='abs')",
              "S.ChainedScheduler([S.ExponentialLR(o, .9), S.StepLR(o, 2)])",
              "S.SequentialLR(o, [S.LinearLR(o, .1, total_iters=3), "
              "S.CosineAnnealingLR(o, 6)], [3])",
              "W.SWALR(o, .05, 3)", "W.SWALR(o, .05, 3, 'linear')"]  # fmt: skip


def rates(torch, expression):
    p, q = torch.nn.Parameter(torch.ones(2)), torch.nn.Parameter(torch.ones(2))
    o = torch.optim.SGD([{"params": [p]}, {"params": [q], "lr": 3.0}], lr=1.0, momentum=0.5)
    names = {"S": torch.optim.lr_scheduler, "W": torch.optim.swa_utils, "o": o}
    scheduler = eval(expression, names)
    found = [scheduler.get_last_lr()]
    for _ in range(12):
        o.step()
        scheduler.step(*([1.0] if "Plateau" in expression else []))
        found += [scheduler.get_last_lr(), [group["momentum"] for group in o.param_groups]]
        scheduler.load_state_dict(scheduler.state_dict())
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


def averages(torch, use_buffers=False, **functions):
    """Averaged models after some steps."""
    torch.manual_seed(0)
    W = torch.optim.swa_utils
    made = {name: getattr(W, maker)(*args) for name, (maker, *args) in functions.items()}
    net = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2))
    net.register_buffer("seen", torch.tensor(3.0))
    average = W.AveragedModel(net, use_buffers=use_buffers, **made)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    for i in range(4):
        optimizer.zero_grad()
        net(torch.ones(2, 3) * i).square().sum().backward()
        optimizer.step()
        average.update_parameters(net)
        net.seen += 2
    return str(average.state_dict()), str(average)


@pytest.mark.parametrize("options", [
    {}, {"use_buffers": True}, {"avg_fn": ("get_swa_avg_fn",)}, {"avg_fn": ("get_ema_avg_fn", 0.9)},
    {"multi_avg_fn": ("get_swa_multi_avg_fn",)}, {"multi_avg_fn": ("get_ema_multi_avg_fn", 0.9)},
], ids=str)  # fmt: skip
def test_averaged_models(options):
    assert averages(flambeau, **options) == averages(torch, **options)
