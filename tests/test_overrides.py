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


def test_a_subclass_made_in_new_shares_memory() -> None:
    class Noted(torch.Tensor):
        note: Any

        def __new__(cls, data: Any, note: Any = None) -> Any:
            out = torch.Tensor._make_subclass(cls, data, data.requires_grad)
            out.note = note
            return out

    data = torch.ones(2)
    out = Noted(data, note="a")
    data[0] = 5
    assert type(out + 1) is Noted and out.note == "a" and out.tolist() == [5, 1]
    assert Noted(torch.ones(2, requires_grad=True)).is_leaf


def test_a_subclass_with_arguments_of_its_own() -> None:
    class Made(torch.Tensor):
        def __new__(cls, data: Any, name: str) -> Any:
            return super().__new__(cls, data)

        def __init__(self, data: Any, name: str) -> None:
            super().__init__()
            self.name_of = name

    class Kept(torch.Tensor):
        def __init__(self, data: Any) -> None:
            self.length = len(data)

    made, kept = Made([1.0, 2.0], "a"), Kept([1.0, 2.0, 3.0])
    assert type(made) is Made and made.tolist() == [1, 2] and made.name_of == "a"
    assert kept.length == 3 and (kept + 1).tolist() == [2, 3, 4]
