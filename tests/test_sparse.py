"""Sparse tensors beside PyTorch's: what they are, how they look, and gradients that are sparse."""

from __future__ import annotations

import copy

import pytest

import flambeau
from tests.beside import oracle

pytestmark = pytest.mark.filterwarnings("ignore:Sparse invariant checks")
PLACES, VALUES = [[0, 1, 1], [2, 0, 2]], [3.0, 4.0, 5.0]


def parts(x):
    """All that a sparse tensor is, in Python's words; dense ones as lists."""
    if hasattr(x, "is_sparse") and x.is_sparse:
        return (x._indices().tolist(), x._values().tolist(), tuple(x.shape), str(x.dtype),
                x.is_coalesced(), x.sparse_dim(), x.dense_dim(), x._nnz(), x.is_sparse,
                str(x.layout), x.dim(), x.numel())  # fmt: skip
    if isinstance(x, (tuple, list)):
        return [parts(y) for y in x]
    return x.tolist() if hasattr(x, "tolist") else x


def told(torch, line):
    """What a line gives, or the class and the first words of what it raises."""
    s = torch.sparse_coo_tensor(torch.tensor(PLACES), torch.tensor(VALUES), (2, 4))
    names = {"torch": torch, "s": s, "c": s.coalesce(), "I": PLACES, "V": VALUES,
             "w": torch.sparse_coo_tensor([[2, 0, 2]], [[1.0, 2], [3, 4], [5, 6]], (3, 2)),
             "d": torch.arange(8.0).view(2, 4), "copy": copy}  # fmt: skip
    try:
        found = eval(line, names)
    except Exception as error:
        return type(error).__name__, str(error).splitlines()[0][:60]
    return found if isinstance(found, str) else parts(found)


LINES = """
s
c
w
w.coalesce()
w.coalesce().indices(), w.coalesce().values()
w.to_dense()
w.to_dense(torch.float64)
s.indices()
s.values()
repr(s)
repr(w.double())
repr(torch.sparse_coo_tensor(I, [1, 2, 3]))
repr(torch.sparse_coo_tensor((2, 3)))
repr(torch.sparse_coo_tensor(torch.arange(60).view(2, 30), torch.arange(30.0)))
repr(torch.sparse_coo_tensor(I, torch.ones(3, requires_grad=True)))
torch.sparse_coo_tensor(I, V)
torch.sparse_coo_tensor(I, V, (2, 4), is_coalesced=True)
torch.sparse_coo_tensor(I, V, dtype=torch.float64)
torch.sparse_coo_tensor([[1]], [1.0], (3,))
torch.sparse_coo_tensor(size=(2, 3))
torch.sparse_coo_tensor([[0]], [1.0], (3, 3))
torch.sparse_coo_tensor([[0, 1]], [1.0], (3,))
torch.sparse_coo_tensor([0, 1], [1.0, 2], (3,))
torch.sparse_coo_tensor([[-1]], [1.0])
torch.sparse_coo_tensor([[5]], [1.0], (3,), check_invariants=True)
torch.sparse_coo_tensor([[-2]], [1.0], (3,), check_invariants=True)
s * 2, 2 * s, s / 2, -s, s.mul(3)
c + c
w.coalesce() - w.coalesce() * 3
(s + torch.sparse_coo_tensor([[0], [0]], [9.0], (2, 4))).to_dense()
s + d
s + 1
d + s
s @ d.t(), s @ d[0], d[:, :2] @ s
torch.sparse.mm(s, d.t())
s.t().to_dense()
s.clone(), s.detach(), copy.deepcopy(s)
s.clone().zero_()
s.clone().mul_(2)
s.double()
s.to(torch.float64).dtype == torch.float64
s.stride(), s.is_contiguous(), len(s)
s.requires_grad, s.is_leaf, s.grad_fn
s.type()
s.numpy()
s.untyped_storage()
d.to_sparse()
d.to_sparse(1)
d.to_sparse_coo().is_coalesced()
d.to_sparse(3)
s.to_sparse() is s
d.sparse_mask(c)
d.is_sparse, d.to_dense() is d
d.coalesce()
""".strip().splitlines()


@pytest.mark.parametrize("line", LINES)
def test_beside_pytorch(line):
    assert told(flambeau, line) == told(oracle, line)


