"""Autocast picks PyTorch's types, values and errors; scaled losses take PyTorch's steps."""

import warnings

import pytest

import flambeau

from ..beside import same

torch = pytest.importorskip("torch")

SETTING = """
f = torch.nn.functional
x, b, q = torch.randn(4, 6), torch.randn(4, 6).to(torch.bfloat16), torch.randn(2, 3, 5, 8)
y, signs = torch.tensor([1, 0, 3, 2]), torch.tensor([1.0, -1.0, 1.0, -1.0])
""".strip().splitlines()
CALLS = """
x @ x.t()
x @ x[0]
x[0] @ x[0]
torch.mv(x, x[0])
q[0] @ q[0].transpose(1, 2)
q @ q.transpose(2, 3)
torch.addmm(x, x, torch.ones(6, 6))
torch.baddbmm(q[0], q[0], torch.ones(3, 8, 8))
f.linear(x, torch.ones(3, 6), torch.ones(3))
f.conv2d(q, torch.ones(4, 3, 2, 2))
f.scaled_dot_product_attention(q, q, q)
f.prelu(x, torch.ones(1))
f.cross_entropy(b, y)
f.cross_entropy(b, y, label_smoothing=0.1)
f.nll_loss(b, y)
f.l1_loss(b, x)
f.mse_loss(b, x)
f.kl_div(b, b, reduction="sum")
f.smooth_l1_loss(b, x)
f.huber_loss(b, x)
f.binary_cross_entropy_with_logits(b, x.sigmoid())
f.margin_ranking_loss(b[:, 0], b[:, 1], signs)
f.hinge_embedding_loss(b[:, 0], signs)
f.cosine_embedding_loss(b, b * 2, signs)
f.triplet_margin_loss(b, b + 1, b - 1)
f.poisson_nll_loss(b, x.abs())
torch.cat([b, x])
torch.cat([b, b])
torch.stack([x, b])
b.prod()
b.prod(1)
torch.trace(b)
b.softmax(1)
b + x
f.layer_norm(b, (6,))
f.gelu(b)
x.double() @ x.t().double()
x.clone().add_(b)
""".strip().splitlines()


@pytest.mark.parametrize("call", CALLS)
def test_types_and_values(call):
    lines = *SETTING, "with torch.autocast('cpu'):", f"    out = {call}", "out.detach()"
    same("\n".join(lines[:-1]), lines[-1], tolerance=1e-2)


EXPRESSIONS = """
A.autocast("cpu").fast_dtype
A.autocast("cpu", dtype=torch.float32)._enabled
A.autocast("cuda")._enabled
A.autocast("x")
A.autocast(3)
torch.is_autocast_enabled()
torch.is_autocast_enabled("cpu")
torch.get_autocast_dtype("cpu")
torch.get_autocast_dtype("cuda")
torch.is_autocast_cache_enabled()
A.is_autocast_available("cuda")
A.GradScaler()._enabled
torch.cuda.amp.autocast()._enabled
torch.cuda.amp.GradScaler()._enabled
torch.cpu.amp.autocast()._enabled
torch.cuda.amp.custom_fwd(len).__name__
A.GradScaler("cpu").state_dict()
A.GradScaler("cpu", enabled=False).state_dict()
A.GradScaler("cpu", enabled=False).scale(3)
A.GradScaler("cpu", growth_factor=0.5)
A.GradScaler("cpu", backoff_factor=1.5)
A.GradScaler("cpu").update()
A.GradScaler("cpu").load_state_dict({})
A.GradScaler("cpu").scale([torch.ones(2), torch.ones(1)])
A.GradScaler("cpu").scale(3)
""".strip().splitlines()


def shown(torch, expression):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            text = str(eval(expression, {"torch": torch, "A": torch.amp}))
        except Exception as error:
            text = f"{type(error).__name__}: {error}"
    return text, [(w.category, str(w.message)) for w in caught]


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_shows_what_pytorch_shows(expression):
    assert shown(flambeau, expression) == shown(torch, expression)


def scaled_steps(torch):
    """Steps with finite gradients and without, and what is refused."""
    p = torch.nn.Parameter(torch.ones(2))
    optimizer = torch.optim.SGD([p], lr=0.1)
    scaler, found = torch.amp.GradScaler("cpu", init_scale=4.0, growth_interval=2), []

    def note(call):
        try:
            found.append(call())
        except (RuntimeError, ValueError, AssertionError) as error:
            found.append(f"{type(error).__name__}: {error}")

    note(lambda: scaler.unscale_(optimizer))
    for factors in ([1.0, 2.0], [1.0, 2.0], [float("inf"), 1.0], [1.0, 1.0]):
        optimizer.zero_grad()
        scaler.scale((p * torch.tensor(factors)).sum()).backward()
        note(lambda: scaler.step(optimizer))
        note(lambda: scaler.step(optimizer))
        scaler.update()
        found += [p.tolist(), scaler.state_dict()]
    scaler.scale((p * p).sum()).backward()
    note(lambda: scaler.unscale_(optimizer))
    note(lambda: scaler.unscale_(optimizer))
    found.append(p.grad.tolist())
    note(lambda: scaler.step(optimizer, closure=len))
    scaler.update(3.0)
    return [*found, scaler.get_scale()]


def test_scaled_steps():
    assert scaled_steps(flambeau) == scaled_steps(torch)


def functions(torch):
    """What custom Functions see of autocast."""
    seen = []

    def make(**options):
        class Double(torch.autograd.Function):
            @staticmethod
            @torch.amp.custom_fwd(device_type="cpu", **options)
            def forward(ctx, x):
                seen.append((str(x.dtype), torch.is_autocast_enabled("cpu")))
                return x * 2

            @staticmethod
            @torch.amp.custom_bwd(device_type="cpu")
            def backward(ctx, g):
                seen.append((str(g.dtype), torch.is_autocast_enabled("cpu")))
                return g * 2

        return Double

    for options in ({}, {"cast_inputs": torch.float32}):
        x = torch.ones(2, dtype=torch.bfloat16, requires_grad=True)
        with torch.autocast("cpu"):
            out = make(**options).apply(x)
        out.sum().backward()
        make(**options).apply(x)
    return seen


def test_custom_functions():
    assert functions(flambeau) == functions(torch)


def training(torch):
    torch.manual_seed(0)
    nn = torch.nn
    shared = nn.Linear(16, 16)
    net = nn.Sequential(nn.Linear(8, 16), nn.GELU(), shared, nn.LayerNorm(16), shared,
                        nn.Linear(16, 4))  # fmt: skip
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-2)
    scaler, losses = torch.amp.GradScaler("cpu", init_scale=256.0), []
    x, target = torch.randn(32, 8), torch.randint(0, 4, (32,))
    for _ in range(12):
        optimizer.zero_grad()
        with torch.autocast("cpu"):
            loss = nn.functional.cross_entropy(net(x), target)
            with torch.autocast("cpu", enabled=False):
                assert net[0](x).dtype is torch.float32
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        losses.append(loss.item())
    return losses


def test_trains_as_pytorch():
    assert training(flambeau) == pytest.approx(training(torch), rel=2e-2)


def test_a_cast_is_not_kept_after_a_write():
    """A parameter that changes inside a block is cast again."""
    p = flambeau.nn.Parameter(flambeau.ones(2, 2))
    x = flambeau.ones(2, 2)
    with flambeau.autocast("cpu"):
        assert (x @ p).tolist() == [[2.0, 2.0], [2.0, 2.0]]
        with flambeau.no_grad():
            p.mul_(3.0)
        assert (x @ p).tolist() == [[6.0, 6.0], [6.0, 6.0]]
