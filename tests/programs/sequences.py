"""Programs over sequences: recurrent layers, cells, packed batches, attention."""

from tests.programs.catalogue import descend, program, steady

VOCABULARY = 9


def walks(torch, batch, length):
    """Sequences of words in which each word says a little about the next."""
    steps = torch.randint(1, 3, (batch, length + 1))
    words = steps.cumsum(1) % VOCABULARY
    return words[:, :-1], words[:, 1:]


def language_model(torch, layer, **options):
    """Embedding, recurrent layer, linear layer: scores for the next word, and the state."""
    nn = torch.nn

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(VOCABULARY, 6)
            self.recurrent = layer(6, 8, batch_first=True, **options)
            self.head = nn.Linear(8, VOCABULARY)

        def forward(self, words, state=None):
            h, state = self.recurrent(self.embedding(words), state)
            return self.head(h), state

    return Model()


def next_word_loss(torch, scores, words):
    return torch.nn.functional.cross_entropy(scores.flatten(0, 1), words.flatten())


@steady()
def recurrence_from_scratch(torch):
    """One-hot words, weights by hand, gradients clipped by hand."""
    functional = torch.nn.functional
    w_x, w_h, w_o = (torch.randn(n, m) * 0.3 for n, m in [(VOCABULARY, 8), (8, 8), (8, VOCABULARY)])
    b_h, b_o = torch.zeros(8), torch.zeros(VOCABULARY)
    params = [w.requires_grad_() for w in (w_x, w_h, b_h, w_o, b_o)]
    words, following = walks(torch, 4, 5)
    while True:
        h, outputs = torch.zeros(4, 8), []
        for x in functional.one_hot(words.t(), VOCABULARY).float():
            h = torch.tanh(x @ w_x + h @ w_h + b_h)
            outputs.append(h @ w_o + b_o)
        loss = next_word_loss(torch, torch.stack(outputs, 1), following)
        grads = torch.autograd.grad(loss, params)
        norm = sum((g**2).sum() for g in grads).sqrt()
        with torch.no_grad():
            for param, grad in zip(params, grads):
                param -= grad * torch.clamp(1.0 / (norm + 1e-6), max=1.0)
        yield loss.exp().item()


@steady()
def elman_language_model(torch):
    """nn.RNN, two layers of relu, dropout between them."""
    model = language_model(torch, torch.nn.RNN, num_layers=2, nonlinearity="relu", dropout=0.2)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    words, following = walks(torch, 4, 6)
    while True:
        scores, _ = model(words)
        yield descend(optimizer, next_word_loss(torch, scores, following))


@steady(period=3)
def lstm_language_model(torch):
    """The state goes from window to window, detached; then some words are sampled greedily."""
    model = language_model(torch, torch.nn.LSTM)
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    words, following = walks(torch, 3, 10)
    while True:
        state = (torch.zeros(1, 3, 8), torch.zeros(1, 3, 8))
        model.train()
        for window in (slice(0, 5), slice(5, 10)):
            state = tuple(s.detach() for s in state)
            scores, state = model(words[:, window], state)
            loss = next_word_loss(torch, scores, following[:, window])
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 0.5)
            optimizer.step()
            yield loss.item()
        model.eval()
        with torch.no_grad():
            word, state, chance = words[:1, :1], None, torch.zeros(())
            for _ in range(4):
                scores, state = model(word, state)
                best, word = scores.log_softmax(-1)[:, -1].max(-1, keepdim=True)
                chance = chance + best.sum()
        yield chance.item()


@steady()
def gru_classifier(torch):
    """Both directions; the last state of each goes into the scores."""
    nn = torch.nn
    words, _ = walks(torch, 8, 6)
    y = (words.sum(1) > words.sum(1).float().median()).long()
    embedding, head = nn.Embedding(VOCABULARY, 5, padding_idx=0), nn.Linear(12, 2)
    gru = nn.GRU(5, 6, bidirectional=True)
    modules = nn.ModuleList([embedding, gru, head])
    optimizer = torch.optim.AdamW(modules.parameters(), lr=0.02)
    while True:
        _, last = gru(embedding(words.t()))
        loss = nn.functional.cross_entropy(head(torch.cat([last[0], last[1]], 1)), y)
        yield descend(optimizer, loss)


