"""Programs that differ in what they compute: models, losses, and derivatives of derivatives."""

import itertools

from benchmarks import training
from tests.programs.catalogue import STEPS, data, layers, program


@program
def polynomial_by_hand(torch):
    """Fit a sine with a cubic, gradients worked out on paper: no autograd at all."""
    x = torch.linspace(-3, 3, 200)
    y = torch.sin(x)
    a, b, c, d = (torch.randn(()) for _ in range(4))
    while True:
        error = a + b * x + c * x ** 2 + d * x ** 3 - y
        yield error.pow(2).mean().item()
        a -= 1e-2 * 2 * error.mean()
        b -= 1e-2 * (2 * error * x).mean()
        c -= 1e-3 * (2 * error * x ** 2).mean()
        d -= 1e-3 * (2 * error * x ** 3).mean()


@program
def two_optimizers(torch):
    """Two networks that share a loss, each with its own optimizer."""
    x, _ = data(torch)
    encoder = layers(torch, 6, 8, 2, between=torch.nn.Tanh)
    decoder = layers(torch, 2, 8, 6, between=torch.nn.Tanh)
    updates = [torch.optim.Adam(encoder.parameters(), lr=0.02),
               torch.optim.AdamW(decoder.parameters(), lr=0.01, weight_decay=0.1)]
    while True:
        loss = torch.nn.functional.mse_loss(decoder(encoder(x)), x)
        for update in updates:
            update.zero_grad()
        loss.backward()
        for update in updates:
            update.step()
        yield loss.item()


@program
def embedded_words(torch):
    """A bag of words: embeddings, their mean, a linear layer."""
    words = torch.randint(0, 20, (32, 5))
    y = (words.sum(1) % 3)
    embedding, linear = torch.nn.Embedding(20, 8), torch.nn.Linear(8, 3)
    params = [*embedding.parameters(), *linear.parameters()]
    optimizer = torch.optim.Adam(params, lr=0.05)
    while True:
        loss = torch.nn.functional.cross_entropy(linear(embedding(words).mean(1)), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        yield loss.item()


@program
def factors_of_a_matrix(torch):
    """Matrix factorisation on gathered entries, updated through .data."""
    target = torch.randn(8, 3) @ torch.randn(3, 9)
    rows, columns = torch.randint(0, 8, (40,)), torch.randint(0, 9, (40,))
    u, v = (torch.randn(n, 3, requires_grad=True) for n in (8, 9))
    while True:
        error = (u[rows] * v[columns]).sum(1) - target[rows, columns]
        loss = error.pow(2).mean() + 1e-3 * (u.pow(2).sum() + v.pow(2).sum())
        loss.backward()
        for param in (u, v):
            param.data.sub_(0.1 * param.grad)
            param.grad = None
        yield loss.item()


@program
def attention_by_hand(torch):
    """Causal self-attention and layer normalisation, written out."""
    x = torch.randn(2, 7, 8)
    w_qkv, w_out = (torch.randn(8, n).mul_(0.3).requires_grad_() for n in (24, 8))
    hidden = torch.ones(7, 7).tril() == 0
    optimizer = torch.optim.AdamW([w_qkv, w_out], lr=0.02)
    while True:
        centred = x - x.mean(-1, keepdim=True)
        normal = centred / (centred.pow(2).mean(-1, keepdim=True) + 1e-5).sqrt()
        q, k, v = (part.reshape(2, 7, 2, 4).transpose(1, 2)
                   for part in (normal @ w_qkv).split(8, dim=-1))
        scores = (q @ k.transpose(-2, -1) / 2).masked_fill(hidden, float("-inf"))
        mixed = (scores.softmax(-1) @ v).transpose(1, 2).reshape(2, 7, 8)
        loss = ((mixed @ w_out)[:, :-1] - x[:, 1:]).pow(2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        yield loss.item()


@program
def gated_recurrence(torch):
    """A gated recurrent cell written by hand, unrolled over sequences of changing length."""
    w_x, w_h = (torch.randn(n, 18).mul_(0.3).requires_grad_() for n in (3, 6))
    for steps in [4, 4, 6, 4, 6, 5, 6, 4]:
        h, x = torch.zeros(2, 6), torch.randn(steps, 2, 3)
        for inputs in x:
            r_x, z_x, n_x = (inputs @ w_x).chunk(3, dim=1)
            r_h, z_h, n_h = (h @ w_h).chunk(3, dim=1)
            reset, update = torch.sigmoid(r_x + r_h), torch.sigmoid(z_x + z_h)
            h = (1 - update) * torch.tanh(n_x + reset * n_h) + update * h
        loss = (h.sum(1) - x.sum((0, 2)).tanh()).pow(2).mean()
        loss.backward()
        training.sgd(torch, [w_x, w_h], 0.1)
        yield loss.item()


@program
def gradient_penalty(torch):
    """A loss that contains a gradient: backward through backward."""
    x = torch.randn(16, 2)
    net = layers(torch, 2, 8, 1, between=torch.nn.Tanh)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05)
    while True:
        points = x.clone().requires_grad_()
        scores = net(points)
        (slopes,) = torch.autograd.grad(scores.sum(), points, create_graph=True)
        penalty = (slopes.pow(2).sum(1).sqrt() - 1).pow(2).mean()
        loss = scores.pow(2).mean() + penalty
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        yield loss.item()
        yield penalty.item()


@program
def a_module_of_modules(torch):
    """Submodules in a list, a buffer that is updated in forward, and weights that are shared."""
    nn = torch.nn

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.blocks = nn.ModuleList([nn.Linear(6, 6) for _ in range(3)])
            self.head = nn.Linear(6, 4)
            self.register_buffer("seen", torch.zeros(6))
            self.scale = nn.Parameter(torch.ones(6))

        def forward(self, x):
            for block in [*self.blocks, self.blocks[0]]:
                x = x + torch.relu(block(x * self.scale))
            self.seen.mul_(0.9).add_(0.1 * x.detach().mean(0))
            return self.head(x - self.seen)

    net = Net()
    x, y = data(torch)
    optimizer = torch.optim.SGD([{"params": net.blocks.parameters(), "lr": 0.01},
                                 {"params": [net.scale, *net.head.parameters()]}], lr=0.1)
    yield sum(p.numel() for p in net.parameters())
    yield from itertools.islice(training.train(torch, net, lambda: [(x, y)], optimizer), STEPS)
    yield net.state_dict()["seen"].sum().item()
