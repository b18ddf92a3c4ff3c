"""Draws what the examples show: curves of training, and images with the network's guesses."""

from pathlib import Path

import matplotlib

matplotlib.use("Agg")  # draw into files: no display is needed
import matplotlib.pyplot as plt

OUT = Path(__file__).resolve().parent.parent / "out"


def draw_curve(axes, values, title, **style):
    """Draw one value an epoch."""
    axes.plot(range(1, len(values) + 1), values, **style)
    axes.set_title(title)
    axes.set_xlabel("epoch")
    axes.grid(alpha=0.3)
    if "label" in style:
        axes.legend()


def draw_predictions(rows, images, predicted, labels):
    """Show one image in each of the axes, titled with the prediction; mistakes are red."""
    for axes, image, guess, label in zip(rows, images, predicted, labels, strict=False):
        axes.imshow(image, cmap="gray_r")
        axes.set_title(f"{guess}" if guess == label else f"{guess}, not {label}",
                       color="black" if guess == label else "red", fontsize=9)
        axes.axis("off")


def classifier_figure(name, losses, accuracies, images, predicted, labels):
    """Save loss and accuracy curves above sixteen held-out images, mistakes first."""
    order = sorted(range(len(labels)), key=lambda i: predicted[i] == labels[i])[:16]
    figure = plt.figure(figsize=(9, 6), layout="constrained")
    top, bottom = figure.subfigures(2, 1)
    left, right = top.subplots(1, 2)
    draw_curve(left, losses, "training loss")
    draw_curve(right, accuracies, "accuracy on held-out images")
    draw_predictions(bottom.subplots(2, 8).flat, [images[i] for i in order],
                     [predicted[i] for i in order], [labels[i] for i in order])
    return save(figure, name)


def curve_figure(name, values, title):
    """Save one curve."""
    figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
    draw_curve(axes, values, title)
    axes.set_yscale("log")
    return save(figure, name)


def save(figure, name):
    """Save the figure under out/ and say where."""
    OUT.mkdir(exist_ok=True)
    path = OUT / f"{name}.png"
    figure.savefig(path, dpi=120)
    plt.close(figure)
    print(f"figure saved to {path}")
    return path
