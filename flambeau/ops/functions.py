"""From a row to what users call: `torch.name`, `Tensor.name`, `Tensor.name_`, `out=`.

The function of an op is written out as source for its signature, so that a repeated call costs one
key and one look-up, and Python itself checks the arguments. `recorder.record` is its plain twin.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from types import FunctionType
from typing import Any

from flambeau.ir.op import Op, Param
from flambeau.ops.outs import write_out
from flambeau.trace import entering, flush, recorder, sighting, writes
from flambeau.trace.tensor import tensors
from flambeau.trace.trie import here

# Names with a leading underscore are the template's own: parameters of ops never begin so.
TEMPLATE = '''
def {name}({parameters}):
    {out}_stretch = here.stretch
    _stretch.busy = True
    try:
        _key = (_op, _stretch.mode, {keys})
        _state = _stretch.state.edges.get(_key)
        if _state is None:
            _state = first_time(_stretch, _op, _key, ({args},))
        if _stretch.backward_done and _state.needs is not None:
            return flush_and_record(_stretch, _op, ({args},))
        _stretch.state = _state
        _result = _state.follow(_stretch, _state, ({args},))
        if _state.depth >= _stretch.limit:
            at_limit(_stretch)
        return _result
    finally:
        _stretch.busy = False
'''
PARTS = '''
def {name}(_stretch, {args}):
    return ({keys},)
'''
WITH_OUT = '''if out is not None:
        return write_out(_op, out, ({args},))
    '''
WRITES = "announce_writes(here.stretch, ({written},))\n    "
INPLACE = '''
def {name}({parameters}):
    _stretch = here.stretch
    if _stretch.mode.grad or {target}._storage.rare is not None:
        return record_write(_op, {target}, {args})
    _stretch.busy = True
    try:
        _at = {target}._slot if {target}._stretch is _stretch else enter_tensor(_stretch, {target})
        _key = (_op, "write", _stretch.mode, _at, {keys})
        _state = _stretch.state.edges.get(_key)
        if _state is None:
            _state = first_time(_stretch, _op, _key, ({args},), {target})
        if _state.shares:
            check_write(_stretch, _state, {target}, ({args},))
        _stretch.state = _state
        _meta = {target}._meta
        if {target}._edge is not None or _meta is not None and _meta.counter is not None:
            follow_write(_stretch, _state, {target}, ({args},))
        elif _stretch.guests is not None:
            follow_write(_stretch, _state, {target}, ({args},))
        else:  # what `follow_write` does for most, written out
            _storage = {target}._storage
            _storage.index = _state.slot
            _storage.version += 1
            _stretch.updated |= {target}._spec.requires_grad
        if _state.depth >= _stretch.limit:
            at_limit(_stretch)
        return {target}
    finally:
        _stretch.busy = False
'''


NUMPY_NAMES = {"dim": "axis", "keepdim": "keepdims"}  # PyTorch takes NumPy's names too


def renamed(numpy: list[tuple[Param, str]]) -> str:
    """Source that reads arguments given under NumPy's names."""
    lines = []
    for p, theirs in numpy:
        lines.append(f"if {theirs} is not None:\n        {p.name} = {theirs}\n    ")
        if p.required:
            lines.append(f"elif {p.name} is _needed:\n        missing(_op, {p.name!r})\n    ")
    return "".join(lines)


def numpy_named(params: tuple[Param, ...]) -> list[tuple[Param, str]]:
    """The parameters that have a name in NumPy too, with it; none that others must follow."""
    last = max((i for i, p in enumerate(params) if p.required), default=-1)
    return [(p, NUMPY_NAMES[p.name]) for i, p in enumerate(params)
            if p.name in NUMPY_NAMES and i >= last]  # fmt: skip


def missing(op: Op, name: str) -> None:
    """Refuse a call without an argument that it needs."""
    raise TypeError(f"{op.name}() missing 1 required positional argument: {name!r}")


def function_of(op: Op) -> Callable[..., Any]:
    """The function that records a call of `op`."""
    return build(op, op.name, recording_source)


def recording_source(op: Op) -> str:
    """The source of the function that records a call of `op`."""
    args = names(op)
    with_out = op.kind in ("elementwise", "reduction", "structured", "composite") and not op.writes
    numpy = numpy_named(op.params) if with_out else []
    parameters = declared(op.params, {p.name for p, _ in numpy})
    if with_out:
        keyword = any(p.keyword for p in op.params)
        parameters += ", out=None" if keyword else ", *, out=None"
    first = WRITES.format(written=", ".join(op.writes)) if op.writes else ""
    if numpy:
        parameters += "".join(f", {theirs}=None" for _, theirs in numpy)
    return TEMPLATE.format(
        name=op.name, parameters=parameters, args=args, keys=", ".join(map(key_of, op.params)),
        out=(renamed(numpy) + WITH_OUT.format(args=args)) if with_out else first)  # fmt: skip


def inplace_of(op: Op) -> Callable[..., Any]:
    """The function that writes the result of `op` over its first argument."""
    return build(op, op.name + "_", inplace_source)


def inplace_source(op: Op) -> str:
    """The source of the function that writes the result of `op` over its first argument."""
    keys = map(key_of, op.params)
    return writing(op, op.name + "_", op.params[0].name, declared(op.params), keys)


