"""What becomes simpler, and that it still gives what it gave."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import flambeau
from flambeau.compiler import simplify
from flambeau.ir.program import Program
from flambeau.trace import programs

torch = pytest.importorskip("torch", reason="PyTorch is the oracle of these tests")

DEPTH = 40
Body = Callable[..., Any]


@pytest.fixture
def products(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The types that products read, after they were narrowed; the second sighting is compiled."""
    monkeypatch.setattr(programs, "COMPILE_CALL", 0.0)
    found: list[list[str]] = []
    narrow = simplify.narrow_products

    def watched(program: Program) -> Program:
        made = narrow(program)
        calls = [call for call in made.calls if call.op.name in ("mm", "bmm")]
        found.extend([ref.dtype.name for ref in call.refs()] for call in calls)
        return made

    monkeypatch.setattr(simplify, "narrow_products", watched)
    return found


def result(torch: Any, body: Body, name: str, *sizes: tuple[int, ...]) -> Any:
    for _ in range(2):
        torch.manual_seed(0)
        drawn = [torch.randn(size).to(getattr(torch, name)) for size in sizes]
        out = body(torch, *drawn).float().tolist()
    return out


def written_between(torch: Any, bias: Any, a: Any, b: Any) -> Any:
    """The matrix changes after it was widened."""
    wide, other = a.float(), b.float()
    a.zero_()
    return wide @ other + a.sum() + bias


NARROWED: dict[str, Body] = {
    "rows": lambda torch, bias, a, b: torch.addmm(bias, a, b),
    "columns": lambda torch, bias, a, b: torch.addmm(bias, a.t().contiguous().t(), b),
    "a slice": lambda torch, bias, a, b: torch.addmm(bias, a[:, 1::2], b[: DEPTH // 2]),
    "one row": lambda torch, bias, a, b: torch.addmm(bias, a[3:4], b),
    "turned when wide": lambda torch, bias, a, b: (b.float().t() @ a.float().t()).t() + bias,
    "a batch": lambda torch, bias, a, b: torch.baddbmm(
        bias, a.view(3, 7, DEPTH), b.expand(3, -1, -1)),
}  # fmt: skip


@pytest.mark.parametrize("name", ["bfloat16", "float16"])
@pytest.mark.parametrize("body", [*NARROWED.values(), written_between], ids=[*NARROWED, "written"])
def test_products_of_widened_operands(body: Body, name: str, products: list[list[str]]) -> None:
    sizes = ((17,), (21, DEPTH), (DEPTH, 17))
    ours, theirs = (result(module, body, name, *sizes) for module in (flambeau, torch))
    torch.testing.assert_close(torch.tensor(ours), torch.tensor(theirs), rtol=1e-2, atol=1e-2)
    assert products[-1] == (["float32"] * 2 if body is written_between else [name] * 2)
