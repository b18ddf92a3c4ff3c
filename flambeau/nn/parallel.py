"""torch.nn.parallel: one model on several GPUs. There are none, so the model runs as it is."""

from __future__ import annotations

from typing import Any

from flambeau.nn.modules.module import Module


class DataParallel(Module):
    """A module around another, which it calls: without GPUs there is nothing to share out.

    Its state has PyTorch's names (`module.weight`). Devices that are named are refused.
    """

    def __init__(
        self, module: Any, device_ids: Any = None, output_device: Any = None, dim: int = 0
    ) -> None:
        super().__init__()
        self.module, self.dim = module, dim
        self.device_ids: list[int] = []

    def forward(self, *inputs: Any, **kwargs: Any) -> Any:
        return self.module(*inputs, **kwargs)


def data_parallel(
    module: Any, inputs: Any, device_ids: Any = None, output_device: Any = None, dim: int = 0,
    module_kwargs: Any = None,
) -> Any:  # fmt: skip
    """The module's result."""
    inputs = inputs if isinstance(inputs, tuple) else (inputs,)
    return module(*inputs, **(module_kwargs or {}))


class DistributedDataParallel(Module):
    """One model in several processes: refused."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise NotImplementedError("several processes do not train one model here; one process "
                                  "uses all cores, so use the module itself")  # fmt: skip


def _no_gpu(*_: Any, **__: Any) -> Any:
    raise NotImplementedError("there is no GPU to scatter to or gather from")


scatter = gather = replicate = parallel_apply = _no_gpu
__all__ = ["DataParallel", "DistributedDataParallel", "data_parallel", "gather", "parallel_apply",
           "replicate", "scatter"]  # fmt: skip
