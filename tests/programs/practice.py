"""Programs of everyday practice: fine-tuning, mixing, narrow numbers, splits, single gradients."""

import copy

from tests.programs.catalogue import data, descend, layers, program, steady


@program
def fine_tuning(torch):
    """A trained body is frozen under a new head, thawed after a while, and learns more slowly."""
    nn = torch.nn
    x, y = data(torch)
    net = nn.Sequential(nn.Linear(6, 12), nn.BatchNorm1d(12), nn.ReLU(), nn.Linear(12, 4))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.2)
    for _ in range(3):
        yield descend(optimizer, nn.functional.cross_entropy(net(x), y))
    tuned = copy.deepcopy(net)
    tuned[3] = nn.Linear(12, 2)
    tuned[:3].requires_grad_(False)
    tuned[1].eval()
    labels = (y > 1).long()
    optimizer = torch.optim.Adam(filter(lambda p: p.requires_grad, tuned.parameters()), lr=0.02)
    for step in range(6):
        if step == 3:
            tuned[:3].requires_grad_(True)
            optimizer.add_param_group({"params": tuned[:3].parameters(), "lr": 0.002})
        yield descend(optimizer, nn.functional.cross_entropy(tuned(x), labels))
    yield nn.functional.cross_entropy(net.eval()(x), y).item()


@steady()
def mixed_examples(torch):
    """Pairs of examples and of their labels are mixed; a patch of each image is cut out."""
    nn = torch.nn
    x, y = torch.rand(8, 1, 6, 6), torch.randint(0, 3, (8,))
    net = nn.Sequential(
        nn.Conv2d(1, 4, 3),
        nn.GroupNorm(2, 4),
        nn.SiLU(),
        nn.Dropout2d(0.2),
        nn.Flatten(),
        nn.Linear(64, 3),
    )
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    while True:
        share = torch.rand(()) * 0.5 + 0.5
        order = torch.randperm(8)
        mixed = share * x + (1 - share) * x[order]
        ticks, corner = torch.arange(6), torch.randint(0, 5, (2, 8, 1))
        rows, columns = ((ticks >= c) & (ticks < c + 2) for c in corner)
        mixed = mixed.masked_fill((rows[:, :, None] & columns[:, None, :]).unsqueeze(1), 0.0)
        scores = net(mixed)
        loss = share * nn.functional.cross_entropy(scores, y)
        loss = loss + (1 - share) * nn.functional.cross_entropy(scores, y[order])
        yield descend(optimizer, loss)


