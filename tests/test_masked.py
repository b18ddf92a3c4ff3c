"""torch.masked beside PyTorch: masks of every kind, rows of which nothing is left."""

from __future__ import annotations

from typing import Any

import pytest

import flambeau as fl

torch = pytest.importorskip("torch", reason="PyTorch is the oracle of these tests")

X = [[0.5, -1.0, 2.0], [3.0, 4.0, -5.0]]
MASK = [[True, False, True], [False, False, False]]
CASES = [
    "m.sum(x, 1, mask=k)", "m.prod(x, mask=k)", "m.mean(x, 0, mask=k)", "m.amax(x, 1, mask=k)",
    "m.amin(x, (0, 1), keepdim=True, mask=k)", "m.argmax(x, 1, mask=k)", "m.median(x, 1, mask=k)",
    "m.var(x, 1, mask=k)", "m.std(x, 1, False, mask=k)", "m.norm(x, 1.5, 1, mask=k)",
    "m.softmax(x, 1, mask=k)", "m.log_softmax(x, 0, mask=k)", "m.normalize(x, 2, 1, mask=k)",
    "m.cumsum(x, 1, mask=k)", "m.cumprod(x, 1, mask=k)", "m.logsumexp(x, 1, mask=k)",
    "m.sum(x, 1, mask=k[0])", "m.sum(x, 1, mask=k.float())", "m.sum(x.long(), mask=k)",
    "m.logaddexp(x, x + 1, input_mask=k, other_mask=~k)",
]  # fmt: skip


def run(lib: Any, case: str) -> tuple[Any, Any]:
    """What a case gives, and the gradient of its sum."""
    x = lib.tensor(X, requires_grad=True)
    result = eval(case, {"m": lib.masked, "x": x, "k": lib.tensor(MASK)})
    if not result.requires_grad:
        return result, None
    finite = result[lib.isfinite(result)].sum()
    return result, lib.autograd.grad(finite, x)[0]


@pytest.mark.parametrize("case", CASES)
def test_like_pytorch(case: str) -> None:
    (ours, slope), (theirs, expected) = run(fl, case), run(torch, case)
    assert str(ours.dtype) == str(theirs.dtype)
    close(ours, theirs.detach())
    if expected is not None:  # of a variance of nothing it is NaN there, and 0 here
        close(slope, expected.nan_to_num())


def close(ours: Any, theirs: Any) -> None:
    ours = torch.tensor(ours.tolist(), dtype=theirs.dtype)
    torch.testing.assert_close(ours, theirs, equal_nan=True)


def test_refusals() -> None:
    x = fl.arange(6).reshape(2, 3)
    with pytest.raises(ValueError, match="Could not infer output dtype"):
        fl.masked.mean(x)
    with pytest.raises(RuntimeError, match="multiple times"):
        fl.masked.sum(x, (0, 0))
    with pytest.raises(RuntimeError):
        fl.masked.sum(x, mask=fl.ones(4, dtype=fl.bool))
    with pytest.raises(NotImplementedError, match="mask="):
        fl.masked.masked_tensor(x, x > 2)
