"""x[...] and x[...] = y in every form, and gather, scatter and their kin, beside PyTorch."""

from __future__ import annotations

import pytest

import flambeau
from tests.beside import same

X = "x = torch.arange(24.).view(2, 3, 4)"
I = "i = torch.tensor([1, 0, 1]); j = torch.tensor([[0, 2], [3, 1]]); m = x > 7"  # noqa: E741

READS = """
x[i]
x[:, i]
x[..., j]
x[i, i]
x[i, :, i]
x[:, i, i]
x[0, i]
x[0, :, j]
x[i, 1]
x[i, 0, 2:]
x[None, i]
x[i, None]
x[[0, 1]]
x[[0, 1], [1, 2]]
x[[[0, 1], [1, 0]]]
x[(0, 1)]
x[torch.tensor(1)]
x[:, torch.tensor(-1)]
x[torch.tensor([-1, 0])]
x[m]
x[m[0, 0]] if False else x[:, :, m[0, 0]]
x[:, m[0]]
x[x[:, 0, 0] > 5]
x[x[:, 0, 0] > 5, 1:]
x[m].sum()
x[True]
x[False]
x[True, 0]
x[torch.tensor(True)]
x[None, True]
x[i.int()]
x[torch.tensor([], dtype=torch.long)]
x[[]]
x[np.array([1, 0])]
x[np.int64(1)]
x[np.array([True, False])]
x[range(2)]
x[i, ..., j[0, 0]]
x[j % 2]
x[j % 2, i[:2]]
x[1:, i]
x[0][m[0]]
x.index_select(1, i)
x[0, 0].index_select(0, i)
torch.tensor(5.).index_select(0, torch.tensor([0]))
x.gather(0, i[:1].view(1, 1, 1))
x.gather(2, j.view(1, 2, 2))
torch.gather(x, -1, torch.zeros(2, 3, 1, dtype=torch.long))
torch.tensor(5.).gather(0, torch.tensor(0))
torch.take_along_dim(x, x.argsort(dim=1, descending=True), 1)
torch.take_along_dim(x, j)
x.take(j)
x.masked_select(m)
x.masked_select(torch.tensor([True, False, True, False]))
x.nonzero()
m.nonzero(as_tuple=True)
torch.tensor(3).nonzero()
torch.argwhere(m[0])
torch.where(m)
torch.where(m, x, 0.)
x.sort(1, descending=True)
x.sort()[0]
torch.tensor([3, 1, 2, 1]).sort(descending=True, stable=True)
torch.tensor([float("nan"), 1, 3]).sort()
torch.tensor([float("nan"), 1, 3]).sort(descending=True)
x.argsort(1, descending=True)
x.topk(2, 1)
x.topk(2, largest=False)
x[0, 0].topk(0)
x.kthvalue(2, 1)
torch.tensor([3, 1, 3, 2]).unique()
torch.tensor([3, 1, 3, 2]).unique(return_inverse=True, return_counts=True)
torch.tensor([3, 3, 1, 3]).unique_consecutive(return_counts=True)
torch.bincount(torch.tensor([3, 1, 3]), minlength=6)
torch.searchsorted(torch.tensor([1., 3., 5.]), torch.tensor([3., 4.]))
torch.searchsorted(torch.tensor([1., 3., 5.]), torch.tensor([3., 4.]), right=True)
torch.bucketize(torch.tensor([3., 4.]), torch.tensor([1., 3., 5.]))
torch.cat([x, x], 1)
torch.cat([x, x.int()], -1)
torch.cat([torch.ones(0), x[0]])
torch.stack([x, x + 1], 1)
torch.hstack([x[0, 0], x[0, 1]])
torch.hstack([x[0], x[0]])
torch.vstack([x[0, 0], x[0, 1]])
torch.dstack([x[0], x[1]])
torch.column_stack([x[0, 0], x[0, 1]])
x.repeat(2, 1, 1)
x[0].repeat(2, 1, 2)
x.repeat(0, 1, 1)
torch.tile(x[0], (2,))
x[..., ...]
x.repeat_interleave(2)
x.repeat_interleave(2, dim=1)
x.repeat_interleave(torch.tensor([1, 2]), dim=0)
torch.repeat_interleave(torch.tensor([1, 2]))
x.roll(1, 0)
x.roll(1)
x.roll((1, -1), (0, 2))
x.flip(0)
x.flip(0, 2)
x[0].fliplr()
x[0].flipud()
torch.rot90(x, 1, (1, 2))
torch.rot90(x[0], 3)
torch.rot90(x[0], 2)
torch.constant_pad_nd(x, (1, 2))
torch.nn.functional.pad(x, (1, 2))
torch.nn.functional.pad(x, (1, 2, 0, 1), value=3.)
torch.nn.functional.pad(x, (1, 2), mode="reflect")
torch.nn.functional.pad(x, (1, 2), mode="replicate")
torch.nn.functional.pad(x, (1, 2), mode="circular")
torch.constant_pad_nd(x, (1, 2, 0, -1), 3.)
x[0].tril()
x.triu(1)
x[0].tril(-1)
x[0, 0].diag()
x[0].diag(1)
torch.diag_embed(x[0], 1)
torch.diagflat(x[0])
torch.cartesian_prod(x[0, 0, :2], x[0, 1, :2])
torch.tril_indices(3, 4, 1)
torch.triu_indices(3, 4, -1)
torch.embedding(x[0], j % 3)
x.index_add(1, i, torch.ones(2, 3, 4))
x.index_add(1, i, torch.ones(2, 3, 4), alpha=2)
x.index_copy(0, torch.tensor([1]), torch.ones(1, 3, 4))
x.index_fill(1, i, 9.)
x.scatter(0, torch.zeros(1, 2, 2, dtype=torch.long), 5.)
x.scatter(2, j.view(1, 2, 2), torch.ones(2, 3, 4))
x.scatter(2, j.view(1, 2, 2), 2., reduce="multiply")
x.scatter(2, j.view(1, 2, 2), torch.ones(2, 3, 4), reduce="add")
x.scatter_add(2, j.view(1, 2, 2) % 2, torch.ones(2, 3, 4))
x.masked_scatter(m, torch.ones(24))
x.index_put((i[:2], i[:2]), torch.tensor(7.))
x.index_put((i, i), torch.ones(3, 4), accumulate=True)
x.index_put((torch.tensor(True),), torch.tensor(9.))
x.index_put((torch.tensor(False),), torch.tensor(9.))
x.index_put((torch.tensor(True), i[:1]), torch.ones(3, 4), accumulate=True)
x.index_put((i[:1], torch.tensor(True)), torch.ones(3, 4))
x.index_put((torch.tensor(1),), torch.ones(3, 4))
x.index_put((torch.tensor(1), i[:2]), torch.ones(2, 4), accumulate=True)
x.index_put((torch.tensor(1), torch.tensor(2)), torch.ones(4), accumulate=True)
torch.fliplr(x[0])
""".strip().splitlines()


