"""The same steps as in training.py and images.py, in JAX and in tinygrad, each in its own way.

`python -m benchmarks.models.elsewhere jax TITLE PASSES SECONDS` measures one and prints JSON.
"""

from __future__ import annotations

import json
import sys
import time
from functools import partial
from importlib import import_module

SIZES = (784, 256, 10)
ADAM = dict(rate=1e-3, beta1=0.9, beta2=0.999, epsilon=1e-8)


def jax_steps(jax, shape, loss, update, params, state):
    """A step compiled by jax.jit, with its loss; batches are made before."""
    numpy = jax.numpy

    @jax.jit
    def step(params, state, x, y):
        def objective(params):
            scores = jax.nn.log_softmax(loss(params, x))
            return -numpy.take_along_axis(scores, y[:, None], 1).mean()

        value, grads = jax.value_and_grad(objective)(params)
        return (*update(params, grads, state), value)

    keys = jax.random.split(jax.random.key(1), 16)
    data = [(jax.random.normal(k, shape), jax.random.randint(other, shape[:1], 0, 10))
            for k, other in zip(keys[:8], keys[8:], strict=True)]
    while True:
        for x, y in data:
            params, state, value = step(params, state, x, y)
            yield float(value)


def jax_sgd(jax, rate, params, grads, state):
    return jax.tree.map(lambda p, g: p - rate * g, params, grads), state


def jax_adam(jax, decay, params, grads, state):
    """Adam (Kingma and Ba 2015), with decay apart from the gradient if there is any."""
    count, means, squares = state
    count, tree = count + 1, jax.tree.map
    means = tree(lambda m, g: ADAM["beta1"] * m + (1 - ADAM["beta1"]) * g, means, grads)
    squares = tree(lambda s, g: ADAM["beta2"] * s + (1 - ADAM["beta2"]) * g * g, squares, grads)

    def moved(p, m, s):
        m, s = m / (1 - ADAM["beta1"] ** count), s / (1 - ADAM["beta2"] ** count)
        step = m / (jax.numpy.sqrt(s) + ADAM["epsilon"])
        return p * (1 - ADAM["rate"] * decay) - ADAM["rate"] * step

    return tree(moved, params, means, squares), (count, means, squares)


def jax_weights(jax, shapes):
    """A weight for each shape, its first dim the outputs, and a bias."""
    keys = jax.random.split(jax.random.key(0), len(shapes))
    return [(jax.random.normal(key, shape) * (shape[0] / jax.numpy.prod(jax.numpy.array(shape)))
             ** 0.5, jax.numpy.zeros(shape[0])) for key, shape in zip(keys, shapes, strict=True)]


def jax_mlp(jax, update):
    """The perceptron of training.py."""
    params = jax_weights(jax, [(m, n) for n, m in zip(SIZES, SIZES[1:], strict=False)])

    def scores(params, x):
        (w1, b1), (w2, b2) = params
        return jax.nn.relu(x @ w1.T + b1) @ w2.T + b2

    zeros = jax.tree.map(jax.numpy.zeros_like, params)
    return jax_steps(jax, (256, 784), scores, partial(update, jax), params, (0, zeros, zeros))


def jax_lenet(jax):
    """The network of images.py."""
    lax = jax.lax
    params = jax_weights(jax, [(6, 1, 5, 5), (16, 6, 5, 5), (120, 400), (84, 120), (10, 84)])

    def stage(x, weight, bias, padding):
        x = lax.conv_general_dilated(x, weight, (1, 1), [(padding, padding)] * 2)
        x = jax.nn.sigmoid(x + bias[:, None, None])
        return lax.reduce_window(x, 0.0, lax.add, (1, 1, 2, 2), (1, 1, 2, 2), "VALID") / 4

    def scores(params, x):
        x = stage(stage(x, *params[0], 2), *params[1], 0).reshape(len(x), -1)
        for weight, bias in params[2:4]:
            x = jax.nn.sigmoid(x @ weight.T + bias)
        weight, bias = params[4]
        return x @ weight.T + bias

    return jax_steps(jax, (64, 1, 28, 28), scores, partial(jax_sgd, jax, 0.9), params, ())


def tinygrad_steps(tinygrad, layers, optimizer, shape):
    """A step compiled by TinyJit, with its loss; batches are made before."""
    tensor = tinygrad.Tensor

    @tinygrad.TinyJit
    def step(x, y):
        optimizer.zero_grad()
        loss = x.sequential(layers).sparse_categorical_crossentropy(y).backward()
        return loss.realize(*optimizer.schedule_step())

    data = [(tensor.randn(*shape).realize(), tensor.randint(shape[0], high=10).realize())
            for _ in range(8)]
    while True:
        for x, y in data:
            with tinygrad.helpers.Context(TRAINING=1):
                yield step(x, y).item()


def tinygrad_mlp(tinygrad, optimizer, **options):
    """The perceptron of training.py."""
    nn, tensor = tinygrad.nn, tinygrad.Tensor
    first, last = nn.Linear(784, 256), nn.Linear(256, 10)
    params = [first.weight, first.bias, last.weight, last.bias]
    update = getattr(import_module("tinygrad.nn.optim"), optimizer)(params, **options)
    return tinygrad_steps(tinygrad, [first, tensor.relu, last], update, (256, 784))


MLP = "training/MLP 784-256-10, "
STEPS = {
    "jax": {
        MLP + "SGD": lambda jax: jax_mlp(jax, lambda jax, *rest: jax_sgd(jax, 0.1, *rest)),
        MLP + "Adam": lambda jax: jax_mlp(jax, lambda jax, *rest: jax_adam(jax, 0.0, *rest)),
        MLP + "AdamW": lambda jax: jax_mlp(jax, lambda jax, *rest: jax_adam(jax, 0.01, *rest)),
        "training/LeNet 64×28×28, SGD": jax_lenet,
    },
    "tinygrad": {
        MLP + "SGD": partial(tinygrad_mlp, optimizer="SGD", lr=0.1),
        MLP + "Adam": partial(tinygrad_mlp, optimizer="Adam", lr=1e-3),
        MLP + "AdamW": partial(tinygrad_mlp, optimizer="AdamW", lr=1e-3),
    },
}


def measure(module: str, title: str, passes: int, seconds: float) -> dict:
    """The time of the first pass, and those of as many as asked for, or as fit the time."""
    running = STEPS[module][title](import_module(module))
    begin = time.perf_counter()
    next(running)
    first, times = time.perf_counter() - begin, []
    for _ in range(8):
        next(running)
    start = time.perf_counter()
    while len(times) < passes or time.perf_counter() - start < seconds:
        begin = time.perf_counter()
        next(running)
        times.append(time.perf_counter() - begin)
    return {"first": first, "times": times}


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4]))))
