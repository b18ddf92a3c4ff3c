"""__torch_function__: subclasses, duck types and modes answer as under PyTorch."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import flambeau as torch

ROOT = Path(__file__).parents[1]
PLAIN = """
import flambeau as torch, sys
x = torch.nn.Linear(2, 2)(torch.ones(1, 2)).sum()
x.backward()
class Mine(torch.nn.Parameter): pass
class Buffered(torch.nn.Buffer): pass
print("flambeau.overrides" in sys.modules)
class Sub(torch.Tensor): pass
print("flambeau.overrides" in sys.modules)
"""


def output_of(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=120,
        env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True,
    )  # fmt: skip
    return done.stdout


def test_like_pytorch() -> None:
    pytest.importorskip("torch")
    out = output_of("-W", "ignore", str(Path(__file__).with_name("overrides_program.py")))
    assert out.strip().endswith("cases") and "PyTorch:" not in out, out


def test_programs_without_subclasses_do_not_pay() -> None:
    assert output_of("-c", PLAIN).split() == ["False", "True"]


def test_as_subclass_wants_a_class_of_tensors() -> None:
    cls: Any = int
    with pytest.raises(TypeError, match="Make sure your class inherits from Tensor"):
        torch.ones(2).as_subclass(cls)
