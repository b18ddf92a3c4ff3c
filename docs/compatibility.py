"""Fills docs/compatibility.md: which of PyTorch's public names there are, beside PyTorch itself.

    python docs/compatibility.py                      # the names; the section on operators stays
    python docs/compatibility.py report.json …        # and what reports of a conformance run say

A name is public if it has no underscore in front, and if the module lists it in `__all__`, or,
where there is no such list, if what it names was made by PyTorch. What is not there has a reason:
the first of FAMILIES whose pattern the whole name matches.
"""

from __future__ import annotations

import json
import re
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

DOCUMENT = Path(__file__).resolve().parent / "compatibility.md"
NAMESPACES = """torch torch.Tensor torch.nn torch.nn.Module torch.nn.functional torch.nn.init
    torch.nn.utils torch.nn.utils.rnn torch.nn.utils.parametrize torch.nn.utils.parametrizations
    torch.nn.utils.prune torch.nn.attention torch.optim torch.optim.Optimizer
    torch.optim.lr_scheduler torch.optim.swa_utils torch.autograd torch.autograd.functional
    torch.autograd.forward_ad torch.autograd.graph torch.utils.data torch.utils.checkpoint
    torch.linalg torch.fft torch.special torch.distributions torch.distributions.transforms
    torch.distributions.constraints torch.func torch.amp torch.signal.windows torch.testing
    torch.random torch.serialization torch.overrides torch.cuda torch.accelerator""".split()

