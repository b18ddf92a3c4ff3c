"""A multilayer perceptron on handwritten digits: DataLoader, nn and optim, as in most programs.

Run it with `flambeau run examples/digits_mlp.py`, or under PyTorch with `python`.
"""

import argparse

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from tqdm import tqdm

from data.digits import load_digits
from figures import classifier_figure


class Classifier(nn.Module):
    """Two hidden layers with dropout between them."""

    def __init__(self, hidden=256):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Flatten(),
            nn.Linear(64, hidden), nn.ReLU(), nn.Dropout(0.2),
            nn.Linear(hidden, hidden), nn.ReLU(), nn.Dropout(0.2),
            nn.Linear(hidden, 10),
        )

    def forward(self, images):
        return self.layers(images)


def train_one_epoch(net, loader, optimizer):
    """Go through the images once; return their mean loss."""
    net.train()
    total = 0.0
    for images, labels in loader:
        loss = F.cross_entropy(net(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.item() * len(labels)
    return total / len(loader.dataset)


@torch.no_grad()
def predict(net, images):
    """The class that the network finds likeliest, for each image."""
    net.eval()
    return net(images).argmax(dim=1)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--no-figure", action="store_true", help="print only")
    args = parser.parse_args()

    torch.manual_seed(0)
    train, (test_x, test_y) = load_digits()
    loader = DataLoader(TensorDataset(*train), batch_size=64, shuffle=True)
    net = Classifier()
    optimizer = torch.optim.AdamW(net.parameters(), lr=2e-3)

    losses, accuracies = [], []
    for epoch in tqdm(range(args.epochs), desc="multilayer perceptron", unit="epoch"):
        losses.append(train_one_epoch(net, loader, optimizer))
        accuracies.append((predict(net, test_x) == test_y).float().mean().item())
        if epoch % 10 == 0 or epoch == args.epochs - 1:
            tqdm.write(f"epoch {epoch + 1:3}  loss {losses[-1]:.6f}  accuracy {accuracies[-1]:.4f}")

    if not args.no_figure:
        classifier_figure("digits_mlp", losses, accuracies, test_x.numpy(),
                          predict(net, test_x).tolist(), test_y.tolist())


if __name__ == "__main__":
    main()
