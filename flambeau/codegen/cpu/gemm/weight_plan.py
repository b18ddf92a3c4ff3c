"""Chooses, from sizes alone, how a convolution's weight gradient is computed."""

from __future__ import annotations

from flambeau.ir.record import frozen, replace

from ....ir import dtype as types
from ....ir.dtype import DType
from ....ir.kernel import Access, Store
from ....ir.layout import Ints
from ...values import computed
from .combine import ROWS_OF_A_TASK, Combine, combine_text
from .convolving import epilogue_values, refined, tile_rows
from .cut import MOST_TASKS, TASK_WORK, ceil, power_of_two
from .epilogue import Epilogue
from .gradient_tiles import GradientTiles, gradient_tiles_text
from .micro import Micro
from .pack import Pack
from .pieces import PIECES
from .spec import Launch, Machine, Plan, product
from .tiles import LINES, ROW, SQUARE, STEPS, Tile, rows_word
from .weight_gradient import PACKED, WeightGradient, weight_gradient_text
from .windows import Geometry, Windows
from .words import Words, ordered

BLOCK = 512  # steps of a block
TILES = 16  # of a task, about
KEPT = 96  # tiles of sums that a task keeps between blocks, at most
FEWEST_TASKS = 8
LONGEST = 8192  # steps of a part: errors grow with its length
TILE_BLOCK = 256  # steps of a block in squares
TILE_ROWS, WIDEST = 32, 128  # of either side, from which tile registers are faster; taps, at most
ROOM = 1 << 20  # bytes of the patches of a task, about; they lie on the stack


@frozen
class Gradient:
    """What is asked for: the output's gradient [image, group · row, *places], whose places lie one
    after the other, with strides over (image, row) in elements; the image; and the epilogue over
    (row of any group, column)."""

    element: DType
    grad: DType
    image: DType
    groups: int
    rows: int
    channels: int
    g: Ints
    geometry: Geometry
    accesses: tuple[Access, ...]
    strides: tuple[Ints, ...]
    scalars: tuple[DType, ...]
    stores: tuple[Store, ...]


@frozen
class Cutting:
    """Blocks of steps, tiles, and tasks."""

    steps: int
    block: int
    vectors: int
    height: int
    tiles: int
    full: int
    panels: int
    groups_m: int
    groups_n: int
    parts: int

    @property
    def blocks(self) -> int:
        return ceil(self.steps, self.block)

    @property
    def task_tiles(self) -> int:
        return ceil(self.tiles, self.groups_m)

    @property
    def task_panels(self) -> int:
        return ceil(self.panels, self.groups_n)


