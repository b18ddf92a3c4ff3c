"""What the documents show is what the code does."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"

CHECK_SINC = """
import flambeau
from flambeau.ops.declare import TABLE
TABLE.pop("sinc", None)
{row}
from flambeau.ops.functions import function_of
x = flambeau.tensor([0.0, -0.5, 0.3, 2.0], requires_grad=True)
y = function_of(sinc)(x)
y.sum().backward()
print([*y.tolist(), *x.grad.tolist()])
"""


def blocks(name, language):
    """The listings of a document."""
    return re.findall(rf"```{language}\n(.*?)```", (DOCS / name).read_text(), re.DOTALL)


def test_the_row_of_add_an_op_works():
    (row,) = blocks("add_an_op.md", "python")
    command = [sys.executable, "-c", CHECK_SINC.format(row=row)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    got = [float(n) for n in done.stdout.strip("[]\n").split(",")]
    x = np.array([0.0, -0.5, 0.3, 2.0])
    slope = np.array([0, *((np.cos(np.pi * x[1:]) - np.sinc(x[1:])) / x[1:])])
    assert got == pytest.approx([*np.sinc(x), *slope], abs=1e-6)


def test_the_kernel_of_add_a_kernel_works():
    from flambeau.codegen.cpu.target import cpu
    from flambeau.runtime.threads import Launch

    scope = {}
    exec(next(code for code in blocks("add_a_kernel.md", "python") if "double_text" in code), scope)
    kernel = cpu().load_text(scope["double_text"](cpu().builder()), "double")
    x, out = np.arange(11, dtype=np.float32), np.zeros(11, np.float32)
    words = [(0, out.ctypes.data), (0, x.ctypes.data), (0, 11)]
    frame = np.zeros(2, np.int64)
    assert cpu().tape([Launch(kernel.address, tuple(words))]).run(frame.ctypes.data) == 0
    assert out.tolist() == (2 * x).tolist()


def test_files_that_documents_name_are_there():
    named = set()
    for path in DOCS.glob("*.md"):
        named.update(re.findall(r"`((?:\w+/)*\w+\.py)`", path.read_text()))
    inside = [path for path in (ROOT / "flambeau").rglob("*") if path.is_dir()]
    rooms = [ROOT, ROOT / "flambeau", DOCS, *inside]
    missing = [name for name in named if not any((room / name).exists() for room in rooms)]
    assert named and not missing


def test_the_listings_of_architecture_were_filled_in():
    text = (DOCS / "architecture.md").read_text()
    listings = re.findall(r"<!-- explain: ([\w ]+) -->\n```\w*\n(.*?)```", text, re.DOTALL)
    assert len(listings) > 10 and all(len(body) > 8 for _, body in listings)
