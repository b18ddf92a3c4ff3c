"""Tensor itself: facts, conversions, values, creation, operators, errors; beside PyTorch."""

from __future__ import annotations

import subprocess
import sys

import pytest

import flambeau
from tests.beside import same

X = (
    "x = torch.arange(6.).view(2, 3).clone(); i = torch.tensor([1, 2]); "
    "b = torch.tensor([True, False])"
)

FACTS = """
[x.shape, x.size(), x.size(1), x.stride(), x.stride(-1), x.dim(), x.ndim, x.numel(), x.nelement()]
[x.element_size(), x.itemsize, x.nbytes, x.storage_offset(), x[1].storage_offset()]
[x.is_contiguous(), x.t().is_contiguous()]
[x.is_floating_point(), i.is_floating_point(), x.is_complex()]
[x.dtype, i.dtype, b.dtype, x.device, x.layout, x.is_cuda, x.is_leaf, x.requires_grad, x.grad]
[x.type(), i.type(), b.type(), x.is_signed(), b.is_signed(), x.get_device()]
[len(x), list(x), x.tolist(), b.tolist(), i[0].item(), b[0].item(), float(x[0, 1]), int(x[1, 1])]
[bool(b[0]), bool(x[0, 0]), [10, 20, 30][i[0]], 3. in x, 9 in x, i[0] in i]
[f"{x[0, 1]:.2f}", f"{i[0]:3d}", str(x), repr(i), f"{x}"]
[x.T.shape, x.mT.shape, x.is_shared()]
[isinstance(x, torch.FloatTensor)]
[isinstance(i, torch.FloatTensor), isinstance(i, torch.LongTensor)]
[torch.is_tensor(x), torch.is_tensor(1), torch.numel(x)]
[torch.is_floating_point(x), torch.typename(x)]
[torch.finfo(torch.float32).eps, torch.finfo(torch.float16).max, torch.finfo(torch.bfloat16).tiny]
[torch.iinfo(torch.int8).max, torch.iinfo(torch.uint8).min, torch.finfo(torch.float64).bits]
[torch.promote_types(torch.int32, torch.float16)]
[torch.result_type(i, 1.5), torch.result_type(x, i)]
[torch.can_cast(torch.float32, torch.int32), torch.can_cast(torch.int32, torch.float32)]
[torch.Size([1, 2]) + (3,), torch.Size([1, 2, 3])[1:]]
[torch.Size([2]) * 2, torch.Size([2, 3]).numel()]
[torch.device("cpu"), str(torch.device("cuda:1")), torch.device("cpu") == torch.device("cpu")]
[torch.float, torch.long, torch.half, torch.double, torch.int, torch.short, torch.bool]
[x.float() is x, x.to(torch.float32) is x, x.contiguous() is x, x.to("cpu") is x, x.cpu() is x]
[torch.get_default_dtype(), torch.strided, torch.contiguous_format, torch.preserve_format]
[(x + 1)._version, x.clone().add_(1)._version, x.detach()._version, x.data._version]
[hash(x) == hash(x), x in [x], len({x, i, x}), x.is_inference()]
[torch.broadcast_shapes((2, 1), (3,)), x.shape == (2, 3), x.shape == torch.Size([2, 3])]
[torch.cuda.is_available(), torch.cuda.device_count(), torch.backends.cudnn.benchmark]
""".strip().splitlines()

CONVERSIONS = """
x.double()
x.half()
x.bfloat16()
x.long()
x.int()
x.bool()
x.to(torch.int8)
x.t().to(torch.float64)
x.to("cpu", torch.int16)
x.to(i)
x.to(torch.float32, copy=True)
x.to(device="cpu", dtype=torch.float64)
x.type(torch.int32)
x.type("torch.LongTensor")
x.type(torch.DoubleTensor)
x.type_as(i)
torch.tensor([1.7, -1.7, 300.]).to(torch.int8)
torch.tensor([-1, 256]).to(torch.uint8)
torch.tensor([0.5, 0., float("nan")]).bool()
torch.tensor([2**31 + 5]).int()
x.clone()
x.t().clone()
x.expand(4, 2, 3).clone()
x.t().contiguous()
x.clone(memory_format=torch.contiguous_format)
""".strip().splitlines()

