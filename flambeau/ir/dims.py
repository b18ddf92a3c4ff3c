"""Sizes that are not known yet: passes run once, for all sizes for which they decide the same.

    with session((3, 128)) as now:         n, m = now.dims: s0 and s1, by example 3 and 128
        n * m                         →    (s0*s1)
        n * 4 > m                     →    False, and the session notes: not (s0*4) > s1
        range(n)                      →    three turns, and the session notes: s0 == 3

A Dim stands for a size in the passes, which are not changed for it. Where it only ends up in a word
of a launch it stays a formula. Where something is decided by it, the example decides, and the
session notes the question with its answer: what was made serves all sizes that give the same
answers. Whoever needs a plain number gets the example's, and the note that it must be that number.
So nothing can depend on a size unseen; at worst, what was made serves one size only. (Guards on
sizes by example, as just-in-time compilers of traces have them: A. Gal et al., Trace-based
just-in-time type specialization for dynamic languages, 2009.)
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any


class Session:
    """The passes' run for some sizes by example: what was asked, and what is only done later.

    lines: Python source, in order, over the names s0, s1, … of the sizes: `if …: return None` for
    each question, and `t0 = …` for what waits until sizes are known. constants: what the source
    names and cannot say.
    """

    def __init__(self, example: Sequence[int]) -> None:
        self.names = [f"s{n}" for n in range(len(example))]
        self.dims = [Dim(self, name, value) for name, value in zip(self.names, example)]
        self.lines: list[str] = []
        self.constants: dict[str, Any] = {}
        self.numbers: dict[int, str] = {}  # id of a constant → its name
        self.asked: set[str] = set()
        self.count = 0
        self.open = True

    def note(self, question: str, answer: bool) -> None:
        """What was made serves only sizes that give this answer."""
        if not self.open:
            raise AssertionError(f"{question}? asked after the passes")
        if question not in self.asked:
            self.asked.add(question)
            self.lines.append(f"if {'not ' * answer}{question}: return None")

    def constant(self, thing: Any) -> str:
        """The name of something in the source."""
        name = self.numbers.get(id(thing))
        if name is None:
            name = self.numbers[id(thing)] = f"k{len(self.constants)}"
            self.constants[name] = thing
        return name

    def later(self, function: Callable[..., Any], args: tuple[Any, ...]) -> Any:
        """The result of a call that is made again whenever sizes are known."""
        self.count += 1
        name = f"t{self.count}"
        self.lines.append(f"{name} = {self.constant(function)}({', '.join(map(self.say, args))})")
        return self.known(name, function(*map(example_of, args)))

    def known(self, source: str, example: Any) -> Any:
        """What stands for a value that the source computes."""
        if type(example) is int:
            return Dim(self, source, example)
        if type(example) is tuple:
            return tuple(self.known(f"{source}[{n}]", e) for n, e in enumerate(example))
        if type(example) is dict:
            return {k: self.known(f"{source}[{self.say(k)}]", e) for k, e in example.items()}
        return Later(self, source, example)

    def say(self, thing: Any) -> str:
        """The source of a value."""
        if isinstance(thing, Later):
            return thing._source
        if thing is None or type(thing) in (int, bool, str):
            return repr(thing)
        if not waits(thing):
            return self.constant(thing)
        if isinstance(thing, (tuple, list)):
            listed = ", ".join(map(self.say, thing))
            return f"[{listed}]" if isinstance(thing, list) else f"({listed},)"
        if isinstance(thing, dict):
            return "{" + ", ".join(f"{self.say(k)}: {self.say(v)}" for k, v in thing.items()) + "}"
        return f"{self.constant(type(thing))}({', '.join(map(self.say, parts_of(thing)))})"


class Later:
    """Something that is known once sizes are; `_example` is what it is for the example."""

    __slots__ = ("_session", "_source", "_example", "_hash")

    def __init__(self, session: Session, source: str, example: Any) -> None:
        self._session, self._source, self._example = session, source, example
        self._hash = hash((id(session), source))

    def __hash__(self) -> int:  # never that of the example: what is remembered for it stays apart
        return self._hash


def binary(sign: str, turned: bool = False) -> Callable[[Dim, Any], Any]:
    """An arithmetic operator: the formula, or where nothing happens, the operand itself."""
    function = {"+": operator.add, "-": operator.sub, "*": operator.mul,
                "//": operator.floordiv, "%": operator.mod}[sign]  # fmt: skip
    neutral = {"+": 0, "-": 0, "*": 1, "//": 1}.get(sign)

    def method(self: Dim, other: Any) -> Any:
        if isinstance(other, Dim):
            said, value = other._source, other._example
        elif type(other) is int:
            if other == neutral and (not turned or sign in "+*"):
                return self
            if other == 0 and sign == "*":
                return 0
            said, value = str(other), other
        else:
            return by_number(self, function, other, turned)
        if turned:
            result = function(value, self._example)
            return Dim(self._session, f"({said}{sign}{self._source})", result)
        return Dim(self._session, f"({self._source}{sign}{said})", function(self._example, value))

    return method


def only_by_number(function: Callable[..., Any], turned: bool = False) -> Callable[[Dim, Any], Any]:
    """An operator of which there is no formula."""
    return lambda self, other: by_number(self, function, other, turned)


def by_number(dim: Dim, function: Callable[..., Any], other: Any, turned: bool) -> Any:
    """What a number beside it makes of the plain number; others know how to take one."""
    if not hasattr(other, "__float__"):
        return NotImplemented
    return function(other, dim.__index__()) if turned else function(dim.__index__(), other)


def question(sign: str) -> Callable[[Dim, Any], Any]:
    """A comparison: the example's answer, which the session notes."""
    function = {"==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le,
                ">": operator.gt, ">=": operator.ge}[sign]  # fmt: skip

    def method(self: Dim, other: Any) -> Any:
        if isinstance(other, Dim):
            if other._session is not self._session:
                return NotImplemented
            if other._source == self._source:
                return function(0, 0)
            said, value = other._source, other._example
        elif type(other) is int:
            said, value = str(other), other
        else:
            return by_number(self, function, other, False)
        if not self._session.open and sign in ("==", "!="):
            return sign == "!="  # a look-up in what is remembered
        answer = function(self._example, value)
        self._session.note(f"{self._source} {sign} {said}", answer)
        return answer

    return method


