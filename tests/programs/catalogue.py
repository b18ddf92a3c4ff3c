"""The programs that are compared; the benchmark's take part at small sizes.

`@program` adds one: a generator function `def name(torch)`; all the numbers it yields must agree.
"""

import itertools

from benchmarks import training
from benchmarks.models import images as of_images
from benchmarks.models import shapes, text
from benchmarks.models import signals as of_signals

STEPS = 12  # numbers compared where a program would go on for ever
CASES = {}
STEADY = {}  # of programs that do the same again and again: how many numbers make one round


def program(function):
    """Make a test of a program."""
    CASES[function.__name__] = (function, {})
    return function


def steady(period=1):
    """Make a test of a program that goes on for ever, and demand that it soon compiles no more."""
    def note(function):
        STEADY[function.__name__] = period
        return program(function)
    return note


def small(function, **sizes):
    """Make a test of one of the benchmark's programs, at small sizes."""
    CASES["-".join([function.__name__, *map(str, sizes.values())])] = (function, sizes)


small(training.linear_by_hand, batch=10, inputs=2, batches=4)
small(training.linear_with_nn, batch=10, inputs=3, batches=4)
small(training.logistic, points=40, inputs=2)
small(training.softmax_by_hand, batch=8, inputs=12, classes=4, batches=3)
small(training.softmax_batches, batch=8, inputs=12, classes=4, batches=3)
small(training.softmax_loader, batch=8, inputs=12, classes=4, batches=3)
for optimizer, lr in {"SGD": 0.1, "Adam": 0.01, "AdamW": 0.01}.items():
    small(training.mlp, optimizer=optimizer, batch=8, inputs=12, hidden=16, classes=4, batches=3,
          lr=lr)
small(training.rnn_by_hand, steps=5, batch=4, hidden=16, vocabulary=7, stretches=3)
small(of_images.lenet, batch=4, size=12, batches=3)
small(of_images.resnet, batch=4, size=8, widths=(8, 16), blocks=1, batches=3)
small(of_signals.vae, batch=8, inputs=12, hidden=10, latent=3, batches=3)
small(of_signals.dcgan, batch=4, latent=6, width=4, batches=3)
small(of_signals.conv1d, batch=4, channels=3, length=16, width=8, classes=3, batches=3)
small(of_signals.unet, batch=2, size=16, width=4, depth=2, batches=3)
for kind in ("RNN", "GRU", "LSTM"):
    small(text.recurrent, kind=kind, steps=5, batch=4, hidden=16, vocabulary=7, stretches=3)
small(text.gpt, layers=2, width=16, heads=2, context=8, batch=3, vocabulary=11, batches=3)
small(shapes.generation, layers=1, width=16, heads=2, context=9, vocabulary=11)
for kind in ("LSTM", "transformer"):
    small(shapes.lengths, model=kind, batch=3, longest=9, vocabulary=11, width=8)


def data(torch, count=32, inputs=6, classes=4):
    """A little data with something to learn in it."""
    return training.classified(torch, count, inputs, classes)


def layers(torch, *widths, between):
    """Linear layers with an activation between them."""
    modules = []
    for n, m in itertools.pairwise(widths):
        modules += [torch.nn.Linear(n, m), between()]
    return torch.nn.Sequential(*modules[:-1])


def images(torch, channels, count=8, size=8, classes=4):
    """Noise that is brighter in one quarter: the quarter is the class."""
    x, y = torch.rand(count, channels, size, size), torch.arange(count) % classes
    half = size // 2
    for image, label in zip(x, y.tolist()):
        top, left = label // 2 * half, label % 2 * half
        image[:, top : top + half, left : left + half] += 0.5
    return x, y


def descend(optimizer, loss):
    """One step down; the loss before it."""
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()
