"""The small namespaces: devices that there are not, switches, jit, hub, versions."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import flambeau as torch
from tests.beside import same

LINES = r"""
torch.cuda.is_available()
torch.cuda.device_count()
torch.cuda.current_device()
torch.cuda.get_device_name(0)
torch.cuda.get_device_name()
torch.cuda.get_device_properties(0)
torch.cuda.get_device_capability()
torch.cuda.synchronize()
torch.cuda.empty_cache()
torch.cuda.memory_allocated()
torch.cuda.max_memory_allocated()
torch.cuda.memory_reserved()
torch.cuda.max_memory_reserved()
torch.cuda.mem_get_info()
torch.cuda.memory_stats()
torch.cuda.is_initialized()
torch.cuda.manual_seed(0)
torch.cuda.manual_seed_all(0)
torch.cuda.seed()
torch.cuda.initial_seed()
torch.cuda.init()
torch.cuda.get_rng_state()
torch.cuda.get_rng_state_all()
torch.cuda.set_rng_state_all([])
torch.cuda.is_bf16_supported()
torch.cuda.Stream()
torch.cuda.Event()
torch.cuda.Event(enable_timing=True).record()
torch.cuda.current_stream()
torch.cuda.default_stream()
torch.cuda.CUDAGraph()
torch.cuda.ipc_collect()
torch.cuda.get_arch_list()
torch.cuda.can_device_access_peer(0,1)
torch.cuda.nvtx.range_push("x")
torch.cuda.LongTensor([1])
torch.cuda.OutOfMemoryError.__mro__[1].__name__
torch.cuda._is_compiled() if hasattr(torch.cuda,'_is_compiled') else None
torch.cuda.amp.GradScaler().is_enabled()
torch.ones(2).cuda()
torch.ones(2).to('cuda')
torch.ones(2,device='cuda')
torch.nn.Linear(1,1).cuda()
torch.nn.Linear(1,1).to('cuda')
torch.backends.cudnn.enabled
torch.backends.cudnn.benchmark
torch.backends.cudnn.deterministic
torch.backends.cudnn.allow_tf32
torch.backends.cudnn.is_available()
torch.backends.cudnn.version()
torch.backends.cudnn.benchmark=True; torch.backends.cudnn.benchmark
torch.backends.cuda.matmul.allow_tf32
torch.backends.cuda.matmul.allow_tf32=True; torch.get_float32_matmul_precision()
torch.backends.cuda.is_built()
torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction
torch.backends.cuda.flash_sdp_enabled()
torch.backends.cuda.enable_flash_sdp(False)
torch.backends.cuda.mem_efficient_sdp_enabled()
torch.backends.cuda.math_sdp_enabled()
torch.backends.mps.is_available()
torch.backends.mps.is_built()
torch.backends.opt_einsum.is_available() in (True,False)
type(torch.backends.cpu.get_cpu_capability()).__name__
torch.backends.mkldnn.enabled
torch.backends.nnpack.is_available() in (True,False)
torch.backends.opt_einsum.strategy
torch.set_float32_matmul_precision('high'); torch.get_float32_matmul_precision()
torch.set_float32_matmul_precision('x')
torch.get_num_interop_threads() > 0
torch.set_flush_denormal(False)
torch.are_deterministic_algorithms_enabled()
torch.use_deterministic_algorithms(True); torch.are_deterministic_algorithms_enabled()
torch.use_deterministic_algorithms(False); torch.is_deterministic_algorithms_warn_only_enabled()
torch.get_deterministic_debug_mode()
torch.set_deterministic_debug_mode('warn'); torch.get_deterministic_debug_mode()
torch.set_deterministic_debug_mode('default'); torch.get_deterministic_debug_mode()
torch.get_default_device()
torch.set_default_device('cpu'); torch.get_default_device()
torch.set_default_device(None); torch.get_default_device()
torch.set_default_device('cuda'); x=torch.ones(1)
torch.set_default_device(None)
torch.set_default_tensor_type(torch.LongTensor)
torch.is_warn_always_enabled()
torch.set_warn_always(False)
torch.compiled_with_cxx11_abi()
torch.version.cuda
torch.version.hip
torch.version.debug
torch.version.git_version is not None
torch.__version__ == torch.version.__version__
torch.__version__ >= '2.0'
torch.__version__ >= (2,1)
torch.__version__.split('.')[0]
torch.torch_version.TorchVersion('2.1.0') > '2.0.3'
type(torch.__config__.show()).__name__
type(torch.__config__.parallel_info()).__name__
torch.accelerator.is_available()
torch.accelerator.current_accelerator()
torch.accelerator.device_count()
torch.mps.is_available() if hasattr(torch.mps,'is_available') else 0
torch.xpu.is_available()
torch.xpu.device_count()
torch.mtia.is_available()
torch.cpu.is_available()
torch.cpu.device_count()
torch.cpu.synchronize()
torch.cpu.current_device()
torch.get_device_module('cpu').is_available()
torch.OutOfMemoryError.__name__
torch.compiler.is_compiling()
torch.jit.is_scripting()
torch.jit.is_tracing()
torch.jit.annotate(int,3)
m=torch.compile(torch.nn.Linear(2,2)); m(torch.ones(1,2)).shape
torch.random.initial_seed()
torch.random.get_rng_state().shape
torch.types.Number
torch.types.Device is not None
torch.types.Tensor is torch.Tensor
torch.hub.load('x','y',source='nope')
torch.hub.get_dir().endswith('torch/hub')
torch.hub.set_dir('/tmp/hubx'); torch.hub.get_dir()
torch.typename(torch.ones(2))
torch.is_same_size(torch.ones(2),torch.ones(2))
torch.is_signed(torch.ones(2))
torch.utils.data.get_worker_info()
""".strip().splitlines()


@pytest.fixture(autouse=True)
def as_before() -> Any:
    yield
    for library in filter(None, (torch, sys.modules.get("torch"))):
        library.use_deterministic_algorithms(False)
        library.set_float32_matmul_precision("highest")
        library.set_default_dtype(library.float32)
        library.backends.cudnn.benchmark = False


@pytest.mark.parametrize("line", LINES)
def test_like_pytorch(line: str) -> None:
    same(*line.split("; "), words=4)


MODULES = """torch.backends.cudnn torch.backends.cuda torch.cuda.amp torch.utils.dlpack torch.hub
    torch.jit torch.version torch.types torch.testing torch.backends.mps torch.accelerator
    torch.utils.model_zoo torch.utils.cpp_extension torch._dynamo torch.compiler torch.storage
    torch.backends.mkldnn torch.backends.opt_einsum torch.xpu torch.mps torch.package"""


@pytest.mark.parametrize("name", MODULES.split())
def test_modules_can_be_imported(name: str) -> None:
    importlib.import_module(name.replace("torch", "flambeau", 1))


def test_flags_are_set_for_a_while() -> None:
    with torch.backends.cudnn.flags(enabled=False, benchmark=True):
        assert not torch.backends.cudnn.enabled and torch.backends.cudnn.benchmark
    assert torch.backends.cudnn.enabled and not torch.backends.cudnn.benchmark
    with torch.backends.cuda.sdp_kernel(enable_math=False):
        assert not torch.backends.cuda.math_sdp_enabled()
    assert torch.backends.cuda.math_sdp_enabled()


def test_tensors_of_gpus() -> None:
    assert not isinstance(torch.ones(1), torch.cuda.FloatTensor)
    with pytest.raises(TypeError, match="type torch.cuda.LongTensor not available"):
        torch.cuda.LongTensor([1])
    with pytest.raises(RuntimeError, match="without CUDA"), torch.cuda.device(0):
        pass
    with torch.cuda.device_of(torch.ones(1)), torch.cuda.stream(None):
        pass


def test_jit_gives_back_what_it_is_given() -> None:
    def double(x: Any) -> Any:
        return x * 2

    module = torch.nn.Linear(1, 1)
    assert torch.jit.script(double) is double and torch.jit.trace(module, None) is module
    assert torch.jit.ignore(double) is double and torch.jit.ignore(drop=True)(double) is double
    assert torch.compile(double) is double and torch.compile(mode="default")(double) is double
    assert torch.jit.fork(double, 2).wait() == 4
    for call in (torch.jit.save, torch.jit.load):
        with pytest.raises(NotImplementedError, match="TorchScript"):
            call(module)


class Scripted(torch.jit.ScriptModule):
    @torch.jit.script_method
    def forward(self, x: Any) -> Any:
        return x + 1


def test_modules_written_for_scripts() -> None:
    assert Scripted()(torch.ones(1)).tolist() == [2]


HUBCONF = """
dependencies = ["numpy"]
import beside

