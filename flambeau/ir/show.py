"""The one notation for calls, programs and clusters; nests and trees are in show_nest.py.

    %3 float32[8, 3] = addmm(%1, %0, %2ᵀ)                             train.py:19
    %7 over %2 float32[3] = add(%2, %6, alpha=$0)                     train.py:21
    %4 float32[8] = sum(%3, dim=1) then mul($1), relu()

`%3` is a value, `%7 over %2` the next value of the storage that held `%2`; `$0` is a Python number
and `@0` an offset that programs are told when they run. Used by repr, errors, the command line and
tests.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from flambeau.ir.dtype import DType
from flambeau.ir.kernel import Nest
from flambeau.ir.layout import Layout, Offset, Spec, is_contiguous
from flambeau.ir.program import POSITIONS, Call, Input, Number, Out, Program, Ref, Size
from flambeau.ir.show_layout import show_size, show_strides, show_view
from flambeau.ir.show_nest import show_nest, show_tree
from flambeau.ir.tree import Tree
from flambeau.settings import settings

WIDTH = 120  # of a line, its source included
COLUMN = 72  # where sources stand, if what is before leaves room

Layouts = Mapping[int, Layout]  # value → the layout that its storage was made with


@runtime_checkable
class Member(Protocol):
    """A call inside a cluster, as the fuser has it."""

    call: Call


@runtime_checkable
class Cluster(Protocol):
    """Calls that become one kernel, as the fuser has them."""

    kind: str
    domain: tuple[int, ...]
    reduced: tuple[int, ...]
    members: list[Any]


@runtime_checkable
class Fused(Protocol):
    """A program as clusters."""

    program: Program
    clusters: list[Any]


def show(thing: Any) -> str:
    """Anything that flows through the compiler, as text."""
    if isinstance(thing, Call):
        return show_call(thing)
    if isinstance(thing, Program):
        return show_program(thing)
    if isinstance(thing, Nest):
        return show_nest(thing)
    if isinstance(thing, Tree):
        return show_tree(thing)
    if isinstance(thing, Fused):
        return show_fused(thing)
    if isinstance(thing, Cluster):
        return show_cluster(thing, layouts_of(call_of(m) for m in thing.members))
    return argument(thing, {})


def say(word: str, text: Callable[[], str]) -> None:
    """Print something to standard error, if FLAMBEAU_SHOW has its word."""
    if word in settings.show:
        print(f"── {word}\n{text()}", file=sys.stderr)


def call_of(member: Member) -> Call:
    return member.call


# ------------------------------------------------------------------ arguments


def argument(arg: Any, layouts: Layouts) -> str:
    """One argument: %3, $0, a list of them, or what Python would write."""
    if isinstance(arg, Ref):
        return show_ref(arg, layouts)
    if isinstance(arg, Number):
        return f"${arg.index}"
    if isinstance(arg, Size):
        return str(arg.value)
    if isinstance(arg, DType):
        return arg.name
    if isinstance(arg, Spec):
        return repr(arg)
    if isinstance(arg, tuple) and any(isinstance(a, Ref) for a in arg):
        return f"[{', '.join(argument(a, layouts) for a in arg)}]"
    if isinstance(arg, tuple):
        inside = ", ".join(argument(a, layouts) for a in arg)
        return f"({inside},)" if len(arg) == 1 else f"({inside})"
    return repr(arg)


def show_ref(ref: Ref, layouts: Layouts) -> str:
    """A tensor as a call sees it: its value, and the view of it."""
    if ref.value == POSITIONS:
        return positions(ref.layout)
    own = layouts.get(ref.value)
    if own is not None:
        return f"%{ref.value}{show_view(ref.layout, own)}"
    start = "" if ref.layout.offset == 0 else offset_text(ref.layout.offset)
    return f"%{ref.value}{start}"


def offset_text(offset: int | Offset) -> str:
    return str(offset) if isinstance(offset, Offset) else f"[{offset}:]"


def positions(layout: Layout) -> str:
    """Elements that are their own offsets, as a function of the index: 'j - i'."""
    terms = "" if not layout.offset else str(layout.offset)
    for name, stride in zip("ijklmnopq", layout.stride):
        if stride:
            factor = name if abs(stride) == 1 else f"{abs(stride)}{name}"
            sign = ("-" if stride < 0 else "") if not terms else " - " if stride < 0 else " + "
            terms += sign + factor
    return f"⟨{terms or '0'}⟩"


def arguments(call: Call, layouts: Layouts, without: int = -1) -> str:
    """The arguments of a call; what was left at its default is left out."""
    if not call.op.params:
        shown = [argument(a, layouts) for n, a in enumerate(call.args) if n != without]
        return ", ".join(shown)
    parts, named = [], False
    for n, (param, arg) in enumerate(zip(call.op.params, call.args)):
        left = not param.required and is_default(arg, param.default)
        if left or n == without:
            named = named or left
            continue
        named = named or param.keyword or not param.kind.startswith("tensor")
        one = param.name == "dim" and isinstance(arg, tuple) and len(arg) == 1
        text = argument(arg[0] if one else arg, layouts)
        parts.append(f"{param.name}={text}" if named else text)
    return ", ".join(parts)


def is_default(arg: Any, default: Any) -> bool:
    return type(arg) is type(default) and bool(arg == default)


# ------------------------------------------------------------------ calls


def show_call(call: Call, layouts: Layouts | None = None) -> str:
    """One call in one line, without its source."""
    known = layouts if layouts is not None else layouts_of([call])
    return f"{results(call.outs, known)}{call.op.name}({arguments(call, known)})"


def results(outs: Sequence[Out], layouts: Layouts) -> str:
    """The left side of a call: '%3 float32[8, 3] = '."""
    if not outs:
        return ""
    return ", ".join(show_out(out, layouts) for out in outs) + " = "


def show_out(out: Out, layouts: Layouts) -> str:
    """A result: its value, type and size, and what it replaces."""
    kind = f"{out.dtype.name}{show_size(out.size)}"
    if out.over is None:
        return f"%{out.value} {kind}{show_strides(out.layout)}"
    return f"%{out.value} over {show_ref(Ref(out.over, out.layout, out.dtype), layouts)} {kind}"


def brief(call: Call) -> str:
    """A call as its caller sees it: index_select(float32[5, 3], dim=0, index=int64[4])."""
    args = tuple(map(_brief, call.args))
    return f"{call.op.name}({arguments(Call(call.op, args, call.outs), {})})"


def _brief(arg: Any) -> Any:
    if isinstance(arg, Ref):
        return _Words(f"{arg.dtype.name}{show_size(arg.size)}")
    if isinstance(arg, Number):
        return _Words(f"a {arg.type.__name__}")
    if isinstance(arg, tuple) and any(isinstance(a, Ref) for a in arg):
        return _Words(f"[{', '.join(repr(_brief(a)) for a in arg)}]")
    return arg


class _Words(str):
    """Text that stands for an argument."""

    def __repr__(self) -> str:
        return str(self)


def with_source(text: str, call: Call, indent: str = "") -> str:
    """The line, and at its right the user's line that recorded the call."""
    if call.source is None:
        return "\n".join(folded(indent + text, WIDTH, indent))
    place = f"{os.path.basename(call.source.file)}:{call.source.line}"
    first, *rest = folded(indent + text, WIDTH - len(place) - 2, indent)
    column = max(COLUMN, min(len(first) + 2, WIDTH - len(place)))
    return "\n".join([f"{first:{column}}{place}", *rest])


