"""What is said while it happens: FLAMBEAU_LOG and torch._logging; torch.compile's arguments."""

import re

import pytest

import flambeau as torch
from flambeau import _logging
from flambeau.settings import read, settings


def run(size, times=4):
    """A program that is compiled when it is met again."""
    with settings.override(patience=0.0):
        for _ in range(times):
            (torch.ones(size) * 2 + 1).cos().sum().item()


def test_a_line_for_each_program_that_is_compiled(capfd):
    with settings.override(log=frozenset({"compile"})):
        run(97)
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("flambeau compile: 5 calls from ") and f"{__file__}:16" in line
    assert "sighting 2 ·" in line and re.search(r"\d+ kernels made, \d+ read from the disk$", line)
    steps = [float(n) for n in re.findall(r"(?:expand|lower|simplify|fuse|emit) ([\d.]+) ms", line)]
    whole = float(re.search(r"in all ([\d.]+) ms", line)[1])
    assert len(steps) == 5 and sum(steps) == pytest.approx(whole, abs=0.5)


def test_a_line_for_each_kernel(capfd, tmp_path):
    from flambeau.ir.log import kernels

    before = dict(kernels)
    with settings.override(log=frozenset({"cache"}), cache=str(tmp_path)):
        x = torch.ones(53)
        (x * 0.123456789 + x.sin() * x.cos() - x.exp() / 17).tanh().sum().item()
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == sum(kernels.values()) - sum(before.values())
    assert all(re.fullmatch(r"flambeau cache: (made|read) \w{12}, \d+ bytes", n) for n in lines)


def test_nothing_is_said_unasked(capfd):
    run(101)
    assert capfd.readouterr() == ("", "")


def test_words_come_from_the_environment():
    assert read({"FLAMBEAU_LOG": "compile, cache"}).log == {"compile", "cache"}


def test_pytorchs_names(capfd):
    before = settings.show, settings.log
    try:
        torch._logging.set_logs(recompiles=True, fusion=True, dynamo=10, guards=True)
        assert settings.log == {"compile"} and settings.show == {"fuse"}
        run(103)
        said = capfd.readouterr().err
        assert "── fuse" in said and "flambeau compile: " in said
        torch._logging.set_logs()
        assert (settings.show, settings.log) == _logging._asked
    finally:
        settings.show, settings.log = before


def test_compile_takes_its_arguments():
    def double(x):
        return 2 * x

    assert torch.compile(double, fullgraph=True, dynamic=False, backend="inductor") is double
    assert torch.compile(mode="max-autotune")(double) is double
    assert torch.compile(double, options={"max_autotune": True}, disable=True) is double
    net = torch.nn.Linear(2, 3)
    assert torch.compile(net) is net and net.compile(mode="default") is None


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # PyTorch's own
@pytest.mark.parametrize("wrong, error", [
    (dict(mode="default", options={}), RuntimeError), (dict(mode="fastest"), RuntimeError),
    (dict(beauty=1), TypeError), (dict(model=3), AssertionError),
], ids=str)  # fmt: skip
def test_compile_refuses_what_pytorch_refuses(wrong, error):
    theirs = pytest.importorskip("torch")
    arguments = dict(dict(model=lambda x: x), **wrong)
    said = []
    for one in (torch, theirs):
        with pytest.raises(error) as caught:
            one.compile(**arguments)
        said.append(str(caught.value))
    assert said[0] == said[1]
