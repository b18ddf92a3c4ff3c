"""What there is not: it can be imported, and says so when it is used."""

import pytest

import flambeau as torch

USES = {
    "distributed": lambda: torch.distributed.init_process_group("gloo"),
    "all_reduce": lambda: torch.distributed.all_reduce(
        torch.ones(1), torch.distributed.ReduceOp.SUM
    ),
    "fx": lambda: torch.fx.symbolic_trace(torch.nn.ReLU()),
    "export": lambda: torch.export.export(torch.nn.ReLU(), (torch.ones(1),)),
    "onnx": lambda: torch.onnx.export(torch.nn.ReLU(), torch.ones(1), "file"),
    "nested": lambda: torch.nested.nested_tensor([torch.ones(1)]),
    "sparse": lambda: torch.sparse.addmm(*[torch.ones(1, 1)] * 3),
    "sparse_csr_tensor": lambda: torch.sparse_csr_tensor([0, 1], [0], [1.0], (1, 1)),
}


@pytest.mark.parametrize("name", USES)
def test_says_what_is_missing(name):
    with pytest.raises(NotImplementedError, match="is not supported: "):
        USES[name]()


def test_what_can_be_asked():
    assert not torch.distributed.is_available() and not torch.distributed.is_initialized()
    with pytest.raises(ValueError, match="process group has not been initialized"):
        torch.distributed.get_rank()
    assert not isinstance(torch.ones(1), torch.fx.Proxy)
    assert not torch.onnx.is_in_onnx_export()
    assert not hasattr(torch.fx, "something_else")
    with pytest.raises(NotImplementedError):

        class Mine(torch.fx.Tracer):
            pass

        Mine()
