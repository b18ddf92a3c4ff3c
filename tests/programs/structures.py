"""Programs whose outputs have structure: label paths, mixtures, experts, orders, sets, beams."""

import itertools
import math

from tests.programs.catalogue import data, descend, layers, program, steady


@steady(period=2)
def conditional_random_field(torch):
    """All paths through the labels are summed in logarithms; then the best one is followed back."""
    x, y = torch.randn(4, 6, 5), torch.randint(0, 3, (4, 6))
    emit = torch.nn.Linear(5, 3)
    change = torch.nn.Parameter(torch.randn(3, 3) * 0.1)
    optimizer = torch.optim.Adam([*emit.parameters(), change], lr=0.05)
    while True:
        scores = emit(x)
        path = scores.gather(2, y.unsqueeze(2)).sum((1, 2)) + change[y[:, :-1], y[:, 1:]].sum(1)
        total = scores[:, 0]
        for t in range(1, 6):
            total = torch.logsumexp(total.unsqueeze(2) + change, dim=1) + scores[:, t]
        yield descend(optimizer, (torch.logsumexp(total, 1) - path).mean())
        with torch.no_grad():
            best, back = scores[:, 0], []
            for t in range(1, 6):
                best, where = (best.unsqueeze(2) + change).max(dim=1)
                best = best + scores[:, t]
                back.append(where)
            label = best.argmax(1, keepdim=True)
            found = [label]
            for where in reversed(back):
                label = where.gather(1, label)
                found.insert(0, label)
            yield (torch.cat(found, 1) == y).float().mean().item()


@steady()
def mixture_of_densities(torch):
    """Weights, means and widths of three normals for each point, by logsumexp."""
    y = torch.linspace(-2, 2, 40)
    x = (y + torch.sin(3 * y)).unsqueeze(1)
    net = layers(torch, 1, 16, 9, between=torch.nn.Tanh)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.02)
    while True:
        weight, mean, log_width = net(x).chunk(3, dim=1)
        away = (y.unsqueeze(1) - mean) * torch.exp(-log_width)
        density = -0.5 * away**2 - log_width - 0.5 * math.log(2 * math.pi)
        loss = -torch.logsumexp(torch.log_softmax(weight, 1) + density, dim=1).mean()
        yield descend(optimizer, loss)


@program
def mixture_of_experts(torch):
    """Each point goes to its two best experts; loads are balanced by a loss of their own."""
    nn, functional = torch.nn, torch.nn.functional
    x, y = data(torch)
    gate, head = nn.Linear(6, 4), nn.Linear(6, 4)
    experts = nn.ModuleList(layers(torch, 6, 8, 6, between=nn.GELU) for _ in range(4))
    modules = nn.ModuleList([gate, head, experts])
    optimizer = torch.optim.AdamW(modules.parameters(), lr=0.01)
    while True:
        chance = torch.softmax(gate(x), dim=1)
        weight, chosen = torch.topk(chance, 2, dim=1)
        weight = weight / weight.sum(1, keepdim=True)
        mixed = torch.zeros_like(x)
        for i, expert in enumerate(experts):
            rows, place = torch.where(chosen == i)
            if rows.numel():
                mixed.index_add_(0, rows, weight[rows, place, None] * expert(x[rows]))
        load = functional.one_hot(chosen, 4).float().sum(1).mean(0)
        loss = functional.cross_entropy(head(x + mixed), y)
        yield descend(optimizer, loss + 0.01 * 4 * (load * chance.mean(0)).sum())


@steady()
def who_lives_longer(torch):
    """Proportional hazards: each who dies is compared with all who lived as long."""
    x, times = torch.randn(20, 4), torch.rand(20)
    died = torch.rand(20) < 0.7
    order = torch.argsort(times, descending=True)
    net = layers(torch, 4, 8, 1, between=torch.nn.SELU)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.02)
    while True:
        risk = net(x[order]).squeeze(1)
        loss = -((risk - torch.logcumsumexp(risk, 0)) * died[order]).sum() / died.sum()
        yield descend(optimizer, loss)


