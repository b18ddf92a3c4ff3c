"""The loops around the micro-kernel: tasks, panels, tiles, blocks of k, and the epilogue."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ....ir.kernel import Access
from .epilogue import Epilogue, finish_text
from .micro import Micro, micro_text
from .pack import first_line
from .text import Text

WORDS = (
    "a", "b", "k", "k_block", "n", "m", "full", "tiles", "panels", "task_tiles", "task_panels",
    "groups_m", "groups_n", "a_tile", "a_row", "a_step", "a_stride", "b_panel", "b_step",
)  # fmt: skip
KEPT = 32  # tiles of sums that a task can keep while it goes through the blocks of k


@dataclass(frozen=True, slots=True)
class Gemm:
    """A kernel: tiles of `micro.height` rows, then of one row less; what they read; the epilogue.

    `split`: k is cut into blocks, and the sums of a task's tiles are kept between them.
    """

    micro: Micro
    batch: int
    split: bool
    epilogue: Epilogue

    @property
    def words(self) -> tuple[str, ...]:
        loops = [f"{what}{b}" for b in range(self.batch) for what in ("size", "a_batch", "b_batch")]
        return WORDS + tuple(loops) + self.epilogue.words

    @property
    def heights(self) -> tuple[int, ...]:
        return (self.micro.height, self.micro.height - 1)[: min(2, self.micro.height)]


def gemm_text(gemm: Gemm) -> str:
    """The module: micro-kernels for both heights, the epilogue, the kernel `@gemm`."""
    micros = [replace(gemm.micro, height=height) for height in gemm.heights]
    first = len(gemm.words) - len(gemm.epilogue.words)
    return "\n".join([
        *map(micro_text, micros),
        finish_text(gemm.epilogue, gemm.micro, gemm.batch, first),
        driver_text(gemm),
    ])


def driver_text(gemm: Gemm) -> str:
    """The kernel itself: a task is a group of tiles × a group of panels of one batch."""
    t, micro = Text(), gemm.micro
    tile_bytes = micro.height * micro.vectors * micro.width * micro.itemsize
    kept = t.op(f"alloca [{tile_bytes * (KEPT if gemm.split else 1)} x i8], align 64")
    w = {name: t.load("i64", t.at("%args", 8 * i), 8) for i, name in enumerate(gemm.words)
         if not name.startswith("epilogue")}
    with t.loop("%begin", "%end") as task:
        rest, group_n = t.div(task, w["groups_n"])
        rest, group_m = t.div(rest, w["groups_m"])
        a, b = (t.op(f"inttoptr i64 {w[name]} to ptr") for name in "ab")
        indices = []
        for loop in reversed(range(gemm.batch)):
            rest, index = t.div(rest, w[f"size{loop}"])
            a = t.at(a, t.mul(index, w[f"a_batch{loop}"]))
            b = t.at(b, t.mul(index, w[f"b_batch{loop}"]))
            indices.insert(0, index)
        tile0, panel0 = t.mul(group_m, w["task_tiles"]), t.mul(group_n, w["task_panels"])
        tile1 = t.least(t.add(tile0, w["task_tiles"]), w["tiles"])
        panel1 = t.least(t.add(panel0, w["task_panels"]), w["panels"])
        block = Block(gemm, t, w, kept, tile_bytes, indices)
        with t.loop(0, w["k"], w["k_block"]) if gemm.split else once("0") as p:
            steps = t.least(t.sub(w["k"], p), w["k_block"]) if gemm.split else w["k"]
            a_here, b_here = t.at(a, t.mul(p, w["a_step"])), t.at(b, t.mul(p, w["b_step"]))
            with t.loop(panel0, panel1) as panel, t.loop(tile0, tile1) as tile:
                slot = t.add(t.mul(t.sub(panel, panel0), w["task_tiles"]), t.sub(tile, tile0))
                block.one_tile(a_here, b_here, p, steps, tile, panel, slot)
    return t.function("void @gemm(ptr %args, i64 %begin, i64 %end, i64 %thread) nounwind")


class once:  # noqa: N801 stands beside Text.loop
    """A 'loop' whose body is emitted once, with a constant counter."""

    def __init__(self, value: str) -> None:
        self.value = value

    def __enter__(self) -> str:
        return self.value

    def __exit__(self, *_: object) -> None:
        pass


@dataclass(slots=True)
class Block:
    """What one block of k needs to know while its tiles are emitted."""

    gemm: Gemm
    t: Text
    w: dict[str, str]
    kept: str
    tile_bytes: int
    indices: list[str]

    def one_tile(
        self, a: str, b: str, p: str, steps: str, tile: str, panel: str, slot: str
    ) -> None:
        """Multiply, and where this was the last block, finish."""
        t, w, micro = self.t, self.w, self.gemm.micro
        columns_each = micro.vectors * micro.width
        row = t.sub(t.mul(tile, micro.height), t.most(t.sub(tile, w["full"]), 0))
        column = t.mul(panel, columns_each)
        columns = t.least(t.sub(w["n"], column), columns_each)
        a = t.at(t.at(a, t.mul(tile, w["a_tile"])), t.mul(row, w["a_row"]))
        b = t.at(b, t.mul(panel, w["b_panel"]))
        sums = t.at(self.kept, t.mul(slot, self.tile_bytes)) if self.gemm.split else self.kept
        fresh = t.op(f"icmp eq i64 {p}, 0")
        arguments = (
            f"(ptr {sums}, ptr {a}, ptr {b}, i64 {steps}, i64 {w['a_stride']}, i64 {w['b_step']},"
            f" i64 {columns}, i1 {fresh})"
        )
        tall = t.op(f"icmp slt i64 {tile}, {w['full']}")
        self.call(tall, arguments)
        rows = t.op(f"select i1 {tall}, i64 {micro.height}, i64 {micro.height - 1}")
        last = t.op(f"icmp sge i64 {t.add(p, steps)}, {w['k']}")
        with t.when(last):
            indices = "".join(f", i64 {index}" for index in self.indices)
            t.do(f"call void @finish(ptr %args, ptr {sums}, i64 {row}, i64 {rows}, i64 {column},"
                 f" i64 {columns}{indices})")

    def call(self, tall: str, arguments: str) -> None:
        """Call the micro-kernel of the tile's height."""
        names = [replace(self.gemm.micro, height=height).name for height in self.gemm.heights]
        if len(names) == 1:
            self.t.do(f"call void @{names[0]}{arguments}")
            return
        chosen = self.t.op(f"select i1 {tall}, ptr @{names[0]}, ptr @{names[1]}")
        self.t.do(f"call void {chosen}{arguments}")
