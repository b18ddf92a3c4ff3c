"""Templates: code for a call of one form, whatever its sizes.

    %1 float32[2, 64] = mm(%0, %1ᵀ)      a form; the first of its kind is compiled for its sizes
    %1 float32[3, 64] = mm(%0, %1ᵀ)      sizes differ where 2 became 3: a template, by this example
    %1 float32[4, 64] = mm(%0, %1ᵀ)      the template fits: its words are computed, nothing is
                                         compiled

Forms that differ in nothing but integers (sizes, strides, dims) are a *family*. The passes run on
a form whose varying integers are Dims (ir/dims.py), and what they make is written out as source: a
function of these integers that answers None where the passes would have decided otherwise, else
what runs the call. So what a template makes is just what the passes would have made, to the bit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from itertools import chain, repeat
from operator import itemgetter
from typing import Any

from flambeau.codegen.cpu.target import cpu
from flambeau.compiler.emit import Emitter
from flambeau.compiler.running import Run, frame_of, names_in, run_source
from flambeau.ir.dims import Session, session
from flambeau.ir.layout import Layout, Offset
from flambeau.ir.op import Op
from flambeau.ir.program import Call, Number, Out, Ref
from flambeau.ir.record import field, record, replace
from flambeau.runtime.threads import Launch

SEEN = 3  # forms of a family from which on there are templates: one or two may be all there are
MOST = 12  # templates of a family; with more of them, sizes decide too much
Finish = Callable[[], Run]


# ------------------------------------------------------------------ forms without integers


@record
class Renaming:
    """How a call's homes, numbers and offsets map to those of its form: in order of appearance."""

    homes: dict[int, int]
    numbers: dict[int, int]
    offsets: dict[int, int]


@record
class Spelled:
    """A call, its form without integers as a key, these in order of appearance, and its names."""

    call: Call
    homes: dict[int, int]  # value → its storage
    key: Any
    integers: tuple[int, ...]
    names: Renaming

    def form(self) -> Call:
        """The call with values, numbers and offsets numbered in order of appearance."""
        names, homes, call = self.names, self.homes, self.call

        def layout(old: Layout) -> Layout:
            if not isinstance(old.offset, Offset):
                return old
            return Layout(old.size, old.stride, Offset(names.offsets[old.offset.index]))

        def argument(arg: Any) -> Any:
            if isinstance(arg, Ref):
                return Ref(names.homes[homes[arg.value]], layout(arg.layout), arg.dtype)
            if isinstance(arg, Number):
                return replace(arg, index=names.numbers[arg.index])
            return tuple(map(argument, arg)) if isinstance(arg, tuple) else arg

        outs = []
        for value, out in enumerate(call.outs, len(names.homes)):
            over = None if out.over is None else names.homes[homes[out.over]]
            outs.append(Out(value, layout(out.layout), out.dtype, over))
        return Call(call.op, tuple(map(argument, call.args)), tuple(outs), call.compute)


def spell(call: Call, home_of: dict[int, int]) -> Spelled:
    """A call's form, spelled out; it is not built before somebody needs it."""
    names = Renaming({}, {}, {})
    ints: list[Any] = []
    homes, numbers, offsets = names.homes, names.numbers, names.offsets

    def layout(old: Layout) -> Any:
        ints.extend(old.size)
        ints.extend(old.stride)
        if old.offset.__class__ is Offset:
            return len(old.size), offsets.setdefault(old.offset.index, len(offsets))
        ints.append(old.offset)
        return len(old.size), None

    def argument(arg: Any) -> Any:
        kind = arg.__class__
        if kind is Ref:
            home = homes.setdefault(home_of[arg.value], len(homes))
            return home, layout(arg.layout), arg.dtype
        if kind is int:
            ints.append(arg)
            return int
        if kind is Number:
            return numbers.setdefault(arg.index, len(numbers)), arg.type
        if kind is tuple:
            return tuple(map(argument, arg))
        return kind, arg.hex() if kind is float else arg

    args = tuple([arg if dims else argument(arg) for arg, dims in with_dims(call)])
    outs = []
    for out in call.outs:
        over = out.over
        if over is not None:
            over = homes.setdefault(home_of[over], len(homes))
        outs.append((layout(out.layout), out.dtype, over))
    key = call.op, args, tuple(outs), call.compute
    return Spelled(call, home_of, key, tuple(ints), names)


def filled(form: Call, numbers: list[Any]) -> Call:
    """The form with other integers, in the order of `spell`."""
    rest = iter(numbers)

    def layout(old: Layout) -> Layout:
        size = tuple([next(rest) for _ in old.size])
        stride = tuple([next(rest) for _ in old.stride])
        return Layout(size, stride, argument(old.offset))

    def argument(arg: Any) -> Any:
        if type(arg) is int:
            return next(rest)
        if type(arg) is Ref:
            return Ref(arg.value, layout(arg.layout), arg.dtype)
        return tuple(map(argument, arg)) if type(arg) is tuple else arg

    args = tuple(arg if dims else argument(arg) for arg, dims in with_dims(form))
    outs = tuple([replace(o, layout=layout(o.layout)) for o in form.outs])
    return Call(form.op, args, outs, form.compute)


