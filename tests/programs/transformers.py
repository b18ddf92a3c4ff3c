"""Programs with attention: encoders, decoders, both, over words and over pieces of images."""

import math

from tests.programs.catalogue import descend, images, steady
from tests.programs.sequences import VOCABULARY, next_word_loss, walks


@steady()
def transformer_encoder(torch):
    """nn.TransformerEncoder over padded sentences, with sines for places, pooled by a mean."""
    nn = torch.nn

    class Classifier(nn.Module):
        def __init__(self, width=8, length=6):
            super().__init__()
            self.embedding = nn.Embedding(VOCABULARY, width)
            place = torch.arange(length).unsqueeze(1)
            rate = torch.exp(torch.arange(0, width, 2) * (-math.log(10000.0) / width))
            places = torch.zeros(length, width)
            places[:, 0::2], places[:, 1::2] = torch.sin(place * rate), torch.cos(place * rate)
            self.register_buffer("places", places)
            layer = nn.TransformerEncoderLayer(width, 2, 16, dropout=0.1, batch_first=True)
            self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
            self.head = nn.Linear(width, 2)

        def forward(self, words, padding):
            h = self.embedding(words) * math.sqrt(self.places.shape[1]) + self.places
            h = self.encoder(h, src_key_padding_mask=padding)
            kept = (~padding).unsqueeze(2)
            return self.head((h * kept).sum(1) / kept.sum(1))

    words, _ = walks(torch, 6, 6)
    padding = torch.arange(6) >= torch.tensor([6, 4, 5, 6, 3, 6])[:, None]
    y = (words[:, 0] > 3).long()
    model = Classifier()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    while True:
        yield descend(optimizer, nn.functional.cross_entropy(model(words, padding), y))


