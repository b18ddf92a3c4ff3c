"""Chooses, from sizes alone, how a convolution is done, and fills in the words of its launches."""

from __future__ import annotations

from flambeau.ir.record import frozen, replace

from ....ir import dtype as types
from ....ir.dtype import DType
from ....ir.kernel import Access, Store
from ....ir.layout import Ints
from ...values import computed
from .convolve import Convolve, convolve_text
from .convolve_tiles import PAIRS, ConvolveTiles, convolve_tiles_text
from .cut import MOST_TASKS, TASK_WORK, ceil, power_of_two
from .epilogue import Epilogue
from .kernel import KEPT
from .micro import Micro
from .pieces import PIECES
from .spec import Launch, Machine, Plan
from .tiles import LINES, ROW, SQUARE, STEPS, Tile, rows_word
from .weight_squares import WeightSquares, weight_squares_text
from .weights import PackWeights, weights_text
from .windows import Geometry
from .words import Words, ordered

DEEPEST = 2304  # rows of a panel up to which it is filled at once; else in blocks of BLOCK rows
BLOCK = 1024
GROUP_BYTES = 1 << 20  # of A that a task goes through for each of its panels
FEW_ROWS = 10  # rows of A for which all columns that fit the registers make one tile
STACK_BYTES = 1 << 20  # of a panel, which lies on the stack
CHUNK = 1 << 15  # weights that a task packs
TILE_ROWS, TILE_STEPS = 32, 192  # of the weights, from which tile registers are faster


@frozen
class Kernels:
    """The weights [group, row, channel, *taps]; strides in elements, those of taps may be < 0.

    `start` is the offset of the first tap that is walked.
    """

    dtype: DType
    groups: int
    rows: int
    channels: int
    strides: Ints
    start: int = 0


@frozen
class Convolution:
    """What is asked for: the operands, and the epilogue over (image, row of any group, place)."""

    element: DType
    image: DType
    kernels: Kernels
    geometry: Geometry
    accesses: tuple[Access, ...]
    strides: tuple[Ints, ...]
    scalars: tuple[DType, ...]
    stores: tuple[Store, ...]


def convolution_plan(conv: Convolution, machine: Machine) -> Plan:
    """The launches for one convolution, which has elements."""
    if is_for_tiles(conv, machine):
        return tiles_plan(conv, machine)
    kernels, geometry = conv.kernels, conv.geometry
    lanes = machine.vector_bytes // conv.element.itemsize
    windows = geometry.windows(conv.image, lanes, may_cross=True)
    steps = kernels.channels * geometry.window
    columns = geometry.images * geometry.area(lanes, windows.crosses)
    block = channel_block(kernels.channels, geometry.window)
    depth = min(block, kernels.channels) * geometry.window
    room = max(64, power_of_two(depth))
    most = 4 * STACK_BYTES // (room * machine.vector_bytes)
    if not most:
        raise NotImplementedError(f"a convolution with {geometry.window} taps; hint: cut its "
                                  "kernel into parts, and add what they give")  # fmt: skip
    vectors = min(most, tile_vectors(kernels.rows, ceil(columns, lanes), machine))
    height, tiles, full = tile_rows(kernels.rows, vectors, machine)
    panels = ceil(columns, vectors * lanes)
    size = steps * conv.element.itemsize
    groups_m, groups_n = tasks_of(conv, size, tiles, panels, columns, steps > DEEPEST)
    a: Words = {"a": ("a", kernels.start * kernels.dtype.itemsize)}
    launches: list[Launch] = []
    scratch = 0
    plain = is_plain(kernels, geometry) and kernels.dtype is conv.element
    if plain:
        item, row = kernels.dtype.itemsize, kernels.strides[1] * kernels.dtype.itemsize
        a |= {"a_group": kernels.strides[0] * item, "a_tile": 0, "a_row": row, "a_step": item,
              "a_stride": row}  # fmt: skip
    else:
        launch, scratch, a = packed(conv, machine, lanes, (height, tiles, full))
        launches.append(launch)
    micro = Micro(
        element=computed(conv.element), lanes=lanes, height=height, vectors=vectors,
        along_k=plain, ragged=True, packed=True, keeps=steps > DEEPEST, ahead_a=0, ahead_b=0,
    )  # fmt: skip
    accesses = tuple(map(refined, conv.accesses, conv.strides))
    epilogue = Epilogue(1, accesses, conv.scalars, conv.stores)
    code = Convolve(micro, full < tiles, room, windows, epilogue)
    values: Words = a | {
        "x": ("b", 0), "channels": kernels.channels, "block": block, "full": full,
        "height": height, "tiles": tiles, "panels": panels,
        "task_tiles": ceil(tiles, groups_m), "groups_m": groups_m, "groups_n": groups_n,
        "rows": kernels.rows,
        "x_group": kernels.channels * geometry.x[1] * conv.image.itemsize,
    }  # fmt: skip
    values |= geometry.values(windows) | epilogue_values(epilogue, conv.strides)
    text = convolve_text(code, machine.vector_bytes)
    tasks = kernels.groups * groups_m * groups_n
    launches.append(Launch(text, "convolve", ordered(code.words, values), tasks))
    return Plan(tuple(launches), scratch)