def gradient_plan(gradient: Gradient, machine: Machine) -> Plan:
    """The launches for one weight gradient, which has elements."""
    lanes = machine.vector_bytes // gradient.element.itemsize
    geometry = gradient.geometry
    windows = geometry.windows(gradient.image, lanes, may_cross=False)
    by_tiles = is_for_tiles(gradient, machine)
    cut = (cut_for_tiles if by_tiles else cut_up)(gradient, lanes, machine)
    multiplied = multiplied_by_tiles if by_tiles else multiplied_by_vectors
    accesses = tuple(map(refined, gradient.accesses, gradient.strides))
    epilogue = Epilogue(0, accesses, gradient.scalars, gradient.stores)
    values = epilogue_values(epilogue, gradient.strides)
    if cut.parts == 1:
        last = multiplied(gradient, cut, windows, epilogue, values, machine)
        return Plan((last,), 0)
    rows, columns = gradient.groups * gradient.rows, gradient.channels * geometry.window
    size = ceil(rows * columns * gradient.element.itemsize, 64) * 64
    access = Access(gradient.element, (None, None, 1))
    partial = Epilogue(1, (access,), (), (Store(0, product(gradient.element)),))
    steps = (size // gradient.element.itemsize, columns, 1)
    there = epilogue_values(partial, (steps,)) | {"pointer0": ("scratch", 0)}
    middle = multiplied(gradient, cut, windows, partial, there, machine)
    combine = Combine(gradient.element, lanes, epilogue)
    groups = ceil(rows, ROWS_OF_A_TASK)
    values |= {"partial": ("scratch", 0), "parts": cut.parts, "m": rows, "n": columns,
               "part_bytes": size, "groups": groups}  # fmt: skip
    text = combine_text(combine, machine.vector_bytes)
    last = Launch(text, "combine", ordered(combine.words, values), groups)
    return Plan((middle, last), cut.parts * size)


def cut_up(gradient: Gradient, lanes: int, machine: Machine) -> Cutting:
    """Blocks as long as each other; tasks that can keep their sums between blocks."""
    geometry = gradient.geometry
    rows = gradient.channels * geometry.window
    steps = geometry.images * geometry.area(lanes, False)
    vectors = min(2, ceil(gradient.rows, lanes))
    height, tiles, full = tile_rows(rows, vectors, machine)
    panels = ceil(gradient.rows, vectors * lanes)
    groups_m = ceil(tiles, TILES)
    most = packed_rows(ceil(tiles, groups_m) * height, geometry.window)
    whole, item = PACKED * lanes, gradient.element.itemsize
    longest = max(whole, min(BLOCK, ROOM // (most * item) - lanes))
    if most * (longest + lanes) * item > 4 * ROOM:
        raise NotImplementedError(f"the gradient of a convolution with {geometry.window} taps; "
                                  "hint: cut its kernel into parts, and add what they give"
                                  )  # fmt: skip
    block = ceil(ceil(steps, ceil(steps, longest // whole * whole)), whole) * whole
    blocks = ceil(steps, block)
    groups_n = ceil(panels, max(1, KEPT // ceil(tiles, groups_m))) if blocks > 1 else 1
    cut = Cutting(steps, block, vectors, height, tiles, full, panels, groups_m, groups_n, 1)
    return in_tasks(cut, gradient)


def in_tasks(cut: Cutting, gradient: Gradient) -> Cutting:
    """The cut with enough tasks: in parts of the steps, else with fewer tiles each."""
    rows = gradient.channels * gradient.geometry.window
    work = 2 * gradient.groups * gradient.rows * rows * cut.steps
    wanted = min(max(2, work // TASK_WORK), MOST_TASKS, FEWEST_TASKS)
    groups = gradient.groups * cut.groups_n
    parts = min(cut.blocks, max(ceil(wanted, groups * cut.groups_m), ceil(cut.steps, LONGEST)))
    groups_m = max(cut.groups_m, min(cut.tiles, ceil(wanted, groups * parts)))
    return replace(cut, parts=parts, groups_m=groups_m)


def packed_rows(rows: int, window: int) -> int:
    """The rows of patches that are packed for some rows: those of whole channels."""
    return rows + 2 * (window - 1)


def multiplied_by_vectors(gradient: Gradient, cut: Cutting, windows: Windows, epilogue: Epilogue,
               values: Words, machine: Machine) -> Launch:  # fmt: skip
    """The launch that multiplies."""
    geometry, lanes, item = gradient.geometry, windows.lanes, gradient.element.itemsize
    micro = Micro(
        element=computed(gradient.element), lanes=lanes, height=cut.height, vectors=cut.vectors,
        along_k=True, ragged=True, packed=True, keeps=cut.blocks > 1, ahead_a=0, ahead_b=0,
    )  # fmt: skip
    row = (cut.block + lanes) * item  # not a multiple of a page, or rows would share cache lines
    room = packed_rows(cut.task_tiles * cut.height, geometry.window) * row
    kept = cut.task_tiles * cut.task_panels if micro.keeps else 1
    pack = Pack(gradient.grad, micro.element, lanes, cut.vectors, "steps")
    code = WeightGradient(micro, cut.full < cut.tiles, power_of_two(room), power_of_two(cut.block),
                          power_of_two(kept), pack, windows, epilogue)  # fmt: skip
    values = values | geometry.values(windows) | {
        "g": ("a", 0), "g_image": gradient.g[0] * gradient.grad.itemsize,
        "g_row": gradient.g[1] * gradient.grad.itemsize, "x": ("b", 0), "steps": cut.steps,
        "block": cut.block, "blocks": cut.blocks,
        "parts": cut.parts, "x_group": gradient.channels * geometry.x[1] * gradient.image.itemsize,
        "row_bytes": row, "full": cut.full, "height": cut.height, "tiles": cut.tiles,
        "task_tiles": cut.task_tiles, "panels": cut.panels,
        "groups_m": cut.groups_m, "groups_n": cut.groups_n, "rows": gradient.rows,
    }  # fmt: skip
    text = weight_gradient_text(code, machine.vector_bytes)
    tasks = gradient.groups * cut.parts * cut.groups_m * cut.groups_n
    return Launch(text, "weight_gradient", ordered(code.words, values), tasks)


# -- by tile registers


def is_for_tiles(gradient: Gradient, machine: Machine) -> bool:
    """Whether there are tile registers, and enough rows for which patches are packed."""
    if not machine.tiles or gradient.element is types.float64:
        return False
    columns = gradient.channels * gradient.geometry.window
    return (
        gradient.rows >= TILE_ROWS and TILE_ROWS <= columns and gradient.geometry.window <= WIDEST
    )


def cut_for_tiles(gradient: Gradient, lanes: int, machine: Machine) -> Cutting:
    """Blocks and tasks for tiles of two by two squares."""
    geometry = gradient.geometry
    steps = geometry.images * geometry.area(lanes, False)
    size = 2 * LINES
    tiles = ceil(gradient.channels * geometry.window, size)
    panels = ceil(gradient.rows, size)
    block = ceil(ceil(steps, ceil(steps, TILE_BLOCK)), STEPS) * STEPS
    groups_m = ceil(tiles, TILES)
    groups_n = ceil(panels, max(1, KEPT // ceil(tiles, groups_m)))
    cut = Cutting(steps, block, 2, size, tiles, tiles, panels, groups_m, groups_n, 1)
    return in_tasks(cut, gradient)


def multiplied_by_tiles(gradient: Gradient, cut: Cutting, windows: Windows, epilogue: Epilogue,
                        values: Words, machine: Machine) -> Launch:  # fmt: skip
    """The launch that multiplies by tile registers."""
    geometry, item = gradient.geometry, gradient.image.itemsize
    tile = Tile(gradient.image, gradient.grad, 2, 2)
    slack = ceil(geometry.window - 1, LINES) * LINES
    square = cut.block // STEPS * PIECES[tile.a] * SQUARE + ROW  # not a multiple of a page
    rows = cut.task_tiles * cut.height + slack + geometry.window
    code = GradientTiles(
        tile, power_of_two(ceil(rows, LINES) * square), power_of_two(cut.block),
        power_of_two(cut.task_tiles * cut.task_panels), slack, gradient.grad, windows, epilogue,
    )  # fmt: skip
    values = values | geometry.values(windows) | {
        "g": ("a", 0), "g_image": gradient.g[0] * gradient.grad.itemsize,
        "g_row": gradient.g[1] * gradient.grad.itemsize, "x": ("b", 0), "steps": cut.steps,
        "block": cut.block, "blocks": cut.blocks, "parts": cut.parts,
        "x_group": gradient.channels * geometry.x[1] * item, "a_square": square,
        "tiles": cut.tiles, "task_tiles": cut.task_tiles, "panels": cut.panels,
        "groups_m": cut.groups_m, "groups_n": cut.groups_n, "rows": gradient.rows,
        "columns": gradient.channels * geometry.window, "registers": rows_word(cut.height, 2, 2),
    }  # fmt: skip
    text = gradient_tiles_text(code, machine.vector_bytes)
    tasks = gradient.groups * cut.parts * cut.groups_m * cut.groups_n
    return Launch(text, "weight_gradient", ordered(code.words, values), tasks)
