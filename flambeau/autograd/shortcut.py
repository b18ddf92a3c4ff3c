"""A repeated `backward()` as one edge of the trie.

The state of the trie from which backward is called says what the graph looks like, provided that
every node was made in this stretch. So the first walk from a state notes what it recorded and which
leaves it reached; the next time the trie jumps to where that walk ended, and only the leaves'
gradients are made. Hooks, custom Functions, graphs that span stretches, and Python arithmetic on
run-time numbers: walk.
"""

from __future__ import annotations

from typing import Any

from flambeau.ir.layout import Spec
from flambeau.ir.record import field, record
from flambeau.trace import above
from flambeau.trace.results import new_tensor
from flambeau.trace.storage import Storage
from flambeau.trace.symbol import ComplexSymbol, FloatSymbol, IntSymbol
from flambeau.trace.trie import State, Stretch, here


@record
class Macro:
    """Walks from one state and root: the slots of the leaves reached, and what each case led to."""

    leaves: tuple[int, ...]
    cases: dict[tuple[Any, ...], Case] = field(default_factory=dict)


@record
class Case:
    """What a walk did, given which leaves had a gradient before.

    starts: views on the way (place of the node, where it begins) that must begin there again;
    numbers: (index of an earlier number, or None) and value; entered: leaves whose old gradient
    entered, with the slot it got, whether its storage did, and its new value; fresh: leaf, slot,
    value, spec; added: leaves whose gradient was known already, and its new value.
    """

    end: State
    numbers: tuple[tuple[int | None, Any], ...]
    starts: tuple[tuple[int, int], ...]
    offsets: tuple[int, ...]
    offset_index: tuple[tuple[tuple[int, int], int], ...]
    entered: tuple[tuple[int, int, bool, int], ...]
    fresh: tuple[tuple[int, int, int, Spec], ...]
    added: tuple[tuple[int, int], ...]
    nodes: tuple[int, ...]
    frees: tuple[int, ...]  # those that had kept something


class Start:
    """What there was before a walk."""

    def __init__(self, root: Any, retain: bool) -> None:
        stretch = here.stretch
        self.stretch, self.state = stretch, stretch.state
        self.key = (root._slot, retain) if root._stretch is stretch else None
        self.numbers, self.offsets = len(stretch.numbers), tuple(stretch.offsets)
        self.inputs = len(stretch.inputs)
        self.known = dict(stretch.offset_index)


def follow(root: Any, retain: bool) -> bool:
    """Jump to where the walk from here ended before; False where it has to be walked."""
    stretch = here.stretch
    stretch.busy = True
    try:
        macros = stretch.state.macros
        if macros is None or root._stretch is not stretch or not stretch.walk:
            return False
        macro = macros.get((root._slot, retain))
        if macro is None:
            return False
        leaves, key = [], []
        for slot in macro.leaves:
            leaf = stretch.leaves.get(slot)
            leaves.append(leaf)
            key.append("gone" if leaf is None else before(stretch, leaf._meta))
        case = macro.cases.get(tuple(key))
        if case is None or not usable(stretch, case):
            return False
        apply(stretch, case, leaves, retain)
        return True
    finally:
        stretch.busy = False


def before(stretch: Stretch, meta: Any) -> Any:
    """What of a leaf's gradient decides how a walk accumulates into it."""
    if meta is None:
        return None
    if meta.hooks or meta.post_hooks or meta.backward_hooks:
        return "hooks"
    grad = meta.grad
    if grad is None:
        return None
    if grad._stretch is stretch:
        return grad._slot
    storage = grad._storage
    if storage.rare is not None and (storage.pin is not None or storage.error is not None):
        return "special"
    if grad._offset or grad._viewed is not None:
        return "special"
    return grad._spec, storage.born if storage.stretch is stretch else -1


def usable(stretch: Stretch, case: Case) -> bool:
    """Whether the offsets that the walk depended on are the same now; its nodes are still whole."""
    nodes = stretch.nodes
    for n, start in case.starts:
        if nodes[n].numbers[0] != start:
            return False
    for n in case.nodes if stretch.watched else ():
        node = nodes[n]
        if node.saved is None or node.rare is not None and node.hooks is not None:
            return False
    return True


