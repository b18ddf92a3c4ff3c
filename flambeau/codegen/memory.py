"""Loads and stores: plain, masked, gathered, and of every element type.

A part of `Builder`, in a file of its own. Element types that are not computed with (bool as a byte,
float16, bfloat16) are widened as they are read and rounded as they are written.
"""

from __future__ import annotations

from ..ir.dtype import DType
from .instructions import Instructions, Int, mangled
from .values import Value, lanes_of, stored, vector_of

_SIZES = {"float": 4, "double": 8, "half": 2, "ptr": 8, "i1": 1}


def size_of(element: str) -> int:
    """Bytes that one element takes."""
    return _SIZES.get(element) or int(element[1:]) // 8


class Memory(Instructions):
    """The part of Builder that touches memory."""

    def element(self, base: Value, element: str, index: Value | Int) -> Value:
        """The address of element number `index` (an i64)."""
        return self.op(f"getelementptr {element}, ptr {base}, {self.i64(index).typed}", "ptr")

    def load(self, kind: str, address: Value, align: Int = 0) -> Value:
        """A plain load of a scalar or of a vector; aligned for an element unless told."""
        return self.op(f"load {kind}, ptr {address}, align {align or _align(kind)}", kind)

    def store(self, value: Value, address: Value, align: Int = 0) -> None:
        self.line(f"store {value.typed}, ptr {address}, align {align or _align(value.type)}")

    def prefetch(self, address: Value) -> None:
        """Have memory brought near that will be read soon; an address outside is no error."""
        self.declare("llvm.prefetch.p0", "void", ["ptr", "i32", "i32", "i32"])
        self.line(f"call void @llvm.prefetch.p0({address.typed}, i32 0, i32 3, i32 1)")

    def load_masked(self, kind: str, address: Value, mask: Value) -> Value:
        """Load the lanes that the mask has; the others are zero and their memory is not touched."""
        name = f"llvm.masked.load.{mangled(kind)}.p0"
        self.declare(name, kind, ["ptr", "i32", mask.type, kind])
        align = f"i32 {_align(kind)}"
        args = f"ptr {address}, {align}, {mask.typed}, {kind} zeroinitializer"
        return self.op(f"call {kind} @{name}({args})", kind)

    def store_masked(self, value: Value, address: Value, mask: Value) -> None:
        name = f"llvm.masked.store.{mangled(value.type)}.p0"
        self.declare(name, "void", [value.type, "ptr", "i32", mask.type])
        align = f"i32 {_align(value.type)}"
        self.line(f"call void @{name}({value.typed}, ptr {address}, {align}, {mask.typed})")

    def gather(
        self, kind: str, base: Value, index: Value, mask: Value | None = None
    ) -> Value:
        """Load lane by lane from `base + index[lane]` (a vector of i64, in elements)."""
        where, mask = self._lane_addresses(kind, base, index), mask or self._all(kind)
        name = f"llvm.masked.gather.{mangled(kind)}.v{lanes_of(kind)}p0"
        self.declare(name, kind, [where.type, "i32", mask.type, kind])
        args = f"{where.typed}, i32 {_align(kind)}, {mask.typed}, {kind} zeroinitializer"
        return self.op(f"call {kind} @{name}({args})", kind)

    def scatter(
        self, value: Value, base: Value, index: Value, mask: Value | None = None
    ) -> None:
        """Store lane by lane to `base + index[lane]`; of equal addresses the last lane wins."""
        kind = value.type
        where, mask = self._lane_addresses(kind, base, index), mask or self._all(kind)
        name = f"llvm.masked.scatter.{mangled(kind)}.v{lanes_of(kind)}p0"
        self.declare(name, "void", [kind, where.type, "i32", mask.type])
        args = f"{value.typed}, {where.typed}, i32 {_align(kind)}, {mask.typed}"
        self.line(f"call void @{name}({args})")

    def _lane_addresses(self, kind: str, base: Value, index: Value) -> Value:
        element = kind[kind.index("x ") + 2 : -1]
        text = f"getelementptr {element}, ptr {base}, {index.typed}"
        return self.op(text, vector_of("ptr", lanes_of(kind)))

    def _all(self, kind: str) -> Value:
        return self.number(vector_of("i1", lanes_of(kind)), True)

    # -- element types

    def load_element(
        self, dtype: DType, address: Value, lanes: Int = 1, mask: Value | None = None
    ) -> Value:
        """Neighbouring elements of a tensor, widened to the type that they are computed in."""
        kind = vector_of(stored(dtype), lanes)
        raw = self.load(kind, address) if mask is None else self.load_masked(kind, address, mask)
        return self.widen(raw, dtype)

    def store_element(
        self, dtype: DType, value: Value, address: Value, mask: Value | None = None
    ) -> None:
        """Neighbouring elements of a tensor, rounded to its type."""
        raw = self.narrow(value, dtype)
        if mask is None:
            self.store(raw, address)
        else:
            self.store_masked(raw, address, mask)

    def gather_element(
        self, dtype: DType, base: Value, index: Value, mask: Value | None = None
    ) -> Value:
        """Scattered elements of a tensor, widened; `index` is a vector of i64."""
        raw = self.gather(vector_of(stored(dtype), lanes_of(index.type)), base, index, mask)
        return self.widen(raw, dtype)

    def scatter_element(
        self,
        dtype: DType,
        value: Value,
        base: Value,
        index: Value,
        mask: Value | None = None,
    ) -> None:
        """Scattered elements of a tensor, rounded to its type."""
        self.scatter(self.narrow(value, dtype), base, index, mask)

    def widen(self, raw: Value, dtype: DType) -> Value:
        """As it lies in memory → as it is computed with."""
        if dtype.kind == "b":
            return self.icmp("ne", raw, 0)
        if dtype.name == "float16":
            return self.convert("fpext", raw, "float")
        if dtype.name == "bfloat16":
            bits = self.int("shl", self.convert("zext", raw, "i32"), 16)
            return self.convert("bitcast", bits, "float")
        return raw

    def narrow(self, value: Value, dtype: DType) -> Value:
        """As it is computed with → as it lies in memory, rounded to the nearest even."""
        if dtype.kind == "b":
            return self.convert("zext", value, "i8")
        if dtype.name == "float16":
            return self.convert("fptrunc", value, "half")
        return self._bfloat16(value) if dtype.name == "bfloat16" else value

    def _bfloat16(self, value: Value) -> Value:
        bits = self.convert("bitcast", value, "i32")
        odd = self.int("and", self.int("lshr", bits, 16), 1)
        rounded = self.int("lshr", self.add(self.add(bits, 0x7FFF), odd), 16)
        nan = self.fcmp("uno", value, value)
        chosen = self.select(nan, self.like(rounded, 0x7FC0), rounded)
        return self.convert("trunc", chosen, "i16")


def _align(kind: str) -> int:
    return size_of(kind[kind.index("x ") + 2 : -1] if kind[0] == "<" else kind)