@pytest.mark.parametrize("read", READS)
def test_reading(read: str) -> None:
    same(X, I, read)


SMOOTH = [
    r
    for r in READS
    if not any(
        word in r
        for word in (
            "nonzero",
            "argwhere",
            "where(m)",
            "arg",
            "unique",
            "bincount",
            "searchsorted",
            "bucketize",
            "as_tuple",
            "indices(",
            "torch.tensor([3",
            "torch.tensor(5",
            "torch.tensor([float",
            "interleave(torch.tensor([1, 2]))",
            "reduce=",
            "sort(1",
            "topk(2, 1)",
            "largest",
            "kthvalue",
            "topk(0)",
        )
    )
]


@pytest.mark.parametrize("read", SMOOTH)
def test_derivative(read: str) -> None:
    same(
        X,
        I,
        "x.requires_grad_()",
        f"z = {read}",
        "w = torch.arange(1., z.numel() + 1).view(z.shape)",
        "(z * z * w).sum().backward()",
        "[z.detach(), x.grad]",
        words=0,
    )


@pytest.mark.parametrize(
    "pick",
    ["sort(1)[0]", "sort(-1, True).values", "topk(2)[0]", "topk(2, 0, False)[0]", "kthvalue(2)[0]"],
)
def test_derivative_of_order(pick: str) -> None:
    same(
        X,
        "x = x.sin().requires_grad_()",
        f"z = x.{pick}",
        "(z * z).sum().backward()",
        "[z, x.grad]",
    )


