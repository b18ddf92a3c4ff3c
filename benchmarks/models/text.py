"""Networks that read text: recurrent language models and transformers."""

from __future__ import annotations

import math

from benchmarks.rows import Row, prepared


def recurrent(torch, kind, steps=35, batch=32, hidden=256, vocabulary=1027, stretches=4):
    """A language model on one-hot characters: nn.RNN, nn.GRU or nn.LSTM, clipped gradients."""
    nn, functional = torch.nn, torch.nn.functional

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn = getattr(nn, kind)(vocabulary, hidden)
            self.linear = nn.Linear(hidden, vocabulary)

        def forward(self, inputs, state):
            x = functional.one_hot(inputs.T.long(), vocabulary).to(torch.float32)
            y, state = self.rnn(x, state)
            return self.linear(y.reshape((-1, y.shape[-1]))), state

    text = torch.randint(0, vocabulary, (batch, steps * stretches + 1))
    model, criterion = Model(), nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    net = prepared(torch, model)
    while True:
        state = None
        for start in range(0, steps * stretches, steps):
            inputs, targets = text[:, start:start + steps], text[:, start + 1:start + steps + 1]
            if isinstance(state, tuple):
                state = tuple(s.detach() for s in state)
            elif state is not None:
                state = state.detach()
            optimizer.zero_grad()
            y, state = net(inputs, state)
            loss = criterion(y, targets.T.reshape(-1))
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            yield loss.item()


def recurrent_flops(gates, steps=35, batch=32, hidden=256, vocabulary=1027):
    """The product with one-hot rows is a look-up, and costs nothing here."""
    return 3 * 2 * steps * batch * hidden * (gates * hidden + vocabulary)


def transformer(torch, layers, width, heads, context, vocabulary):
    """A decoder with its normalisation first (Radford et al. 2019)."""
    nn, functional = torch.nn, torch.nn.functional

    class Attention(nn.Module):
        def __init__(self):
            super().__init__()
            self.to_qkv = nn.Linear(width, 3 * width, bias=False)
            self.to_out = nn.Linear(width, width, bias=False)

        def forward(self, x):
            batch, time, _ = x.shape
            q, k, v = (part.view(batch, time, heads, width // heads).transpose(1, 2)
                       for part in self.to_qkv(x).split(width, dim=2))
            y = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
            return self.to_out(y.transpose(1, 2).contiguous().view(batch, time, width))

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
            self.attention = Attention()
            self.mlp = nn.Sequential(nn.Linear(width, 4 * width, bias=False), nn.GELU(),
                                     nn.Linear(4 * width, width, bias=False))

        def forward(self, x):
            x = x + self.attention(self.norm1(x))
            return x + self.mlp(self.norm2(x))

    class Transformer(nn.Module):
        def __init__(self):
            super().__init__()
            self.tokens = nn.Embedding(vocabulary, width)
            self.positions = nn.Embedding(context, width)
            self.blocks = nn.Sequential(*(Block() for _ in range(layers)))
            self.norm = nn.LayerNorm(width)
            self.head = nn.Linear(width, vocabulary, bias=False)
            self.head.weight = self.tokens.weight

        def forward(self, tokens):
            positions = torch.arange(tokens.shape[1])
            x = self.tokens(tokens) + self.positions(positions)
            return self.head(self.norm(self.blocks(x)))

    net = Transformer()
    for name, param in net.named_parameters():
        if param.dim() > 1:
            narrow = name.endswith(("to_out.weight", "mlp.2.weight"))
            nn.init.normal_(param, std=0.02 / math.sqrt(2 * layers) if narrow else 0.02)
    return net


def gpt(torch, layers, width, heads, context, batch, vocabulary=65, batches=4):
    """A transformer under AdamW with clipped gradients; weight decay for matrices alone."""
    model = transformer(torch, layers, width, heads, context, vocabulary)
    params = list(model.parameters())
    groups = [{"params": [p for p in params if p.dim() >= 2], "weight_decay": 0.1},
              {"params": [p for p in params if p.dim() < 2], "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.99))
    data = [torch.randint(0, vocabulary, (batch, context + 1)) for _ in range(batches)]
    net = prepared(torch, model)
    while True:
        for text in data:
            logits = net(text[:, :-1])
            loss = torch.nn.functional.cross_entropy(logits.view(-1, vocabulary),
                                                     text[:, 1:].reshape(-1))
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(params, 1.0)
            optimizer.step()
            yield loss.item()


def gpt_flops(layers, width, heads, context, batch, vocabulary=65):
    """Products with weights, and both products of attention below the diagonal."""
    weights = layers * 12 * width**2 + vocabulary * width
    attention = layers * width * context  # two products, half of each
    return 3 * 2 * batch * context * (weights + attention)


SMALL = dict(layers=4, width=128, heads=4, context=64, batch=12)
LARGE = dict(layers=6, width=384, heads=6, context=256, batch=4)

ROWS = [
    *(Row("training", f"nn.{kind} 35×32×256, 1027 characters", recurrent, dict(kind=kind),
          flops=recurrent_flops(gates), wanted=wanted)
      for kind, gates, wanted in (("RNN", 1, 1.5), ("GRU", 3, 2.0), ("LSTM", 4, 2.5))),
    Row("training", "transformer 4×128, 12×64, AdamW", gpt, SMALL, flops=gpt_flops(**SMALL),
        wanted=1.5),
    Row("training", "transformer 6×384, 4×256, AdamW", gpt, LARGE, flops=gpt_flops(**LARGE),
        wanted=1.35, tolerance=3e-3),  # PyTorch is 1.6e-3 from its own float64 at step 20
]