# Why names are not there: (family, pattern of whole names below their namespace, reason).
FAMILIES = [
    ("removed by PyTorch", r"torch\.(eig|symeig|lstsq|solve|matrix_rank)|torch\.Tensor\."
     r"(eig|symeig|lstsq|solve|volatile|reinforce|resize|resize_as|name)",
     "they raise errors in PyTorch, too, and name their successors"),
    ("sparse tensors", r".*(sparse|coalesce|spmm|sspaddmm|saddmm|\bsmm|hsmm|dsmm|hspmm|spdiags).*|"
     r".*\.(ccol_indices|col_indices|crow_indices|row_indices|indices|values|dense_dim)(_copy)?",
     "they hold gradients of embeddings, and do little else"),
    ("quantized tensors", r".*(quantiz|quantized_|\bq_|fake_quant|qparams|fbgemm|qscheme|int_repr|"
     r"fused_moving_avg|per_channel|per_tensor|nn\.(qat|intrinsic)|\.q?u?int\d+x\d+).*|"
     r"torch\.q(int|uint)\d+|torch\.(QInt|QUInt)\w+|torch\.ao",
     "there are no quantized types; integers and float16, bfloat16 are there"),
    ("types of less than a byte, and bits", r"torch\.(u?int[1-7]|bits\w*|bit|float4_\w+)",
     "PyTorch has the names, and hardly an operation on them"),
    ("named tensors", r".*\.(align_as|align_to|align_tensors|refine_names|rename_?|has_names)",
     "an experiment that PyTorch no longer develops"),
    ("nested tensors", r".*(nested|jagged|to_padded_tensor).*", "sequences of different lengths "
     "are packed (`nn.utils.rnn`) or padded and masked"),
    ("graphs of TorchScript, fx and export", r"torch\.(fx|export|package|_C|classes|cond|"
     r"while_loop|import_ir\w*|parse_\w+|merge_type\w*|unify_type\w*|cpp|StaticModule|AliasDb|Script\w+|"
     r"LiteScriptModule|CompilationUnit|\w*Type|Graph\w*|Node|Block|Value|Use|Code|CallStack|"
     r"Argument\w*|FunctionSchema|ExecutionPlan|\w*Logger\w*|TracingState|ConcreteModule\w+|Capsule|"
     r"FileCheck|ErrorReport|JITException|Gradient|Bench\w+|ThroughputBenchmark|IODescriptor|"
     r"CompleteArgumentSpec|DeepCopyMemoTable|DispatchKey\w*|ExcludeDispatchKeyGuard|OperatorInfo|"
     r"\w+StorageContext|PyTorchFile\w+|ModuleDict|ParameterDict|BufferDict|AVG|SUM|fork|wait|"
     r"AggregationType|DeviceObjType|Future|futures|library|Tag|get_file_path|FatalError|"
     r"prepare_multiprocessing\w+|StorageBase)", "programs are recorded while they run, so nothing "
     "has to be scripted, traced or exported; these are parts of PyTorch's own machinery"),
    ("hooks of what backward saves", r"torch\.autograd\.(NestedIOFunction|enforce_\w+)|"
     r"torch\.autograd\.graph\.\w+|torch\.(Tensor\.)?slice_inverse|torch\.utils\.checkpoint\.\w+|"
     r"torch\.optim\.(swap_in_\w+|Optimizer\.\w+)", "a node saves references to memory that is "
     "often never written, and programs are compiled from that; these reach into PyTorch's engine"),
    ("results for derivatives of PyTorch's own", r"torch\.embedding_bag",
     "`nn.functional.embedding_bag` is there"),
    ("pipes of data", r"torch\.utils\.data\.\w*(DataPipe|datapipe|DataChunk|validation|"
     r"determin)\w*", "PyTorch no longer develops them; datasets, samplers and loaders are there"),
    ("products of small floats", r"torch\.nn\.functional\.(\w*(scaled|grouped)\w*mm|ScalingType|"
     r"SwizzleType)", "they are for GPUs with eight-bit floats"),
    ("several machines", r".*(distributed|DataParallel|nn\.parallel).*|torch\.monitor",
     "one process computes, with all cores"),
    ("other devices", r".*(cudnn|miopen|mkldnn|mkl_|vulkan|\bipu|_ipu|xla|\bxpu|\bmps|mtia|maia|"
     r"cuda|record_stream|gpu|nccl|cudart|jiterator|tunable|gds|nvtx|\bgreen_contexts).*|"
     r"torch\.cuda\..*|torch\.accelerator\..*|torch\.batch_norm_(backward|elemt|gather|stats|update)\w*",
     "there is the CPU alone"),
    ("numbers that are symbols", r"torch\.(Sym\w+|sym_\w+)|.*\.(guard_\w+)",
     "sizes are numbers: a new one is told to the program at run time"),
    ("PyTorch's own switches and helpers", r"torch\.(USE_\w+|TYPE_CHECKING|PRIVATE_OPS|"
     r"classproperty|windows|quasirandom|legacy_contiguous_format|init_num_threads|thread_safe_generator|"
     r"profiler_\w+|functional|torch|native_norm)|torch\.Tensor\.index|torch\.fft\.Tensor|"
     r"torch\.nn\.(Container|Module\.T_destination)|torch\.random\.thread_safe_generator|"
     r"torch\.testing\.FileCheck|torch\.serialization\.\w+|torch\.overrides\.\w+|"
     r"torch\.func\.(debug_unwrap|rearrange)|torch\.nn\.attention\.\w+_flash_attention_impl|"
     r"torch\.nn\.functional\.(Broadcasting\w+|assert_int_or_pair|"
     r"boolean_dispatch|\w+_torch_function\w*|grad|torch|DType|TYPE_CHECKING|"
     r"GRID_\w+|\w+_notes)|torch\.nn\.(common_types|factory_kwargs|grad)"
     r"|torch\.nn\.utils\.prune\.\w+|torch\.nn\.(utils|attention|init)\.(torch|\w+_format|\w+grad|"
     r"convert_parameters|varlen\w*)|torch\.autograd\.\w*(kineto|Profiler|profiler|_torch_function|"
     r"tensor_like|is_\w+|DeviceType|SavedTensor|torch|_mode)\w*|torch\.linalg\.\w*(torch|Tensor|"
     r"common_\w+)", "imported by PyTorch for itself, or a switch of its build"),
]  # fmt: skip
UNSORTED = "not there yet"

