"""The reader of pickles for weights_only=True: it runs no code that a file brings or names.

A pickle is a program for a machine with a stack. This machine knows the instructions that make
numbers, strings and containers; a name (GLOBAL) is looked up in a list (allowed.py), never
imported; a call (REDUCE) is made only of what that list says may be called; attributes are set
(BUILD) only on an OrderedDict and on classes that the user has allowed. Lengths are compared with
what is left of the file before anything is made of them.
"""

from __future__ import annotations

import struct
from collections import OrderedDict
from collections.abc import Callable
from pickle import UnpicklingError
from typing import Any

from flambeau.serialization.allowed import (
    BLOCKED,
    added,
    by_default,
    callable_by_default,
    called,
    hashable,
    listed,
)
from flambeau.serialization.names import file_name

OLD_BUILTINS = {"__builtin__": "builtins", "copy_reg": "copyreg"}  # as Python 2 called them
Instruction = Callable[["Machine"], None]
INSTRUCTIONS: dict[int, Instruction] = {}


class Machine:
    """Reads one pickle from `data`, from `at` on; afterwards `at` is where it ended."""

    def __init__(self, data: Any, at: int, storage_of: Any, encoding: str = "utf-8") -> None:
        self.data, self.at, self.storage_of, self.encoding = data, at, storage_of, encoding
        self.stack: list[Any] = []
        self.marks: list[list[Any]] = []  # the stacks below each mark
        self.memo: dict[int, Any] = {}
        self.elsewhere = False  # in a function of the user's, whose errors are not the file's
        self.copied = 0  # parts of containers that calls have copied: no more than a file's worth

    def run(self) -> Any:
        """The object that the pickle holds."""
        instructions = INSTRUCTIONS
        try:
            while True:
                code = self.data[self.at]
                self.at += 1
                if code == 0x2E:  # STOP
                    return self.stack.pop()
                instructions[code](self)
        except (IndexError, KeyError, TypeError, ValueError, AttributeError) as error:
            if self.elsewhere:
                raise
            raise UnpicklingError(self.explain(error)) from error

    def explain(self, error: Exception) -> str:
        """What is wrong with the pickle."""
        if self.at >= len(self.data):
            return f"the pickle ends too early, after {len(self.data)} bytes"
        code = self.data[self.at - 1]
        if code not in INSTRUCTIONS:
            return f"Unsupported operand {code}"
        return f"the pickle is corrupted at byte {self.at}: {error}"

    # ---------------------------------------------------------------- operands

    def take(self, size: int) -> bytes:
        """The next bytes."""
        end = self.at + size
        if size < 0 or end > len(self.data):
            left = len(self.data) - self.at
            raise UnpicklingError(f"the pickle ends too early: {size} bytes are wanted at byte "
                                  f"{self.at}, and {left} are left")  # fmt: skip
        piece = self.data[self.at : end]
        self.at = end
        return piece

    def number(self, size: int, signed: bool = False) -> int:
        return int.from_bytes(self.take(size), "little", signed=signed)

    def line(self) -> str:
        """The text up to the end of the line."""
        end = self.data.find(b"\n", self.at)
        if end < 0:
            raise UnpicklingError("the pickle ends within a name")
        line = self.data[self.at : end]
        self.at = end + 1
        return line.decode("utf-8")

    def above_mark(self) -> list[Any]:
        """What lies above the last mark, which goes."""
        above, self.stack = self.stack, self.marks.pop()
        return above

    # ---------------------------------------------------------------- names and calls

    def global_(self, module: str, name: str) -> Any:
        """What a name means."""
        module = OLD_BUILTINS.get(module, module)
        if module.startswith("flambeau"):
            module, name = file_name(module, name)
        full = f"{module}.{name}"
        if module.partition(".")[0] in BLOCKED:
            raise UnpicklingError(f"Trying to load unsupported GLOBAL {full} whose module {module} "
                                  "is blocked.")  # fmt: skip
        thing = added().get(full)
        if thing is None:
            thing = by_default().get(full)
        if thing is None:
            short = full.removeprefix("builtins.")
            raise UnpicklingError(
                f"Unsupported global: GLOBAL {short} was not an allowed global by default. Please "
                f"use `torch.serialization.add_safe_globals([{short}])` or the "
                f"`torch.serialization.safe_globals([{short}])` context manager to allowlist this "
                "global if you trust this class/function."
            )
        return thing

    def call(self, function: Any, args: Any) -> Any:
        """The result of a function that may be called."""
        if type(args) is not tuple:
            raise UnpicklingError("the arguments of a call are no tuple")
        self.count(args)
        if id(function) in callable_by_default():
            return function(*args)
        if not is_added(function):
            raise UnpicklingError(
                f"Trying to call reduce for unrecognized function {called(function)}"
            )
        return self.outside(function, *args)

    def count(self, args: tuple[Any, ...]) -> None:
        """Refuse a file that has the same container copied again and again."""
        self.copied += sum(len(x) for x in args if isinstance(x, (str, bytes, list, tuple, dict)))
        if self.copied > 16 * len(self.data) + 100_000:
            raise UnpicklingError("the pickle makes far more objects than it holds")

    def outside(self, function: Any, *args: Any) -> Any:
        """Call what belongs to the user."""
        self.elsewhere = True
        result = function(*args)
        self.elsewhere = False
        return result

    def make(self, cls: Any, args: Any) -> Any:
        """A new object of a class that may be made."""
        if type(args) is not tuple or not isinstance(cls, type) or not is_added(cls):
            raise UnpicklingError(
                f"Trying to create new object for unrecognized class {called(cls)}"
            )
        return self.outside(cls.__new__, cls, *args)

    def build(self, obj: Any, state: Any) -> None:
        """Give an object its attributes."""
        self.count((state,))
        if type(obj) is OrderedDict:
            obj.__dict__.update(state)
        elif not is_added(type(obj)):
            raise UnpicklingError(
                "Can only build Tensor, Parameter, OrderedDict or types allowlisted via "
                f"`add_safe_globals`, but got {type(obj)}"
            )
        elif hasattr(obj, "__setstate__"):
            self.outside(obj.__setstate__, state)
        else:
            plain, slots = state if type(state) is tuple and len(state) == 2 else (state, None)
            if plain:
                obj.__dict__.update(plain)
            for name, value in (slots or {}).items():
                self.outside(setattr, obj, name, value)

    # ---------------------------------------------------------------- containers

    def fill_list(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) is list:
            target.extend(items)
        elif is_added(type(target)):
            self.outside(target.extend, items)
        else:
            raise UnpicklingError(f"Can only append to lists, but got {type(target)}")

    def fill_dict(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if not isinstance(target, dict):
            raise UnpicklingError(f"Can only set the items of dictionaries, but got {type(target)}")
        if len(items) % 2:
            raise UnpicklingError("a key of a dictionary has no value")
        for i in range(0, len(items), 2):
            target[hashable(items[i])] = items[i + 1]


def is_added(thing: Any) -> bool:
    """Whether a user has allowed this."""
    return any(thing is allowed for allowed in added().values())


# ------------------------------------------------------------------ instructions


def instruction(code: int) -> Callable[[Instruction], Instruction]:
    """Make a function the meaning of a code."""

    def note(function: Instruction) -> Instruction:
        INSTRUCTIONS[code] = function
        return function

    return note


def pushing(code: int, value_of: Callable[[Machine], Any]) -> None:
    """An instruction that pushes a value."""

    def push(machine: Machine) -> None:
        value = value_of(machine)  # which may change the stack
        machine.stack.append(value)

    INSTRUCTIONS[code] = push


def integer(machine: Machine, size: int) -> int:
    return int.from_bytes(machine.take(size), "little", signed=True)


def text(machine: Machine, size: int) -> str:
    return machine.take(size).decode("utf-8", "surrogatepass")


def old_text(machine: Machine, size: int) -> Any:
    """A string of Python 2."""
    data = machine.take(size)
    return data if machine.encoding == "bytes" else data.decode(machine.encoding)


def top_tuple(machine: Machine, size: int) -> tuple[Any, ...]:
    """The uppermost values as a tuple."""
    if len(machine.stack) < size:
        raise UnpicklingError("a tuple has too few elements")
    parts = tuple(machine.stack[-size:])
    del machine.stack[-size:]
    return parts


def persistent(machine: Machine) -> Any:
    """The storage that a name stands for."""
    name = machine.stack.pop()
    return machine.outside(machine.storage_of, name)


def pairs(machine: Machine) -> dict[Any, Any]:
    items = machine.above_mark()
    machine.stack.append({})
    machine.fill_dict(items)
    return machine.stack.pop()


pushing(0x4E, lambda m: None)  # NONE
pushing(0x88, lambda m: True)  # NEWTRUE
pushing(0x89, lambda m: False)  # NEWFALSE
pushing(0x4A, lambda m: m.number(4, True))  # BININT
pushing(0x4B, lambda m: m.number(1))  # BININT1
pushing(0x4D, lambda m: m.number(2))  # BININT2
pushing(0x8A, lambda m: integer(m, m.number(1)))  # LONG1
pushing(0x8B, lambda m: integer(m, m.number(4, True)))  # LONG4
pushing(0x47, lambda m: struct.unpack(">d", m.take(8))[0])  # BINFLOAT
pushing(0x8C, lambda m: text(m, m.number(1)))  # SHORT_BINUNICODE
pushing(0x58, lambda m: text(m, m.number(4)))  # BINUNICODE
pushing(0x8D, lambda m: text(m, m.number(8)))  # BINUNICODE8
pushing(0x55, lambda m: old_text(m, m.number(1)))  # SHORT_BINSTRING
pushing(0x54, lambda m: old_text(m, m.number(4, True)))  # BINSTRING
pushing(0x43, lambda m: bytes(m.take(m.number(1))))  # SHORT_BINBYTES
pushing(0x42, lambda m: bytes(m.take(m.number(4))))  # BINBYTES
pushing(0x8E, lambda m: bytes(m.take(m.number(8))))  # BINBYTES8
pushing(0x96, lambda m: bytearray(m.take(m.number(8))))  # BYTEARRAY8
pushing(0x5D, lambda m: [])  # EMPTY_LIST
pushing(0x7D, lambda m: {})  # EMPTY_DICT
pushing(0x29, lambda m: ())  # EMPTY_TUPLE
pushing(0x8F, lambda m: set())  # EMPTY_SET
pushing(0x85, lambda m: top_tuple(m, 1))  # TUPLE1
pushing(0x86, lambda m: top_tuple(m, 2))  # TUPLE2
pushing(0x87, lambda m: top_tuple(m, 3))  # TUPLE3
pushing(0x74, lambda m: tuple(m.above_mark()))  # TUPLE
pushing(0x6C, lambda m: m.above_mark())  # LIST
pushing(0x64, pairs)  # DICT
pushing(0x68, lambda m: m.memo[m.number(1)])  # BINGET
pushing(0x6A, lambda m: m.memo[m.number(4)])  # LONG_BINGET
pushing(0x51, persistent)  # BINPERSID
pushing(0x63, lambda m: m.global_(m.line(), m.line()))  # GLOBAL


@instruction(0x80)
def proto(machine: Machine) -> None:
    """PROTO"""
    version = machine.number(1)
    if version > 5:
        raise UnpicklingError(f"unsupported pickle protocol: {version}")


@instruction(0x95)
def frame(machine: Machine) -> None:
    """FRAME: a hint for readers of streams"""
    machine.number(8)


@instruction(0x28)
def mark(machine: Machine) -> None:
    """MARK"""
    machine.marks.append(machine.stack)
    machine.stack = []


@instruction(0x30)
def pop(machine: Machine) -> None:
    """POP"""
    if machine.stack:
        machine.stack.pop()
    else:
        machine.above_mark()


@instruction(0x31)
def pop_mark(machine: Machine) -> None:
    """POP_MARK"""
    machine.above_mark()


@instruction(0x71)
def put(machine: Machine) -> None:
    """BINPUT"""
    machine.memo[machine.number(1)] = machine.stack[-1]


@instruction(0x72)
def long_put(machine: Machine) -> None:
    """LONG_BINPUT"""
    machine.memo[machine.number(4)] = machine.stack[-1]


@instruction(0x94)
def memoize(machine: Machine) -> None:
    """MEMOIZE"""
    machine.memo[len(machine.memo)] = machine.stack[-1]


@instruction(0x93)
def stack_global(machine: Machine) -> None:
    """STACK_GLOBAL"""
    name, module = machine.stack.pop(), machine.stack.pop()
    if type(name) is not str or type(module) is not str:
        raise UnpicklingError("a name is no string")
    machine.stack.append(machine.global_(module, name))


@instruction(0x61)
def append(machine: Machine) -> None:
    """APPEND"""
    machine.fill_list([machine.stack.pop()])


@instruction(0x65)
def appends(machine: Machine) -> None:
    """APPENDS"""
    machine.fill_list(machine.above_mark())


@instruction(0x73)
def set_item(machine: Machine) -> None:
    """SETITEM"""
    value, key = machine.stack.pop(), machine.stack.pop()
    machine.fill_dict([key, value])


@instruction(0x75)
def set_items(machine: Machine) -> None:
    """SETITEMS"""
    machine.fill_dict(machine.above_mark())


@instruction(0x90)
def add_items(machine: Machine) -> None:
    """ADDITEMS"""
    items = machine.above_mark()
    if type(machine.stack[-1]) is not set:
        raise UnpicklingError(f"Can only add to sets, but got {type(machine.stack[-1])}")
    machine.stack[-1].update(hashable(x) for x in listed(items))


@instruction(0x52)
def reduce(machine: Machine) -> None:
    """REDUCE"""
    args, function = machine.stack.pop(), machine.stack.pop()
    machine.stack.append(machine.call(function, args))


@instruction(0x81)
def new_object(machine: Machine) -> None:
    """NEWOBJ"""
    args, cls = machine.stack.pop(), machine.stack.pop()
    machine.stack.append(machine.make(cls, args))


@instruction(0x62)
def build(machine: Machine) -> None:
    """BUILD"""
    state = machine.stack.pop()
    machine.build(machine.stack[-1], state)


__all__ = ["INSTRUCTIONS", "Machine", "OLD_BUILTINS"]