@program
def default_of_double(torch):
    """All that is made has the default dtype, which is another one for a while."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        x, y = data(torch)
        net = layers(torch, 6, 8, 4, between=torch.nn.Tanh)
        assert next(net.parameters()).dtype is torch.float64
        optimizer = torch.optim.LBFGS(net.parameters(), lr=0.5, max_iter=4, history_size=3)

        def closure():
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(net(x), y)
            loss.backward()
            return loss

        for _ in range(5):
            yield optimizer.step(closure).item()
    finally:
        torch.set_default_dtype(before)


@program
def narrow_numbers(torch):
    """Products in bfloat16 under autocast, a scaler that is there but switched off."""
    nn = torch.nn
    x, y = data(torch)
    net = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.LayerNorm(16), nn.Linear(16, 4))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    scaler = torch.amp.GradScaler("cpu", enabled=False)
    for _ in range(6):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            scores = net(x)
            assert scores.dtype is torch.bfloat16
            loss = nn.functional.cross_entropy(scores, y)
        optimizer.zero_grad()
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        scaler.step(optimizer)
        scaler.update()
        yield round(loss.item(), 1)  # eight bits say no more


@program
def folds(torch):
    """Data split at random, and split again for cross-validation; what is counted by class."""
    data_set = torch.utils.data.TensorDataset(*data(torch))
    train, test = torch.utils.data.random_split(data_set, [24, 8])
    for fold in range(3):
        kept = [i for i in range(24) if i % 3 != fold]
        loader = torch.utils.data.DataLoader(
            torch.utils.data.Subset(train, kept), batch_size=4, shuffle=True
        )
        net = layers(torch, 6, 8, 4, between=torch.nn.LeakyReLU)
        optimizer = torch.optim.Adam(net.parameters(), lr=0.03)
        for x, y in loader:
            loss = descend(optimizer, torch.nn.functional.cross_entropy(net(x), y))
        yield loss
        x, y = next(iter(torch.utils.data.DataLoader(test, batch_size=8)))
        with torch.no_grad():
            guess = net(x).argmax(1)
        confusion = torch.bincount(4 * y + guess, minlength=16).view(4, 4)
        yield confusion.diag().sum().item()
        yield (confusion.float() ** 2).sum().sqrt().item()


@program
def gradients_by_example(torch):
    """Gradients of single examples by vmap, clipped one by one, noise added to their sum."""
    func = torch.func
    x, y = data(torch)
    net = layers(torch, 6, 8, 4, between=torch.nn.Tanh)
    params = {name: p.detach() for name, p in net.named_parameters()}

    def loss(params, x, y):
        scores = func.functional_call(net, params, (x.unsqueeze(0),))
        return torch.nn.functional.cross_entropy(scores, y.unsqueeze(0))

    slopes = func.vmap(func.grad_and_value(loss), in_dims=(None, 0, 0))
    for _ in range(4):
        grads, losses = slopes(params, x, y)
        yield losses.mean().item()
        norm = sum(g.flatten(1).pow(2).sum(1) for g in grads.values()).sqrt()
        scale = (0.5 / norm).clamp(max=1.0)
        for name, grad in grads.items():
            total = torch.einsum("n,n...->...", scale, grad) + 0.01 * torch.randn(grad.shape[1:])
            params[name] = params[name] - 0.5 * total / len(x)


@steady()
def weights_as_a_vector(torch):
    """Two workers' weights are averaged as vectors after each step: training in parallel."""
    utils = torch.nn.utils
    x, y = data(torch)
    nets = [layers(torch, 6, 5, 4, between=torch.nn.Hardtanh) for _ in range(2)]
    optimizers = [torch.optim.SGD(net.parameters(), lr=0.3) for net in nets]
    halves = (slice(0, 16), slice(16, 32))
    while True:
        losses = [
            descend(optimizer, torch.nn.functional.cross_entropy(net(x[half]), y[half]))
            for net, optimizer, half in zip(nets, optimizers, halves)
        ]
        with torch.no_grad():
            mean = sum(utils.parameters_to_vector(net.parameters()) for net in nets) / 2
            for net in nets:
                utils.vector_to_parameters(mean, net.parameters())
        yield sum(losses)


@steady(period=2)
def adam_by_hand(torch):
    """An optimizer class of our own beside the one of the library: the same steps."""

    class Adam(torch.optim.Optimizer):
        def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8):
            super().__init__(params, dict(lr=lr, betas=betas, eps=eps))

        @torch.no_grad()
        def step(self):
            for group in self.param_groups:
                first, second = group["betas"]
                for p in group["params"]:
                    if p.grad is None:
                        continue
                    state = self.state[p]
                    if not state:
                        state["step"] = 0
                        state["m"], state["v"] = torch.zeros_like(p), torch.zeros_like(p)
                    state["step"] += 1
                    state["m"].mul_(first).add_(p.grad, alpha=1 - first)
                    state["v"].mul_(second).addcmul_(p.grad, p.grad, value=1 - second)
                    m = state["m"] / (1 - first ** state["step"])
                    v = state["v"] / (1 - second ** state["step"])
                    p.addcdiv_(m, v.sqrt().add_(group["eps"]), value=-group["lr"])

    x, y = data(torch)
    nets = [layers(torch, 6, 8, 4, between=torch.nn.CELU)]
    nets.append(copy.deepcopy(nets[0]))
    optimizers = [
        Adam(nets[0].parameters(), lr=0.02),
        torch.optim.Adam(nets[1].parameters(), lr=0.02),
    ]
    while True:
        for net, optimizer in zip(nets, optimizers):
            yield descend(optimizer, torch.nn.functional.cross_entropy(net(x), y))