def tile_vectors(rows: int, needed: int, machine: Machine) -> int:
    """How many vectors a tile is wide: two, more where there are few rows."""
    vectors = 2
    while rows <= FEW_ROWS and rows * (vectors + 1) + vectors + 2 <= machine.registers:
        vectors += 1
    return max(1, min(vectors, needed, 8))


def tile_rows(rows: int, vectors: int, machine: Machine) -> tuple[int, int, int]:
    """The rows of a tile, how many tiles there are, and how many have that many rows."""
    tallest = min(28, (machine.registers - vectors - 1) // vectors)
    tiles = ceil(rows, tallest)
    height = ceil(rows, tiles)
    return height, tiles, rows - tiles * (height - 1)


def channel_block(channels: int, window: int) -> int:
    """How many channels are packed at once."""
    if channels * window <= DEEPEST:
        return max(1, channels)
    return max(1, BLOCK // window)


def tasks_of(conv: Convolution, row: int, tiles: int, panels: int, columns: int,
             keeps: bool) -> tuple[int, int]:  # fmt: skip
    """Groups of tiles and groups of panels. row: bytes of one of A's, as they are read."""
    kernels = conv.kernels
    groups_m = min(tiles, ceil(kernels.rows * row, GROUP_BYTES))
    work = 2 * kernels.groups * kernels.rows * kernels.channels * conv.geometry.window * columns
    wanted = min(max(2, work // TASK_WORK), MOST_TASKS)
    groups_n = min(panels, ceil(wanted, kernels.groups * groups_m))
    if keeps:
        groups_m = max(groups_m, ceil(tiles, KEPT))
        groups_n = min(panels, max(groups_n, ceil(panels, KEPT // ceil(tiles, groups_m))))
    while kernels.groups * groups_m * groups_n < min(wanted, 8) and groups_m < tiles:
        groups_m += 1
    return groups_m, groups_n


def is_plain(kernels: Kernels, geometry: Geometry) -> bool:
    """Whether each row of the weights is contiguous, so that it can be read where it lies."""
    expected = 1
    for n, stride in zip(geometry.taps[::-1], kernels.strides[:2:-1]):
        if n != 1 and stride != expected:
            return False
        expected *= n
    return kernels.channels == 1 or kernels.strides[2] == expected


def packed(conv: Convolution, machine: Machine, lanes: int,
           cut: tuple[int, int, int]) -> tuple[Launch, int, Words]:  # fmt: skip
    """The launch that packs the weights, the scratch memory it fills, and where they lie then."""
    kernels, geometry, (height, tiles, full) = conv.kernels, conv.geometry, cut
    pack = PackWeights(kernels.dtype, computed(conv.element), lanes, ceil(height, lanes),
                       len(geometry.taps))  # fmt: skip
    panel = kernels.channels * geometry.window * pack.row_bytes
    chunk = ceil(CHUNK, geometry.window * kernels.rows)
    chunks = max(1, ceil(kernels.channels, chunk))
    values: Words = {
        "a": ("a", kernels.start * kernels.dtype.itemsize), "target": ("scratch", 0),
        "lines": kernels.rows, "channels": kernels.channels, "full": full, "height": height,
        "tiles": tiles, "panel_bytes": panel, "group": kernels.strides[0],
        "group_bytes": tiles * panel, "line": kernels.strides[1], "channel": kernels.strides[2],
        "chunk": chunk, "chunks": chunks, "window": geometry.window,
    }  # fmt: skip
    for d, (n, stride) in enumerate(zip(geometry.taps, kernels.strides[3:])):
        values |= {f"taps{d}": n, f"tap{d}": stride}
    text = weights_text(pack, machine.vector_bytes)
    launch = Launch(text, "weights", ordered(pack.words, values), kernels.groups * chunks)
    there: Words = {"a": ("scratch", 0), "a_group": tiles * panel, "a_tile": panel, "a_row": 0,
                    "a_step": pack.row_bytes, "a_stride": pack.row_bytes}  # fmt: skip
    return launch, kernels.groups * tiles * panel, there


# -- by tile registers


def is_for_tiles(conv: Convolution, machine: Machine) -> bool:
    """Whether there are tile registers, and weights that are worth to be packed for them."""
    if not machine.tiles or conv.element is types.float64:
        return False
    window, channels = conv.geometry.window, conv.kernels.channels
    room = ceil(window * (channels_of_block(channels, window) + 1) // 2, PAIRS) * 3 * 2 * SQUARE
    enough = conv.kernels.rows >= TILE_ROWS and channels * window >= TILE_STEPS
    return enough and room <= STACK_BYTES


def channels_of_block(channels: int, window: int) -> int:
    """How many channels are packed at once: whole squares for each tap where there are many."""
    blocks = max(1, round(channels * window / BLOCK))
    each = ceil(channels, blocks)
    return min(channels, ceil(each, STEPS) * STEPS if each > STEPS else each + each % 2)


def tiles_plan(conv: Convolution, machine: Machine) -> Plan:
    """A launch that packs the weights, and the one that multiplies."""
    kernels, geometry = conv.kernels, conv.geometry
    windows = geometry.windows(conv.image, LINES, may_cross=True)
    columns = geometry.images * geometry.area(LINES, windows.crosses)
    down, across = (2 if size > LINES else 1 for size in (kernels.rows, columns))
    tile = Tile(kernels.dtype, conv.image, down, across)
    block = channels_of_block(kernels.channels, geometry.window)
    blocks = ceil(kernels.channels, block)
    squares = [
        ceil(geometry.window * ceil(min(block, kernels.channels - first), 2), PAIRS)
        for first in range(0, kernels.channels, block)
    ]
    a_square = sum(squares) * PIECES[kernels.dtype] * SQUARE
    lines = ceil(kernels.rows, LINES)
    launch = squares_launch(conv, machine, block, squares[0], lines, a_square)
    tiles, panels = ceil(kernels.rows, tile.rows), ceil(columns, tile.columns)
    row = squares[0] * PIECES[kernels.dtype] * ROW  # of a block of channels
    groups_m, groups_n = tasks_of(conv, row, tiles, panels, columns, blocks > 1)
    epilogue = Epilogue(1, tuple(map(refined, conv.accesses, conv.strides)), conv.scalars,
                        conv.stores)  # fmt: skip
    kept = ceil(tiles, groups_m) * ceil(panels, groups_n) if blocks > 1 else 1
    room = power_of_two(squares[0] * tile.b_block)
    code = ConvolveTiles(tile, room, power_of_two(kept), windows, epilogue)
    values: Words = {
        "a": ("scratch", 0), "x": ("b", 0), "channels": kernels.channels, "block": block,
        "block_bytes": squares[0] * PIECES[kernels.dtype] * SQUARE, "tiles": tiles,
        "panels": panels, "task_tiles": ceil(tiles, groups_m), "groups_m": groups_m,
        "groups_n": groups_n, "rows": kernels.rows, "a_group": lines * a_square,
        "a_square": a_square, "registers": rows_word(tile.rows, down, across),
        "x_group": kernels.channels * geometry.x[1] * conv.image.itemsize,
    }  # fmt: skip
    values |= geometry.values(windows) | epilogue_values(epilogue, conv.strides)
    text = convolve_tiles_text(code, machine.vector_bytes)
    tasks = kernels.groups * groups_m * groups_n
    last = Launch(text, "convolve", ordered(code.words, values), tasks)
    return Plan((launch, last), (kernels.groups * lines + 1) * a_square)


def squares_launch(conv: Convolution, machine: Machine, block: int, squares: int, lines: int,
                   a_square: int) -> Launch:  # fmt: skip
    """The launch that packs the weights into squares of pieces."""
    kernels, geometry = conv.kernels, conv.geometry
    pack = WeightSquares(kernels.dtype, len(geometry.taps))
    blocks = ceil(kernels.channels, block)
    values: Words = {
        "a": ("a", kernels.start * kernels.dtype.itemsize), "target": ("scratch", 0),
        "lines": kernels.rows, "channels": kernels.channels, "block": block, "blocks": blocks,
        "block_bytes": squares * PIECES[kernels.dtype] * SQUARE, "squares": lines,
        "square_bytes": a_square, "group": kernels.strides[0], "group_bytes": lines * a_square,
        "line": kernels.strides[1], "channel": kernels.strides[2], "window": geometry.window,
    }  # fmt: skip
    for d, (n, stride) in enumerate(zip(geometry.taps, kernels.strides[3:])):
        values |= {f"taps{d}": n, f"tap{d}": stride}
    text = weight_squares_text(pack, machine.vector_bytes)
    tasks = kernels.groups * lines * blocks
    return Launch(text, "weights", ordered(pack.words, values), tasks)


# -- the words of an epilogue


def refined(access: Access, strides: Ints) -> Access:
    """An access with strides of 0 compiled in, and along places those of 1, too."""
    known = tuple(0 if n == 0 else None for n in strides)
    last = strides[-1] if strides[-1] in (0, 1) else None
    return replace(access, strides=(*known[:-1], last))


def epilogue_values(epilogue: Epilogue, strides: tuple[Ints, ...]) -> Words:
    """Pointers, run-time strides and scalars."""
    values: Words = {f"scalar{j}": (f"scalar{j}", 0) for j in range(len(epilogue.scalars))}
    for i, (access, steps) in enumerate(zip(epilogue.accesses, strides, strict=True)):
        values[f"pointer{i}"] = (f"access{i}", 0)
        values |= {f"stride{i}.{loop}": steps[loop]
                   for loop, stride in enumerate(access.strides) if stride is None}  # fmt: skip
    return values
