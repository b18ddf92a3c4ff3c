"""torch._inductor: the settings of PyTorch's compiler; programs set them, all unread."""

from types import SimpleNamespace

config = SimpleNamespace(
    coordinate_descent_tuning=False, fx_graph_cache=True, max_autotune=False, debug=False,
    epilogue_fusion=True, triton=SimpleNamespace(unique_kernel_names=True, cudagraphs=False),
)  # fmt: skip
