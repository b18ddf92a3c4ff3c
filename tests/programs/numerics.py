"""Programs of numerical work around learning: Newton steps, sampling, clusters, components."""

from tests.programs.catalogue import data, program, steady


@steady()
def newton_by_hessians(torch):
    """Logistic regression in a few steps: gradient and Hessian by autograd, a linear solve."""
    x, _ = data(torch)
    x, labels = x.double(), (x.sum(1) + 0.5 * torch.randn(32) > 0).double()

    def loss(w):
        fit = torch.nn.functional.binary_cross_entropy_with_logits(x @ w, labels)
        return fit + 0.01 * (w**2).sum()

    while True:
        w = torch.zeros(6, dtype=torch.float64)
        for _ in range(3):
            w.requires_grad_()
            (slope,) = torch.autograd.grad(loss(w), w, create_graph=True)
            rows = [torch.autograd.grad(s, w, retain_graph=True)[0] for s in slope]
            w = (w - torch.linalg.solve(torch.stack(rows), slope)).detach()
        yield loss(w).item()
        x = x * 0.95


@program
def curvature_by_products(torch):
    """Conjugate gradients on products with the Hessian, which itself is never there."""
    functional = torch.autograd.functional
    x, y = data(torch)

    def loss(w):
        return torch.nn.functional.cross_entropy(x @ w.view(6, 4), y) + 0.01 * (w**2).sum()

    w = torch.zeros(24)
    for _ in range(4):
        slope = functional.jacobian(loss, w)
        step, rest = torch.zeros(24), -slope
        way, size = rest.clone(), rest @ rest
        for _ in range(5):
            bent = functional.hvp(loss, w, way)[1]
            share = size / (way @ bent)
            step = step + share * way
            rest = rest - share * bent
            size, before = rest @ rest, size
            way = rest + size / before * way
        w = w + step
        yield loss(w).item()


@steady()
def hamiltonian_sampling(torch):
    """A chain through a distribution of two peaks, by leapfrog steps along gradients."""

    def energy(q):
        peaks = torch.stack([-((q - 1.5) ** 2).sum(), -((q + 1.5) ** 2).sum()])
        return -torch.logsumexp(peaks, 0)

    def slope(q):
        q = q.detach().requires_grad_()
        return torch.autograd.grad(energy(q), q)[0]

    q = torch.zeros(2)
    while True:
        p = torch.randn(2)
        start = energy(q) + (p**2).sum() / 2
        new = q
        p = p - 0.1 * slope(new)
        for step in range(5):
            new = new + 0.2 * p
            p = p - (0.1 if step == 4 else 0.2) * slope(new)
        keep = torch.rand(()) < torch.exp(start - energy(new) - (p**2).sum() / 2)
        q = torch.where(keep, new, q)
        yield q.sum().item()


@steady()
def clusters(torch):
    """Means move to what is nearest to them, until they stay."""
    points = torch.randn(40, 2) + torch.tensor([[3.0, 0.0], [0.0, 3.0]]).repeat(20, 1)
    means = points[torch.randperm(40)[:3]].clone()
    while True:
        nearest = torch.cdist(points, means).argmin(1)
        count = torch.bincount(nearest, minlength=3).clamp(min=1)
        means = torch.zeros(3, 2).index_add_(0, nearest, points) / count[:, None]
        yield (points - means[nearest]).pow(2).sum().item()


@program
def principal_components(torch):
    """By singular values, by eigenvalues, and by a power iteration: the same variances."""
    x = torch.randn(30, 5) @ torch.diag(torch.tensor([3.0, 2.0, 1.0, 0.5, 0.1]))
    x = x - x.mean(0)
    _, s, vh = torch.linalg.svd(x, full_matrices=False)
    yield from (s**2 / 29).tolist()
    yield from torch.linalg.eigvalsh(torch.cov(x.t())).flip(0).tolist()
    v = torch.ones(5)
    for _ in range(100):
        v = torch.nn.functional.normalize(x.t() @ (x @ v), dim=0)
    yield (v @ vh[0]).abs().item()
    yield torch.linalg.vector_norm(x @ v).item()


@program
def tracking(torch):
    """A Kalman filter in double precision: states and covariances, step by step."""
    double = {"dtype": torch.float64}
    move = torch.tensor([[1.0, 0.5], [0.0, 1.0]], **double)
    look = torch.tensor([[1.0, 0.0]], **double)
    noise = 0.01 * torch.eye(2, **double)
    state, cover = torch.zeros(2, **double), torch.eye(2, **double)
    for seen in torch.sin(torch.arange(10.0, **double) / 3) + 0.1 * torch.randn(10, **double):
        state, cover = move @ state, move @ cover @ move.T + noise
        gain = cover @ look.T @ torch.linalg.inv(look @ cover @ look.T + 0.1)
        state = state + gain @ (seen - look @ state)
        cover = (torch.eye(2, **double) - gain @ look) @ cover
        yield state[0].item()


@program
def life(torch):
    """Conway's game by a convolution of integers' floats: births, deaths, who is left."""
    board = (torch.rand(1, 1, 12, 12) < 0.4).float()
    kernel = torch.ones(1, 1, 3, 3)
    kernel[0, 0, 1, 1] = 0
    for _ in range(8):
        wrapped = torch.nn.functional.pad(board, (1, 1, 1, 1), mode="circular")
        around = torch.nn.functional.conv2d(wrapped, kernel)
        board = ((around == 3) | ((around == 2) & (board == 1))).float()
        yield board.sum().item()
