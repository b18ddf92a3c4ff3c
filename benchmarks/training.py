"""The training programs: each written as its users write it, yielding the loss after every step.

Larger networks stand in models/, by family. The tests run the same programs at small sizes.
"""

from __future__ import annotations

import random

from benchmarks.models import images, signals, text
from benchmarks.models.costs import linear_flops
from benchmarks.rows import Row, prepared


def noisy_line(torch, count, inputs):
    """Points on a plane, with a little noise."""
    x = torch.normal(0, 1, (count, inputs))
    weight = torch.linspace(2, -3.4, inputs).reshape(-1, 1)
    return x, x @ weight + 4.2 + torch.normal(0, 0.01, (count, 1))


def minibatches(torch, size, x, y):
    """Yield rows of x and y, `size` at a time, in an order shuffled by Python."""
    order = list(range(len(x)))
    random.shuffle(order)
    for start in range(0, len(order), size):
        chosen = torch.tensor(order[start:start + size])
        yield x.index_select(0, chosen), y.index_select(0, chosen)


def sgd(torch, params, lr, batch=1):
    """A step of gradient descent written by hand, as textbooks write it."""
    with torch.no_grad():
        for param in params:
            param -= lr * param.grad / batch
            param.grad.zero_()


def linear_by_hand(torch, batch=10, inputs=2, batches=100):
    """Linear regression from scratch; yields the loss over all points once an epoch."""
    x, y = noisy_line(torch, batch * batches, inputs)
    w = torch.normal(0, 0.01, (inputs, 1), requires_grad=True)
    b = torch.zeros(1, requires_grad=True)
    while True:
        for features, targets in minibatches(torch, batch, x, y):
            loss = (features @ w + b - targets.reshape(-1, 1)) ** 2 / 2
            loss.sum().backward()
            sgd(torch, [w, b], 0.003, batch)
        with torch.no_grad():
            yield ((x @ w + b - y) ** 2 / 2).mean().item()


def linear_with_nn(torch, batch=10, inputs=2, batches=100):
    """Linear regression with nn.Linear, MSELoss and SGD."""
    x, y = noisy_line(torch, batch * batches, inputs)
    net = torch.nn.Linear(inputs, 1)
    criterion = torch.nn.MSELoss()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.003)
    net = prepared(torch, net)
    while True:
        for start in range(0, len(x), batch):
            loss = criterion(net(x[start:start + batch]), y[start:start + batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            yield loss.item()


def logistic(torch, points=1000, inputs=2):
    """Logistic regression on all points at once."""
    x = torch.randn(points, inputs)
    y = (x.sum(1, keepdim=True) + 0.1 * torch.randn(points, 1) > 0).float()
    net = torch.nn.Sequential(torch.nn.Linear(inputs, 1), torch.nn.Sigmoid())
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    net = prepared(torch, net)
    while True:
        optimizer.zero_grad()
        loss = torch.nn.functional.binary_cross_entropy(net(x), y)
        loss.backward()
        optimizer.step()
        yield loss.item()


def classified(torch, count, inputs, classes):
    """Random points, labelled by a random linear map, so that there is something to learn."""
    x = torch.randn(count, inputs)
    return x, (x @ torch.randn(inputs, classes)).argmax(1)


def softmax_by_hand(torch, batch=256, inputs=784, classes=10, batches=8):
    """Softmax regression from scratch, on batches taken in order."""
    x, y = classified(torch, batch * batches, inputs, classes)
    w = torch.normal(0, 0.01, (inputs, classes), requires_grad=True)
    b = torch.zeros(classes, requires_grad=True)
    rows = torch.arange(batch)
    while True:
        for start in range(0, len(x), batch):
            exp = (x[start:start + batch] @ w + b).exp()
            probability = exp / exp.sum(1, keepdim=True)
            loss = -probability[rows, y[start:start + batch]].log().mean()
            loss.backward()
            sgd(torch, [w, b], 0.1)
            yield loss.item()


def train(torch, net, batches, optimizer):
    """The loop that most programs have; `batches()` gives one epoch."""
    net = prepared(torch, net)
    while True:
        for x, y in batches():
            optimizer.zero_grad()
            loss = torch.nn.functional.cross_entropy(net(x), y)
            loss.backward()
            optimizer.step()
            yield loss.item()


def softmax_loader(torch, batch=256, inputs=784, classes=10, batches=8):
    """Softmax regression with nn, fed by a shuffling DataLoader."""
    data = torch.utils.data.TensorDataset(*classified(torch, batch * batches, inputs, classes))
    loader = torch.utils.data.DataLoader(data, batch_size=batch, shuffle=True)
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(inputs, classes))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    return train(torch, net, lambda: loader, optimizer)


def softmax_batches(torch, batch=256, inputs=784, classes=10, batches=8):
    """Softmax regression with nn, on batches made before."""
    net = torch.nn.Linear(inputs, classes)
    data = premade(torch, batch, inputs, classes, batches)
    return train(torch, net, lambda: data, torch.optim.SGD(net.parameters(), lr=0.1))


def premade(torch, batch, inputs, classes, batches):
    """A list of batches, each a tensor of its own."""
    x, y = classified(torch, batch * batches, inputs, classes)
    return [(a.clone(), b.clone()) for a, b in zip(x.split(batch), y.split(batch), strict=True)]


def mlp(torch, optimizer, batch=256, inputs=784, hidden=256, classes=10, batches=8, **options):
    """A perceptron with one hidden layer under any optimizer."""
    nn = torch.nn
    net = nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, classes))
    data = premade(torch, batch, inputs, classes, batches)
    update = getattr(torch.optim, optimizer)(net.parameters(), **options)
    return train(torch, net, lambda: data, update)


