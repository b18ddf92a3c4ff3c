"""The names of PyTorch that programs use, and what each stands for here."""

from __future__ import annotations

import re
from pathlib import Path

from docs.compatibility import has

# What stands for machines, devices and formats that there are not: see docs/compatibility.md.
ELSEWHERE = re.compile(
    r"torch\.(distributed|fx|export|nested|library|onnx|jagged|_inductor|_dynamo|"
    r"sparse\w*|nn\.parallel|ops|_logging|_scaled_mm)\b.*|"
    r"Tensor\.index"  # of lists, mostly: in PyTorch it is for dims of their own class
)


def used() -> list[tuple[str, int]]:
    """(name, number of files), the most used first."""
    lines = (Path(__file__).parent / "used.txt").read_text().splitlines()
    pairs = [line.split() for line in lines if not line.startswith("#")]
    return [(name.rstrip("~"), int(count)) for count, name in pairs]


def resolves(torch, name: str) -> bool:
    """Whether a name is there: of methods, whether an object has them."""
    owner, _, rest = name.partition(".")
    if owner == "torch":
        return has(torch, name)
    if owner == "Tensor":
        return hasattr(torch.zeros(2, 2), rest)
    module = torch.nn.Linear(2, 2)
    return hasattr(module if owner == "Module" else torch.optim.SGD(module.parameters()), rest)