def decoder(torch, width=8, heads=2, length=6):
    """A small decoder: blocks with norm first, and word embeddings shared with the head."""
    nn, functional = torch.nn, torch.nn.functional

    class Attention(nn.Module):
        def __init__(self):
            super().__init__()
            self.c_attn, self.c_proj = nn.Linear(width, 3 * width), nn.Linear(width, width)

        def forward(self, x):
            n, t, c = x.size()
            q, k, v = self.c_attn(x).split(c, dim=2)
            q, k, v = (z.view(n, t, heads, c // heads).transpose(1, 2) for z in (q, k, v))
            y = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
            return self.c_proj(y.transpose(1, 2).contiguous().view(n, t, c))

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
            self.attn = Attention()
            self.mlp = nn.Sequential(
                nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
            )

        def forward(self, x):
            x = x + self.attn(self.ln_1(x))
            return x + self.mlp(self.ln_2(x))

    class Decoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.transformer = nn.ModuleDict(
                dict(
                    wte=nn.Embedding(VOCABULARY, width),
                    wpe=nn.Embedding(length, width),
                    h=nn.ModuleList([Block() for _ in range(2)]),
                    ln_f=nn.LayerNorm(width),
                )
            )
            self.lm_head = nn.Linear(width, VOCABULARY, bias=False)
            self.transformer.wte.weight = self.lm_head.weight
            self.apply(self.draw)

        @staticmethod
        def draw(module):
            if isinstance(module, (nn.Linear, nn.Embedding)):
                nn.init.normal_(module.weight, mean=0.0, std=0.2)
            if isinstance(module, nn.Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)

        def forward(self, words):
            x = self.transformer.wte(words) + self.transformer.wpe(torch.arange(words.size(1)))
            for block in self.transformer.h:
                x = block(x)
            return self.lm_head(self.transformer.ln_f(x))

    return Decoder()


@steady(period=2)
def small_gpt(torch):
    """Decay for matrices only, clipped gradients, a cosine after a warm-up; words are drawn."""
    model = decoder(torch)
    named = {name: p for name, p in model.named_parameters() if p.requires_grad}
    groups = [
        {"params": [p for p in named.values() if p.dim() >= 2], "weight_decay": 0.1},
        {"params": [p for p in named.values() if p.dim() < 2], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=1e-2, betas=(0.9, 0.95))
    words, following = walks(torch, 4, 6)
    step = 0
    while True:
        lr = 1e-2 * min((step + 1) / 3, 0.55 + 0.45 * math.cos(math.pi * step / 20))
        for group in optimizer.param_groups:
            group["lr"] = lr
        loss = next_word_loss(torch, model(words), following)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        step += 1
        yield loss.item()
        yield float(sampled(torch, model, words[:1, :2]))


def sampled(torch, model, words, temperature=0.8, top_k=4):
    """Three more words, drawn among the likeliest; their sum."""
    model.eval()
    with torch.no_grad():
        for _ in range(3):
            scores = model(words)[:, -1, :] / temperature
            kept, _ = torch.topk(scores, top_k)
            scores[scores < kept[:, [-1]]] = -float("inf")
            drawn = torch.multinomial(torch.softmax(scores, -1), num_samples=1)
            words = torch.cat((words, drawn), dim=1)
    model.train()
    return words.sum().item()


@steady()
def whole_transformer(torch):
    """nn.Transformer with a causal mask copies its source, one place late."""
    nn = torch.nn
    embedding, head = nn.Embedding(VOCABULARY, 8), nn.Linear(8, VOCABULARY)
    model = nn.Transformer(8, 2, 1, 1, 16, dropout=0.0, batch_first=True)
    optimizer = torch.optim.Adam(
        [*embedding.parameters(), *model.parameters(), *head.parameters()], lr=5e-3
    )
    words, _ = walks(torch, 3, 5)
    begun = torch.cat([torch.zeros(3, 1, dtype=torch.long), words[:, :-1]], 1)
    mask = nn.Transformer.generate_square_subsequent_mask(5)
    while True:
        h = model(embedding(words), embedding(begun), tgt_mask=mask, tgt_is_causal=True)
        yield descend(optimizer, next_word_loss(torch, head(h), words))


@steady()
def image_in_patches(torch):
    """A vision transformer: patches by a strided convolution, a class token, learned places."""
    nn = torch.nn

    class Vision(nn.Module):
        def __init__(self, width=8):
            super().__init__()
            self.patches = nn.Conv2d(3, width, 4, stride=4)
            self.token = nn.Parameter(torch.zeros(1, 1, width))
            self.places = nn.Parameter(torch.randn(1, 5, width) * 0.02)
            self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
            self.attention = nn.MultiheadAttention(width, 2, batch_first=True)
            self.mlp = nn.Sequential(
                nn.Linear(width, 16), nn.GELU(approximate="tanh"), nn.Linear(16, width)
            )
            self.head = nn.Linear(width, 4)

        def forward(self, x):
            x = self.patches(x).flatten(2).transpose(1, 2)
            x = torch.cat([self.token.expand(len(x), -1, -1), x], 1) + self.places
            h = self.norm1(x)
            mixed, weights = self.attention(h, h, h)
            x = x + mixed
            return self.head((x + self.mlp(self.norm2(x)))[:, 0]), weights

    x, y = images(torch, channels=3)
    model = Vision()
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3, weight_decay=0.05)
    while True:
        scores, weights = model(x)
        looked = -(weights * weights.clamp(min=1e-9).log()).sum(-1).mean()  # attention's entropy
        loss = torch.nn.functional.cross_entropy(scores, y) + 0.01 * looked
        yield descend(optimizer, loss)


@steady()
def rotary_decoder(torch):
    """Places by rotation of complex pairs, root-mean-square norms, gated units, grouped heads."""
    nn, functional = torch.nn, torch.nn.functional
    width, heads, size, length = 8, 4, 2, 5
    rates = 1.0 / (100.0 ** (torch.arange(0, size, 2).float() / size))
    turns = torch.polar(torch.ones(length, 1), torch.outer(torch.arange(length).float(), rates))

    def rotate(x):
        pairs = torch.view_as_complex(x.float().reshape(*x.shape[:-1], -1, 2))
        return torch.view_as_real(pairs * turns[:, None, :]).flatten(3)

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm1, self.norm2 = nn.RMSNorm(width), nn.RMSNorm(width)
            self.wq, self.wo = (nn.Linear(width, width, bias=False) for _ in range(2))
            self.wk, self.wv = (nn.Linear(width, width // 2, bias=False) for _ in range(2))
            self.w1, self.w3 = (nn.Linear(width, 16, bias=False) for _ in range(2))
            self.w2 = nn.Linear(16, width, bias=False)

        def forward(self, x):
            h = self.norm1(x)
            q = rotate(self.wq(h).view(*x.shape[:2], heads, size))
            k = rotate(self.wk(h).view(*x.shape[:2], heads // 2, size))
            v = self.wv(h).view(*x.shape[:2], heads // 2, size)
            k, v = (z.repeat_interleave(2, dim=2) for z in (k, v))
            q, k, v = (z.transpose(1, 2) for z in (q, k, v))
            scores = q @ k.transpose(2, 3) / math.sqrt(size)
            scores = scores + torch.full((length, length), float("-inf")).triu(1)
            mixed = (scores.softmax(-1) @ v).transpose(1, 2).flatten(2)
            x = x + self.wo(mixed)
            h = self.norm2(x)
            return x + self.w2(functional.silu(self.w1(h)) * self.w3(h))

    model = nn.Sequential(
        nn.Embedding(VOCABULARY, width),
        Block(),
        nn.RMSNorm(width),
        nn.Linear(width, VOCABULARY, bias=False),
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    words, following = walks(torch, 3, length)
    while True:
        yield descend(optimizer, next_word_loss(torch, model(words), following))