# Why operators of the conformance run fail: (pattern of the operator's name, reason).
REASONS = [
    (r".*sparse.*|.*_scaled_mm.*", "sparse tensors do little, and products of small floats are not "
     "there"),
    (r"narrow_copy|nn\.functional\.(avg_pool3d|gelu)", "PyTorch itself writes wrong numbers to an "
     "`out=` that is not contiguous"),
    (r"special\.bessel_(j0|y1)", "PyTorch is exact to eight digits there, Flambeau to sixteen"),
    (r"addbmm|linalg\.cond", "in complex64 both sum in orders of their own, and round so"),
    (r"nn\.functional\.conv_transpose3d", "its float32 sums are in another order than PyTorch's"),
    (r"matrix_exp", "in float32 it loses digits where the matrix is large; in float64 it is exact"),
    (r"nn\.functional\.linear_cross_entropy.*", "a second derivative is zeros where PyTorch says "
     "None"),
    (r"as_strided_scatter", "PyTorch's gradient by the input is that of what was written over; "
     "Flambeau's that of what was kept"),
    (r"linalg\.norm\.subgradients_at_zero", "the second derivative of a norm at zero is not a "
     "number"),
    (r"_native_batch_norm_legit", "not there; `native_batch_norm` and `nn.functional.batch_norm` "
     "are"),
    (r"gradient", "three samples are tensors on 'meta', of which there are none"),
]  # fmt: skip


# ------------------------------------------------------------------ names


def find(root: Any, name: str) -> Any:
    """What a dotted name stands for below the package `root`; AttributeError where nothing."""
    found, path = root, root.__name__
    for part in name.split(".")[1:]:
        path = f"{path}.{part}"
        try:
            found = getattr(found, part)
        except (AttributeError, ImportError):
            if not isinstance(found, ModuleType):
                raise
            try:
                found = import_module(path)
            except ImportError:
                raise AttributeError(f"there is no {name}") from None
    return found


def has(root: Any, name: str) -> bool:
    """Whether a dotted name stands for something."""
    try:
        find(root, name)
    except AttributeError:
        return False
    return True


def public_names(root: Any, namespace: str) -> list[str]:
    """PyTorch's public names in a namespace, without the namespace."""
    home = find(root, namespace)
    names = [name for name in dir(home) if not name.startswith("_")]
    if not isinstance(home, ModuleType):
        return names
    listed = None if home is root else getattr(home, "__all__", None)
    if listed is not None:
        return [name for name in listed if not name.startswith("_")]
    return [name for name in names if made_by(root, getattr(home, name))]


def made_by(root: Any, value: Any) -> bool:
    """Whether a value is the package's own, not something that it imported."""
    if isinstance(value, ModuleType):
        return value.__name__.startswith(f"{root.__name__}.")
    home = getattr(value, "__module__", None)
    return not isinstance(home, str) or home.split(".")[0] in (root.__name__, "builtins")


def family(name: str) -> str:
    """Why a name is not there."""
    for title, pattern, _ in FAMILIES:
        if re.fullmatch(pattern, name):
            return title
    return UNSORTED


def compare(ours: Any, theirs: Any) -> dict[str, tuple[int, list[str]]]:
    """Namespace → how many names PyTorch has there, and those that we have not."""
    found = {}
    for namespace in NAMESPACES:
        names = sorted(set(public_names(theirs, namespace)))
        missing = [f"{namespace}.{n}" for n in names if not has(ours, f"{namespace}.{n}")]
        found[namespace] = len(names), missing
    return found


# ------------------------------------------------------------------ the document

HEAD = """# What there is of PyTorch, and what not

Made by `python docs/compatibility.py`, which compares with the PyTorch that is installed
({version}). A name that is not there raises `AttributeError`, so `hasattr` and `try` work as they
do between versions of PyTorch. A few are there and refuse every use with a `NotImplementedError`:
most operations on sparse tensors, quantized ones, files of TorchScript, the network.

## Names
"""


