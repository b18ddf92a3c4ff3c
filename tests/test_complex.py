"""Complex tensors beside PyTorch's: promotion, parts, conjugates, derivatives, `out=`."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import flambeau

torch = pytest.importorskip("torch", reason="PyTorch is the oracle of these tests")

# Programs that leave their answer in `result`; `z` and `x` are complex and real operands.
PROGRAMS = """
result = x + 1j
result = [torch.result_type(x.double(), 1j), torch.result_type(x.half(), 1j)]
result = [torch.result_type(z, x.double()), torch.promote_types(torch.float64, torch.complex64)]
result = [1j - x, 1j / x, x ** 1j, x == 1j, torch.add(z, x, alpha=2j)]
result = [z.real, z.imag, z.conj(), z.conj().real, z.conj().imag, z.mH, z.H]
result = [z.conj().is_conj(), z.conj().conj().is_conj(), z.conj().imag.is_neg(), x.conj() is x]
result = [z.conj().clone().is_conj(), (z.conj() + 0).is_conj(), z.conj().resolve_conj()]
result = torch.view_as_real(z)[1, 0]
result = torch.view_as_complex(torch.view_as_real(z)) * 2
z.real.mul_(2); z.imag[0] = 3; result = z
w = z.conj(); w += 1 + 2j; result = [z, w]
w = z.conj().imag; w.add_(1); result = [z, w]
z.real = x; result = z
result = [torch.complex(x, x * 2), torch.polar(x, x), torch.tensor([1, 2j, True])]
result = [z.abs(), z.angle(), z.sgn(), x.angle(), torch.isreal(z), z.isnan()]
result = [z @ z.mH, z.sum(0), z.mean(), z.prod(1), z.cumsum(0), z.var(), z.std(1)]
result = torch.vdot(z[0], z[1])
result = [z.float(), z.bool(), z.to(torch.complex128), z.conj().to(torch.complex128), z.cdouble()]
result = z.to(torch.complex32).to(torch.complex64)
result = [torch.full((2,), 1j), torch.ones(2, dtype=torch.complex64), torch.zeros(2).fill_(1 + 0j)]
result = [torch.scalar_tensor(2, dtype=torch.cfloat), complex(z[0, 0]), z[0, 0].item(), z.tolist()]
result = torch.where(x > 0, x, 1j)
result = [z.is_complex(), torch.is_complex(x), z.type(), z.dtype.to_real(), z.is_floating_point()]
result = torch.linalg.vector_norm(z, 3)
z[0] = 1j; z[z.real > 1] = 2; z[1, torch.tensor([0])] = 3j; result = z
result = torch.nan_to_num(torch.tensor([complex("nan+infj"), -1j]), 7.0)
result = torch.mul(x, 1j, out=torch.empty(2, 2, dtype=torch.complex128))
"""
REFUSED = """
x.add_(1j)
x.masked_fill(x > 0, 1j)
torch.full((2,), 1j, dtype=torch.float32)
torch.tensor([1j], dtype=torch.float32)
torch.tensor([1j], dtype=torch.int64)
float(z[0, 0])
z < z
z.max()
z.sort()
z.floor()
z.clamp(0, 1)
z // 1
z.sign()
z.abs_()
x.imag
torch.view_as_real(x)
torch.view_as_real(z.conj())
torch.view_as_complex(torch.ones(3))
torch.complex(x, x.double())
torch.complex(x.long(), x.long())
torch.polar(x.half(), x.half())
z.conj().numpy()
torch.add(x, x, alpha=1j)
torch.mul(x, 1j, out=torch.empty(2, 2))
z.requires_grad_().sum().backward()
torch.autograd.grad(z.requires_grad_() * 1, z, torch.ones(2, 2))
x[0] = 1j
torch.arange(3, dtype=torch.cfloat)
z.unique()
torch.promote_types(torch.uint16, torch.int32)
"""


def lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line]


def operands(framework: Any) -> dict[str, Any]:
    state = np.random.RandomState(3)
    pairs, real = state.uniform(-2, 2, (2, 2, 2)), state.uniform(-2, 2, (2, 2))
    z = framework.tensor((pairs[0] + 1j * pairs[1]).tolist())
    return {"torch": framework, "z": z, "x": framework.tensor(real.tolist())}


def run(framework: Any, program: str) -> Any:
    scope = operands(framework)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exec(program, scope)
    return scope.get("result")


def same(mine: Any, other: Any) -> None:
    """Values, types, sizes, strides, and what is lazy about them."""
    if isinstance(other, list):
        assert len(mine) == len(other)
        for a, b in zip(mine, other):
            same(a, b)
    elif isinstance(other, torch.Tensor):
        facts = [(str(t.dtype), tuple(t.shape), t.stride(), t.is_conj(), t.is_neg())
                 for t in (mine, other)]  # fmt: skip
        assert facts[0] == facts[1]
        np.testing.assert_allclose(np.array(mine.tolist()), np.array(other.tolist()), 2e-5, 1e-6)
        assert repr(mine) == repr(other) or not np.array_equal(mine.tolist(), other.tolist())
    elif isinstance(other, torch.dtype):
        assert str(mine) == str(other)
    else:
        assert mine == other or np.allclose(mine, other)


@pytest.mark.parametrize("program", lines(PROGRAMS))
def test_programs_agree_with_pytorch(program: str) -> None:
    same(run(flambeau, program), run(torch, program))


@pytest.mark.parametrize("program", lines(REFUSED))
def test_what_pytorch_refuses_is_refused(program: str) -> None:
    with pytest.raises(Exception) as theirs:
        run(torch, program)
    with pytest.raises(Exception) as ours:
        run(flambeau, program)
    assert type(ours.value).__name__ == type(theirs.value).__name__, ours.value


def trained(framework: Any) -> tuple[list[float], Any, Any]:
    """Losses and parameters of a loop that is long enough to be compiled."""
    state = np.random.RandomState(0)

    def numbers(*size: int) -> Any:
        return (state.randn(*size) + 1j * state.randn(*size)).tolist()

    weight = framework.tensor(numbers(4, 3), dtype=framework.complex128, requires_grad=True)
    bias = framework.tensor(state.randn(3).tolist(), dtype=framework.float64, requires_grad=True)
    data = framework.tensor(numbers(6, 4), dtype=framework.complex128)
    optimizer = framework.optim.SGD([weight, bias], lr=0.01, momentum=0.5)
    losses = []
    for _ in range(40):
        y = framework.tanh(data @ weight * 0.1 + bias) * (1 + 0.5j) + data.conj()[:, :3]
        parts = y.clone()
        parts.real.mul_(2.0)
        loss = y.abs().sum() + framework.view_as_real(parts).square().mean()
        loss = loss + parts.conj().imag.exp().mean() + (y * y.conj()).real.sum() * 0.1
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss)
    return [loss.item() for loss in losses], weight.detach(), bias.detach()


def test_training_agrees_with_pytorch() -> None:
    mine, other = trained(flambeau), trained(torch)
    np.testing.assert_allclose(mine[0], other[0], 1e-9)
    same(list(mine[1:]), list(other[1:]))


def test_gradcheck_of_complex_functions() -> None:
    z = flambeau.tensor([1 + 2j, -0.5j, 3.0], dtype=flambeau.complex128, requires_grad=True)
    x = flambeau.tensor([0.5, 1.0, 2.0], dtype=flambeau.float64, requires_grad=True)
    for function in (
        lambda z, x: (z.exp() * x, z.abs() + x),
        lambda z, x: (z * z.conj() / (x + 1j)).angle(),
        lambda z, x: flambeau.complex(x, x * x).sgn() ** 2 * z.real,
    ):
        assert flambeau.autograd.gradcheck(function, (z, x))
        assert flambeau.autograd.gradgradcheck(function, (z, x))
    wrong = lambda z: z.detach() * z  # noqa: E731
    assert not flambeau.autograd.gradcheck(wrong, (z,), raise_exception=False)


def test_memory_is_shared_with_numpy() -> None:
    array = np.array([1 + 2j, 3])
    tensor = flambeau.from_numpy(array)
    tensor.conj().mul_(1j)
    assert np.array_equal(array, np.conj(np.conj([1 + 2j, 3]) * 1j))
    tensor.imag.zero_()
    assert np.array_equal(array.imag, [0, 0])


@pytest.mark.parametrize("name", ["complex64", "complex128", "complex32"])
def test_random_numbers_are_those_of_pytorch(name: str) -> None:
    made = []
    for framework in (flambeau, torch):
        framework.manual_seed(7)
        dtype = getattr(framework, name)
        kinds = [] if name == "complex32" else [framework.randn(3, 4, dtype=dtype)]
        made.append([*kinds, framework.rand(5, dtype=dtype)])
    same(*made)


def test_casting_to_real_warns_once() -> None:
    program = (
        "import warnings, flambeau\n"
        "with warnings.catch_warnings(record=True) as seen:\n"
        "    warnings.simplefilter('always')\n"
        "    z = flambeau.tensor([1 + 2j])\n"
        "    z.float(), z.double(), z.bool()\n"
        "assert [str(w.message) for w in seen] == "
        "['Casting complex values to real discards the imaginary part'], seen\n"
    )
    import subprocess
    import sys

    subprocess.run([sys.executable, "-c", program], check=True)
