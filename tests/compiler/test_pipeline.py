"""Python's search for garbage while programs are compiled."""

import gc

import pytest

import flambeau as torch
from flambeau.compiler import pipeline
from flambeau.ir.program import Program


@pytest.fixture(params=[True, False])
def collecting(request):
    before = gc.isenabled()
    (gc.enable if request.param else gc.disable)()
    yield request.param
    (gc.enable if before else gc.disable)()


def test_collections_wait_while_a_program_is_compiled(collecting, monkeypatch):
    seen = []
    expand = pipeline.PASSES[0]

    def watched(program):
        seen.append(gc.isenabled())
        return expand(program)

    monkeypatch.setattr(pipeline, "PASSES", (watched, *pipeline.PASSES[1:]))
    pipeline.compile_program(Program((), (), (), (), 0))
    assert gc.isenabled() is collecting and len(seen) == 1
    x = torch.arange(41117.0 + collecting)  # large and never met: its kernels are made at once
    torch.sin(x * 3 + 1).sum().item()
    assert len(seen) > 1 and not any(seen)
    assert gc.isenabled() is collecting


def test_collections_go_on_after_an_error(collecting):
    with pytest.raises(ZeroDivisionError), pipeline.without_collections():
        assert not gc.isenabled()
        raise ZeroDivisionError
    assert gc.isenabled() is collecting
