"""Reads and writes of a nest's accesses, checked where that is asked for."""

from __future__ import annotations

from collections.abc import Mapping

from ..ir.dtype import DType
from ..ir.failures import OUT_OF_RANGE
from ..ir.kernel import Nest, Word
from .builder import Builder
from .emit import cast
from .memory import size_of
from .values import Mask, Value, computed, lanes_of, stored, vector_of


class AccessWriter:
    """Turns accesses of one nest into loads and stores."""

    def __init__(
        self,
        nest: Nest,
        b: Builder,
        word_at: Mapping[Word, int],
        thread: Value,
        lanes: int,
        checked: bool,
    ) -> None:
        self.nest, self.b, self.word_at, self.lanes = nest, b, word_at, lanes
        self.checked = checked
        self.pointers = [self._pointer(a, thread) for a in range(len(nest.accesses))]
        self.strides = {
            (word.number, word.second): b.word(place)
            for word, place in word_at.items()
            if word.what == "stride"
        }
        for a, access in enumerate(nest.accesses):
            self.strides |= {(a, n): b.i64(s) for n, s in enumerate(access.strides) if s in (-1, 2)}
        if checked:
            self.error = b.word_pointer(word_at[Word("error")])
            self.aside = b.room(512)
            self.ranges = [
                [b.word(word_at[Word(what, a)]) for what in ("low", "high")]
                for a in range(len(nest.accesses))
            ]

    def _pointer(self, a: int, thread: Value) -> Value:
        b, pointer = self.b, self.b.word_pointer(self.word_at[Word("pointer", a)])
        if not self.nest.accesses[a].per_thread:
            return pointer
        apart = b.word(self.word_at[Word("per_thread", a)])
        return b.element(pointer, "i8", b.mul(thread, apart))

    def element(self, a: int) -> str:
        """The type of access a in memory."""
        return stored(self.nest.accesses[a].dtype)

    def advance(self, a: int, pointer: Value, counters: Mapping[int, Value]) -> Value:
        """The pointer after these loops have come to these counters."""
        for loop, counter in counters.items():
            stride = self.nest.accesses[a].strides[loop]
            if stride != 0:
                steps = counter if stride == 1 else self.b.mul(counter, self.strides[a, loop])
                pointer = self.b.element(pointer, self.element(a), steps)
        return pointer

    def read(self, a: int, pointer: Value, column: Value | None, mask: Mask | None) -> Value:
        """A vector of elements along the last loop, widened."""
        b, access = self.b, self.nest.accesses[a]
        stride = access.strides[-1]
        if access.every == 2:
            assert column is not None, "an access that takes turns is read inside the last loop"
            return self._in_turns(a, pointer, column, mask)
        if stride == 0:
            pointer, _ = self._checked(a, pointer, b.i64(1))
            return b.splat(b.load_element(access.dtype, pointer), self.lanes)
        assert column is not None, "an access that moves along the last loop is read inside it"
        if stride == 1:
            pointer = b.element(pointer, self.element(a), column)
            pointer, _ = self._checked(a, pointer, self._count(mask))
            return b.load_element(access.dtype, pointer, self.lanes, mask)
        if stride == -1 and mask is None and not self.checked:
            first = b.element(pointer, self.element(a), b.sub(b.i64(1 - self.lanes), column))
            vector = b.load_element(access.dtype, first, self.lanes)
            return b.shuffle(vector, vector, range(self.lanes - 1, -1, -1))
        if stride == 2 and not self.checked:
            return self._every_other(a, b.element(pointer, self.element(a), b.mul(column, 2)), mask)
        index, pointer, active = self._spread(a, pointer, column, mask)
        return b.gather_element(access.dtype, pointer, index, active)

    def _in_turns(self, a: int, pointer: Value, column: Value, mask: Mask | None) -> Value:
        """An element of one share, then one of the other: each share is read as a vector."""
        b, access, half = self.b, self.nest.accesses[a], self.lanes // 2
        if mask is not None:
            mask = b.first_lanes(b.int("lshr", b.add(mask.remaining, 1), 1), half)
        if access.strides[-1]:
            pointer = b.element(pointer, self.element(a), b.int("lshr", column, 1))
        shares = [self._share(a, pointer, half, mask)]
        if access.apart is None:
            apart = self.strides[a, self.nest.loops]
            pointer = b.element(pointer, self.element(a), apart)
            shares.append(self._share(a, pointer, half, mask))
        second = half if len(shares) > 1 else 0
        lanes = [n // 2 + n % 2 * second for n in range(self.lanes)]
        return b.shuffle(shares[0], shares[-1], lanes)

    def _share(self, a: int, pointer: Value, lanes: int, mask: Mask | None) -> Value:
        """A vector of one share, or its element where it stands still."""
        b, access = self.b, self.nest.accesses[a]
        if not access.strides[-1]:
            pointer, _ = self._checked(a, pointer, b.i64(1))
            return b.splat(b.load_element(access.dtype, pointer), lanes)
        pointer, _ = self._checked(a, pointer, self._count(mask, lanes))
        return b.load_element(access.dtype, pointer, lanes, mask)

    def _every_other(self, a: int, pointer: Value, mask: Mask | None) -> Value:
        """Elements 0, 2, 4, …, out of two vectors that end with the last of them."""
        b, dtype, lanes = self.b, self.nest.accesses[a].dtype, self.lanes
        masks: list[Value | None] = [None, None]
        if mask is not None:
            reach = b.sub(b.mul(mask.remaining, 2), 1)
            masks = [b.active(reach, lanes), b.active(b.sub(reach, lanes - 1), lanes)]
        ends = pointer, b.element(pointer, self.element(a), lanes - 1)
        first, last = (b.load_element(dtype, at, lanes, m) for at, m in zip(ends, masks))
        half = range(0, lanes, 2)
        return b.shuffle(first, last, [*half, *(lanes + n + 1 for n in half)])

    def raw(self, a: int, pointer: Value, mask: Mask) -> Value:
        """A vector of neighbours from here on, as they lie in memory."""
        pointer, _ = self._checked(a, pointer, self._count(mask))
        return self.b.load_masked(vector_of(self.element(a), self.lanes), pointer, mask)

    def prefetch(self, a: int, pointer: Value, position: Value) -> None:
        """Have what `read` will want from this position along the last loop brought near."""
        self.b.prefetch(self.b.element(pointer, self.element(a), position))

    def pick(
        self, a: int, pointer: Value, position: Value, column: Value | None, mask: Mask | None
    ) -> Value:
        """A vector of elements, each so many elements on from its own place."""
        b, access = self.b, self.nest.accesses[a]
        stride = access.strides[-1]
        if stride != 0:
            assert column is not None, "an access that moves along the last loop is read inside it"
            lanes = b.add(b.splat(column, self.lanes), b.iota(self.lanes))
            if stride != 1:
                lanes = b.mul(lanes, b.splat(self.strides[a, self.nest.loops - 1], self.lanes))
            position = b.add(position, lanes)
        return b.gather_element(access.dtype, pointer, position, mask)

    def write(
        self,
        a: int,
        value: Value,
        source: DType,
        pointer: Value,
        column: Value | None,
        mask: Value | None,
    ) -> None:
        """Store a vector along the last loop, or one element where the access stands still."""
        b, access = self.b, self.nest.accesses[a]
        value = cast(b, value, source, access.dtype) if self._differs(a, source) else value
        stride = access.strides[-1]
        if stride == 0 or column is None:
            pointer, _ = self._checked(a, pointer, b.i64(1))
            b.store_element(access.dtype, b.extract(value, 0), pointer)
        elif stride == 1:
            pointer = b.element(pointer, self.element(a), column)
            pointer, _ = self._checked(a, pointer, self._count(mask))
            b.store_element(access.dtype, value, pointer, mask)
        else:
            index, pointer, mask = self._spread(a, pointer, column, mask)
            b.scatter_element(access.dtype, value, pointer, index, mask)

    def _differs(self, a: int, source: DType) -> bool:
        """Whether a cast is needed; a store rounds from the computing type by itself."""
        dtype = self.nest.accesses[a].dtype
        narrow = dtype.kind == "f" and source.kind == "f"
        return not (narrow and computed(dtype) == computed(source)) and dtype is not source

    def _spread(
        self, a: int, pointer: Value, column: Value, mask: Value | None
    ) -> tuple[Value, Value, Value | None]:
        """The index of each lane, for memory that is not contiguous."""
        b, stride = self.b, self.strides[a, self.nest.loops - 1]
        lanes = b.mul(b.iota(self.lanes), b.splat(stride, self.lanes))
        pointer = b.element(pointer, self.element(a), b.mul(column, stride))
        if not self.checked:
            return lanes, pointer, mask
        pointer, fine = self._checked(a, pointer, self._count(mask), stride)
        everything = mask or b.number(vector_of("i1", self.lanes), True)
        return lanes, pointer, b.int("and", everything, b.splat(fine, self.lanes))

    # -- checks

    def _count(self, mask: Value | None, lanes: int = 0) -> Value:
        """How many lanes are active; only checked code asks."""
        b = self.b
        if mask is None or not self.checked:
            return b.i64(lanes or self.lanes)
        ones = b.convert("zext", mask, "i32")
        name = f"llvm.vector.reduce.add.v{lanes_of(ones.type)}i32"
        return b.convert("zext", b.call(name, "i32", ones), "i64")

    def _checked(
        self, a: int, pointer: Value, count: Value, stride: Value | None = None
    ) -> tuple[Value, Value]:
        """The pointer if all it will touch lies in the access's range, else harmless memory."""
        b = self.b
        if not self.checked:
            return pointer, b.number("i1", True)
        size = size_of(self.element(a))
        first = b.op(f"ptrtoint ptr {pointer} to i64", "i64")
        steps = b.sub(count, 1)
        far = b.mul(steps if stride is None else b.mul(steps, stride), size)
        last = b.add(first, far)
        low, high = self.ranges[a]
        above = b.icmp("sge", b.smin(first, last), low)
        below = b.icmp("sle", b.add(b.smax(first, last), size), high)
        fine = b.int("and", above, below)
        b.fail(self.error, b.int("xor", fine, True), OUT_OF_RANGE, a, first)
        return b.select(fine, pointer, self.aside), fine
