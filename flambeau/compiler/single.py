"""One call as a program of its own: what the call-by-call tier runs natively.

The same lowering as in whole programs, for one call at a time. Calls that differ only in which
values they name share their code. What has no lowering, or is met for the first time and is small
and cheap by NumPy, runs by its NumPy meaning: the rule counts sightings and elements, never time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flambeau.codegen.scalar import cost, k
from flambeau.compiler import template
from flambeau.compiler.emit import Emitter
from flambeau.compiler.kernels import kernel_of
from flambeau.compiler.pipeline import clusters_of, without_collections
from flambeau.compiler.running import Run
from flambeau.compiler.template import Renaming, Spelled, by_template, spell
from flambeau.ir.dtype import compute_dtype
from flambeau.ir.program import Call, Input, Number, Program, Ref
from flambeau.ir.record import record
from flambeau.ir.tree import Load, Tree
from flambeau.runtime.threads import get_num_threads
from flambeau.settings import settings

LARGE = 1 << 14  # elements from which even a first sighting gets a kernel
MOST = 20_000  # forms that are known


@record
class Single:
    """A call's code, shared by all calls of the same form. It may still be compiling."""

    sightings: int = 0
    finish: Callable[[], Run] | None = None  # waits for the kernels, and makes `run`
    hopeless: bool = False  # nothing in it has a lowering
    run: Run | None = None

    def ready(self) -> Run:
        """What runs it, once it is compiled."""
        if self.run is None:
            assert self.finish is not None
            self.run = self.finish()
        return self.run


_singles: dict[Any, Single] = {}  # by a form's key and integers
_threads = [0]  # how many the newest of them have memory for


def program_of(form: Call, names: Renaming) -> Program:
    """The program that is this one call."""
    dtypes = {r.value: r.dtype for r in form.refs()}
    dtypes |= {o.over: o.dtype for o in form.outs if o.over is not None}
    inputs = tuple(Input(v, dtypes[v]) for v in range(len(names.homes)))
    types: list[type] = [float] * len(names.numbers)
    for arg in form.args:
        if isinstance(arg, Number):
            types[arg.index] = arg.type
    live = tuple(o.value for o in form.outs if o.over is None)
    return Program(inputs, (form,), live, tuple(types), len(names.offsets))


def single_of(form: Any) -> Single:
    if _threads[0] != get_num_threads():
        if _threads[0] < get_num_threads():  # each thread has memory of its own
            forget()
        _threads[0] = get_num_threads()
    found = _singles.get(form)
    if found is None:
        if len(_singles) > MOST:
            forget()
        found = _singles[form] = Single()
    return found


def forget() -> None:
    """Begin anew."""
    _singles.clear()
    template.forget()


def code_for(spelled: Spelled) -> Single | None:
    """The machine code of a call, if its sightings or its size earn it."""
    single = single_of((spelled.key, spelled.integers))
    single.sightings += 1
    if single.finish is None and not single.hopeless and deserves(spelled.call, single):
        single.finish = compile_single(spelled)
        single.hopeless = single.finish is None
    return single if single.finish is not None else None


def deserves(form: Call, single: Single) -> bool:
    """Composite and structured calls at once, elementwise ones when large or met again.

    Those for which NumPy would round otherwise than a kernel too: `net(x)` is then the same, to
    the last bit, the first time and later.
    """
    if form.op.kind == "effect" and kernel_of(form.op) is None:
        return False
    if form.op.kind != "elementwise" or single.sightings >= 2:
        return True
    large = max((o.layout.numel for o in form.outs), default=0) >= LARGE
    return large or is_approximate(form)


def is_approximate(form: Call) -> bool:
    """Whether an elementwise call has functions that are not rounded correctly, such as exp."""
    op, dtype = form.op, compute_dtype(form.compute or form.outs[0].dtype)
    if op.scalar is None or op.picks or op.own_types or dtype.kind != "f":
        return False

    def argument(arg: Any) -> Any:
        if isinstance(arg, tuple):
            return tuple(map(argument, arg))
        return Load(0, dtype) if isinstance(arg, Ref | Number) else arg

    tree = op.scalar(k, *map(argument, form.args))
    return isinstance(tree, Tree) and cost(tree)[1] > 0


def compile_single(spelled: Spelled) -> Callable[[], Run] | None:
    """Begin to compile a form, unless nothing in it has a lowering."""
    names = spelled.names
    if not settings.check:
        made = by_template(spelled, lambda like: clusters_of(program_of(like, names)))
        if made is not None:
            return made
    form = spelled.form()
    emitter = Emitter(clusters_of(program_of(form, names)), {})
    emitter.begin()
    native = any(step.call is None for step in emitter.steps) or not emitter.steps
    if not native and not form.op.expand:
        return None
    return lambda: emitter.compiled(emitter.arena).run


# ------------------------------------------------------------------ for the interpreter


class CallCode:
    """Answers the native code of a program's calls; what it found out about a call it remembers.

    Before the first call of a run it looks at all of them, so that they compile side by side.
    """

    def __init__(self, program: Program) -> None:
        self.calls = program.calls
        self.homes = program.storage_of()
        self.known: dict[int, Any] = {}  # id of the call → its code (the program keeps the call)
        self.spelled: dict[int, Spelled] = {}  # the others
        self.ahead: dict[int, Any] = {}  # the same for calls that were looked at in this run

    def __call__(self, call: Call) -> Any:
        if call is self.calls[0] and len(self.known) < len(self.calls):
            self.look_ahead()
        code = self.known.get(id(call))
        if code is None and id(call) not in self.ahead:
            return self.find(call)
        return code

    @without_collections()
    def look_ahead(self) -> None:
        """Have all code compiled that this run needs, as far as that is possible."""
        self.ahead.clear()
        for call in self.calls:
            if id(call) in self.known:
                continue
            try:
                self.ahead[id(call)] = self.find(call)
            except Exception:
                return  # it is raised again, in its turn

    def find(self, call: Call) -> Any:
        """A call's code, if it has earned any by now."""
        spelled = self.spelled.get(id(call))
        if spelled is None:
            spelled = self.spelled[id(call)] = spell(call, self.homes)
        single = code_for(spelled)
        if single is None:
            return None
        code = self.known[id(call)] = Bound(single, call, spelled.names, self.homes)
        del self.spelled[id(call)]
        return code


class Bound:
    """The shared code of a form, bound to one call's homes, numbers and offsets.

    There is one for each call of each program, so it consists of little.
    """

    __slots__ = ("single", "homes", "numbers", "offsets", "fresh")

    def __init__(self, single: Single, call: Call, names: Renaming,
                 home_of: dict[int, int]) -> None:  # fmt: skip
        self.single, self.homes = single, tuple(names.homes)
        self.numbers, self.offsets = tuple(names.numbers), tuple(names.offsets)
        self.fresh = tuple([home_of[o.value] for o in call.outs if o.over is None])

    def __call__(self, frame: Any) -> None:
        run, buffers = self.single.run or self.single.ready(), frame.buffers
        results = run(map(buffers.__getitem__, self.homes),
                      [frame.numbers[i] for i in self.numbers] if self.numbers else (),
                      [frame.offsets[i] for i in self.offsets] if self.offsets else (),
                      {})  # fmt: skip
        for home, buffer in zip(self.fresh, results):
            buffers[home] = buffer