def folded(text: str, width: int, indent: str, marks: tuple[str, ...] = (", ",)) -> list[str]:
    """A long line as several, cut after commas."""
    lines = []
    while len(text) > width:
        cut = max(text.rfind(mark, len(indent) + 8, width) + len(mark) for mark in marks)
        if cut < len(indent) + 8:
            break
        lines.append(text[:cut].rstrip())
        text = f"{indent}        {text[cut:]}"
    return [*lines, text]


# ------------------------------------------------------------------ programs


def layouts_of(calls: Iterable[Call], inputs: Iterable[Input] = ()) -> dict[int, Layout]:
    """How each storage lies: as its maker says; an input as the widest reader sees it."""
    calls = list(calls)
    made = {o.value: o.layout for c in calls for o in c.outs if o.over is None}
    widest: dict[int, Layout] = {}
    over = {o.value: o.over for c in calls for o in c.outs if o.over is not None}
    for value, layout in seen(calls):
        first = root(value, over)
        if first not in made and wider(layout, widest.get(first)):
            widest[first] = row_major(layout)
    known = {**widest, **made}
    return known | {v: known[root(v, over)] for v in over if root(v, over) in known}


def row_major(layout: Layout) -> Layout:
    """What an input probably is that is seen so: dims in the order of memory, from its start."""
    start = 0 if isinstance(layout.offset, Offset) else layout.offset
    order = sorted(range(len(layout.size)), key=lambda d: -layout.stride[d])
    size = tuple(layout.size[d] for d in order)
    stride = tuple(layout.stride[d] for d in order)
    if is_contiguous(size, stride):
        return Layout(size, stride, start)
    return Layout(layout.size, layout.stride, start)


def seen(calls: Iterable[Call]) -> Iterable[tuple[int, Layout]]:
    """Every way in which calls touch storages."""
    for call in calls:
        for ref in call.refs():
            if ref.value != POSITIONS:
                yield ref.value, ref.layout
        for out in call.outs:
            if out.over is not None:
                yield out.over, out.layout


def root(value: int, over: Mapping[int, int]) -> int:
    """The first value of a storage."""
    while value in over:
        value = over[value]
    return value