CREATION = """
torch.tensor([])
torch.tensor([[]])
torch.tensor(3)
torch.tensor(3.)
torch.tensor(True)
torch.tensor([1, 2.5, True])
torch.tensor([[1, 2], [3, 4]], dtype=torch.float64)
torch.tensor((1, 2))
torch.tensor([(1, 2), (3, 4)])
torch.tensor(range(3))
torch.tensor([True, 1])
torch.tensor([np.float64(1), np.float32(2)])
torch.tensor([np.float32(2)])
torch.tensor(np.float64(2))
torch.tensor([np.int8(2), 1])
torch.tensor([np.ones(2), np.zeros(2)])
torch.tensor([torch.tensor(1), torch.tensor(2.)])
torch.tensor([[torch.tensor(1)], [2]])
torch.tensor([1., float("inf"), float("nan")])
torch.tensor([1.7], dtype=torch.int32)
torch.tensor(-1, dtype=torch.uint8)
torch.tensor([1, 0], dtype=torch.bool)
torch.tensor([0.1], dtype=torch.bfloat16)
torch.tensor([1.], requires_grad=True)
torch.tensor(x)
torch.scalar_tensor(3)
x.new_tensor([1, 2])
torch.zeros(2, 3)
torch.zeros((2, 3), dtype=torch.int32)
torch.zeros(torch.Size([2]))
torch.zeros(())
torch.zeros(size=(2, 3))
torch.arange(end=3)
torch.randint(high=1, size=(2,))
torch.ones(size=[2], dtype=torch.int64)
torch.ones(2).new_zeros(size=(2, 1))
torch.zeros(0, 2)
torch.ones(2, requires_grad=True)
torch.full((2,), 1)
torch.full((2,), True)
torch.full((), 1.5)
torch.full((2,), 7, dtype=torch.float64)
torch.full((2,), float("-inf"))
torch.empty(2, 3).shape
torch.empty_strided((2, 3), (1, 2)).stride()
torch.zeros_like(x.t())
torch.ones_like(x, dtype=torch.int64)
torch.full_like(x, 3)
torch.empty_like(x.t()).stride()
torch.zeros_like(x.expand(4, 2, 3))
x.new_zeros(3)
x.new_ones((2, 2), dtype=torch.bool)
x.new_full((2,), 3)
x.new_empty(4).shape
torch.arange(5)
torch.arange(0, 1, 0.3)
torch.arange(5.)
torch.arange(3, 0, -1)
torch.arange(0, 0)
torch.arange(1, 2.5)
torch.arange(0, 1, 0.1)
torch.arange(1, 10, 3, dtype=torch.float32)
torch.arange(5, dtype=torch.int8)
torch.arange(0.5, 3, dtype=torch.int64)
torch.arange(torch.tensor(3))
torch.linspace(0, 1, 5)
torch.linspace(-3, 10, 7)
torch.linspace(0, 1, 1)
torch.linspace(0, 1, 0)
torch.linspace(0, 10, 4, dtype=torch.float64)
torch.linspace(3, -3, 1001)
torch.linspace(0, 10, 5, dtype=torch.int64)
torch.logspace(0, 2, 3)
torch.logspace(0, 3, 4, base=2)
torch.eye(3)
torch.eye(2, 3, dtype=torch.int64)
torch.Tensor(2, 3).shape
torch.Tensor([2, 3])
torch.Tensor()
torch.LongTensor([1, 2])
torch.IntTensor(3).dtype
torch.zeros(2, out=torch.ones(2))
torch.meshgrid(torch.arange(2), torch.arange(3), indexing="ij")
""".strip().splitlines()

OPERATORS = """
x + 1
1 + x
x - 1
1 - x
2 * x
x / 2
2 / x
x // 2
7 // (x + 1)
x % 2
7 % (x + 1)
x ** 2
2 ** x
x @ x.t()
-x
+x
abs(-x)
~b
~i
b & b
i | 4
4 | i
i ^ 1
i << 1
i >> 1
x == 2
x != x
x < 2
2 < x
x >= 3
x == None
x != "a"
x + b[:1]
i + 0.5
i / 2
i // 2
i * i.int()
b + b
b * 2
torch.tensor(2) * x
x.int() + torch.tensor(1.5)
x + True
""".strip().splitlines()

IN_PLACE = """
x += 1
x -= 2
x *= 3
x /= 2
x //= 2
x %= 2
x **= 2
i += 1
i |= 4
b &= b
b ^= True
x.zero_()
x.fill_(3)
x.fill_(torch.tensor(4))
x.copy_(torch.ones(3))
x.copy_(torch.tensor([[1], [2]]))
x.copy_(x.t().contiguous().view(2, 3))
x.t().copy_(torch.arange(6).view(3, 2))
x.data = torch.ones(4)
x.data.add_(1)
x.resize_(2)
x.resize_(3, 2)
x.set_(torch.ones(5))
torch.add(x, 1, out=x)
""".strip().splitlines()

