"""Programs whose losses hold derivatives, integrals, factors, or functions of our own."""

import math

from tests.programs.catalogue import descend, layers, program, steady


@steady()
def learning_to_learn(torch):
    """The outer gradient goes through two inner steps: derivatives of derivatives of a network."""
    functional = torch.nn.functional
    params = [(torch.randn(n, m) / n**0.5).requires_grad_() for n, m in [(1, 8), (8, 1)]]
    params.insert(1, torch.zeros(8, requires_grad=True))

    def predict(x, weights):
        first, bias, second = weights
        return torch.tanh(x @ first + bias) @ second

    optimizer = torch.optim.Adam(params, lr=0.02)
    while True:
        total = 0
        for _ in range(2):
            phase = 3 * torch.rand(1)
            x = torch.rand(10, 1) * 4 - 2
            y = torch.sin(x + phase)
            fast = params
            for _ in range(2):
                inner = functional.mse_loss(predict(x[:5], fast), y[:5])
                grads = torch.autograd.grad(inner, fast, create_graph=True)
                fast = [w - 0.1 * g for w, g in zip(fast, grads)]
            total = total + functional.mse_loss(predict(x[5:], fast), y[5:])
        yield descend(optimizer, total / 2)


@program
def quasi_newton(torch):
    """L-BFGS with a line search fits a bump; its closure is called as often as it likes."""
    x = torch.linspace(-3, 3, 50)
    y = 1.5 * torch.exp(-((x - 0.4) ** 2) / 0.8)
    height, centre, width = params = [torch.ones((), requires_grad=True) for _ in range(3)]
    optimizer = torch.optim.LBFGS(params, max_iter=3, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        loss = ((height * torch.exp(-((x - centre) ** 2) / width) - y) ** 2).mean()
        loss.backward()
        return loss

    for _ in range(4):
        yield optimizer.step(closure).item()
    yield from (p.item() for p in params)


@steady()
def function_of_our_own(torch):
    """A polynomial with a backward written by hand, and a rounding that lets gradients through."""

    class Legendre(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return 0.5 * (5 * x**3 - 3 * x)

        @staticmethod
        def backward(ctx, grad):
            (x,) = ctx.saved_tensors
            return grad * 1.5 * (5 * x**2 - 1)

    class Rounded(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, steps):
            return torch.round(x * steps) / steps

        @staticmethod
        def backward(ctx, grad):
            return grad.clamp(-1, 1), None

    x = torch.linspace(-math.pi, math.pi, 100)
    y = torch.sin(x)
    params = [torch.tensor(v, requires_grad=True) for v in (0.1, -1.0, 0.2, 0.3)]
    a, b, c, d = params
    while True:
        guess = a + b * Legendre.apply(c + d * x)
        loss = (guess - y).pow(2).mean() + (Rounded.apply(guess, 8) - y).abs().mean()
        loss.backward()
        with torch.no_grad():
            for param in params:
                param -= 5e-2 * param.grad
                param.grad = None
        yield loss.item()


@steady()
def physics_in_the_loss(torch):
    """A network whose second derivative shall be minus itself: the equation is the loss."""
    net = layers(torch, 1, 12, 12, 1, between=torch.nn.Tanh)
    optimizer = torch.optim.Adam(net.parameters(), lr=5e-3)
    start = torch.zeros(1, 1)
    while True:
        t = (3 * torch.rand(16, 1)).requires_grad_()
        u = net(t)
        (first,) = torch.autograd.grad(u.sum(), t, create_graph=True)
        (second,) = torch.autograd.grad(first.sum(), t, create_graph=True)
        t0 = start.clone().requires_grad_()
        u0 = net(t0)
        (speed,) = torch.autograd.grad(u0.sum(), t0, create_graph=True)
        loss = ((second + u) ** 2).mean() + ((u0 - 1) ** 2 + speed**2).mean()
        yield descend(optimizer, loss)


@steady()
def differential_equation(torch):
    """Gradients through a Runge-Kutta integration of a small network."""
    field = layers(torch, 2, 12, 2, between=torch.nn.Tanh)
    optimizer = torch.optim.Adam(field.parameters(), lr=0.01)
    times = torch.linspace(0, 2, 6)
    wanted = torch.stack([times.cos(), -times.sin()], 1)
    while True:
        state, path = wanted[0], [wanted[0]]
        for step in times.diff():
            k1 = field(state)
            k2 = field(state + step / 2 * k1)
            k3 = field(state + step / 2 * k2)
            k4 = field(state + step * k3)
            state = state + step / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
            path.append(state)
        yield descend(optimizer, (torch.stack(path) - wanted).abs().mean())


@steady()
def gaussian_process(torch):
    """The likelihood of a kernel's parameters, by Cholesky factors in double precision."""
    x = torch.linspace(0, 4, 12, dtype=torch.float64)
    y = torch.sin(2 * x) + 0.1 * torch.randn(12, dtype=torch.float64)
    raw = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([raw], lr=0.05)
    while True:
        scale, length, noise = torch.nn.functional.softplus(raw)
        distance = (x[:, None] - x[None]) / length
        kernel = scale * torch.exp(-0.5 * distance**2) + (noise + 1e-6) * torch.eye(12).double()
        factor = torch.linalg.cholesky(kernel)
        weights = torch.cholesky_solve(y[:, None], factor)
        loss = 0.5 * (y @ weights).squeeze() + factor.diagonal().log().sum()
        yield descend(optimizer, loss)