WRITES = """
x[0] = 1
x[0] = torch.ones(4)
x[0, 1] = torch.ones(1, 4)
x[:, 1:] = torch.arange(8.).view(2, 1, 4)
x[..., 0] = -1
x[i] = 5
x[i] = torch.ones(3, 3, 4)
x[i, i] = torch.ones(4)
x[:, i] = torch.ones(3, 1)
x[i, :, j[0, 0]] = 3
x[m] = 0
x[m] = torch.tensor(3.)
x[m] = torch.arange(16.)
x[:, m[0]] = 2
x[m[:, :, 0]] = torch.ones(4)
x[m[:, :, 0]] = 7
x[x > 5] += 1
x[0] += 1
x[i] += 1
x[:, 1] *= 2
x[None] = 4
x[...] = 4
x[:] = torch.ones(4, dtype=torch.int64)
x[0, 0, 0] = torch.tensor(9)
x[1, 2, 3] = True
x[torch.tensor(1)] = 3
x[[0, 1], [1, 2]] = torch.tensor([[1.], [2.]])
x[torch.tensor(True)] = 1
x[torch.tensor(False)] = 1
x[0:0] = 1
x.index_add_(1, i, torch.ones(2, 3, 4))
x.index_copy_(0, torch.tensor([1]), torch.ones(1, 3, 4))
x.index_fill_(1, i, 9.)
x.scatter_(0, torch.zeros(1, 2, 2, dtype=torch.long), 5.)
x.scatter_(2, j.view(1, 2, 2), torch.ones(2, 3, 4))
x.scatter_(2, j.view(1, 2, 2), 2., reduce="multiply")
x.scatter_add_(2, j.view(1, 2, 2) % 2, torch.ones(2, 3, 4))
x.masked_scatter_(m, torch.ones(24))
x.masked_fill_(m, 3)
x.index_put_((i, i), torch.ones(3, 4), accumulate=True)
x.tril_()
x.triu_(1)
""".strip().splitlines()


@pytest.mark.parametrize("write", WRITES)
def test_writing(write: str) -> None:
    same(X, I, "view = x[1]", write, "[x, view]")


@pytest.mark.parametrize("write", [w for w in WRITES if "+=" not in w and "*=" not in w])
def test_derivative_of_a_write(write: str) -> None:
    same(
        X,
        I,
        "a = x.clone().requires_grad_()",
        "x = a * 2",
        write,
        "(x * x).sum().backward()",
        "[x.detach(), a.grad]",
    )


@pytest.mark.parametrize(
    "write",
    [
        "x[0] = v[0]",
        "x[i] = v[i]",
        "x[:, i] = v[:, :1]",
        "x[m] = v[m]",
        "x[i, i] = v[0, 0]",
        "x[m] = v[0, 0, 0]",
    ],
)
def test_derivative_of_what_is_written(write: str) -> None:
    same(
        X,
        I,
        "v = (x + 1).requires_grad_()",
        "x = x * 2",
        write,
        "(x * x).sum().backward()",
        "v.grad",
    )


REFUSED = """
x[torch.tensor([7])].sum().item()
x[torch.tensor([0, 1]), torch.tensor([0, 1, 1])]
x[torch.tensor([True])]
x[torch.tensor([1.])]
x["a"]
x[0, 0, 0, 0]
x[i, i, i, i]
x[0] = torch.ones(7)
x[i] = torch.ones(7, 7)
x[0] = "a"
x[0] = np.ones(4)
x[0, 0] = [1, 2, 3, 4]
x.gather(1, torch.tensor([[[7]]])).sum().item()
x.gather(0, torch.tensor([0]))
x.index_select(0, torch.tensor([7])).sum().item()
x.index_select(0, torch.tensor([[0]]))
x.index_select(0, torch.tensor([0.]))
torch.embedding(x[0], torch.tensor([9])).sum().item()
x.scatter(0, torch.tensor([[[9]]]), 1.).sum().item()
x.topk(9)
x.take(torch.tensor([99])).sum().item()
torch.cat([])
torch.cat([x, x[0]])
torch.cat([x, x[:, :2]])
torch.cat([torch.tensor(1)])
torch.stack([x, x[0]])
torch.stack([])
x.repeat(2)
x.flip(0, 0)
x.roll((1, 2), 0)
x[0, 0].tril()
x.diag()
x.masked_select(x)
""".strip().splitlines()


@pytest.mark.parametrize("line", REFUSED)
def test_refused(line: str) -> None:
    same(X, I, line, words=3)


