"""Programs whose shapes change: the last short batch, a growing context, batches of any length."""

from __future__ import annotations

import random

from benchmarks.models.images import lenet_network
from benchmarks.models.text import transformer
from benchmarks.rows import Row


def short_batch(torch, samples=1000, batch=64):
    """LeNet fed by a DataLoader whose last batch is short; a pass is an epoch."""
    data = torch.utils.data.TensorDataset(torch.randn(samples, 1, 28, 28),
                                          torch.randint(0, 10, (samples,)))
    loader = torch.utils.data.DataLoader(data, batch_size=batch)
    net = lenet_network(torch)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    while True:
        total = 0.0
        for x, y in loader:
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(net(x), y)
            loss.backward()
            optimizer.step()
            total += loss.item()
        yield total


def generation(torch, layers=4, width=128, heads=4, context=64, vocabulary=65):
    """Text from a transformer, which reads all of it again for every token; a pass is one text."""
    net = transformer(torch, layers, width, heads, context, vocabulary).eval()
    while True:
        text = torch.zeros(1, 1, dtype=torch.long)
        with torch.no_grad():
            while text.shape[1] < context:
                logits = net(text)[:, -1, :]
                chance = torch.nn.functional.softmax(logits / 0.8, dim=-1)
                text = torch.cat((text, torch.multinomial(chance, num_samples=1)), dim=1)
            yield net(text).sum().item()


def lengths(torch, model, batch=16, shortest=5, longest=40, vocabulary=100, width=64):
    """A language model on batches that are as long as they happen to be; a pass is a step."""
    nn = torch.nn

    class Recurrent(nn.Module):
        def __init__(self):
            super().__init__()
            self.tokens = nn.Embedding(vocabulary, width)
            self.lstm = nn.LSTM(width, width, batch_first=True)
            self.head = nn.Linear(width, vocabulary)

        def forward(self, tokens):
            return self.head(self.lstm(self.tokens(tokens))[0])

    net = Recurrent() if model == "LSTM" else transformer(torch, 2, width, 4, longest, vocabulary)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    while True:
        text = torch.randint(0, vocabulary, (batch, random.randint(shortest, longest) + 1))
        logits = net(text[:, :-1])
        loss = nn.functional.cross_entropy(logits.reshape(-1, vocabulary), text[:, 1:].reshape(-1))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        yield loss.item()


WANTED = 1 / 1.2  # the whole time, everything that has to be compiled on the way included

ROWS = [
    Row("shapes", "last short batch, LeNet, 10 epochs", short_batch, passes=10, wanted=WANTED),
    Row("shapes", "a growing context, 10×1…64 tokens", generation, passes=10, wanted=WANTED,
        tolerance=1e-3),
    *(Row("shapes", f"batches of any length, {model}, 200 steps", lengths, dict(model=model),
          passes=200, wanted=WANTED, tolerance=1e-3) for model in ("LSTM", "transformer")),
]