@pytest.mark.parametrize("line", [
    "s.sum()", "s.exp()", "torch.add(s, s)", "s.view(-1) + 1", "s[0, 0].item()", "d.mul_(s)",
    "s.tolist()", "s == s", "s.norm()", "torch.cat([s, s])",
])  # fmt: skip
def test_what_is_not_supported_says_so(line):
    """The dense names of a sparse tensor never give wrong values."""
    name, words = told(flambeau, line)
    assert name == "NotImplementedError"
    assert "sparse" in words


def test_gradients_reach_the_values():
    def story(torch):
        v = torch.tensor(VALUES, requires_grad=True)
        s = torch.sparse_coo_tensor(torch.tensor(PLACES), v, (2, 4))
        dense = (s.coalesce().to_dense() * torch.arange(8.0).view(2, 4)).sum()
        (dense + (s @ torch.ones(4, 2)).sum()).backward()
        return v.grad.tolist()

    assert story(flambeau) == story(oracle)


# ------------------------------------------------------------------ embeddings


def looked_up(torch, index, **options):
    w = torch.arange(12.0).view(4, 3).requires_grad_()
    y = torch.nn.functional.embedding(torch.tensor(index), w, sparse=True, **options)
    (y * torch.arange(y.numel()).view(y.shape)).sum().backward()
    return parts(w.grad)


@pytest.mark.parametrize("index", [[[1, 2], [1, 0]], [2], [1]])
@pytest.mark.parametrize("options", [{}, {"padding_idx": 1}, {"max_norm": 1.0}], ids=str)
def test_embedding(index, options):
    for _ in range(3):
        assert looked_up(flambeau, index, **options) == looked_up(oracle, index, **options)
    assert looked_up(flambeau, 2) == looked_up(oracle, 2)


def test_embedding_refuses_scaling():
    for torch in (oracle, flambeau):
        with pytest.raises(RuntimeError, match="scale_grad_by_freq not supported with sparse"):
            looked_up(torch, [1], scale_grad_by_freq=True)


@pytest.mark.parametrize("options", [
    {}, {"mode": "sum"}, {"padding_idx": 1}, {"mode": "max"},
    {"mode": "sum", "per_sample_weights": [1.0, 2, 3, 4]}, {"offsets": [0, 0, 2]},
    {"index": [[0, 1], [1, 3]], "offsets": None},
], ids=str)  # fmt: skip
def test_embedding_bag(options):
    def story(torch):
        given = {"index": [0, 1, 1, 3], "offsets": [0, 2]} | options
        index, offsets = torch.tensor(given.pop("index")), given.pop("offsets")
        if "per_sample_weights" in given:
            given["per_sample_weights"] = torch.tensor(given["per_sample_weights"])
        w = torch.arange(12.0).view(4, 3).requires_grad_()
        try:
            y = torch.nn.functional.embedding_bag(
                index, w, None if offsets is None else torch.tensor(offsets), sparse=True, **given)
        except ValueError as error:
            return str(error)
        (y * torch.arange(1.0, y.numel() + 1).view(y.shape)).sum().backward()
        return parts(w.grad)

    assert story(flambeau) == story(oracle)


@pytest.mark.parametrize("order", ["ss", "sd", "ds", "sds", "+", "zss"])
def test_gradients_gather(order):
    """Sparse with sparse, sparse with dense, over several walks and within one."""
    def story(torch):
        w = torch.arange(12.0).view(4, 3).requires_grad_()
        embedding = torch.nn.functional.embedding
        one, other = torch.tensor([1, 2]), torch.tensor([0, 2])
        seen = []
        if order == "+":
            both = embedding(one, w, sparse=True).sum() + embedding(other, w, sparse=True).sum()
            (both + (w * 2).sum()).backward()
        for letter in order.strip("+"):
            if letter == "z":
                embedding(one, w, sparse=True).sum().backward()
                torch.optim.SGD([w], lr=0.1).zero_grad(set_to_none=False)
                seen.append(w.grad._nnz())
                continue
            loss = embedding(one, w, sparse=True) if letter == "s" else w * 2
            before = w.grad
            loss.sum().backward()
            seen.append(before is w.grad)
        return w.grad.is_sparse, w.grad.to_dense().tolist(), seen

    for _ in range(3):
        assert story(flambeau) == story(oracle)