class Dim(Later):
    """An integer that is known once sizes are."""

    __slots__ = ()
    __class__ = property(lambda self: int)  # isinstance(…, int) holds

    __add__, __radd__ = binary("+"), binary("+", True)
    __sub__, __rsub__ = binary("-"), binary("-", True)
    __mul__, __rmul__ = binary("*"), binary("*", True)
    __floordiv__, __rfloordiv__ = binary("//"), binary("//", True)
    __mod__, __rmod__ = binary("%"), binary("%", True)
    __truediv__, __rtruediv__ = (only_by_number(operator.truediv, t) for t in (False, True))
    __pow__, __rpow__ = (only_by_number(operator.pow, t) for t in (False, True))
    __and__, __rand__ = (only_by_number(operator.and_, t) for t in (False, True))
    __or__, __ror__ = (only_by_number(operator.or_, t) for t in (False, True))
    __xor__, __rxor__ = (only_by_number(operator.xor, t) for t in (False, True))
    __lshift__, __rlshift__ = (only_by_number(operator.lshift, t) for t in (False, True))
    __rshift__, __rrshift__ = (only_by_number(operator.rshift, t) for t in (False, True))
    __eq__, __ne__ = question("=="), question("!=")
    __lt__, __le__, __gt__, __ge__ = map(question, ("<", "<=", ">", ">="))
    __hash__ = Later.__hash__

    def __neg__(self) -> Dim:
        return Dim(self._session, f"(-{self._source})", -self._example)

    def __pos__(self) -> Dim:
        return self

    def __abs__(self) -> Dim:
        return self if self >= 0 else -self

    def __bool__(self) -> bool:
        return bool(self != 0)

    def __index__(self) -> int:
        """The number itself, for whoever cannot do without: it must be that one."""
        self._session.note(f"{self._source} == {self._example}", True)
        return int(self._example)

    __int__ = __ceil__ = __floor__ = __trunc__ = __index__

    def __float__(self) -> float:
        return float(self.__index__())

    def __round__(self, digits: int | None = None) -> int:
        return round(self.__index__(), digits) if digits is not None else self.__index__()

    def __repr__(self) -> str:
        return repr(self.__index__())

    def __format__(self, form: str) -> str:
        return format(self.__index__(), form)

    def bit_length(self) -> int:
        return self.__index__().bit_length()


# ------------------------------------------------------------------ for the passes

_sessions: list[Session] = []  # those that are open, the newest last


def later(function: Callable[..., Any], *args: Any) -> Any:
    """function(*args); where sizes among the arguments are not known yet, what that will be.

    For decisions that differ from size to size, such as how a product is cut into tiles: they are
    made again for each, and nothing is noted. The function must depend on its arguments alone.
    """
    if _sessions and any(map(waits, args)):
        return _sessions[-1].later(function, args)
    return function(*args)


@contextmanager
def session(example: Sequence[int]) -> Iterator[Session]:
    """Run passes on the session's `dims` inside; afterwards nothing may be asked any more."""
    made = Session(example)
    _sessions.append(made)
    try:
        yield made
    finally:
        _sessions.pop()
        made.open = False


def parts_of(thing: Any) -> Iterable[Any]:
    """What a tuple, list, dict or record consists of."""
    if isinstance(thing, (tuple, list)):
        return thing
    if isinstance(thing, dict):
        return (*thing, *thing.values())
    names = getattr(type(thing), "__fields__", None)
    return () if names is None else [getattr(thing, n) for n in thing.__match_args__]


def waits(thing: Any) -> bool:
    """Whether there is something in it that is not known yet. What several parts share, as trees
    do, is looked at once."""
    pending, seen = [thing], set()
    while pending:
        part = pending.pop()
        if isinstance(part, Later):
            return True
        if id(part) not in seen:
            seen.add(id(part))
            pending.extend(parts_of(part))
    return False


def example_of(thing: Any) -> Any:
    """The same for the sizes of the example."""
    if isinstance(thing, Later):
        return thing._example
    if not waits(thing):
        return thing
    if isinstance(thing, (tuple, list)):
        return type(thing)(map(example_of, thing))
    if isinstance(thing, dict):
        return {example_of(k): example_of(v) for k, v in thing.items()}
    return type(thing)(*map(example_of, parts_of(thing)))


def source_of(number: Any) -> str:
    """A number as source: a formula where it is not known yet."""
    return number._source if isinstance(number, Later) else str(number)