def document(ours: Any, theirs: Any, operators: str) -> str:
    """The whole text."""
    found = compare(ours, theirs)
    total = sum(count for count, _ in found.values())
    missing = [name for _, names in found.values() for name in names]
    lines = [HEAD.format(version=theirs.__version__.split("+")[0])]
    lines += ["| namespace | PyTorch | Flambeau | |", "| --- | --: | --: | --: |"]
    rows = [(f"`{ns}`", count, count - len(names)) for ns, (count, names) in found.items()]
    for title, count, there in [*rows, ("**all**", total, total - len(missing))]:
        lines.append(f"| {title} | {count} | {there} | {100 * there / count:.1f} % |")
    lines += ["", "## Names that are not there", ""]
    for title, _, reason in [*FAMILIES, (UNSORTED, "", "nothing stands against them")]:
        names = [f"`{name}`" for name in missing if family(name) == title]
        if names:
            lines += [f"**{title[0].upper() + title[1:]}** ({len(names)}): {reason}.", ""]
            lines += [wrapped(names), ""]
    return "\n".join([*lines, *names_in_use(ours), OPERATORS, operators.strip(), ""])


def names_in_use(ours: Any) -> list[str]:
    """Which of the names that programs use most are there; tests/names counts and calls them."""
    from tests.names.used import resolves, used

    names = [name for name, _ in used()]
    missing = [f"`{name}`" for name in names if not resolves(ours, name)]
    return [
        "## Names that programs use", "",
        f"Of the {len(names)} names that are used most in 1,571 public files "
        f"(tests/names/used.txt), {len(names) - len(missing)} are there.",
        wrapped_text(ABSENT), "", wrapped(missing), "",
    ]  # fmt: skip


ABSENT = (
    "The others belong to several machines, graphs, libraries of C++, nested tensors and eight-bit "
    "products, need another package (`tensorboard`), or are methods of lists (`index`) that were "
    "counted by name:"
)


def wrapped_text(text: str) -> str:
    """Prose in lines of 118 characters."""
    return wrapped(text.split())


def wrapped(words: list[str]) -> str:
    """Words in lines of 118 characters."""
    lines, line = [], ""
    for word in words:
        if line and len(line) + 1 + len(word) > 118:
            lines.append(line)
            line = word
        else:
            line = f"{line} {word}".strip()
    return "\n".join([*lines, line])


# ------------------------------------------------------------------ operators

OPERATORS = "## Operators: PyTorch's own samples\n"


def summary(paths: list[str]) -> str:
    """What conformance reports say: counts, and what fails first in each operator that fails."""
    lines = []
    for path in paths:
        report = json.loads(Path(path).read_text())
        rows = [row for row in report["rows"] if row["status"] not in ("empty", "unresolvable")]
        failing = [row for row in rows if row["status"] != "pass"]
        checks = sum(row["passed"] for row in rows), sum(row["total"] for row in rows)
        lines += [
            f"`{report['tool']}`, types {', '.join(report['dtypes'])}: {len(rows) - len(failing)} "
            f"of {len(rows)} pass every check; {checks[0]} of {checks[1]} checks pass.", "",
        ]  # fmt: skip
        lines += [f"- `{row['name']}`: {row['passed']}/{row['total']}, {explained(row)}"
                  for row in failing] + [""]  # fmt: skip
    return "\n".join(lines)


def explained(row: dict[str, Any]) -> str:
    """Why an operator fails: the known reason, or the first failure."""
    for pattern, reason in REASONS:
        if re.fullmatch(pattern, row["name"]):
            return reason
    if row["status"] == "missing":
        return "not there"
    return re.sub(r"\s+", " ", row["first_failure"] or row["note"])[:150].replace("|", "/")


def former() -> str:
    """The section on operators as it stands in the document."""
    if not DOCUMENT.exists():
        return "Not measured."
    return DOCUMENT.read_text().partition(OPERATORS)[2] or "Not measured."


def main(reports: list[str]) -> None:
    import torch

    import flambeau

    operators = summary(reports) if reports else former()
    DOCUMENT.write_text(document(flambeau, torch, operators))


if __name__ == "__main__":
    sys.path.insert(0, str(DOCUMENT.parent.parent))
    main(sys.argv[1:])
