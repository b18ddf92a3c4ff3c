"""Note "Dive into Deep Learning, task 1": minibatches, softmax, sampling for an RNN."""

import random

import pytest

STEPS, BATCH = 6, 2


def data_iter(torch, batch_size, features, labels):
    """Minibatches in a random order; the last one may be short."""
    order = list(range(len(features)))
    random.shuffle(order)
    for i in range(0, len(features), batch_size):
        j = torch.LongTensor(order[i : i + batch_size])
        yield features.index_select(0, j), labels.index_select(0, j)


def test_a_generator_yields_each_example_once_and_a_short_batch_last(torch):
    features = torch.arange(20.0).view(10, 2)
    labels = torch.arange(10)
    batches = list(data_iter(torch, 4, features, labels))
    assert [len(x) for x, _ in batches] == [4, 4, 2]
    assert sorted(torch.cat([y for _, y in batches]).tolist()) == list(range(10))
    for x, y in batches:
        assert torch.equal(x, features[y])


def test_a_generator_is_lazy_where_range_is_no_iterator(torch):
    batches = data_iter(torch, 5, torch.zeros(10, 2), torch.zeros(10))
    assert iter(batches) is batches
    assert type(range(10)) is range and iter(range(10)) is not range(10)
    next(batches), next(batches)
    with pytest.raises(StopIteration):
        next(batches)


def test_index_select_copies(torch):
    features = torch.arange(6.0).view(3, 2)
    picked = features.index_select(0, torch.LongTensor([2, 0]))
    picked.zero_()
    assert features.tolist() == [[0, 1], [2, 3], [4, 5]]


def test_index_select_wants_integers(torch):
    with pytest.raises((RuntimeError, IndexError), match="int"):
        torch.zeros(3, 2).index_select(0, torch.tensor([0.0, 1.0]))


def test_long_tensor_of_a_list_is_int64(torch):
    index = torch.LongTensor([3, 1])
    assert index.dtype is torch.int64 and index.tolist() == [3, 1]
    assert index.type() == "torch.LongTensor"


def test_one_vector_operation_is_the_loop_over_elements(torch):
    a, b = torch.randn(50), torch.randn(50)
    by_element = torch.zeros(50)
    for i in range(50):
        by_element[i] = a[i] + b[i]
    assert torch.equal(a + b, by_element)


def test_linear_regression_is_one_linear_layer(torch):
    random.seed(1)
    features = torch.randn(100, 2)
    labels = features @ torch.tensor([2.0, -3.4]) + 4.2 + 0.01 * torch.randn(100)
    net = torch.nn.Linear(2, 1)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    for _ in range(10):
        for x, y in data_iter(torch, 10, features, labels):
            loss = torch.nn.functional.mse_loss(net(x), y.view(-1, 1))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    assert net.weight.tolist()[0] == pytest.approx([2.0, -3.4], abs=0.02)
    assert net.bias.item() == pytest.approx(4.2, abs=0.02)


def test_the_gradient_of_a_batch_is_the_mean_of_its_examples(torch):
    x, y = torch.randn(8, 3), torch.randn(8)
    w = torch.zeros(3, requires_grad=True)

    def slope(rows):
        (grad,) = torch.autograd.grad(((x[rows] @ w - y[rows]) ** 2).mean(), w)
        return grad

    singles = torch.stack([slope(slice(i, i + 1)) for i in range(8)])
    assert torch.allclose(slope(slice(0, 8)), singles.mean(0), atol=1e-6)
    halves = (slope(slice(0, 4)) + slope(slice(4, 8))) / 2
    assert torch.allclose(slope(slice(0, 8)), halves, atol=1e-6)


def test_a_parameter_keeps_what_is_needed_to_derive(torch):
    w = torch.ones(3, requires_grad=True)
    assert w.is_leaf and w.grad is None
    (w * torch.tensor([1.0, 2.0, 3.0])).sum().backward()
    assert w.grad.tolist() == [1, 2, 3]


def test_softmax_is_a_distribution_and_does_not_overflow(torch):
    scores = torch.tensor([[1.0, 2.0, 3.0], [1000.0, 1001.0, 1002.0], [-1000.0, -999.0, -998.0]])
    chances = torch.softmax(scores, dim=1)
    assert torch.allclose(chances.sum(1), torch.ones(3))
    assert torch.allclose(chances[0], chances[1]) and torch.allclose(chances[0], chances[2])
    by_hand = scores.exp() / scores.exp().sum(1, keepdim=True)
    assert torch.allclose(by_hand[0], chances[0])
    assert by_hand[1].isnan().all() and by_hand[2].isnan().all()


def test_cross_entropy_sees_the_chance_of_the_right_class_only(torch):
    chances = torch.tensor([[0.1, 0.3, 0.6], [0.1, 0.6, 0.3], [0.3, 0.1, 0.6]])
    losses = torch.nn.functional.cross_entropy(
        chances.log(), torch.tensor([2, 1, 2]), reduction="none"
    )
    assert losses.tolist() == pytest.approx([-torch.tensor(0.6).log().item()] * 3, rel=1e-6)


def test_layers_without_activation_are_one_layer(torch):
    first, second = torch.nn.Linear(4, 5), torch.nn.Linear(5, 3)
    x = torch.randn(7, 4)
    weight = second.weight @ first.weight
    bias = second.weight @ first.bias + second.bias
    assert torch.allclose(second(first(x)), x @ weight.t() + bias, atol=1e-6)
    bent = second(torch.relu(first(x)))
    assert not torch.allclose(bent, x @ weight.t() + bias, atol=1e-2)