@steady()
def packed_sequences(torch):
    """Sequences of different lengths, padded, packed, and padded again."""
    nn = torch.nn
    lengths = [3, 6, 1, 4]
    parts = [torch.randn(n, 3) for n in lengths]
    targets = nn.utils.rnn.pad_sequence([part.cumsum(0) for part in parts], batch_first=True)
    lstm, head = nn.LSTM(3, 5, batch_first=True), nn.Linear(5, 3)
    optimizer = torch.optim.Adam([*lstm.parameters(), *head.parameters()], lr=0.02)
    padded = nn.utils.rnn.pad_sequence(parts, batch_first=True)
    mask = (torch.arange(6) < torch.tensor(lengths)[:, None]).unsqueeze(2)
    while True:
        packed = nn.utils.rnn.pack_padded_sequence(
            padded, torch.tensor(lengths), batch_first=True, enforce_sorted=False
        )
        out, (last, _) = lstm(packed)
        out, seen = nn.utils.rnn.pad_packed_sequence(out, batch_first=True)
        assert seen.tolist() == lengths
        error = ((head(out) - targets) ** 2 * mask).sum() / mask.sum()
        yield descend(optimizer, error + 0.01 * last.pow(2).mean())


@steady()
def translation_with_attention(torch):
    """An encoder, and a decoder of cells that looks at all its states; the words come reversed."""
    nn, functional = torch.nn, torch.nn.functional

    class Translator(nn.Module):
        def __init__(self):
            super().__init__()
            self.words = nn.Embedding(VOCABULARY + 1, 6)
            self.encoder = nn.GRU(6, 8, batch_first=True)
            self.cell = nn.GRUCell(6 + 8, 8)
            self.query, self.key = nn.Linear(8, 8, bias=False), nn.Linear(8, 8, bias=False)
            self.score = nn.Linear(8, 1, bias=False)
            self.head = nn.Linear(8, VOCABULARY)

        def forward(self, source, target, padding):
            states, last = self.encoder(self.words(source))
            h, outputs = last[0], []
            for word in target.unbind(1):
                weights = self.score(torch.tanh(self.query(h).unsqueeze(1) + self.key(states)))
                weights = weights.masked_fill(padding.unsqueeze(2), float("-inf")).softmax(1)
                context = torch.bmm(weights.transpose(1, 2), states).squeeze(1)
                h = self.cell(torch.cat([self.words(word), context], 1), h)
                outputs.append(self.head(h))
            return torch.stack(outputs, 1)

    source, _ = walks(torch, 4, 5)
    padding = torch.arange(5) >= torch.tensor([5, 3, 4, 5])[:, None]
    wanted = source.flip(1)
    begun = torch.cat([torch.full((4, 1), VOCABULARY), wanted[:, :-1]], 1)
    model = Translator()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    while True:
        scores = model(source, begun, padding)
        loss = functional.cross_entropy(
            scores.transpose(1, 2), wanted.masked_fill(padding, -100), ignore_index=-100
        )
        yield descend(optimizer, loss)


@steady()
def lstm_cells_that_forecast(torch):
    """Cells stacked by hand go on by themselves, fed with their own outputs."""
    nn = torch.nn
    series = torch.sin(torch.arange(4.0).view(4, 1) + 0.5 * torch.arange(12.0))
    cells, head = nn.ModuleList([nn.LSTMCell(1, 6), nn.LSTMCell(6, 6)]), nn.Linear(6, 1)
    optimizer = torch.optim.Adam([*cells.parameters(), *head.parameters()], lr=0.02)
    while True:
        states, output, outputs = [None, None], None, []
        for t in range(11):
            x = series[:, t : t + 1] if t < 7 else output
            for i, cell in enumerate(cells):
                states[i] = cell(x, states[i])
                x = states[i][0]
            output = head(x)
            outputs.append(output)
        loss = nn.functional.smooth_l1_loss(torch.cat(outputs, 1), series[:, 1:], beta=0.5)
        yield descend(optimizer, loss)


@steady()
def alignment_free_labels(torch):
    """Connectionist temporal classification: labels without places."""
    nn = torch.nn
    labels = torch.tensor([[1, 2, 3], [2, 2, 0]])
    lengths = torch.tensor([3, 2])
    x = torch.randn(8, 2, 4)
    rnn, head = nn.RNN(4, 8), nn.Linear(8, 4)
    optimizer = torch.optim.Adam([*rnn.parameters(), *head.parameters()], lr=0.02)
    criterion = nn.CTCLoss(blank=0)
    while True:
        log_chances = head(rnn(x)[0]).log_softmax(2)
        yield descend(optimizer, criterion(log_chances, labels, torch.tensor([8, 7]), lengths))


@program
def lengths_that_change(torch):
    """Every batch has sequences of another length."""
    model = language_model(torch, torch.nn.GRU)
    optimizer = torch.optim.RAdam(model.parameters(), lr=0.02)  # whose rule changes at step six
    for length in [3, 5, 4, 3, 6, 5, 4, 3]:
        words, following = walks(torch, 2, length)
        scores, _ = model(words)
        yield descend(optimizer, next_word_loss(torch, scores, following))
