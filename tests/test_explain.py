"""`flambeau explain` shows what ran, and changes nothing in what the program computes."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import flambeau as torch
from flambeau.cli.story import tell
from flambeau.settings import settings
from flambeau.trace import programs

ROOT = Path(__file__).resolve().parent.parent

TRAINING = """
import torch
torch.manual_seed(0)
x, t = torch.randn(64, 20), torch.randint(0, 5, (64,))
w = torch.zeros(20, 5, requires_grad=True)
b = torch.zeros(5, requires_grad=True)
opt = torch.optim.SGD([w, b], lr=0.1, momentum=0.9)
for step in range(8):
    i = step % 4 * 16
    z = torch.nn.functional.dropout(x[i:i + 16], 0.1)
    loss = torch.nn.functional.cross_entropy(z @ w + b, t[i:i + 16])
    opt.zero_grad()
    loss.backward()
    opt.step()
    print(f"{loss.item():.6f}")
"""


def flambeau(folder, *arguments, **variables):
    usual = {name: value for name, value in os.environ.items() if not name.startswith("FLAMBEAU_")}
    return subprocess.run(
        [sys.executable, "-m", "flambeau_command", *arguments], cwd=folder, timeout=120,
        capture_output=True, text=True,
        env={**usual, "PYTHONPATH": str(ROOT), "FLAMBEAU_PATIENCE": "0",
             "FLAMBEAU_THREADS": "1", **variables},
    )  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("explain")
    (place / "train.py").write_text(TRAINING)
    return place


@pytest.fixture(scope="module")
def explained(folder):
    done = flambeau(folder, "explain", "--llvm", "train.py")
    assert done.returncode == 0, done.stderr
    return done.stdout


def sections(text):
    """The report by the names of its sections."""
    parts = re.split(r"^── (\w[\w ]*) ─+\n", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2]))


def test_the_program_computes_what_it_always_does(folder, explained):
    plain = flambeau(folder, "run", "train.py").stdout
    assert plain and explained.startswith(plain)


def test_every_stage_is_shown(explained):
    assert list(sections(explained)) == [
        "recorded", "lines", "expand", "lower", "simplify", "fuse", "schedule", "memory", "tape",
        "kernels", "llvm", "all programs",
    ]  # fmt: skip


def test_calls_name_the_users_lines(explained):
    recorded = sections(explained)["recorded"]
    assert re.search(r"mm\(.*\) +train\.py:11$", recorded, re.MULTILINE)
    assert "sgd_update" in recorded and "sgd_update" not in sections(explained)["expand"]


def test_lines_fit_the_page(explained):
    for name, text in sections(explained).items():
        if name != "llvm":
            assert max(map(len, text.split("\n"))) <= 120, name


def test_shares_add_up(explained):
    shares = [int(n) for n in re.findall(r"(\d+) %  ", sections(explained)["kernels"])]
    assert len(shares) > 3 and 90 <= sum(shares) <= 110


def test_the_code_is_llvms(explained):
    code = sections(explained)["llvm"]
    assert "define void @" in code and code.count("; kernel ") > 3


def test_lines_lead_to_kernels(explained):
    lines, kernels = sections(explained)["lines"], sections(explained)["kernels"]
    (update,) = re.findall(r"train\.py:14  opt\.step\(\) .*\n    kernels? (.+): sgd_update", lines)
    numbers = [int(n) for n in re.findall(r"\d+", update)]
    assert all(re.search(rf"^ *{n}  ", kernels, re.MULTILINE) for n in numbers)
    assert "cross_entropy(z @ w + b" in lines and "a constant" in lines


def test_one_kernel(folder):
    done = flambeau(folder, "explain", "--kernel", "2", "--asm", "train.py")
    found = sections(done.stdout)
    assert list(found) == ["kernel 2", "calls", "schedule", "words", "assembly"]
    assert "train.py:" in found["calls"] and found["assembly"].startswith("# kernel 2: ")
    assert re.search(r"^\s+ret[q]?$", found["assembly"], re.MULTILINE)
    done = flambeau(folder, "explain", "--kernel", "999", "train.py")
    assert "--kernel takes a number up to that" in done.stdout


def test_any_step_can_be_asked_for(folder):
    first = flambeau(folder, "explain", "--step", "1", "train.py").stdout
    assert "seen 8 times" not in first and "ran call by call" in first and "share" in first
    late = flambeau(folder, "explain", "--step", "99", "train.py").stdout
    assert "--step takes a number up to that" in late


def test_a_program_without_calls_is_explained_too(folder):
    done = flambeau(folder, "explain", "-c", "print('hello')")
    assert done.stdout.startswith("hello\n") and "never computed anything" in done.stdout


def test_the_exit_code_is_the_programs(folder):
    assert flambeau(folder, "explain", "-c", "raise SystemExit(3)").returncode == 3


def test_what_is_not_understood_is_refused(folder):
    for arguments in (["--what", "train.py"], ["--step", "x", "train.py"], []):
        done = flambeau(folder, "explain", *arguments)
        assert done.returncode == 2 and "usage: flambeau explain" in done.stderr


def test_passes_are_printed_as_they_happen(folder):
    done = flambeau(folder, "run", "train.py", FLAMBEAU_SHOW="trace,fuse,schedule")
    for word in ("trace", "fuse", "schedule"):
        assert f"── {word}\n" in done.stderr
    assert "── expand" not in done.stderr
    assert done.stdout == flambeau(folder, "run", "train.py").stdout


def test_checked_runs_give_the_same_numbers(folder):
    checked = flambeau(folder, "run", "train.py", FLAMBEAU_CHECK="1")
    assert checked.returncode == 0, checked.stderr
    assert checked.stdout == flambeau(folder, "run", "train.py").stdout


# ------------------------------------------------------------------ from Python


def story_of(function, *args, **kwargs):
    explanation = torch.explain(function, *args, **kwargs)
    return explanation, tell(explanation.watch.choose())


def test_explain_a_function():
    calls = []

    def f(x, *, factor):
        calls.append(1)
        return (x * factor).exp().sum(1)

    x = torch.randn(20, 31)
    explanation, story = story_of(f, x, factor=3.0, runs=4)
    assert len(calls) == 4 and not programs.watchers and settings.patience == 1.0
    assert story.record.measured.whole > 0 and len(story.notes) == 1
    assert [call.op.name for call in story.program.calls] == ["mul", "exp", "sum"]
    assert story.kernels_of == {0: [0], 1: [0], 2: [0]}
    assert sum(story.time_of.values()) == pytest.approx(story.costs[0].time)
    assert story.time_of[1] > story.time_of[0]  # an exponential takes longer than a product
    assert "test_explain.py" in str(explanation) and "1 programs" in repr(explanation)
    assert "define void @" in explanation.text("llvm", kernel=1)
    assert explanation._repr_html_().startswith('<iframe srcdoc="&lt;!DOCTYPE html&gt;')


@pytest.mark.parametrize("m, k, n", [(64, 48, 80), (3, 9000, 5), (2, 700, 64), (1, 40, 7)])
def test_operations_of_products(m, k, n):
    """2mnk, however the product is cut up."""
    a, b = torch.randn(m, k), torch.randn(k, n)
    _, story = story_of(lambda: a @ b)
    names = [note.name for note in story.notes]
    product = sum(note.operations for note in story.notes if note.name not in ("pack", "combine"))
    assert product == 2 * m * n * k, names
    assert all(note.bytes > 0 for note in story.notes)


def test_operations_of_a_convolution():
    x, w = torch.randn(2, 4, 9, 9), torch.randn(8, 4, 3, 3)
    _, story = story_of(lambda: torch.nn.functional.conv2d(x, w))
    assert sum(note.operations for note in story.notes) == 2 * (2 * 8 * 7 * 7) * (4 * 3 * 3)


def test_what_explain_refuses(tmp_path):
    with pytest.raises(ValueError, match="runs should be"):
        torch.explain(lambda: None, runs=0)
    nothing = torch.explain(lambda: None)
    assert "never computed anything" in str(nothing) and "never computed" in nothing.html()
    with pytest.raises(ValueError, match="'llvm' or 'assembly'"):
        nothing.text("c")
    with pytest.raises(ZeroDivisionError):
        torch.explain(lambda: 1 / 0)
    assert not programs.watchers
    nothing.save(tmp_path / "text")
    assert (tmp_path / "text").read_text() == f"{nothing}\n"


def test_errors_are_the_programs_own():
    """A program that fails is not measured, and fails as ever."""
    x, index = torch.randn(5), torch.tensor([0, 9])
    with pytest.raises(IndexError):
        torch.explain(lambda: (x[index] * 2).sum())
