"""torch.__config__: what this build is made of, in words."""

from __future__ import annotations

import os


def show() -> str:
    """The parts that compute."""
    import llvmlite
    import numpy

    from flambeau.backends.cpu import get_cpu_capability
    from flambeau.torch_version import __version__

    return (
        f"Flambeau with PyTorch's interface, {__version__}:\n"
        f"  - NumPy {numpy.__version__}\n"
        f"  - llvmlite {llvmlite.__version__}\n"
        f"  - CPU capability usage: {get_cpu_capability()}\n"
        "  - Build settings: USE_CUDA=OFF, USE_MKL=OFF, USE_MKLDNN=OFF, USE_OPENMP=OFF\n"
    )


def parallel_info() -> str:
    """The threads that share the work."""
    from flambeau.info import get_num_threads
    from flambeau.switches import get_num_interop_threads

    return (
        f"get_num_threads() : {get_num_threads()}\n"
        f"get_num_interop_threads() : {get_num_interop_threads()}\n"
        f"os.cpu_count() : {os.cpu_count()}\n"
        f"OMP_NUM_THREADS : {os.environ.get('OMP_NUM_THREADS', '[not set]')}\n"
    )