@steady()
def order_of_a_list(torch):
    """A list is ranked: pairs of which one should come first."""
    x = torch.randn(10, 4)
    grade = torch.randint(0, 3, (10,))
    better = grade[:, None] > grade
    net = layers(torch, 4, 8, 1, between=torch.nn.Mish)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.02)
    while True:
        score = net(x).squeeze(1)
        apart = torch.nn.functional.softplus(score - score[:, None])
        yield descend(optimizer, apart[better].mean())


@steady()
def quantiles(torch):
    """Three quantiles at once by the pinball loss, kept in order by a cumulated softplus."""
    x = torch.rand(40, 1) * 4
    y = torch.sin(x) + 0.3 * x * torch.randn(40, 1)
    share = torch.tensor([0.1, 0.5, 0.9])
    net = layers(torch, 1, 12, 3, between=torch.nn.Softplus)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.02)
    while True:
        raw = net(x)
        steps = torch.nn.functional.softplus(raw[:, 1:])
        error = y - torch.cat([raw[:, :1], steps], 1).cumsum(1)
        yield descend(optimizer, torch.maximum(share * error, (share - 1) * error).mean())


@steady()
def sets_of_points(torch):
    """What a set is does not depend on order: maxima over points, after a learned turn."""
    nn = torch.nn
    kind = torch.randint(0, 2, (8,))
    points = torch.randn(8, 12, 2)
    points = torch.where(kind.view(-1, 1, 1) == 1, nn.functional.normalize(points, dim=2), points)
    turn = layers(torch, 2, 8, 4, between=nn.ReLU)
    each = nn.Sequential(nn.Conv1d(2, 8, 1), nn.BatchNorm1d(8), nn.ReLU(), nn.Conv1d(8, 8, 1))
    head = nn.Linear(8, 2)
    modules = nn.ModuleList([turn, each, head])
    optimizer = torch.optim.Adam(modules.parameters(), lr=0.01)
    while True:
        matrix = turn(points).amax(1).view(8, 2, 2) + torch.eye(2)
        h = each(torch.bmm(points, matrix).transpose(1, 2))
        bent = torch.bmm(matrix, matrix.transpose(1, 2)) - torch.eye(2)
        loss = nn.functional.cross_entropy(head(h.max(2)[0]), kind)
        yield descend(optimizer, loss + 0.01 * torch.linalg.matrix_norm(bent).mean())


@steady(period=2)
def beams(torch):
    """A bigram model is trained; the likeliest sentences are searched with a beam of three."""
    words = torch.randint(0, 6, (60,)).cumsum(0) % 6
    scores = torch.nn.Embedding(6, 6)
    optimizer = torch.optim.SGD(scores.parameters(), lr=1.0)
    while True:
        yield descend(optimizer, torch.nn.functional.cross_entropy(scores(words[:-1]), words[1:]))
        with torch.no_grad():
            beam, total = torch.zeros(1, 1, dtype=torch.long), torch.zeros(1)
            for _ in range(4):
                following = total[:, None] + scores(beam[:, -1]).log_softmax(1)
                total, flat = following.flatten().topk(3)
                parent = torch.div(flat, 6, rounding_mode="floor")
                beam = torch.cat([beam[parent], (flat % 6).unsqueeze(1)], 1)
        yield total.max().item()


@steady()
def fixed_point(torch):
    """Equations solved inside a layer: where a contraction comes to rest, and its gradient."""
    x, y = data(torch)
    inner, inject, head = torch.nn.Linear(6, 6), torch.nn.Linear(6, 6), torch.nn.Linear(6, 4)
    with torch.no_grad():
        inner.weight.mul_(0.3)
    params = itertools.chain(*(m.parameters() for m in (inner, inject, head)))
    optimizer = torch.optim.Adam(params, lr=0.01)

    def f(z):
        return torch.tanh(inner(z) + inject(x))

    while True:
        with torch.no_grad():
            z = torch.zeros_like(x)
            for _ in range(15):
                z = f(z)
        z = f(z)
        z0 = z.detach().requires_grad_()
        f0 = f(z0)

        def backward(grad, z0=z0, f0=f0):
            g = grad
            for _ in range(15):
                g = torch.autograd.grad(f0, z0, g, retain_graph=True)[0] + grad
            return g

        z.register_hook(backward)
        yield descend(optimizer, torch.nn.functional.cross_entropy(head(z), y))