def wider(layout: Layout, other: Layout | None) -> bool:
    """Whether a layout shows more of a storage: row-major ones first, then by elements."""
    if other is None:
        return True
    return rank(layout) > rank(other)


def rank(layout: Layout) -> tuple[bool, int]:
    repeats = any(s == 0 and n > 1 for n, s in zip(layout.size, layout.stride))
    return (is_contiguous(layout.size, layout.stride), 0 if repeats else layout.numel)


def show_program(program: Program) -> str:
    """A program: what enters, each call in a line, what is wanted at the end."""
    layouts = layouts_of(program.calls, program.inputs)
    lines = head(program, layouts)
    lines += [with_source(show_call(call, layouts), call) for call in program.calls]
    return "\n".join([*lines, tail(program)])


def head(program: Program, layouts: Layouts) -> list[str]:
    """The inputs, as many as fit in each line."""
    words = [
        f"%{i.value} {i.dtype.name}{show_size(layouts[i.value].size) if i.value in layouts else ''}"
        for i in program.inputs
    ]
    return wrapped("inputs ", words)


def tail(program: Program) -> str:
    """The values wanted at the end."""
    return "\n".join(wrapped("live ", [f"%{v}" for v in program.live]))


def wrapped(label: str, words: Sequence[str]) -> list[str]:
    """Words after a label, in lines of WIDTH."""
    lines, line = [], label
    for n, word in enumerate(words):
        more = word + (", " if n + 1 < len(words) else "")
        if len(line) + len(more.rstrip()) > WIDTH and line.strip():
            lines.append(line.rstrip())
            line = " " * len(label)
        line += more
    return [*lines, line.rstrip()] if words else [f"{label}nothing"]


# ------------------------------------------------------------------ clusters


def show_fused(fused: Fused) -> str:
    """Clusters in the order in which they run: a line each, or a line for each member."""
    calls = [m.call for c in fused.clusters for m in c.members]
    layouts = layouts_of((*fused.program.calls, *calls), fused.program.inputs)
    lines = [show_cluster(c, layouts, outside(c, fused)) for c in fused.clusters]
    return "\n".join(lines)


def outside(cluster: Cluster, fused: Fused) -> set[int]:
    """The values that somebody other than this cluster reads, or wants."""
    found = set(fused.program.live)
    for other in fused.clusters:
        if other is not cluster:
            found.update(ref.value for m in other.members for ref in m.call.refs())
    return found


def show_cluster(cluster: Cluster, layouts: Layouts, wanted: set[int] | None = None) -> str:
    """One line where each member reads the one before it, else one line a member."""
    calls = [m.call for m in cluster.members]
    line = chain(calls, layouts, wanted or set())
    if line is not None and (len(line) <= WIDTH or len(calls) == 1):
        return with_source(line, calls[0])
    lines = [f"{cluster.kind} over {show_size(cluster.domain)}{reduced_text(cluster)}"]
    return "\n".join(lines + [with_source(show_call(c, layouts), c, "  ") for c in calls])


def reduced_text(cluster: Cluster) -> str:
    dims = cluster.reduced
    return f", reduced along {', '.join(map(str, dims))}" if dims else ""


def chain(calls: Sequence[Call], layouts: Layouts, wanted: set[int]) -> str | None:
    """'%4 float32[8] = sum(%3) then mul(2), relu()', where each call reads just the one before."""
    parts = []
    for n, call in enumerate(calls):
        place = -1
        if n:
            place = follows(call, calls[n - 1], layouts)
            if place < 0 or calls[n - 1].outs[0].value in wanted | inner_reads(calls[n + 1 :]):
                return None
        parts.append(f"{call.op.name}({arguments(call, layouts, place)})")
    left = results(calls[-1].outs, layouts)
    return left + parts[0] + (" then " + ", ".join(parts[1:]) if parts[1:] else "")


def follows(call: Call, before: Call, layouts: Layouts) -> int:
    """Which argument is the result of the call before, as it is; -1 where none or several are."""
    if len(before.outs) != 1 or len(call.outs) != 1 or call.outs[0].over is not None:
        return -1
    (out,) = before.outs
    if out.over is not None:
        return -1
    reads = [r for r in call.refs() if r.value == out.value]
    if len(reads) != 1 or reads[0] not in call.args:
        return -1
    if show_ref(reads[0], layouts) != f"%{out.value}":
        return -1
    place = call.args.index(reads[0])
    before_it = [a for a in call.args[:place] if isinstance(a, Ref)]
    return place if not before_it else -1


def inner_reads(calls: Sequence[Call]) -> set[int]:
    return {ref.value for call in calls for ref in call.refs()}


__all__ = [
    "brief", "layouts_of", "say", "show", "show_call", "show_fused", "show_nest", "show_program",
    "show_ref", "show_size",
]  # fmt: skip