def test_an_index_out_of_range_names_the_line() -> None:
    x = flambeau.arange(4.0)
    y = x[flambeau.tensor([8]) + 1]  # pending: what is there is looked at by the call
    with pytest.raises(IndexError) as caught:
        y.sum().item()
    assert any("test_indexing.py" in note for note in caught.value.__notes__)


def test_a_failed_write_changes_nothing() -> None:
    x = flambeau.arange(4.0)
    x.tolist()
    x.index_add_(0, flambeau.tensor([0, 9]) * 1, flambeau.ones(2))
    with pytest.raises(IndexError):
        (x + 1).tolist()
    with pytest.raises(IndexError):
        x.index_add_(0, flambeau.tensor([0, 9]), flambeau.ones(2))
    assert x.tolist() == [0.0, 1.0, 2.0, 3.0]


def test_a_mask_is_not_looked_at_for_one_value() -> None:
    from flambeau.trace.flush import counters

    x = flambeau.arange(4.0) + 1
    before = counters.flushes
    x[x > 2] = 0
    assert counters.flushes == before
    assert x.tolist() == [1.0, 2.0, 0.0, 0.0]


@pytest.mark.parametrize("stride", [(6, 1, 2), (0, 1, 2), (1, 0, 3), (1, 3, 6)])
@pytest.mark.parametrize("line", ["x[i]", "x[:, i % 2]", "x[i, i % 2]", "x[i, :, i]", "x[i > 0]",
                                  "x[0, :, i]", "x[..., i]", "x[i[:, None], i % 2]"])  # fmt: skip
def test_dims_that_are_left_keep_their_order_in_memory(line, stride):
    base = f"x = torch.arange(99.).as_strided((3, 2, 3), {stride})"
    same(base, "i = torch.tensor([2, 0, 1])", line)


ELEMENTS = """
y[4] * 2
y[-5] * 2
(y * 2)[3].item()
z[1, -2, 0].item()
z[..., 0].t()[1, 2] + z[0, 0, 0]
(y[1].add_(5), y)
(y[1].fill_(7), y[1].add_(y[2]), y)
(y[2:][1].zero_(), y)
float((y + y[1])[2]), int(y[3]), bool(y[0])
y[2].expand(3) + y[0].reshape(1)
y.to(torch.bfloat16)[3].item(), y.bool()[1].item(), y.long()[2].item()
y[1]._base is y, y[1]._is_view(), y[1].storage_offset(), y[1].is_contiguous()
"""


@pytest.mark.parametrize("line", ELEMENTS.strip().splitlines())
def test_single_elements(line: str) -> None:
    same("y = torch.arange(5.) + 1; z = torch.arange(24.).view(4, 3, 2)", line)


def test_an_element_keeps_up_with_what_it_is_of() -> None:
    def run(torch):  # type: ignore[no-untyped-def]
        x, w = torch.zeros(3), torch.ones(3, requires_grad=True)
        e = x[1]
        first = e.item()
        x += w * 3
        (e * 2 + x[2]).backward()
        return first, e.item(), e.requires_grad, x[0].requires_grad, w.grad.tolist()

    torch = pytest.importorskip("torch")
    assert run(flambeau) == run(torch)


def test_every_element_is_read_by_the_same_program() -> None:
    from flambeau.trace.flush import counters

    x = flambeau.arange(9.0)
    seen = []
    for i in range(9):
        seen.append((x[i] * 2 + 1).item())
        if i == 1:
            before = counters.programs
    assert seen == [2.0 * i + 1 for i in range(9)]
    assert counters.programs == before


@pytest.mark.parametrize("line", ["x[i] = v", "x[i, i] = v[0]", "x[m] = v",
                                  "x[i[:1], 0] = v[:1, 0]",
                                  "x.index_put_((i,), v)", "x.index_put_((i,), v, True)",
                                  "x.index_put_((m,), v[0, 0])", "x[m] = v[0, 0]",
                                  "x = x.index_put((m,), v[:1, :1])"])  # fmt: skip
@pytest.mark.parametrize("dtype", ["int64", "float64", "bool", "float32"])
def test_what_is_put_has_the_type_of_what_it_is_put_into(line, dtype):
    base = f"x = torch.zeros(2, 2); v = torch.ones(2, 2, dtype=torch.{dtype})"
    same(base, "i = torch.tensor([1, 0])", "m = torch.tensor([True, True])", line, "x")
