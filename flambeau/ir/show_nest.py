"""Scalar trees and loop nests as text.

    rows · 2 loops · s0 int64
      x0  float32[·, 1]
      x1  float32[·, 1]
      pass 0   r0 = max(x0)
      pass 1   r1 = sum(exp(x0 - r0))
      pass 2   x1 ← exp(x0 - r0) / r1

`x0` is the element at pointer 0, `s0` a run-time number, `i1` the counter of loop 1, `r0` a result.
Beside a pointer stand its strides, one a loop; `·` is a stride that is known at run time only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from flambeau.ir.kernel import Access, Nest
from flambeau.ir.tree import Tree, walk

_SIGNS = {
    "add": ("+", 4), "sub": ("-", 4), "mul": ("*", 5), "div": ("/", 5), "and": ("&", 2),
    "or": ("|", 1), "xor": ("^", 1), "shl": ("<<", 3), "shr": (">>", 3), "lt": ("<", 0),
    "le": ("<=", 0), "gt": (">", 0), "ge": (">=", 0), "eq": ("==", 0), "ne": ("!=", 0),
}  # fmt: skip
_PREFIXES = {"neg": "-", "not": "~"}
_LEAVES = {"load": "x", "argument": "s", "result": "r", "index": "i"}
LONG = 24  # characters from which on an expression that is used twice gets a name

Named = Mapping[Tree, str]


def show_tree(root: Tree, names: dict[int, str] | None = None, named: Named | None = None) -> str:
    """The tree as Python would write it: 'x / (1 + exp(-x))'.

    names: those of the accesses; named: parts that were given a name before.
    """
    return _Writer(names, named or {}).text(root)[0]


class _Writer:
    """Writes trees; each part comes with how tightly its outermost sign binds."""

    def __init__(self, names: dict[int, str] | None, named: Named) -> None:
        self.names, self.named = names, named

    def text(self, node: Tree) -> tuple[str, int]:
        if node in self.named:
            return self.named[node], 9
        if not node.args:
            return self.leaf(node), 9
        if node.kind in _SIGNS:
            return self.infix(node)
        parts = [self.text(arg) for arg in node.args]
        if node.kind in _PREFIXES:
            text, level = parts[0]
            return _PREFIXES[node.kind] + (text if level > 5 else f"({text})"), 6
        if node.kind == "pick":
            return f"{self.load(node.data)}[{parts[0][0]}]", 9
        name = node.dtype.name if node.kind == "cast" else node.kind
        return f"{name}({', '.join(text for text, _ in parts)})", 9

    def infix(self, node: Tree) -> tuple[str, int]:
        sign, level = _SIGNS[node.kind]
        (a, left), (b, right) = (self.text(arg) for arg in node.args)
        a = f"({a})" if left < level or (level == 0 and left == 0) else a
        b = f"({b})" if right <= level else b
        return f"{a} {sign} {b}", level

    def leaf(self, node: Tree) -> str:
        if node.kind == "number":
            return number_text(node.data)
        if node.kind == "leaf":
            return str(node.data)
        return self.load(node.data) if node.kind == "load" else f"{_LEAVES[node.kind]}{node.data}"

    def load(self, access: int) -> str:
        if self.names is not None:
            return self.names[access]
        return "x" if access == 0 else f"x{access}"


def number_text(value: float | int | bool) -> str:
    """A constant; whole floats without their point."""
    whole = isinstance(value, float) and abs(value) < 1e15 and value == int(value)
    return str(int(value)) if whole and str(value) != "-0.0" else str(value)


# ------------------------------------------------------------------ nests


def show_nest(nest: Nest, told: Mapping[int, str] | None = None) -> str:
    """A nest, a line for each pointer and each thing that is done; told: more about a pointer."""
    scalars = "".join(f" · s{j} {dtype.name}" for j, dtype in enumerate(nest.scalars))
    lines = [f"{nest.mode} · {nest.loops} loop{'s' * (nest.loops > 1)}{scalars}"]
    for number, access in enumerate(nest.accesses):
        more = (told or {}).get(number, "")
        lines.append(f"  x{number:<2} {show_access(access):28}{more}".rstrip())
    return "\n".join(lines + [f"  {line}" for line in show_passes(nest)])


def show_access(access: Access) -> str:
    """float32[·, 1]: the element type, and a stride for each loop."""
    strides = ", ".join("·" if s is None else str(s) for s in access.strides)
    return f"{access.dtype.name}[{strides}]" + (" scratch of a thread" if access.per_thread else "")


def show_passes(nest: Nest) -> list[str]:
    """What is done, in order; expressions that appear more than once get names."""
    names = {number: f"x{number}" for number in range(len(nest.accesses))}
    named: dict[Tree, str] = {}
    lines, results = [], 0
    for number, stage in enumerate(nest.stages):
        label = f"pass {number}   " if len(nest.stages) > 1 else ""
        done = []
        roots = [r.value for r in stage.reduces] + [s.value for s in stage.stores]
        for node in repeated(roots, names):
            if node not in named:
                text = show_tree(node, names, named)
                named[node] = f"t{len(named)}"
                done.append(f"{named[node]} = {text}")
        for reduce in stage.reduces:
            done.append(f"r{results} = {reduce.step}({show_tree(reduce.value, names, named)})")
            results += 1
        for store in stage.stores:
            done.append(f"x{store.access} ← {show_tree(store.value, names, named)}")
        lines += [(label if n == 0 else " " * len(label)) + line for n, line in enumerate(done)]
    return lines


def repeated(roots: Iterable[Tree], names: dict[int, str]) -> list[Tree]:
    """The parts that appear more than once and are long to write, innermost first."""
    roots = list(roots)
    uses = Counter(roots)
    nodes = list(walk(*roots))
    for node in nodes:
        uses.update(node.args)
    named: dict[Tree, str] = {}
    for node in nodes:
        if uses[node] > 1 and node.args and len(show_tree(node, names, named)) >= LONG:
            named[node] = f"t{len(named)}"
    return list(named)
