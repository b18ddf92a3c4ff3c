"""What is done with a finished tile: the stores of a `Matmul`, row by row, vector by vector."""

from __future__ import annotations

from dataclasses import dataclass

from ....ir.dtype import DType
from ....ir.kernel import Access, Store
from ....ir.tree import Tree
from .micro import Micro
from .text import Text

LLVM = {"float16": "half", "bfloat16": "i16", "float32": "float", "float64": "double"}


@dataclass(frozen=True, slots=True)
class Epilogue:
    """The part of a `Matmul` that its epilogue's code depends on."""

    accesses: tuple[Access, ...]
    scalars: tuple[DType, ...]
    stores: tuple[Store, ...]

    @property
    def words(self) -> tuple[str, ...]:
        names = [f"epilogue.pointer{a}" for a in range(len(self.accesses))]
        for a, access in enumerate(self.accesses):
            names += [f"epilogue.stride{a}.{s}" for s, n in enumerate(access.strides) if n is None]
        return (*names, *(f"epilogue.scalar{j}" for j in range(len(self.scalars))))


def finish_text(epilogue: Epilogue, micro: Micro, batch: int, first: int) -> str:
    """`void @finish(args, tile, row, rows, column, columns, batch indices…)`."""
    t = Text()
    w = {name: t.load("i64", t.at("%args", 8 * (first + i)), 8)
         for i, name in enumerate(epilogue.words)}
    bases = [base(t, w, epilogue.accesses[a], a, batch) for a in range(len(epilogue.accesses))]
    masks = [t.mask(t.sub("%columns", v * micro.width), micro.width) for v in range(micro.vectors)]
    with t.loop(0, "%rows") as i:
        row = t.add("%row", i)
        for v, mask in enumerate(masks):
            at = t.add(t.mul(i, micro.vectors), v)
            value = t.load(micro.vector, t.at("%tile", t.mul(at, micro.width * micro.itemsize)), 64)
            column = t.add("%column", v * micro.width)
            for store in epilogue.stores:
                assert store.value.kind == "leaf"
                access = epilogue.accesses[store.access]
                to = t.at(bases[store.access], offset(t, w, store.access, access, batch, row))
                to = t.at(to, t.mul(column, access.dtype.itemsize))
                t.do(
                    f"call void @llvm.masked.store.{micro.mangled}.p0({micro.vector} {value},"
                    f" ptr {to}, i32 {micro.itemsize}, <{micro.width} x i1> {mask})"
                )
    batches = "".join(f", i64 %batch{b}" for b in range(batch))
    return t.function(
        "internal void @finish(ptr %args, ptr %tile, i64 %row, i64 %rows, i64 %column, i64 %columns"
        f"{batches}) noinline nounwind"
    )


def base(t: Text, w: dict[str, str], access: Access, a: int, batch: int) -> str:
    """The address of the access's element (0, 0) in the tile's matrix."""
    pointer = t.op(f"inttoptr i64 {w[f'epilogue.pointer{a}']} to ptr")
    for b in range(batch):
        pointer = t.at(pointer, scaled(t, w, access, a, b, f"%batch{b}"))
    return pointer


def offset(t: Text, w: dict[str, str], a: int, access: Access, batch: int, row: str) -> str:
    return scaled(t, w, access, a, batch, row)


def scaled(t: Text, w: dict[str, str], access: Access, a: int, loop: int, index: str) -> str:
    stride = access.strides[loop]
    if stride is None:
        index = t.mul(index, w[f"epilogue.stride{a}.{loop}"])
    return t.mul(index, access.dtype.itemsize * (stride if stride == 0 else 1))
