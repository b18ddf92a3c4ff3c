"""Kernels of convolutions against PyTorch: every way in which they read, cut and store."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import flambeau
from flambeau.codegen.cpu.target import cpu
from flambeau.compiler import convolutions

CASES = {
    "rows of vectors": ((2, 16, 32, 32), (20, 16, 3, 3), dict(padding=1)),
    "runs": ((2, 16, 9, 14), (33, 16, 3, 2), dict(padding=(1, 0))),
    "several runs in a vector": ((3, 8, 8, 5), (7, 8, 3, 3), dict(padding=1)),
    "gathered, for the stride": ((3, 7, 14, 15), (33, 7, 3, 2), dict(padding=1, stride=2)),
    "gathered, for short rows": ((5, 6, 9, 2), (7, 6, 3, 1), dict(padding=(1, 0))),
    "dilated": ((3, 7, 14, 15), (33, 7, 3, 2), dict(padding=2, dilation=2)),
    "vectors that cross images": ((5, 64, 7, 7), (70, 64, 3, 3), dict(padding=1)),
    "one place": ((8, 64, 3, 3), (16, 64, 3, 3), {}),
    "one place, which sees everything": ((8, 12, 4, 4), (5, 12, 4, 4), {}),
    "blocks of channels": ((4, 300, 5, 5), (40, 300, 3, 3), dict(padding=1)),
    "parts of the places": ((30, 1, 28, 28), (6, 1, 5, 5), dict(padding=2)),
    "groups": ((3, 8, 14, 15), (12, 4, 3, 2), dict(padding=2, groups=2)),
    "each channel alone": ((3, 6, 9, 9), (12, 1, 3, 3), dict(padding=1, groups=6)),
    "one dim": ((3, 5, 40), (7, 5, 5), dict(padding=3, stride=3, dilation=2)),
    "three dims": ((2, 4, 6, 7, 8), (5, 4, 3, 2, 3), dict(padding=1, stride=(2, 1, 2))),
    "no images": ((0, 3, 8, 8), (5, 3, 3, 3), dict(padding=1)),
    "few rows": ((9, 3, 9, 14), (6, 3, 3, 3), dict(padding=1)),
    "few rows, groups": ((9, 4, 9, 17), (8, 2, 3, 2),
                         dict(padding=(2, 1), dilation=(2, 3), groups=2)),
    "few rows, one dim": ((11, 2, 40), (3, 2, 5), dict(padding=2, dilation=2)),
    "transposed, cut off": ((9, 4, 12, 33), (4, 6, 3, 3), dict(padding=3)),
    "transposed": ((2, 4, 6, 7), (4, 5, 4, 4), dict(padding=1, stride=2)),
    "transposed, with gaps": ((2, 4, 6, 7), (4, 6, 3, 3),
                              dict(padding=1, stride=3, output_padding=1, dilation=2)),
    "transposed, few outputs": ((2, 24, 6, 7), (24, 3, 4, 4), dict(padding=1, stride=2)),
    "transposed, groups": ((2, 4, 6, 7), (4, 3, 3, 3), dict(padding=1, groups=2)),
}  # fmt: skip


def arrays(name: str, dtype: str) -> list[np.ndarray]:
    """The input and the weight of a case."""
    state = np.random.RandomState(0)
    return [state.standard_normal(size).astype(dtype) for size in CASES[name][:2]]


def results(torch: Any, name: str, x: Any, w: Any) -> list[np.ndarray]:
    """The result and both gradients; the second time, by the compiled program."""
    kind = "conv_transpose" if name.startswith("transposed") else "conv"
    function = getattr(torch.nn.functional, f"{kind}{x.ndim - 2}d")
    x, w = (v.requires_grad_() for v in (x, w))
    for _ in range(3):
        y = function(x, w, **CASES[name][2])
        g = torch.from_numpy(np.cos(np.arange(y.numel())).reshape(y.shape)).to(y.dtype)
        found = [v.detach().numpy() for v in (y, *torch.autograd.grad(y, (x, w), g))]
    return found


def close(ours: np.ndarray, theirs: np.ndarray, tolerance: float) -> None:
    assert ours.shape == theirs.shape
    assert np.isfinite(ours).all()
    worst = np.abs(theirs).max(initial=0)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance * worst)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", CASES)
def test_as_pytorch(name: str, dtype: str) -> None:
    torch = pytest.importorskip("torch")
    found = [results(lib, name, *map(lib.from_numpy, arrays(name, dtype)))
             for lib in (flambeau, torch)]  # fmt: skip
    for ours, theirs in zip(*found):
        close(ours, theirs, 2e-5 if dtype == "float32" else 1e-12)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("name", ["runs", "gathered, for the stride", "vectors that cross images"])
def test_narrow_types_are_summed_in_wide_ones(name: str, dtype: str) -> None:
    narrow = [flambeau.from_numpy(a).to(getattr(flambeau, dtype)) for a in arrays(name, "float32")]
    wide = results(flambeau, name, *(a.float() for a in narrow))
    kind = flambeau.nn.functional.conv2d
    x, w = (a.requires_grad_() for a in narrow)
    y = kind(x, w, **CASES[name][2])
    g = flambeau.from_numpy(np.cos(np.arange(y.numel())).reshape(tuple(y.shape))).to(y.dtype)
    found = [y, *flambeau.autograd.grad(y, (x, w), g)]
    for ours, theirs in zip(found, wide):
        close(ours.detach().float().numpy(), theirs, 8e-3 if dtype == "bfloat16" else 1e-3)


def test_few_rows_are_done_in_a_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    plans: list[Any] = []

    def noting(choose: Any) -> Any:
        return lambda *facts: plans.append(choose(*facts)) or plans[-1]

    for name in ("direct_plan", "direct_gradient_plan"):
        monkeypatch.setattr(convolutions, name, noting(getattr(convolutions, name)))
    weight = flambeau.ones(3, 2, 3, 3, requires_grad=True)
    for images in (8, 7):  # too few for all threads to have some
        made = flambeau.nn.functional.conv2d(flambeau.ones(images, 2, 27, 15), weight)
        flambeau.autograd.grad(made.sum(), weight)[0].tolist()
        assert len(plans) == 2 and all(plan is not None for plan in plans) == (images == 8)
        plans.clear()


@pytest.mark.parametrize("name", ["each channel alone", "groups", "several runs in a vector",
                                  "few rows"])
def test_any_layout(name: str) -> None:
    """Images whose channels are neighbours, and images seen turned."""
    x, w = map(flambeau.from_numpy, arrays(name, "float32"))
    plain = results(flambeau, name, x, w)
    last = x.detach().permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
    turned = x.detach().transpose(2, 3).contiguous().transpose(2, 3)
    for other in (last, turned):
        for ours, theirs in zip(results(flambeau, name, other, w.detach()), plain):
            close(ours, theirs, 1e-6)


def test_bits_do_not_depend_on_the_number_of_threads() -> None:
    before, seen = flambeau.get_num_threads(), []
    try:
        for threads in (1, 2, 5):
            flambeau.set_num_threads(threads)
            seen.append([results(flambeau, name, *map(flambeau.from_numpy, arrays(name, "float32")))
                         for name in ("rows of vectors", "blocks of channels",
                                      "parts of the places", "transposed", "few rows",
                                      "transposed, cut off")])  # fmt: skip
    finally:
        flambeau.set_num_threads(before)
    for other in seen[1:]:
        for ours, first in zip(other, seen[0]):
            assert all(np.array_equal(a, b) for a, b in zip(ours, first))


def test_what_no_tap_sees_is_not_read() -> None:
    x = flambeau.zeros(1, 1, 6, 6)
    x[0, 0, 2, 2] = flambeau.nan
    seen = flambeau.nn.functional.conv2d(x, flambeau.ones(1, 1, 3, 3), padding=1)
    assert int(seen.isnan().sum()) == 9


@pytest.mark.parametrize("name", ["rows of vectors", "blocks of channels", "few rows"])
def test_what_is_not_finite(name: str) -> None:
    """It reaches the results that PyTorch has it reach, and only these."""
    torch = pytest.importorskip("torch")
    x, w = arrays(name, "float32")
    x[1, 2, 3, 3], x[0, 1, 1, 2], x[0, 1, 3, 3], x[1, 0, 2, -1] = np.inf, np.nan, -np.inf, np.inf
    found = [results(lib, name, *(lib.from_numpy(a.copy()) for a in (x, w)))
             for lib in (flambeau, torch)]  # fmt: skip
    for ours, theirs in zip(*found):
        assert np.array_equal(np.isfinite(ours), np.isfinite(theirs))
        assert np.array_equal(ours[np.isinf(theirs)], theirs[np.isinf(theirs)])


SMALL_ONES_TOO = """
import sys, pytest
from flambeau.codegen.cpu.gemm import convolving, weight_plan
convolving.TILE_ROWS = convolving.TILE_STEPS = weight_plan.TILE_ROWS = 1
sys.exit(pytest.main(["-q", "-p", "no:cacheprovider", "-k", "not tile_registers", sys.argv[1]]))
"""


@pytest.mark.skipif(not cpu().tiles, reason="no tile registers here")
def test_all_of_this_by_tile_registers() -> None:
    """Small convolutions take other kernels; here they don't."""
    ran = subprocess.run([sys.executable, "-c", SMALL_ONES_TOO, __file__], capture_output=True)
    assert ran.returncode == 0, ran.stdout.decode()[-3000:]