def into(op: Op) -> Callable[..., Any]:
    """The function that writes the result of `op` over a tensor that is given before its arguments.

    What is static among these must follow from the tensor: it is no part of the key.
    `recorder.record_write` is its plain twin.
    """
    return build(op, op.name + "_into", into_source)


def into_source(op: Op) -> str:
    """The source of the function that writes the result of `op` over a tensor."""
    keys = ["None" if p.kind == "static" else key_of(p) for p in op.params]
    return writing(op, op.name + "_into", "_target", "_target, " + names(op), keys)


def names(op: Op) -> str:
    """The parameters' names."""
    return ", ".join(p.name for p in op.params)


def writing(op: Op, name: str, target: str, parameters: str, keys: Iterable[str]) -> str:
    """The source of a function that writes over a tensor."""
    return INPLACE.format(name=name, target=target, parameters=parameters, args=names(op),
                          keys=", ".join(keys))  # fmt: skip


class Parts(dict[Op, Callable[..., tuple[Any, ...]]]):
    """For each op, the function that gives its arguments' keys; written when first asked for."""

    def __missing__(self, op: Op) -> Callable[..., tuple[Any, ...]]:
        self[op] = build(op, op.name, parts_source)
        return self[op]


def parts_source(op: Op) -> str:
    """The source of the function that gives the keys of the arguments of `op`."""
    return PARTS.format(name=op.name, args=names(op), keys=", ".join(map(key_of, op.params)))


writes.parts_of = Parts()


def declared(params: tuple[Param, ...], renamed: Iterable[str] = ()) -> str:
    """The parameters as Python source; defaults are found in the function's globals.

    Those of `renamed` may be left out, as they may come under another name.
    """
    parts, starred = [], False
    for p in params:
        if p.keyword and not starred:
            parts.append("*")
            starred = True
        if p.required:
            parts.append(f"{p.name}=_needed" if p.name in renamed else p.name)
        else:
            parts.append(f"{p.name}=default_{p.name}")
    return ", ".join(parts)


def key_of(p: Param) -> str:
    """The source that gives one argument's part of the key."""
    n = p.name
    if p.kind == "static":
        return (f"({n} if {n} is None or {n}.__class__ is int else _false if {n} is False "
                f"else static({n}))")  # fmt: skip
    number = (f"(_stretch.numbers.append({n}) or {n}.__class__) "
              f"if {n}.__class__ in _numbers else enter(_stretch, {n})")  # fmt: skip
    if p.kind == "number" and not p.required:
        return f"({n} if {n} is default_{n} else {number})"
    if p.kind == "number":
        return f"({number})"
    if p.kind == "tensors":
        return f"slots(_stretch, {n})"
    return tensor_key(n, number)


def tensor_key(name: str, otherwise: str) -> str:
    """The source that gives the key of what should be a tensor."""
    return (f"(({name}._slot if {name}._stretch is _stretch else enter_tensor(_stretch, {name})) "
            f"if {name}.__class__ in _tensors else {otherwise})")  # fmt: skip


def _unwritten(*args: Any, **kwargs: Any) -> Any:
    """The body of a function until its first call: it is written then, not at import."""
    return _write()(*args, **kwargs)  # type: ignore[name-defined]  # noqa: F821


def build(op: Op, name: str, source: Callable[[Op], str]) -> Callable[..., Any]:
    """A function of an op, which takes the body that `source` writes when it is first called."""
    scope: dict[str, Any] = {"_op": op}
    function = FunctionType(_unwritten.__code__, scope, name)

    def write() -> FunctionType:
        defaults = {f"default_{p.name}": p.default for p in op.params if not p.required}
        scope.update(WORDS, **defaults)
        body: dict[str, Any] = {}
        exec(compile(source(op), f"<flambeau.ops {op.name}>", "exec"), scope, body)
        real = body[name]
        function.__defaults__, function.__kwdefaults__ = real.__defaults__, real.__kwdefaults__
        function.__code__ = real.__code__
        return function

    scope["_write"] = write
    function.__module__, function.__qualname__ = "flambeau", name
    function.__doc__ = op.doc or None
    return function


def announce_writes(stretch: Any, written: tuple[Any, ...]) -> None:
    """A call that changes memory which somebody outside sees runs right after it was recorded."""
    for group in written:
        for x in group if isinstance(group, (list, tuple)) else (group,):
            if x._storage.rare is not None and x._storage.pinned():
                stretch.limit = 0


# What the written functions call by name, besides their op and its defaults.
WORDS: dict[str, Any] = {
    "here": here, "_needed": object(), "missing": missing,
    "_false": entering.static(False), "_numbers": frozenset({float, int}),
    "_tensors": tensors,
    "enter": entering.enter, "slots": entering.slots,
    "enter_tensor": entering.enter_tensor,
    "static": entering.static, "first_time": sighting.first_time, "write_out": write_out,
    "flush_and_record": recorder.flush_and_record, "at_limit": flush.at_limit,
    "record_write": recorder.record_write, "check_write": writes.check_write,
    "follow_write": writes.follow_write, "announce_writes": announce_writes,
}  # fmt: skip
