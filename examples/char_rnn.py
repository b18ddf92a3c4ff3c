"""A recurrent network that learns to write by characters, every part of it written by hand.

It reads docstrings of the standard library as one-hot vectors and carries its state from one
stretch of text to the next; gradients end at the border of a stretch, and large ones are clipped.

Run it with `flambeau run examples/char_rnn.py`, or under PyTorch with `python`.
"""

import argparse
import math

import torch
import torch.nn.functional as F
from tqdm import tqdm

from data.text import load_text
from figures import curve_figure

CHARACTERS = " abcdefghijklmnopqrstuvwxyz"


class CharRNN:
    """The network as a plain class: three matrices, two biases, and a loop over time."""

    def __init__(self, vocabulary, hidden):
        self.vocabulary, self.hidden = vocabulary, hidden
        self.w_xh = self.new_param(vocabulary, hidden)
        self.w_hh = self.new_param(hidden, hidden)
        self.b_h = torch.zeros(hidden, requires_grad=True)
        self.w_hq = self.new_param(hidden, vocabulary)
        self.b_q = torch.zeros(vocabulary, requires_grad=True)
        self.params = [self.w_xh, self.w_hh, self.b_h, self.w_hq, self.b_q]

    @staticmethod
    def new_param(rows, columns):
        return (torch.randn(rows, columns) / rows ** 0.5).requires_grad_()

    def initial_state(self, batch):
        return torch.zeros(batch, self.hidden)

    def __call__(self, characters, state):
        """Read (batch, time) characters; return scores (time * batch, vocabulary) and state."""
        outputs = []
        for x in F.one_hot(characters.T, self.vocabulary).float():
            state = torch.tanh(x @ self.w_xh + state @ self.w_hh + self.b_h)
            outputs.append(state @ self.w_hq + self.b_q)
        return torch.cat(outputs), state


def sequential_batches(corpus, batch, steps):
    """Yield (input, target) of shape (batch, steps); row i continues row i of the batch before."""
    start = int(torch.randint(0, steps, ()))
    columns = (len(corpus) - start - 1) // batch
    inputs = corpus[start:start + batch * columns].reshape(batch, columns)
    targets = corpus[start + 1:start + 1 + batch * columns].reshape(batch, columns)
    for i in range(0, columns - steps + 1, steps):
        yield inputs[:, i:i + steps], targets[:, i:i + steps]


def clip_gradients(params, limit):
    """Scale all gradients down together where their common norm is above the limit."""
    norm = torch.sqrt(sum((param.grad ** 2).sum() for param in params))
    if norm > limit:
        for param in params:
            param.grad *= limit / norm


def sgd(params, lr):
    """Step downhill and forget the gradients."""
    with torch.no_grad():
        for param in params:
            param -= lr * param.grad
            param.grad.zero_()


def train_one_epoch(net, corpus, batch, steps, lr):
    """Read the text once; return the perplexity: between how many characters it hesitates."""
    state = net.initial_state(batch)
    total, count = 0.0, 0
    for inputs, targets in sequential_batches(corpus, batch, steps):
        state.detach_()
        scores, state = net(inputs, state)
        loss = F.cross_entropy(scores, targets.T.reshape(-1))
        loss.backward()
        clip_gradients(net.params, 1.0)
        sgd(net.params, lr)
        total += loss.item() * targets.numel()
        count += targets.numel()
    return math.exp(total / count)


@torch.no_grad()
def write(net, prefix, length, temperature=0.5):
    """Let the network go on from a prefix, drawing each character by the Gumbel-max trick."""
    state = net.initial_state(1)
    text = prefix
    scores, state = net(encode(prefix).reshape(1, -1), state)
    for _ in range(length):
        gumbel = -torch.log(-torch.log(torch.rand(net.vocabulary)))
        choice = (scores[-1] / temperature + gumbel).argmax()
        text += CHARACTERS[choice.item()]
        scores, state = net(choice.reshape(1, 1), state)
    return text


def encode(text):
    """The characters of the text as numbers."""
    return torch.tensor([CHARACTERS.index(character) for character in text])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=76)
    parser.add_argument("--length", type=int, default=12_000, help="characters to learn from")
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--no-figure", action="store_true", help="print only")
    args = parser.parse_args()

    torch.manual_seed(0)
    corpus = encode(load_text(args.length))
    net = CharRNN(len(CHARACTERS), args.hidden)

    perplexities = []
    for epoch in tqdm(range(args.epochs), desc="character network", unit="epoch"):
        perplexities.append(train_one_epoch(net, corpus, batch=32, steps=35, lr=1.0))
        if epoch % 25 == 0 or epoch == args.epochs - 1:
            tqdm.write(f"epoch {epoch + 1:3}  perplexity {perplexities[-1]:.6f}")
    for prefix in ["return the ", "the object "]:
        print(f"text: {write(net, prefix, 80)}")

    if not args.no_figure:
        curve_figure("char_rnn", perplexities, "perplexity of the character network")


if __name__ == "__main__":
    main()
