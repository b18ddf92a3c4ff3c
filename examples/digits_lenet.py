"""A convolutional network in the style of LeNet on handwritten digits (LeCun et al., 1998).

Run it with `flambeau run examples/digits_lenet.py`, or under PyTorch with `python`.
"""

import argparse

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from tqdm import tqdm

from data.digits import load_digits
from digits_mlp import predict, train_one_epoch
from figures import classifier_figure


class LeNet(nn.Module):
    """Two stages of convolution and pooling, and a perceptron behind them; images are 8 × 8."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 16, kernel_size=3, padding=1), nn.BatchNorm2d(16), nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(16, 32, kernel_size=3, padding=1), nn.BatchNorm2d(32), nn.ReLU(),
            nn.MaxPool2d(2),
        )
        self.classifier = nn.Sequential(
            nn.Flatten(),
            nn.Linear(32 * 2 * 2, 120), nn.ReLU(), nn.Dropout(0.3),
            nn.Linear(120, 84), nn.ReLU(),
            nn.Linear(84, 10),
        )

    def forward(self, images):
        return self.classifier(self.features(images))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--no-figure", action="store_true", help="print only")
    args = parser.parse_args()

    torch.manual_seed(0)
    (train_x, train_y), (test_x, test_y) = load_digits()
    train_x, test_x = train_x.unsqueeze(1), test_x.unsqueeze(1)  # one channel
    loader = DataLoader(TensorDataset(train_x, train_y), batch_size=64, shuffle=True)
    net = LeNet()
    optimizer = torch.optim.AdamW(net.parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, args.epochs)

    losses, accuracies = [], []
    for epoch in tqdm(range(args.epochs), desc="convolutional network", unit="epoch"):
        losses.append(train_one_epoch(net, loader, optimizer))
        schedule.step()
        accuracies.append((predict(net, test_x) == test_y).float().mean().item())
        if epoch % 10 == 0 or epoch == args.epochs - 1:
            tqdm.write(f"epoch {epoch + 1:3}  loss {losses[-1]:.6f}  accuracy {accuracies[-1]:.4f}")

    if not args.no_figure:
        classifier_figure("digits_lenet", losses, accuracies, test_x.squeeze(1).numpy(),
                          predict(net, test_x).tolist(), test_y.tolist())


if __name__ == "__main__":
    main()
