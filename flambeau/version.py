"""torch.version: which PyTorch the interface is that of, and what was built in."""

from flambeau.torch_version import __version__

debug = False
cuda = hip = rocm = xpu = None
git_version = "unknown"  # this is no build of PyTorch's source

__all__ = ["__version__", "cuda", "debug", "git_version", "hip", "xpu"]
