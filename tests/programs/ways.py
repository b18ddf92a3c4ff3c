"""Programs that differ in how they are optimised: averages, schedules, files, hooks, losses."""

import copy
import io
import itertools

from tests.programs.catalogue import STEPS, data, descend, layers, program, steady


@program
def saved_and_resumed(torch):
    """Half way, model, optimizer, schedule and random state go to a file and come back new."""
    x, y = data(torch)

    def fresh():
        net = torch.nn.Sequential(
            *layers(torch, 6, 12, 4, between=torch.nn.ReLU), torch.nn.Dropout(0.1)
        )
        optimizer = torch.optim.Adam(net.parameters(), lr=0.05)
        return net, optimizer, torch.optim.lr_scheduler.StepLR(optimizer, 3, gamma=0.5)

    net, optimizer, schedule = fresh()
    for step in range(STEPS):
        if step == STEPS // 2:
            file = io.BytesIO()
            torch.save(
                {
                    "model": net.state_dict(),
                    "optimizer": optimizer.state_dict(),
                    "schedule": schedule.state_dict(),
                    "random": torch.get_rng_state(),
                },
                file,
            )
            file.seek(0)
            torch.manual_seed(99)
            net, optimizer, schedule = fresh()
            kept = torch.load(file)
            net.load_state_dict(kept["model"])
            optimizer.load_state_dict(kept["optimizer"])
            schedule.load_state_dict(kept["schedule"])
            torch.set_rng_state(kept["random"])
        yield descend(optimizer, torch.nn.functional.cross_entropy(net(x), y))
        schedule.step()


@steady(period=2)
def moving_averages(torch):
    """Weights averaged exponentially and equally; the batch norm of the latter is updated."""
    swa = torch.optim.swa_utils
    x, y = data(torch)
    nn = torch.nn
    net = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 4))
    smooth = swa.AveragedModel(net, multi_avg_fn=swa.get_ema_multi_avg_fn(0.9))
    equal = swa.AveragedModel(net)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.2)
    schedule = swa.SWALR(optimizer, swa_lr=0.05, anneal_epochs=3)
    while True:
        yield descend(optimizer, nn.functional.cross_entropy(net(x), y))
        schedule.step()
        smooth.update_parameters(net)
        equal.update_parameters(net)
        swa.update_bn([x[:16], x[16:]], equal)
        smooth.eval()
        equal.eval()
        with torch.no_grad():
            yield nn.functional.cross_entropy(smooth(x) + equal(x), y).item()


def schedules(torch, optimizer):
    """One of each kind that needs no loss."""
    schedule = torch.optim.lr_scheduler
    yield schedule.StepLR(optimizer, 2, gamma=0.5)
    yield schedule.MultiStepLR(optimizer, [1, 3], gamma=0.3)
    yield schedule.ExponentialLR(optimizer, 0.8)
    yield schedule.CosineAnnealingLR(optimizer, 4, eta_min=0.01)
    yield schedule.CosineAnnealingWarmRestarts(optimizer, 2, T_mult=2)
    yield schedule.LambdaLR(optimizer, lambda epoch: 1 / (1 + epoch))
    yield schedule.MultiplicativeLR(optimizer, lambda epoch: 0.9)
    yield schedule.LinearLR(optimizer, 0.2, total_iters=3)
    yield schedule.PolynomialLR(optimizer, 4, power=2.0)
    yield schedule.ConstantLR(optimizer, 0.5, total_iters=2)
    yield schedule.OneCycleLR(optimizer, 0.5, total_steps=6)
    yield schedule.CyclicLR(optimizer, 0.05, 0.3, step_size_up=2)
    yield schedule.SequentialLR(
        optimizer,
        [schedule.ConstantLR(optimizer, 0.1), schedule.ExponentialLR(optimizer, 0.7)],
        milestones=[2],
    )


