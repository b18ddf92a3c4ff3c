"""Chooses, from the sizes alone, how a matrix multiplication is done."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from ..gemm.epilogue import LLVM, Epilogue
from .kernel import KEPT, Gemm, gemm_text
from .micro import Machine, Micro
from .pack import Pack, pack_text
from .spec import Launch, Matmul, Plan, Shape, Where

K_BLOCK = 256


@dataclass(slots=True)
class Operand:
    """Where the gemm kernel finds A or B: a named address and strides in bytes."""

    where: Where
    line: int  # from one row of A (column of B) to the next
    step: int  # along k
    batch: tuple[int, ...]
    panel: int = 0  # from one packed panel to the next; 0 where the operand is read in place


def ceil(x: int, y: int) -> int:
    return -(-x // y)


gemm_source = lru_cache(maxsize=None)(gemm_text)
pack_source = lru_cache(maxsize=None)(pack_text)


def plan(matmul: Matmul, shape: Shape, machine: Machine) -> Plan:
    """The launches for one shape."""
    width = machine.width(matmul.element.itemsize)
    vectors = 1 if shape.n <= width else 2
    most = (machine.registers - 4) // vectors
    tiles = max(1, ceil(shape.m, most))
    height = max(1, ceil(shape.m, tiles))
    element = LLVM[matmul.element.name]
    micro = Micro(element, width, height, vectors, True, True, 1)
    launches: list[Launch] = []
    scratch = 0
    batch = shape.batch
    item_a, item_b = matmul.a.itemsize, matmul.b.itemsize
    a = Operand(("a", 0), shape.a[-2] * item_a, shape.a[-1] * item_a,
                tuple(s * item_a for s in shape.a[:-2]))
    b = Operand(("b", 0), shape.b[-1] * item_b, shape.b[-2] * item_b,
                tuple(s * item_b for s in shape.b[:-2]))
    panels = ceil(shape.n, vectors * width)
    full = shape.m - tiles * (height - 1)
    if a.step != item_a and a.line != item_a or shape.m * shape.k > 128 * 128 and shape.n > 64:
        launch, a, used = packed(matmul.a.name, element, width, ceil(height, width), a, batch,
                                 shape.m, shape.k, full, height, tiles, scratch)
        launches.append(launch)
        scratch += used
    if b.line != item_b or shape.n * shape.k > 64 * 64:
        launch, b, used = packed(matmul.b.name, element, width, vectors, b, batch,
                                 shape.n, shape.k, panels, vectors * width, panels, scratch)
        launches.append(launch)
        scratch += used
    along_k = a.step == item_a and not a.panel
    micro = Micro(element, width, height, vectors, along_k, True, 1 if along_k else 2)
    split = shape.k > K_BLOCK * 3 // 2
    blocks = ceil(shape.k, K_BLOCK) if split else 1
    gemm = Gemm(micro, len(batch), split, Epilogue(matmul.accesses, matmul.scalars, matmul.stores))
    task_tiles, task_panels = min(tiles, 8), min(panels, 4)
    groups_m, groups_n = ceil(tiles, task_tiles), ceil(panels, task_panels)
    values: dict[str, Where | int] = {
        "a": a.where, "b": b.where, "k": shape.k, "k_block": ceil(shape.k, blocks), "n": shape.n,
        "m": shape.m, "full": full, "tiles": tiles, "panels": panels, "task_tiles": task_tiles,
        "task_panels": task_panels, "groups_m": groups_m, "groups_n": groups_n,
        "a_tile": a.panel, "a_row": 0 if a.panel else a.line, "a_step": a.step,
        "a_stride": a.line if along_k else a.step,
        "b_panel": b.panel or vectors * width * matmul.b.itemsize, "b_step": b.step,
    }
    for i, size in enumerate(batch):
        values |= {f"size{i}": size, f"a_batch{i}": a.batch[i], f"b_batch{i}": b.batch[i]}
    for i, (access, strides) in enumerate(zip(matmul.accesses, shape.accesses, strict=True)):
        values[f"epilogue.pointer{i}"] = (f"access{i}", 0)
        values |= {f"epilogue.stride{i}.{s}": strides[s]
                   for s, n in enumerate(access.strides) if n is None}
    for i in range(len(matmul.scalars)):
        values[f"epilogue.scalar{i}"] = (f"scalar{i}", 0)
    tasks = groups_m * groups_n
    for size in batch:
        tasks *= size
    launches.append(Launch(gemm_source(gemm), "gemm", ordered(gemm.words, values), tasks))
    return Plan(tuple(launches), scratch)


def ordered(names: tuple[str, ...], values: dict[str, Where | int]) -> tuple[Where, ...]:
    found = [values[name] for name in names]
    return tuple(value if isinstance(value, tuple) else ("", value) for value in found)


def packed(source, element, width, vectors, operand, batch, lines, k, full, height, panels, offset):
    item = {"float16": 2, "bfloat16": 2, "float32": 4, "float64": 8}[source]
    order = "lines" if operand.line == item else "steps" if operand.step == item else "any"
    pack = Pack(LLVM[source], element, width, vectors, order, len(batch))
    chunk = ceil(min(k, 256), width) * width
    chunks = ceil(k, chunk)
    panel = ceil(k, width) * width * pack.row_bytes
    values = {"source": operand.where, "target": ("scratch", offset), "lines": lines, "k": k,
              "line": operand.line, "step": operand.step, "full": full, "height": height,
              "panels": panels, "panel_bytes": panel, "chunk": chunk, "chunks": chunks}
    tasks, each, strides = panels * chunks, panels * panel, []
    for i in reversed(range(len(batch))):
        size = batch[i] if operand.batch[i] else 1
        strides.insert(0, each if operand.batch[i] else 0)
        values |= {f"size{i}": size, f"from{i}": operand.batch[i], f"to{i}": each}
        tasks, each = tasks * size, each * size
    launch = Launch(pack_source(pack), pack.name, ordered(pack.words, values), tasks)
    return launch, Operand(("scratch", offset), 0, pack.row_bytes, tuple(strides), panel), each