REFUSED = """
bool(x)
bool(torch.zeros(0))
[1][torch.tensor(1.5)]
len(torch.tensor(1))
x.item()
float(x)
int(torch.tensor(float("nan")))
"a" in x
f"{x:.3f}"
x + "a"
x < "a"
[1] + x
x["a"]
x.foo
torch.foo
i.requires_grad_()
x.cuda()
x.to("cuda")
torch.zeros(2, device="cuda")
torch.device("foo")
setattr(x, "grad", [1])
setattr(x, "grad", torch.ones(2))
setattr(x, "grad", torch.ones(2, 3, dtype=torch.float64))
setattr(x, "grad", x)
x.copy_(torch.ones(7))
x.fill_(torch.ones(2))
i.add_(1.5)
x.add_(torch.ones(4, 2, 3))
x.expand(3, 2, 3).add_(1)
torch.tensor("a")
torch.tensor(["a"])
torch.tensor(None)
torch.tensor([None])
torch.tensor([[1], [1, 2]])
torch.tensor([[1, 2], 3])
torch.tensor([1, [2]])
torch.tensor(2**63)
torch.tensor(300, dtype=torch.int8)
torch.tensor([1], requires_grad=True)
torch.tensor([torch.ones(2), torch.ones(2)])
torch.zeros(-1)
torch.zeros(2.5)
torch.arange(3, 0)
torch.arange(3, 5, 0)
torch.eye(-1)
torch.linspace(0, 1, -1)
x.requires_grad_().numpy()
(x.requires_grad_() * 2).requires_grad_(False)
x.requires_grad_().resize_(7)
x.requires_grad_().add_(1)
torch.set_default_dtype(torch.int64)
""".strip().splitlines()


@pytest.mark.parametrize("line", FACTS)
def test_facts(line: str) -> None:
    same(X, line)


@pytest.mark.parametrize("line", CONVERSIONS)
def test_conversions(line: str) -> None:
    same(X, line)


@pytest.mark.parametrize("line", CREATION)
def test_creation(line: str) -> None:
    same(X, line)


@pytest.mark.parametrize("line", OPERATORS)
def test_operators(line: str) -> None:
    same(X, line)


@pytest.mark.parametrize("line", IN_PLACE)
def test_in_place(line: str) -> None:
    same(X, "y = x; v = x[0]; before = x + 0", line, "[x, y, v, before, i, b, x is y, x._version]")


@pytest.mark.parametrize("line", REFUSED)
def test_refused(line: str) -> None:
    same(X, line, words=3)


GRADIENTS = [
    ("w = torch.ones(2, requires_grad=True)", "(w.double() * 2).sum().backward()", "w.grad"),
    (
        "w = torch.ones(2, requires_grad=True)",
        "y = w.to(torch.float64)",
        "[y, w.half(), w.clone()]",
    ),
    (
        "w = torch.ones(2, requires_grad=True)",
        "y = w * w",
        "w.data = torch.full((2,), 5.)",
        "y.sum().backward()",
        "w.grad",
    ),
    ("w = torch.ones(2, requires_grad=True)", "y = w.detach()", "y.add_(1)", "[w, y, w._version]"),
    ("w = torch.ones(2, requires_grad=True)", "y = w.data", "y.add_(1)", "[w, y, w._version]"),
    ("w = torch.ones(2)", "w.grad = torch.zeros(2)", "[w.grad, w.requires_grad]"),
    ("w = torch.ones(2, requires_grad=True)", "w.grad = None", "w.grad"),
    ("w = torch.ones(3, 2).t().requires_grad_()", "(w * w).sum().backward()", "w.grad"),
    (
        "w = torch.ones(2, requires_grad=True)",
        "x = torch.zeros(3)",
        "x[1:] = w * 3",
        "x.sum().backward()",
        "[x.requires_grad, w.grad]",
    ),
    (
        "w = torch.ones(2, requires_grad=True)",
        "x = torch.zeros(2)",
        "x.copy_(w)",
        "x.fill_(2)",
        "[x.requires_grad]",
    ),
]


@pytest.mark.parametrize("lines", GRADIENTS, ids=lambda lines: " ; ".join(lines[1:]))
def test_gradients(lines: tuple[str, ...]) -> None:
    same(*lines)


def test_the_default_dtype_is_part_of_a_call() -> None:
    try:
        flambeau.set_default_dtype(flambeau.float64)
        assert flambeau.ones(2).dtype is flambeau.float64
        assert (flambeau.ones(2, dtype=flambeau.int64) + 0.5).dtype is flambeau.float64
        assert flambeau.tensor([1.5]).dtype is flambeau.float64
    finally:
        flambeau.set_default_dtype(flambeau.float32)
    assert (flambeau.ones(2, dtype=flambeau.int64) + 0.5).dtype is flambeau.float32


def test_a_subclass_stays_what_it_is() -> None:
    class Mine(flambeau.Tensor):
        pass

    m = Mine([1.0, 2.0])
    assert type(m) is Mine and type(m + 1) is Mine and (m + 1).tolist() == [2, 3]
    assert repr(m) == "Mine([1., 2.])"


def test_other_classes_may_answer_operators() -> None:
    class Other:
        def __radd__(self, x: object) -> str:
            return "mine"

    assert flambeau.ones(2) + Other() == "mine"


def test_importing_is_light() -> None:
    code = "import sys, flambeau; print(sorted({'llvmlite', 'scipy', 'torch'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_public_name_is_there() -> None:
    missing = [name for name in flambeau.__all__ if not hasattr(flambeau, name)]
    assert not missing