@program
def every_schedule(torch):
    """Four steps under each schedule, which joins those before it on the same optimizer."""
    x, y = data(torch)
    count = sum(1 for _ in schedules(torch, torch.optim.SGD([torch.zeros(1)], 0.1, 0.9)))
    assert count == 13
    for which in range(count):
        net = layers(torch, 6, 4, between=torch.nn.Identity)
        optimizer = torch.optim.SGD(net.parameters(), lr=0.2, momentum=0.9)
        schedule = next(itertools.islice(schedules(torch, optimizer), which, None))
        for _ in range(4):
            loss = descend(optimizer, torch.nn.functional.cross_entropy(net(x), y))
            schedule.step()
        yield loss + optimizer.param_groups[0]["lr"] + optimizer.param_groups[0]["momentum"]


@program
def plateaus(torch):
    """The rate falls where the validation loss stays; training ends where patience does."""
    x, y = data(torch)
    net = layers(torch, 6, 12, 4, between=torch.nn.ReLU)
    optimizer = torch.optim.SGD(net.parameters(), lr=2.0, momentum=0.9)
    schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.3, patience=1)
    best, waited = float("inf"), 0
    while waited < 5:
        yield descend(optimizer, torch.nn.functional.cross_entropy(net(x[:24]), y[:24]))
        with torch.no_grad():
            validation = torch.nn.functional.cross_entropy(net(x[24:]), y[24:])
        schedule.step(validation)
        best, waited = (validation.item(), 0) if validation < best else (best, waited + 1)
        yield schedule.get_last_lr()[0]


TASKS = {"kind": 4, "sign": 1, "size": 1}


@steady()
def several_tasks(torch):
    """One body, three heads, three kinds of loss, weighed by uncertainties that are learned too."""
    nn = torch.nn
    body = layers(torch, 6, 16, 8, between=nn.ReLU)
    heads = nn.ModuleDict({task: nn.Linear(8, n) for task, n in TASKS.items()})
    doubt = nn.Parameter(torch.zeros(3))
    x, kind = data(torch)
    sign, size = (x.sum(1) > 0).float(), x.norm(dim=1)
    optimizer = torch.optim.Adam(
        [{"params": [*body.parameters(), *heads.parameters()]}, {"params": [doubt], "lr": 0.05}],
        lr=0.01,
    )
    while True:
        h = torch.relu(body(x))
        losses = torch.stack(
            [
                nn.functional.cross_entropy(heads["kind"](h), kind),
                nn.functional.binary_cross_entropy_with_logits(heads["sign"](h).squeeze(1), sign),
                nn.functional.huber_loss(heads["size"](h).squeeze(1), size, delta=0.5),
            ]
        )
        yield descend(optimizer, (losses * torch.exp(-doubt) + doubt).sum())


@steady(period=3)
def hooks_of_modules(torch):
    """Hooks that look at activations, scale gradients, and change what comes in."""
    nn = torch.nn
    net = layers(torch, 6, 8, 4, between=nn.Tanh)
    seen = {}
    net[0].register_forward_hook(lambda module, args, out: seen.update(middle=out.detach()))
    net[0].register_forward_pre_hook(lambda module, args: (args[0] * 0.5,))
    net[2].register_full_backward_hook(lambda module, before, after: seen.update(slope=after[0]))
    net[2].weight.register_hook(lambda grad: grad * 0.5)
    x, y = data(torch)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.5)
    while True:
        yield descend(optimizer, nn.functional.cross_entropy(net(x), y))
        yield seen["middle"].abs().mean().item()
        yield seen["slope"].norm().item()


@steady(period=3)
def evaluation_three_ways(torch):
    """A step, then the loss under no_grad and, over batches, under inference_mode."""
    x, y = data(torch)
    nn = torch.nn
    net = nn.Sequential(nn.Linear(6, 8), nn.LayerNorm(8), nn.Dropout(0.5), nn.Linear(8, 4))
    optimizer = torch.optim.Adam(net.parameters(), lr=0.02)

    @torch.no_grad()
    def error():
        return nn.functional.cross_entropy(net(x), y).item()

    while True:
        net.train()
        yield descend(optimizer, nn.functional.cross_entropy(net(x), y))
        net.eval()
        yield error()
        with torch.inference_mode():
            right = sum(
                (net(part).argmax(1) == wanted).sum()
                for part, wanted in zip(x.split(10), y.split(10))
            )
        yield right.item() / len(x)


