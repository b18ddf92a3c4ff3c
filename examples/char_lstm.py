"""A character model with nn.Embedding and a two-layer nn.LSTM, trained by Adam.

It reads docstrings of the standard library; its state goes on from one stretch of text to the next.

Run it with `flambeau run examples/char_lstm.py`, or under PyTorch with `python`.
"""

import argparse
import math

import torch
import torch.nn.functional as F
from torch import nn
from tqdm import tqdm

from char_rnn import CHARACTERS, encode, sequential_batches
from data.text import load_text
from figures import curve_figure


class CharLSTM(nn.Module):
    """Characters in, scores for the next character out."""

    def __init__(self, vocabulary, width=32, hidden=128, layers=2):
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)
        self.lstm = nn.LSTM(width, hidden, layers, batch_first=True, dropout=0.2)
        self.scores = nn.Linear(hidden, vocabulary)

    def forward(self, characters, state=None):
        outputs, state = self.lstm(self.embedding(characters), state)
        return self.scores(outputs), state


def train_one_epoch(net, corpus, batch, steps, optimizer):
    """Read the text once; return the perplexity: between how many characters it hesitates."""
    net.train()
    state, total, count = None, 0.0, 0
    for inputs, targets in sequential_batches(corpus, batch, steps):
        if state is not None:
            state = tuple(part.detach() for part in state)
        scores, state = net(inputs, state)
        loss = F.cross_entropy(scores.flatten(0, 1), targets.flatten())
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        total += loss.item() * targets.numel()
        count += targets.numel()
    return math.exp(total / count)


@torch.no_grad()
def write(net, prefix, length, temperature=0.5):
    """Let the network go on from a prefix."""
    net.eval()
    scores, state = net(encode(prefix).unsqueeze(0))
    text = prefix
    for _ in range(length):
        chances = F.softmax(scores[0, -1] / temperature, dim=0)
        choice = torch.multinomial(chances, 1)
        text += CHARACTERS[choice.item()]
        scores, state = net(choice.unsqueeze(0), state)
    return text


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--length", type=int, default=12_000, help="characters to learn from")
    parser.add_argument("--hidden", type=int, default=128)
    parser.add_argument("--no-figure", action="store_true", help="print only")
    args = parser.parse_args()

    torch.manual_seed(0)
    corpus = encode(load_text(args.length))
    net = CharLSTM(len(CHARACTERS), hidden=args.hidden)
    optimizer = torch.optim.Adam(net.parameters(), lr=5e-3)

    perplexities = []
    for epoch in tqdm(range(args.epochs), desc="LSTM", unit="epoch"):
        perplexities.append(train_one_epoch(net, corpus, batch=16, steps=35, optimizer=optimizer))
        if epoch % 10 == 0 or epoch == args.epochs - 1:
            tqdm.write(f"epoch {epoch + 1:3}  perplexity {perplexities[-1]:.6f}")
    for prefix in ["return the ", "the object "]:
        print(f"text: {write(net, prefix, 80)}")

    if not args.no_figure:
        curve_figure("char_lstm", perplexities, "perplexity of the LSTM")


if __name__ == "__main__":
    main()