def consecutive(torch, corpus, batch_size, steps):
    """Batches whose rows go on where the rows of the batch before ended."""
    corpus = torch.tensor(corpus)
    length = len(corpus) // batch_size
    indices = corpus[: batch_size * length].view(batch_size, length)
    for i in range(0, (length - 1) // steps * steps, steps):
        yield indices[:, i : i + steps], indices[:, i + 1 : i + steps + 1]


def scattered(torch, corpus, batch_size, steps):
    """Batches whose rows begin anywhere."""
    starts = [i * steps for i in range((len(corpus) - 1) // steps)]
    random.shuffle(starts)
    for i in range(0, len(starts) // batch_size * batch_size, batch_size):
        chosen = starts[i : i + batch_size]
        yield (
            torch.tensor([corpus[j : j + steps] for j in chosen]),
            torch.tensor([corpus[j + 1 : j + 1 + steps] for j in chosen]),
        )


def test_consecutive_batches_print_as_in_the_note(torch):
    printed = [f"X:  {x} Y: {y}" for x, y in consecutive(torch, list(range(30)), BATCH, STEPS)]
    assert printed == [
        "X:  tensor([[ 0,  1,  2,  3,  4,  5],\n        [15, 16, 17, 18, 19, 20]]) "
        "Y: tensor([[ 1,  2,  3,  4,  5,  6],\n        [16, 17, 18, 19, 20, 21]])",
        "X:  tensor([[ 6,  7,  8,  9, 10, 11],\n        [21, 22, 23, 24, 25, 26]]) "
        "Y: tensor([[ 7,  8,  9, 10, 11, 12],\n        [22, 23, 24, 25, 26, 27]])",
    ]


def test_scattered_batches_hold_runs_of_the_corpus(torch):
    batches = list(scattered(torch, list(range(30)), BATCH, STEPS))
    assert len(batches) == 2
    for x, y in batches:
        assert torch.equal(x + 1, y)
        assert torch.equal(x[:, 1:] - x[:, :-1], torch.ones(BATCH, STEPS - 1, dtype=torch.long))


class Recurrent:
    """A recurrent network by hand over a tiny vocabulary, with its training loop."""

    def __init__(self, torch, hidden=8, vocabulary=30):
        self.torch, self.hidden, self.vocabulary = torch, hidden, vocabulary
        self.w_x = (torch.randn(vocabulary, hidden) * 0.3).requires_grad_()
        self.w_h = (torch.randn(hidden, hidden) * 0.3).requires_grad_()
        self.w_o = (torch.randn(hidden, vocabulary) * 0.3).requires_grad_()
        self.params = [self.w_x, self.w_h, self.w_o]

    def begin(self):
        return (self.torch.zeros(BATCH, self.hidden),)

    def loss(self, x, y, state):
        (h,) = state
        outputs = []
        for column in x.t():
            h = self.torch.tanh(self.w_x[column] + h @ self.w_h)
            outputs.append(h @ self.w_o)
        scores = self.torch.cat(outputs)
        return self.torch.nn.functional.cross_entropy(scores, y.t().reshape(-1)), (h,)

    def epoch(self, is_random_iter, detach=True):
        """One pass over the corpus; its mean loss."""
        state, total, count = self.begin(), 0.0, 0
        batches = scattered if is_random_iter else consecutive
        for x, y in batches(self.torch, list(range(30)), BATCH, STEPS):
            if is_random_iter:
                state = self.begin()
            elif detach:
                for s in state:
                    s.detach_()
            loss, state = self.loss(x, y, state)
            loss.backward()
            with self.torch.no_grad():
                for param in self.params:
                    param -= 0.5 * param.grad
                    param.grad.zero_()
            total, count = total + loss.item(), count + 1
        return total / count


@pytest.mark.parametrize("is_random_iter", [False, True], ids=["consecutive", "scattered"])
def test_both_ways_of_sampling_learn(torch, is_random_iter):
    random.seed(2)
    net = Recurrent(torch)
    first = net.epoch(is_random_iter)
    for _ in range(15):
        last = net.epoch(is_random_iter)
    assert last < 0.8 * first


def test_without_detach_the_second_batch_goes_back_into_the_first(torch):
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        Recurrent(torch).epoch(is_random_iter=False, detach=False)


def test_detach_in_place_cuts_the_history(torch):
    w = torch.ones(2, requires_grad=True)
    state = (w * 3).tanh()
    value = state.tolist()
    assert state.grad_fn is not None and not state.is_leaf
    assert state.detach_() is state
    assert state.grad_fn is None and state.is_leaf and not state.requires_grad
    assert state.tolist() == value
    loss = (state * w).sum()
    loss.backward()
    assert w.grad.tolist() == value  # nothing came through the state


def test_detach_in_place_of_a_leaf_ends_its_gradient(torch):
    w = torch.ones(2, requires_grad=True)
    w.detach_()
    assert w.is_leaf and not w.requires_grad
    with pytest.raises(RuntimeError, match="does not require grad"):
        w.sum().backward()


def test_what_was_computed_before_keeps_its_history(torch):
    w = torch.ones(2, requires_grad=True)
    state = w * 3
    later = state * 2
    state.detach_()
    later.sum().backward()
    assert w.grad.tolist() == [6, 6]


def test_detach_is_a_second_tensor_on_the_same_memory(torch):
    w = torch.ones(2, requires_grad=True)
    state = w * 3
    cut = state.detach()
    assert cut is not state and state.grad_fn is not None and not cut.requires_grad
    assert cut.data_ptr() == state.data_ptr()
    cut[0] = 7
    assert state.tolist() == [7, 3]


def test_views_cannot_be_detached_in_place(torch):
    state = torch.ones(2, 2, requires_grad=True) * 2
    with pytest.raises(RuntimeError, match="Can't detach views in-place. Use detach\\(\\) instead"):
        state[0].detach_()