def rnn_by_hand(torch, steps=35, batch=32, hidden=256, vocabulary=28, stretches=8):
    """A recurrent network from scratch: one-hot characters, clipped gradients, carried state."""
    text = torch.randint(0, vocabulary, (batch, steps * stretches + 1))
    shapes = [(vocabulary, hidden), (hidden, hidden), (hidden,),
              (hidden, vocabulary), (vocabulary,)]
    params = [torch.normal(0, 0.01, shape, requires_grad=True) for shape in shapes]
    w_xh, w_hh, b_h, w_hq, b_q = params
    one_hot, cross_entropy = torch.nn.functional.one_hot, torch.nn.functional.cross_entropy
    while True:
        state = torch.zeros(batch, hidden)
        for start in range(0, steps * stretches, steps):
            state.detach_()
            inputs, targets = text[:, start:start + steps], text[:, start + 1:start + steps + 1]
            outputs = []
            for x in one_hot(inputs.T, vocabulary).float():
                state = torch.tanh(x @ w_xh + state @ w_hh + b_h)
                outputs.append(state @ w_hq + b_q)
            loss = cross_entropy(torch.cat(outputs), targets.T.reshape(-1))
            loss.backward()
            clip(torch, params, 1.0)
            sgd(torch, params, 1.0)
            yield loss.item()


def clip(torch, params, limit):
    """Scale all gradients down together where their common norm is above the limit."""
    norm = torch.sqrt(sum((param.grad ** 2).sum() for param in params))
    if norm > limit:
        for param in params:
            param.grad *= limit / norm


SOFTMAX = dict(flops=linear_flops(256, 784, 10), bytes=4 * 256 * 784, footprint=8 * 4 * 256 * 784,
               wanted=3.0)
MLP = dict(flops=linear_flops(256, 784, 256, 10))
RNN_FLOPS = 35 * (3 * 2 * 32 * 256 * 256 + 3 * 2 * 32 * 256 * 28)  # the one-hot product is a lookup

ROWS = [
    Row("training", "linear 10×2, by hand", linear_by_hand, per=100, wanted=2.5),
    Row("training", "linear 10×2, nn + SGD", linear_with_nn, wanted=2.5),
    Row("training", "logistic 1000×2, nn + SGD", logistic, wanted=2.5),
    Row("training", "softmax 256×784×10, by hand", softmax_by_hand, **SOFTMAX),
    Row("training", "softmax 256×784×10, nn + SGD", softmax_batches, **SOFTMAX),
    Row("training", "softmax 256×784×10, DataLoader", softmax_loader, **SOFTMAX),
    Row("training", "MLP 784-256-10, SGD", mlp, dict(optimizer="SGD", lr=0.1), wanted=1.5,
        **MLP),
    Row("training", "MLP 784-256-10, Adam", mlp, dict(optimizer="Adam", lr=1e-3), wanted=1.6,
        **MLP),
    Row("training", "MLP 784-256-10, AdamW", mlp, dict(optimizer="AdamW", lr=1e-3), wanted=1.6,
        **MLP),
    Row("training", "RNN 35×32×256, by hand", rnn_by_hand, flops=RNN_FLOPS, wanted=2.0),
    *images.ROWS, *text.ROWS, *signals.ROWS,
]
