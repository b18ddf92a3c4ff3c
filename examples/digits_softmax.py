"""Softmax regression on handwritten digits from scratch: tensors, gradients, nothing more.

Run it with `flambeau run examples/digits_softmax.py`, or under PyTorch with `python`.
"""

import argparse

import torch
from tqdm import tqdm

from data.digits import load_digits
from figures import classifier_figure


def softmax(scores):
    """Turn scores into probabilities; taking off the largest keeps exp in range."""
    exp = torch.exp(scores - scores.max(dim=1, keepdim=True).values)
    return exp / exp.sum(dim=1, keepdim=True)


def cross_entropy(probabilities, labels):
    """The surprise at each label: minus the log of the probability that it was given."""
    return -torch.log(probabilities[torch.arange(len(labels)), labels])


def minibatches(images, labels, size):
    """Yield the images and labels in a random order, `size` at a time."""
    order = torch.randperm(len(labels))
    for start in range(0, len(labels), size):
        chosen = order[start:start + size]
        yield images[chosen], labels[chosen]


def sgd(params, lr):
    """Step downhill and forget the gradients."""
    with torch.no_grad():
        for param in params:
            param -= lr * param.grad
            param.grad.zero_()


def accuracy(probabilities, labels):
    """The share of images whose likeliest class is the right one."""
    return (probabilities.argmax(dim=1) == labels).float().mean().item()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--no-figure", action="store_true", help="print only")
    args = parser.parse_args()

    torch.manual_seed(0)
    (train_x, train_y), (test_x, test_y) = load_digits()
    weight = torch.normal(0, 0.01, size=(64, 10), requires_grad=True)
    bias = torch.zeros(10, requires_grad=True)

    def net(images):
        return softmax(images.reshape(-1, 64) @ weight + bias)

    losses, accuracies = [], []
    for epoch in tqdm(range(args.epochs), desc="softmax regression", unit="epoch"):
        total = 0.0
        for images, labels in minibatches(train_x, train_y, 64):
            loss = cross_entropy(net(images), labels).mean()
            loss.backward()
            sgd([weight, bias], lr=0.5)
            total += loss.item() * len(labels)
        losses.append(total / len(train_y))
        with torch.no_grad():
            accuracies.append(accuracy(net(test_x), test_y))
        if epoch % 10 == 0 or epoch == args.epochs - 1:
            tqdm.write(f"epoch {epoch + 1:3}  loss {losses[-1]:.6f}  accuracy {accuracies[-1]:.4f}")

    if not args.no_figure:
        with torch.no_grad():
            predicted = net(test_x).argmax(dim=1)
        classifier_figure("digits_softmax", losses, accuracies, test_x.numpy(),
                          predicted.tolist(), test_y.tolist())


if __name__ == "__main__":
    main()
