"""Programs over words, users and graphs: embeddings, negative samples, scattered messages."""

from tests.programs.catalogue import descend, layers, steady


@steady()
def word_vectors(torch):
    """Words predict their neighbours against words drawn at random; gradients are sparse in use."""
    functional = torch.nn.functional
    corpus = torch.randint(0, 15, (60,)).cumsum(0) % 15
    centres, contexts = corpus[:-1], corpus[1:]
    counts = torch.bincount(corpus, minlength=15).float()
    inner, outer = (torch.nn.Embedding(15, 6) for _ in range(2))
    optimizer = torch.optim.Adagrad([*inner.parameters(), *outer.parameters()], lr=0.1)
    while True:
        wrong = torch.multinomial(counts**0.75, 59 * 3, replacement=True).view(59, 3)
        v = inner(centres)
        right = (v * outer(contexts)).sum(1)
        against = torch.bmm(outer(wrong), v.unsqueeze(2)).squeeze(2)
        loss = -(functional.logsigmoid(right) + functional.logsigmoid(-against).sum(1)).mean()
        yield descend(optimizer, loss)


@steady()
def recommendations(torch):
    """Users and things, a bias for each, ratings between one and five."""
    users, things = torch.randint(0, 6, (40,)), torch.randint(0, 8, (40,))
    ratings = torch.randint(1, 6, (40,)).float()
    nn = torch.nn
    table = nn.ModuleDict(
        {
            "user": nn.Embedding(6, 3),
            "thing": nn.Embedding(8, 3),
            "user_bias": nn.Embedding(6, 1),
            "thing_bias": nn.Embedding(8, 1),
        }
    )
    optimizer = torch.optim.SGD(table.parameters(), lr=0.5, weight_decay=1e-3)
    while True:
        dot = (table["user"](users) * table["thing"](things)).sum(1, keepdim=True)
        raw = dot + table["user_bias"](users) + table["thing_bias"](things)
        guess = 1 + 4 * torch.sigmoid(raw.squeeze(1))
        yield descend(optimizer, nn.functional.mse_loss(guess, ratings))


@steady()
def graph_convolutions(torch):
    """Messages along edges are added up where they arrive; the norm is by degrees."""
    nn = torch.nn
    edges = torch.randint(0, 10, (2, 30))
    edges = torch.cat([edges, edges.flip(0), torch.arange(10).repeat(2, 1)], dim=1)
    source, target = edges
    degree = torch.zeros(10).scatter_add_(0, target, torch.ones(target.numel()))
    weight = (degree[source] * degree[target]).rsqrt().unsqueeze(1)
    x = torch.randn(10, 4)
    y = (x.sum(1) > 0).long()
    first, second = nn.Linear(4, 8), nn.Linear(8, 2)
    optimizer = torch.optim.Adam([*first.parameters(), *second.parameters()], lr=0.02)

    def spread(h):
        messages = weight * h[source]
        index = target.unsqueeze(1).expand_as(messages)
        return torch.zeros(10, h.shape[1]).scatter_add(0, index, messages)

    while True:
        h = torch.relu(spread(first(x)))
        scores = spread(second(nn.functional.dropout(h, 0.2)))
        known = slice(0, 6)
        yield descend(optimizer, nn.functional.cross_entropy(scores[known], y[known]))


@steady()
def graph_attention(torch):
    """Edges have weights that sum to one at each node; means and maxima are pooled by graph."""
    source, target = torch.randint(0, 12, (2, 40))
    graph = torch.arange(12) // 4
    x, y = torch.randn(12, 3), torch.tensor([0.5, -1.0, 2.0])
    project, score = torch.nn.Linear(3, 6), torch.nn.Linear(12, 1)
    head = torch.nn.Linear(12, 1)
    modules = torch.nn.ModuleList([project, score, head])
    optimizer = torch.optim.Adam(modules.parameters(), lr=0.02)
    while True:
        h = project(x)
        raw = torch.nn.functional.leaky_relu(
            score(torch.cat([h[source], h[target]], 1)).squeeze(1), 0.2
        )
        highest = torch.full((12,), -1e9).scatter_reduce(0, target, raw, "amax")
        chance = (raw - highest[target]).exp()
        total = torch.zeros(12).index_add(0, target, chance)
        h = torch.zeros(12, 6).index_add(0, target, (chance / total[target])[:, None] * h[source])
        index = graph[:, None].expand(12, 6)
        mean = torch.zeros(3, 6).scatter_reduce(0, index, h, "mean", include_self=False)
        top = torch.zeros(3, 6).scatter_reduce(0, index, h, "amax", include_self=False)
        out = head(torch.cat([mean, top], 1)).squeeze(1)
        yield descend(optimizer, torch.nn.functional.mse_loss(out, y))


@steady()
def contrastive_pairs(torch):
    """Two noisy views of a point find each other among all others in the batch."""
    net = layers(torch, 5, 12, 4, between=torch.nn.ReLU)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01)
    x = torch.randn(8, 5)
    while True:
        views = [x + 0.2 * torch.randn_like(x) for _ in range(2)]
        z = torch.nn.functional.normalize(net(torch.cat(views)), dim=1)
        alike = (z @ z.t() / 0.5).masked_fill(torch.eye(16, dtype=torch.bool), float("-inf"))
        partner = torch.arange(16).roll(8)
        yield descend(optimizer, torch.nn.functional.cross_entropy(alike, partner))


@steady()
def triplets(torch):
    """An anchor, one of its kind, one of another kind, and a margin between the distances."""
    net = layers(torch, 4, 8, 3, between=torch.nn.Tanh)
    optimizer = torch.optim.NAdam(net.parameters(), lr=0.01)
    centres = torch.randn(3, 4)
    criterion = torch.nn.TripletMarginLoss(margin=1.0)
    while True:
        kind = torch.randint(0, 3, (12,))
        other = (kind + torch.randint(1, 3, (12,))) % 3
        anchor, same, different = (
            net(centres[k] + 0.3 * torch.randn(12, 4)) for k in (kind, kind, other)
        )
        yield descend(optimizer, criterion(anchor, same, different))


@steady()
def bags_and_numbers(torch):
    """A wide and deep model: bags of categories of changing length, joined with numbers."""
    nn = torch.nn
    bag, numbers = nn.EmbeddingBag(20, 6, mode="mean"), nn.BatchNorm1d(3)
    deep = layers(torch, 9, 12, 1, between=nn.PReLU)
    wide = nn.EmbeddingBag(20, 1, mode="sum")
    modules = nn.ModuleList([bag, numbers, deep, wide])
    optimizer = torch.optim.Adamax(modules.parameters(), lr=0.02)
    categories, offsets = torch.randint(0, 20, (25,)), torch.tensor([0, 3, 4, 9, 15, 20])
    x, y = torch.randn(6, 3) * 5 + 2, torch.tensor([0.0, 1, 1, 0, 1, 0])
    while True:
        h = torch.cat([bag(categories, offsets), numbers(x)], 1)
        score = (deep(h) + wide(categories, offsets)).squeeze(1)
        yield descend(optimizer, nn.functional.binary_cross_entropy_with_logits(score, y))