def with_dims(call: Call) -> Iterator[tuple[Any, bool]]:
    """The arguments, and whether each names dims: passes look things up by these, so they stay."""
    return zip(call.args, chain(names_dims(call.op), repeat(False)))


@cache
def names_dims(op: Op) -> tuple[bool, ...]:
    """For each parameter, whether it names dims."""
    return tuple(param.name.startswith("dim") for param in op.params)


# ------------------------------------------------------------------ families


@record
class Family:
    """Forms that differ in integers alone."""

    seen: list[tuple[int, ...]] = field(default_factory=list)  # those that no template fitted
    templates: list[Template] = field(default_factory=list)
    hopeless: bool = False  # some of it runs by its NumPy meaning


@record
class Template:
    """What the passes made of a form with Dims.

    symbols: picks the integers that are Dims; same: pairs of places that hold equal ones; constant:
    places and what they hold; make: what the passes asked, and what makes the code.
    """

    symbols: Callable[[tuple[int, ...]], tuple[int, ...]]
    same: tuple[tuple[int, int], ...]
    constant: tuple[tuple[int, int], ...]
    make: Callable[..., Finish | None]

    def fitted(self, numbers: tuple[int, ...]) -> Finish | None:
        """What makes the code for these integers; None where the template is for others."""
        for place, value in self.constant:
            if numbers[place] != value:
                return None
        for place, first in self.same:
            if numbers[place] != numbers[first]:
                return None
        return self.make(*self.symbols(numbers))


_families: dict[Any, Family] = {}


def forget() -> None:
    """Begin anew."""
    _families.clear()


def by_template(spelled: Spelled, program_of: Callable[[Call], Any]) -> Finish | None:
    """What makes the code of a form, where forms like it were met with other sizes before."""
    key, numbers = spelled.key, spelled.integers
    family = _families.get(key)
    if family is None:
        family = _families[key] = Family()
    for template in family.templates:
        finish = template.fitted(numbers)
        if finish is not None:
            return finish
    if family.hopeless or len(family.templates) >= MOST:
        return None
    family.seen.append(numbers)
    if len(family.seen) < SEEN:
        return None
    made = template_of(spelled.form(), family.seen, program_of)
    if made is None:
        family.hopeless = True
        return None
    family.templates.append(made)
    return made.fitted(numbers)


def template_of(form: Call, seen: list[tuple[int, ...]],
                program_of: Callable[[Call], Any]) -> Template | None:  # fmt: skip
    """The template for a form, whose integers were `seen` last; None where NumPy must help."""
    first: dict[tuple[int, ...], int] = {}
    same, constant = [], []
    numbers = seen[-1]
    for place, values in enumerate(zip(*seen)):
        if len(set(values)) == 1:
            constant.append((place, values[0]))
        elif values in first:
            same.append((place, first[values]))
        else:
            first[values] = place
    with session([numbers[place] for place in first.values()]) as now:
        dims = dict(zip(first, now.dims))
        args = [dims.get(values, values[-1]) for values in zip(*seen)]
        emitter = Emitter(program_of(filled(form, args)), {})
        emitter.begin()
        if not emitter.steps or any(step.call is not None for step in emitter.steps):
            return None
        make = written(emitter, now)
    return Template(picker(list(first.values())), tuple(same), tuple(constant), make)


def picker(places: list[int]) -> Callable[[tuple[int, ...]], tuple[int, ...]]:
    if len(places) == 1:
        (place,) = places
        return lambda numbers: (numbers[place],)
    return itemgetter(*places)


def written(emitter: Emitter, now: Session) -> Callable[..., Finish | None]:
    """The template as a function of its integers: it asks what the passes asked, and makes tapes.

    def make(s0):
        if s0 == 1: return None
        t1 = k0(k1, (s0, 64,))
        def finish():
            memory, address, failed = frame_of(emitter)
            part0 = tape([Launch(…, ((2, 0,), (0, s0,), (0, t1,),), …)])
            def run(inputs, numbers, offsets, done):
                …
    """
    tapes = [f"part{n} = tape({now.say(step.launches)}).run"
             for n, step in enumerate(emitter.steps)]  # fmt: skip
    run = run_source(emitter, [None] * len(tapes), emitter.arena)
    finish = ["memory, address, failed = frame_of(emitter)", *tapes, *run, "return run"]
    lines = [*now.lines, "def finish():", *("    " + line for line in finish), "return finish"]
    source = "\n".join([f"def make({', '.join(now.names)}):", *("    " + line for line in lines)])
    scope = names_in(emitter, source) | now.constants
    scope |= {"tape": cpu().tape, "frame_of": frame_of, "emitter": emitter, "Launch": Launch}
    exec(compile(source, "<flambeau template>", "exec"), scope)
    return scope["make"]
