"""Schemas of operators, "(Tensor x, float k=2.) -> Tensor": from annotations, and for calls."""

from __future__ import annotations

import ast
import types
import typing
from collections.abc import Sequence
from typing import Any, NamedTuple

from flambeau.ir.dtype import DType
from flambeau.tensor import Tensor


class Parameter(NamedTuple):
    """One parameter of a schema."""

    name: str
    type: str
    default: Any
    required: bool
    keyword: bool
    written: bool


class Schema:
    """The parameters of an operator, and how arguments are matched to them."""

    def __init__(self, space: str, name: str, text: str) -> None:
        if not space or not name:
            raise ValueError(f"expected a name of the form 'namespace::name', got '{space}{name}'")
        self.space, self.name, self.text = space, name, text.strip()
        inner, arrow, self.returns = self.text.rpartition("->")
        if not arrow or not inner.strip().startswith("("):
            raise RuntimeError(f"expected a schema like '(Tensor x) -> Tensor', got '{text}'")
        self.params = tuple(parsed(inner.strip()[1:-1]))

    @property
    def qualified(self) -> str:
        return f"{self.space}::{self.name}"

    def __str__(self) -> str:
        return self.qualified + self.text

    def bind(self, args: Any, kwargs: Any) -> tuple[list[Any], dict[str, Any]]:
        """(positional values, keyword values) of a call; RuntimeError says what does not fit."""
        places = [p for p in self.params if not p.keyword]
        if len(args) > len(places):
            self.refuse(f"expected at most {len(places)} argument(s) but received {len(args)} "
                        "argument(s).")  # fmt: skip
        given = {p.name: x for p, x in zip(places, args)}
        known = {p.name for p in self.params}
        for name, value in kwargs.items():
            if name not in known:
                self.refuse(f"Unknown keyword argument '{name}' for operator '{self.qualified}'.")
            if name in given:
                self.refuse(f"got multiple values for argument '{name}'.")
            given[name] = value
        for p in self.params:
            if p.name not in given and p.required:
                self.refuse(f"is missing value for argument '{p.name}'.")
        values = {p.name: self.fitted(p, given.get(p.name, p.default)) for p in self.params}
        return ([values[p.name] for p in places],
                {p.name: values[p.name] for p in self.params if p.keyword})  # fmt: skip

    def fitted(self, param: Parameter, value: Any) -> Any:
        """An argument in its parameter's type."""
        wanted = ACCEPTS.get(param.type.rstrip("?"))
        if wanted is None or value is None and param.type.endswith("?"):
            return value
        if not isinstance(value, wanted):
            self.refuse(f"Expected a value of type '{param.type}' for argument '{param.name}' but "
                        f"instead found type '{type(value).__name__}'.")  # fmt: skip
        return float(value) if param.type.rstrip("?") == "float" else value

    def refuse(self, says: str) -> typing.NoReturn:
        raise RuntimeError(f"{self.qualified}() {says} Declaration: {self}")


ACCEPTS: dict[str, Any] = {
    "Tensor": Tensor, "Tensor[]": (list, tuple), "Tensor?[]": (list, tuple), "int": int,
    "SymInt": int, "float": (int, float), "bool": (bool, int), "str": str,
    "ScalarType": DType, "int[]": (list, tuple), "SymInt[]": (list, tuple),
    "float[]": (list, tuple), "bool[]": (list, tuple),
}  # fmt: skip


def parsed(text: str) -> Any:
    """The parameters between the parentheses of a schema."""
    keyword = False
    for piece in between_commas(text):
        if piece == "*":
            keyword = True
            continue
        front, equals, default = piece.partition("=")
        kind, _, name = front.strip().rpartition(" ")
        kind, mark, rest = kind.partition("(")
        kind = kind.strip() + (rest.partition(")")[2].strip() if mark else "")
        value = constant(default) if equals else None
        yield Parameter(name, kind, value, not equals, keyword, "!" in rest)


