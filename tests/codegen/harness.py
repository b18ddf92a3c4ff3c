"""Runs one nest on NumPy arrays, as the compiler would: words, frame, tape."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np

from flambeau.codegen import loops
from flambeau.codegen.cpu.target import CPU, cpu
from flambeau.ir.kernel import Access, Nest, Stage, Store, Word, words
from flambeau.ir.tree import Tree
from flambeau.runtime.threads import Launch


def float_bits(value: float) -> int:
    return struct.unpack("q", struct.pack("d", value))[0]


class Run:
    """A nest with its memory; `sizes` and `strides` as in the nest, strides in elements."""

    def __init__(
        self,
        nest: Nest,
        arrays: Sequence[np.ndarray],
        sizes: Sequence[int],
        strides: Sequence[Sequence[int]],
        scalars: Sequence[Any] = (),
        target: CPU | None = None,
        ranges: Sequence[tuple[int, int]] = (),
        apart: int = 0,
    ) -> None:
        self.nest, self.arrays, self.sizes, self.strides = nest, arrays, sizes, strides
        self.scalars, self.apart = scalars, apart
        self.ranges = ranges or [(a.ctypes.data, a.ctypes.data + a.nbytes) for a in arrays]
        self.record = np.zeros(8, np.int64)
        self.frame = np.array([0, self.record.ctypes.data], np.int64)
        target = target or cpu()
        self.launch = Launch(target.load(nest).address, self.words(), loops.tasks(nest, sizes))
        self.tape = target.tape([self.launch])

    def words(self) -> tuple[tuple[int, int], ...]:
        return tuple((0, self.value(word)) for word in words(self.nest, loops.checking()))

    def value(self, word: Word) -> int:
        n, nest = word.number, self.nest
        if word.what == "scalar":
            given = self.scalars[n]
            return float_bits(given) if nest.scalars[n].kind == "f" else int(given)
        if word.what in ("low", "high"):
            return self.ranges[n][word.what == "high"]
        return {
            "pointer": lambda: self.arrays[n].ctypes.data,
            "size": lambda: self.sizes[n],
            "stride": lambda: self.strides[n][word.second],
            "grain": lambda: loops.grain(nest, self.sizes),
            "chunk": lambda: loops.chunk(nest, self.sizes),
            "error": lambda: self.record.ctypes.data,
            "per_thread": lambda: self.apart,
        }[word.what]()

    def __call__(self) -> int:
        return self.tape.run(self.frame.ctypes.data)


def run(nest: Nest, arrays: Sequence[np.ndarray], sizes: Any, strides: Any, **more: Any) -> None:
    """Run a nest that must succeed."""
    error = Run(nest, arrays, sizes, strides, **more)()
    assert error == 0


def contiguous(sizes: Sequence[int]) -> list[int]:
    """Strides of a dense array."""
    strides, step = [], 1
    for size in reversed(sizes):
        strides.append(step)
        step *= max(1, size)
    return strides[::-1]


def elementwise(tree: Tree, inputs: Sequence[Any], output: Any) -> Nest:
    """One loop: out[i] = tree(in0[i], in1[i], …)."""
    accesses = tuple(Access(dtype, (1,)) for dtype in (*inputs, output))
    return Nest(1, accesses, (), (Stage((), (Store(len(inputs), tree),)),))


def apply(tree: Tree, arrays: Sequence[np.ndarray], inputs: Sequence[Any], output: Any) -> Any:
    """The tree on every element of flat arrays, `output` naming the result's type."""
    n = len(arrays[0])
    out = np.zeros(n, output.numpy)
    run(elementwise(tree, inputs, output), [*arrays, out], [n], [[1]] * (len(arrays) + 1))
    return out