@steady(period=2)
def distillation(torch):
    """A small network learns the softened scores of a large one that stays as it is."""
    functional = torch.nn.functional
    x, y = data(torch)
    teacher = layers(torch, 6, 32, 4, between=torch.nn.ReLU)
    student = layers(torch, 6, 8, 4, between=torch.nn.ReLU)
    for param in teacher.parameters():
        param.requires_grad_(False)
    last = copy.deepcopy(student[2])
    optimizer = torch.optim.SGD([p for p in student.parameters() if p.requires_grad], lr=0.3)
    while True:
        scores, soft = student(x), torch.softmax(teacher(x) / 2, dim=1)
        apart = (
            functional.kl_div(torch.log_softmax(scores / 2, dim=1), soft, reduction="batchmean") * 4
        )
        yield descend(optimizer, 0.5 * apart + 0.5 * functional.cross_entropy(scores, y))
        yield (student[2].weight - last.weight).norm().item()


@steady()
def bound_weights(torch):
    """Spectral norm on one layer, weight norm on another, orthogonal columns on a third."""
    nn = torch.nn
    net = nn.Sequential(
        nn.utils.parametrizations.spectral_norm(nn.Linear(6, 8)), nn.ReLU(),
        nn.utils.parametrizations.weight_norm(nn.Linear(8, 8)), nn.ReLU(),
        nn.Linear(8, 4),
    )  # fmt: skip
    nn.init.orthogonal_(net[4].weight)
    x, y = data(torch)
    optimizer = torch.optim.Adadelta(net.parameters(), lr=1.0)
    while True:
        uneven = net[4].weight @ net[4].weight.t() - torch.eye(4)
        loss = nn.functional.cross_entropy(net(x), y) + 0.1 * uneven.pow(2).sum()
        yield descend(optimizer, loss)


@steady()
def activations_computed_again(torch):
    """Blocks under checkpoint keep nothing for backward, and draw the same dropout twice."""
    nn, checkpoint = torch.nn, torch.utils.checkpoint.checkpoint
    blocks = nn.ModuleList(
        nn.Sequential(nn.Linear(6, 6), nn.ReLU(), nn.Dropout(0.2)) for _ in range(3)
    )
    head = nn.Linear(6, 4)
    x, y = data(torch)
    optimizer = torch.optim.SGD([*blocks.parameters(), *head.parameters()], lr=0.1, momentum=0.9)
    while True:
        h = x
        for block in blocks:
            h = h + checkpoint(block, h, use_reentrant=False)
        yield descend(optimizer, nn.functional.cross_entropy(head(h), y))


@program
def sampled_by_weight(torch):
    """A data set of our own, classes drawn evenly, gradients added up over batches.

    Not steady: which examples come twice in a batch is a fact that each program has for itself.
    """
    x, y = data(torch)

    class Points(torch.utils.data.Dataset):
        def __len__(self):
            return len(x)

        def __getitem__(self, i):
            return x[i], int(y[i])

    counts = torch.bincount(y, minlength=4).clamp(min=1)
    sampler = torch.utils.data.WeightedRandomSampler((1.0 / counts)[y], 24)
    loader = torch.utils.data.DataLoader(Points(), batch_size=8, sampler=sampler, drop_last=True)
    net = layers(torch, 6, 8, 4, between=torch.nn.ELU)
    optimizer = torch.optim.ASGD(net.parameters(), lr=0.1)
    criterion = torch.nn.CrossEntropyLoss(weight=1.0 / counts)
    while True:
        total = 0.0
        optimizer.zero_grad()
        for features, labels in loader:
            loss = criterion(net(features), labels) / 3
            loss.backward()
            total += loss.item()
        optimizer.step()
        yield total