def apply(stretch: Stretch, case: Case, leaves: list[Any], retain: bool) -> None:
    """Everything that the walk would have left behind."""
    numbers = stretch.numbers
    for index, value in case.numbers:
        numbers.append(value if index is None else numbers[index])
    if case.offsets:
        stretch.offsets.extend(case.offsets)
        stretch.offset_index.update(case.offset_index)
    for place, slot, new, value in case.entered:  # a gradient from before enters as in the walk
        grad = leaves[place]._meta.grad
        grad._stretch, grad._slot, storage = stretch, slot, grad._storage
        if new:
            storage.stretch, storage.born = stretch, slot
            stretch.inputs.append(storage)
        storage.index = value
        storage.version += 1
    for place, slot, value, spec in case.fresh:
        leaf = leaves[place]
        (leaf._meta or leaf._made_meta()).grad = fresh_gradient(stretch, slot, value, spec)
    for place, value in case.added:
        storage = leaves[place]._meta.grad._storage
        storage.index = value
        storage.version += 1
    if not retain:
        nodes = stretch.nodes
        for n in case.frees:
            nodes[n].saved = None
        stretch.watched = True
    stretch.state = case.end
    stretch.backward_done = True


def fresh_gradient(stretch: Stretch, slot: int, value: int, spec: Spec) -> Any:
    """What `follow_one` makes, of a value that is not its storage's first."""
    storage = Storage()
    grad = new_tensor(above.result_class)
    grad._slot = storage.born = slot
    grad._stretch = storage.stretch = stretch
    storage.index = value
    storage.buffer = storage.rare = None
    storage.nbytes, storage.version = spec.numel * spec.dtype.itemsize, 0
    grad._storage, grad._spec, grad._offset = storage, spec, 0
    grad._edge = grad._viewed = grad._meta = None
    stretch.results.append(storage)
    return grad


# ------------------------------------------------------------------ the first walk


def remember(start: Start, walk: Any) -> None:
    """Note what a walk did, if a repetition would do exactly the same."""
    stretch = here.stretch
    stretch.busy = True
    try:
        if not (walk.pure and stretch.walk and start.stretch is stretch and start.key is not None):
            return
        case = describe(start, walk)
        if case is None:
            return
        macros = start.state.macros
        if macros is None:
            macros = start.state.macros = {}
        slots = tuple(leaf._slot for leaf, _ in walk.reached)
        macro = macros.setdefault(start.key, Macro(slots))
        if macro.leaves == slots:
            macro.cases[case[0]] = case[1]
    finally:
        stretch.busy = False


def describe(start: Start, walk: Any) -> tuple[tuple[Any, ...], Case] | None:
    """The key of the case, and the case."""
    stretch = start.stretch
    key: list[Any] = []
    entered, fresh, added = [], [], []
    storages = stretch.inputs[start.inputs :]
    for place, (leaf, grad) in enumerate(walk.reached):
        if leaf._stretch is not stretch or stretch.leaves.get(leaf._slot) is not leaf:
            return None
        now = leaf._meta.grad
        if now._stretch is not stretch:
            return None
        storage = now._storage
        if grad is None:
            if storage.born != now._slot or now._viewed is not None or now._offset:
                return None
            key.append(None)
            fresh.append((place, now._slot, storage.index, now._spec))
        elif now is not grad or storage.pin is not None or now._offset or now._viewed is not None:
            return None
        elif now._slot < walk.first_slot:  # it was in this stretch before the walk
            key.append(now._slot)
            added.append((place, storage.index))
        else:
            new = storage in storages
            key.append((now._spec, -1 if new else storage.born))
            entered.append((now._slot, place, new, storage.index))
    if len(storages) != sum(new for _, _, new, _ in entered):
        return None  # something else entered: formulas that bring tensors of their own
    numbers = tuple(provenance(n) for n in stretch.numbers[start.numbers :])
    for n, value in enumerate(stretch.numbers):
        if isinstance(value, (FloatSymbol, IntSymbol, ComplexSymbol)):
            stretch.numbers[n] = value.real
    offsets = tuple(stretch.offsets[len(start.offsets) :])
    index = tuple((k, v) for k, v in stretch.offset_index.items() if k not in start.known)
    case = Case(stretch.state, numbers, starts_of(stretch, walk), offsets, index,
                tuple((p, s, new, v) for s, p, new, v in sorted(entered)), tuple(fresh),
                tuple(added),
                tuple(walk.visited),
                tuple(n for n in walk.visited if stretch.nodes[n].saved is None))  # fmt: skip
    return tuple(key), case


def starts_of(stretch: Stretch, walk: Any) -> tuple[tuple[int, int], ...]:
    """Where the views that were walked begin: their derivatives put gradients there."""
    views = [(n, stretch.nodes[n]) for n in walk.visited if stretch.nodes[n].state.view is not None]
    return tuple((n, node.numbers[0]) for n, node in views if node.numbers[0] is not None)


def provenance(number: Any) -> tuple[int | None, Any]:
    """Whether a number that the walk handed on is an earlier one of the stretch."""
    if isinstance(number, (FloatSymbol, IntSymbol, ComplexSymbol)):
        return number.index, None
    return None, number
