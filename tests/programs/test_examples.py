"""The examples print the same losses under `flambeau run` as under PyTorch."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
RUN = {"PyTorch": [], "Flambeau": ["-m", "flambeau", "run"]}
EXAMPLES = [
    ["digits_softmax.py", "--epochs", "2"],
    ["digits_mlp.py", "--epochs", "2"],
    ["digits_lenet.py", "--epochs", "2"],
    ["char_rnn.py", "--epochs", "2", "--length", "6000", "--hidden", "32"],
    ["char_lstm.py", "--epochs", "2", "--length", "6000", "--hidden", "32"],
]
FEW_IMAGES = 0.014  # five of 360: PyTorch on one thread and on two turns two after an epoch


def printed_numbers(framework, arguments):
    """Run an example at small size; return what the lines about epochs say: names and numbers."""
    script = str(ROOT / "examples" / arguments[0])
    done = subprocess.run(
        [sys.executable, *RUN[framework], script, *arguments[1:], "--no-figure"],
        capture_output=True, text=True, timeout=120, cwd=ROOT)
    assert done.returncode == 0, f"under {framework}:\n{done.stderr}"
    lines = [line for line in done.stdout.splitlines() if line.startswith("epoch")]
    return [(name, float(x)) for line in lines for name, x in re.findall(r"(\w+) +([\d.]+)", line)]


@pytest.mark.parametrize("arguments", EXAMPLES, ids=lambda arguments: arguments[0])
def test_prints_the_same(arguments):
    for package in ("torch", "tqdm", "matplotlib"):
        pytest.importorskip(package, reason=f"{package} is not installed")
    expected = printed_numbers("PyTorch", arguments)
    assert len(expected) >= 4
    found = printed_numbers("Flambeau", arguments)
    for (name, number), (same, wanted) in zip(found, expected, strict=True):
        apart = FEW_IMAGES if name == "accuracy" else 0
        assert name == same and number == pytest.approx(wanted, rel=1e-4, abs=apart)