def test_autograd_grad_and_second_derivatives():
    def story(torch):
        w = torch.arange(12.0).view(4, 3).requires_grad_()
        loss = torch.nn.functional.embedding(torch.tensor([1, 2, 1]), w, sparse=True).pow(3).sum()
        (g,) = torch.autograd.grad(loss, w, create_graph=True)
        return parts(g), g.requires_grad

    assert story(flambeau) == story(oracle)


# ------------------------------------------------------------------ optimizers

STEPS = [("SGD", {}), ("SGD", {"momentum": 0.9}), ("SGD", {"momentum": 0.9, "nesterov": True}),
         ("SGD", {"momentum": 0.9, "dampening": 0.5, "maximize": True}), ("Adagrad", {}),
         ("Adagrad", {"maximize": True, "lr_decay": 0.1}), ("SparseAdam", {}),
         ("SparseAdam", {"betas": (0.5, 0.7), "maximize": True}), ("SGD", {"weight_decay": 0.1}),
         ("SGD", {"fused": True}), ("Adagrad", {"weight_decay": 0.1}), ("Adam", {}), ("AdamW", {}),
         ("RMSprop", {}), ("Adadelta", {}), ("Adamax", {}), ("ASGD", {}), ("NAdam", {}),
         ("RAdam", {}), ("Rprop", {}), ("Adafactor", {}), ("Muon", {})]  # fmt: skip


@pytest.mark.parametrize(("name", "options"), STEPS, ids=str)
def test_optimizers(name, options):
    def story(torch):
        table = torch.nn.Embedding(4, 3, sparse=True)
        with torch.no_grad():
            table.weight.copy_(torch.arange(12.0).view(4, 3) / 10)
        optimizer = getattr(torch.optim, name)(table.parameters(), lr=0.1, **options)
        losses = []
        for index in ([1, 2, 1], [0, 1, 1], [2, 2, 2], [1, 3, 0]):
            optimizer.zero_grad()
            loss = table(torch.tensor(index)).pow(2).sum()
            loss.backward()
            try:
                optimizer.step()
            except RuntimeError as error:
                return str(error)
            losses.append(loss.item())
        return losses + table.weight.flatten().tolist()

    found, expected = story(flambeau), story(oracle)
    assert found == (expected if isinstance(expected, str) else pytest.approx(expected, rel=1e-4))


def test_dense_and_sparse_parameters_side_by_side():
    def story(torch):
        table = torch.nn.Embedding(4, 3, sparse=True)
        layer = torch.nn.Linear(3, 1)
        with torch.no_grad():
            for param in (*table.parameters(), *layer.parameters()):
                param.copy_(torch.arange(1.0, param.numel() + 1).view(param.shape) / 10)
        optimizer = torch.optim.SGD([*table.parameters(), *layer.parameters()], 0.1, momentum=0.5)
        for index in ([1, 2], [0, 2], [1, 1]):
            optimizer.zero_grad()
            layer(table(torch.tensor(index))).pow(2).mean().backward()
            optimizer.step()
        return [*table.weight.flatten().tolist(), *layer.weight.flatten().tolist()]

    assert story(flambeau) == pytest.approx(story(oracle), rel=1e-4)


def test_sparse_adam_refuses():
    for torch in (oracle, flambeau):
        w = torch.ones(3, requires_grad=True)
        w.grad = torch.ones(3)
        with pytest.raises(RuntimeError, match="does not support dense gradients"):
            torch.optim.SparseAdam([w]).step()
        with pytest.raises(ValueError, match=r"Sparse params at indices \[\[0, 0\]\]"):
            torch.optim.SparseAdam([torch.sparse_coo_tensor([[0]], [1.0], (3,))])


def test_lbfgs_takes_sparse_gradients():
    def story(torch):
        w = torch.arange(12.0).view(4, 3).div(10).requires_grad_()
        optimizer = torch.optim.LBFGS([w], lr=0.1, max_iter=3)

        def closure():
            optimizer.zero_grad()
            loss = torch.nn.functional.embedding(torch.tensor([1, 2]), w, sparse=True).pow(2).sum()
            loss.backward()
            return loss

        optimizer.step(closure)
        return w.flatten().tolist()

    assert story(flambeau) == pytest.approx(story(oracle), rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("index", [9, -1])
def test_indices_outside_are_refused_where_they_are_used(index):
    wrong = flambeau.sparse_coo_tensor([[0, index]], [1.0, 2.0], (3,))
    with pytest.raises(RuntimeError, match=f"for dim 0, size is 3 but found index {index}"):
        wrong.coalesce()