def small(width=2):
    \"\"\"A small model.\"\"\"
    return beside.make(width)

_hidden = small
"""


def test_hub_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "hubconf.py").write_text(HUBCONF)
    (tmp_path / "beside.py").write_text("def make(width): return [width]")
    try:
        assert torch.hub.list(tmp_path, source="local") == ["small"]
        assert torch.hub.help(tmp_path, "small", source="local") == "A small model."
        assert torch.hub.load(tmp_path, "small", 3, source="local") == [3]
        with pytest.raises(RuntimeError, match="Cannot find callable large in hubconf"):
            torch.hub.load(tmp_path, "large", source="local")
        with pytest.raises(NotImplementedError, match="nothing is fetched"):
            torch.hub.load("pytorch/vision", "resnet18")
        assert str(tmp_path) not in sys.path
        (tmp_path / "hubconf.py").write_text("dependencies = ['no_such_package']")
        with pytest.raises(RuntimeError, match="Missing dependencies: no_such_package"):
            torch.hub.list(tmp_path, source="local")
    finally:
        sys.modules.pop("beside", None)


def test_files_that_were_downloaded(tmp_path: Path) -> None:
    torch.save({"w": torch.ones(1)}, tmp_path / "m.pt")
    found = torch.hub.load_state_dict_from_url("https://example.org/a/m.pt", str(tmp_path))
    assert found["w"].tolist() == [1]
    with pytest.raises(NotImplementedError, match="nothing is fetched"):
        torch.hub.load_state_dict_from_url("https://example.org/a/n.pt", str(tmp_path))


def test_what_is_not_supported_says_so() -> None:
    with pytest.raises(NotImplementedError, match="C\\+\\+"):
        importlib.import_module("flambeau.utils.cpp_extension").load("x", [])
    with pytest.raises(NotImplementedError, match="torch.package"):
        torch.package.PackageImporter("x")


def test_versions() -> None:
    version = torch.__version__
    assert version.startswith("2.13.0") and isinstance(version, str)
    assert version >= "2.13" and version > (2, 9) and not version < "2.13.0" and version != "2.14"
    assert version < "2.13.1" and version > "2.13.0a1" and hash(version) == hash(str(version))
    assert "NumPy " + np.__version__ in torch.__config__.show()