def between_commas(text: str) -> list[str]:
    """Pieces between the commas that are in no brackets and no string."""
    pieces, depth, quote = [""], 0, ""
    for c in text:
        if quote or c in "\"'":
            quote = "" if c == quote else quote or c
        depth += (c in "([") - (c in ")]") if not quote else 0
        if c == "," and not depth and not quote:
            pieces.append("")
        else:
            pieces[-1] += c
    return [piece.strip() for piece in pieces if piece.strip()]


def constant(text: str) -> Any:
    """A default value; words that are no Python literal stay words."""
    try:
        return ast.literal_eval(text.strip())
    except ValueError:
        return text.strip()


# ------------------------------------------------------------------ from annotations

SINGLE = {
    Tensor: "Tensor", int: "SymInt", float: "float", bool: "bool", str: "str", DType: "ScalarType",
    complex: "Scalar",
}  # fmt: skip
LISTED = (Tensor, int, float, bool)


def infer_schema(prototype_function: Any, /, *, mutates_args: Any,
                 op_name: str | None = None) -> str:  # fmt: skip
    """The schema of a function of annotated parameters; raises ValueError for what it lacks."""
    import inspect

    signature = inspect.signature(prototype_function)
    try:
        hints = typing.get_type_hints(prototype_function)
    except NameError as error:
        refuse(f"Unsupported type annotation: {error}", signature)
    if not isinstance(mutates_args, str):
        unknown = set(mutates_args) - set(signature.parameters)
        if unknown:
            refuse(f"{unknown} in mutates_args were not found in the custom op's signature. "
                   "mutates_args should contain the names of all args that the custom op mutates, "
                   "or just the string 'unknown' if you don't know.", signature)  # fmt: skip
    elif mutates_args != "unknown":
        raise ValueError("mutates_args must either be a sequence of the names of the arguments "
                         "that are mutated or the string 'unknown'. ")  # fmt: skip
    pieces, starred, written = [], False, 0
    for name, param in signature.parameters.items():
        if param.kind is param.KEYWORD_ONLY and not starred:
            pieces.append("*")
            starred = True
        if name not in hints:
            refuse(f"Parameter {name} must have a type annotation.", signature)
        kind = type_name(hints[name])
        if kind is None:
            refuse(f"Parameter {name} has unsupported type {hints[name]}.", signature)
        if kind.startswith("Tensor") and (mutates_args == "unknown" or name in mutates_args):
            kind = f"Tensor(a{written}!){kind[6:]}"
            written += 1
        default = "" if param.default is param.empty else f"={written_default(param.default)}"
        pieces.append(f"{kind} {name}{default}")
    return f"{op_name or ''}({', '.join(pieces)}) -> {returned(hints, signature)}"


def refuse(says: str, signature: Any) -> typing.NoReturn:
    raise ValueError(f"infer_schema(func): {says} Got func with signature {signature})")


def returned(hints: Any, signature: Any) -> str:
    """The right-hand side of a schema."""
    if "return" not in hints:
        refuse("No return type annotation was provided. Please add one.", signature)
    hint = hints["return"]
    if hint in (None, type(None)):
        return "()"
    parts = typing.get_args(hint) if typing.get_origin(hint) is tuple else (hint,)
    names = [type_name(part) for part in parts]
    if None in names:
        refuse(f"Return has unsupported type {hint}.", signature)
    joint = ", ".join(map(str, names))
    return joint if typing.get_origin(hint) is not tuple else f"({joint})"


def type_name(hint: Any) -> str | None:
    """What a schema calls a type; None where it has no name for it."""
    if hint in SINGLE:
        return SINGLE[hint]
    if hint == typing.Union[int, float, bool] or hint == int | float:  # noqa: UP007
        return "Scalar"
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType) and type(None) in args and len(args) == 2:
        inner = type_name(next(a for a in args if a is not type(None)))
        return None if inner is None else inner + "?"
    if origin in (list, Sequence) and len(args) == 1:
        inner = type_name(args[0])
        listed = args[0] in LISTED or inner == "Tensor?"
        return f"{inner}[]" if inner is not None and listed else None
    return None


def written_default(value: Any) -> str:
    """A default value as a schema writes it."""
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, DType):
        return value.name
    return f"{value:g}." if isinstance(value, float) and value.is_integer() else str(value)
