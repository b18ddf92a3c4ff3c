"""Of two zeros it is the one with PyTorch's sign, in every tier."""

from __future__ import annotations

from typing import Any

import pytest

import flambeau
from flambeau.settings import settings

oracle = pytest.importorskip("torch", reason="PyTorch is the oracle of these tests")

TIERS = [{"numpy": True}, {"compile": False}, {"patience": 0.0}]
LINES = """
F.relu(z)  F.relu(z.double())  F.relu(z.bfloat16())  F.relu(z[:3])  F.relu(z[::2])  F.relu6(z)
z.clamp(min=0)  z.clamp(max=0)  z.clamp(0, 1)  z.clamp(-1, 0)  z.clamp(min=-0.0)
F.hardtanh(z, 0, 1)  z.clamp(min=0).bfloat16()  torch.fmax(z, w)  torch.fmin(z, w)  F.hardshrink(z)
F.threshold(z, 0, 0)  F.leaky_relu(z)  z.cumsum(0)  z.cumprod(0)  z.sum()  z + 0  -z  0 - z  z * -1
z.abs()  z.sign()  z.round()  z.trunc()  z.frac()  z.sqrt()  z.sin()  z.tan()  z.tanh()  z.atan()
z.asin()  z.sinh()  z.asinh()  z.atanh()  z.erf()  z.erfinv()  z.expm1()  z.log1p()  z.nan_to_num()
F.gelu(z)  F.silu(z)  F.elu(z)  F.selu(z)  F.celu(z)  F.mish(z)  F.softsign(z)  F.hardswish(z)
torch.remainder(z, 3)  torch.fmod(z, -3)  z**3  z**1  1 / z  torch.atan2(z, w)  torch.copysign(z, w)
torch.heaviside(z, w)  torch.where(z == w, z, w)  torch.lerp(z, w, 0.5)  torch.deg2rad(z)
""".strip()


def signs(torch: Any, line: str) -> list[bool]:
    z, w = torch.tensor([-0.0, 0.0] * 9), torch.tensor([0.0, 0.0, -0.0, -0.0, 0.0, 0.0] * 3)
    found = eval(line, {"torch": torch, "F": torch.nn.functional, "z": z, "w": w})
    return torch.signbit(found).reshape(-1).tolist()


@pytest.mark.parametrize("line", [part.strip() for row in LINES.splitlines()
                                  for part in row.split("  ")])  # fmt: skip
def test_the_sign_of_a_zero(line):
    wanted = signs(oracle, line)
    for values in TIERS:
        with settings.override(**values):
            for _ in range(3):
                assert signs(flambeau, line) == wanted, values
