"""Imports between rooms go down only, and nothing heavy is imported at the start."""

import ast
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent / "flambeau"

# From the top down. A room may import itself and the rooms after it.
FLOORS = "cli front autograd ops trace compiler codegen interpreter runtime ir".split()
CLI = {"cli", "__main__", "report"}
GROUND = {"settings", "hot", "size", "device", "ir"}

# Files with imports that go up, each with its reason. The list may only become shorter.
UPWARDS = {"flambeau.autograd.gradcheck": "makes tensors with the functions that its callers use"}


def room_of(module):
    """The floor that a module stands on; what is no room of the engine is the front."""
    parts = module.split(".")
    name = parts[1] if len(parts) > 1 else "__init__"
    if name in CLI:
        return "cli"
    if name in GROUND:
        return "ir"
    return name if name in FLOORS else "front"


def module_of(path):
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported_by(path):
    """The modules of Flambeau that a file imports, with their lines; not those for types only."""
    module = module_of(path)
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    tree = ast.parse(path.read_text())
    hidden = {id(n) for block in ast.walk(tree) if is_for_types(block) for n in ast.walk(block)}
    for node in ast.walk(tree):
        if id(node) in hidden:
            continue
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package.split(".")[: len(package.split(".")) - node.level + 1])
            source = f"{base}.{node.module or ''}".rstrip(".") if node.level else node.module
            names = [submodule(source, alias.name) for alias in node.names]
        else:
            continue
        yield from ((name, node.lineno) for name in names if name.split(".")[0] == "flambeau")


def submodule(source, name):
    """`from flambeau.ir import dtype` imports flambeau.ir.dtype."""
    path = ROOT.parent.joinpath(*source.split("."), name)
    there = path.is_dir() or path.with_suffix(".py").exists()
    return f"{source}.{name}" if source and there else source


def is_for_types(node):
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def files():
    return [path for path in sorted(ROOT.rglob("*.py")) if "startup" not in path.parts]


def test_rooms_import_only_downwards():
    wrong = []
    for path in files():
        room = room_of(module_of(path))
        if module_of(path) in UPWARDS:
            continue
        for name, line in imported_by(path):
            if FLOORS.index(room) > FLOORS.index(room_of(name)):
                place = f"{path.relative_to(ROOT.parent)}:{line}"
                wrong.append(f"{place}: {room} may not import {name}")
    assert not wrong, "\n".join(wrong)


def test_there_are_no_circles_between_files_of_the_engine():
    """Imports at the top of a file never lead back to it (those inside functions may)."""
    graph = {}
    for path in files():
        if room_of(module_of(path)) in ("cli", "front"):
            continue
        top = {node.lineno for node in ast.parse(path.read_text()).body}
        graph[module_of(path)] = {name for name, line in imported_by(path) if line in top}
    done, path = set(), []

    def visit(module):
        if module in path:
            raise AssertionError(" → ".join([*path[path.index(module) :], module]))
        if module in done or module not in graph:
            return
        path.append(module)
        for other in sorted(graph[module]):
            if other != module:
                visit(other)
        path.pop()
        done.add(module)

    for module in sorted(graph):
        visit(module)


# What `import flambeau` may bring beyond NumPy. Each name here costs every program: the import has
# to stay below a sixth of PyTorch's when there are three times as many ops.
STANDARD = set(
    """__future__ _heapq atexit heapq importlib._abc importlib.util pkgutil signal
    threading""".split()
)
LATE = """nn optim utils distributions linalg fft special func cli codegen report
    serialization autograd.gradcheck autograd.functional compiler.pipeline compiler.observe
    compiler.single runtime.threads ir.tree ir.kernel ir.show""".split()


def brought(first, then):
    """The modules that the second import adds to what the first one brings."""
    code = f"import sys, {first}; a = set(sys.modules); import {then}; print(*set(sys.modules) - a)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT.parent, capture_output=True, text=True, timeout=60,
        check=True,
    )  # fmt: skip
    return set(done.stdout.split())


def test_an_import_brings_little():
    modules = brought("numpy", "flambeau")
    assert {m for m in modules if not m.startswith("flambeau")} <= STANDARD
    inside = {m.removeprefix("flambeau.") for m in modules}
    assert not {m for m in inside if any((m + ".").startswith(late + ".") for late in LATE)}


def test_namespaces_are_there_when_asked_for():
    assert {"flambeau.nn", "flambeau.nn.functional"} <= brought("flambeau", "flambeau.nn")
    code = """if True:
        import flambeau as torch
        assert not {"flambeau.nn", "flambeau.optim"} & set(__import__("sys").modules)
        assert torch.nn.Linear(2, 3).weight.shape == (3, 2) and hasattr(torch, "optim")
        assert torch.optim.SGD and torch.utils.data.DataLoader and torch.linalg.vector_norm
        assert not hasattr(torch, "nothing_of_this_name")
        from flambeau.nn import functional as F
        assert F is torch.nn.functional and isinstance(torch.nn.ReLU(), torch.nn.Module)
    """
    subprocess.run([sys.executable, "-c", code], cwd=ROOT.parent, timeout=60, check=True)
