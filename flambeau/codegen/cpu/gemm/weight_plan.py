"""Chooses, from sizes alone, how a convolution's weight gradient is computed."""

from __future__ import annotations

from flambeau.ir.record import frozen

from ....ir.dtype import DType
from ....ir.kernel import Access, Store
from ....ir.layout import Ints
from ...values import computed
from .combine import ROWS_OF_A_TASK, Combine, combine_text
from .convolving import epilogue_values, refined, tile_rows, tile_vectors
from .cut import MOST_TASKS, TASK_WORK, ceil
from .epilogue import Epilogue
from .kernel import KEPT
from .micro import Micro
from .pack import Pack, pack_text, pack_words
from .spec import Launch, Machine, Plan, product
from .weight_gradient import WeightGradient, weight_gradient_text
from .windows import Geometry, Windows
from .words import Words, ordered

LARGE_AREA = 256  # places of an image from which the other gradient is read where it lies
BLOCK = 1024  # steps of a block
TILES = 12  # of a task, about, where there are more
FEWEST_TASKS = 8
LONGEST = 8192  # steps of a part: errors grow with its length


@frozen
class Gradient:
    """What is asked for: the gradient A [image, group · row, *places], whose places lie one after
    the other, with strides over (image, row) in elements; the image; and the epilogue over
    (row of any group, column)."""

    element: DType
    grad: DType
    image: DType
    groups: int
    rows: int
    channels: int
    a: Ints
    geometry: Geometry
    accesses: tuple[Access, ...]
    strides: tuple[Ints, ...]
    scalars: tuple[DType, ...]
    stores: tuple[Store, ...]


@frozen
class Cutting:
    """Blocks of steps, tiles, and tasks."""

    length: int  # steps of an image, or of all of them where A is packed
    chunk: int  # steps of a block
    chunks: int  # blocks of an image
    blocks: int
    vectors: int
    height: int
    tiles: int
    full: int
    panels: int
    groups_m: int
    groups_n: int
    parts: int


def gradient_plan(gradient: Gradient, machine: Machine) -> Plan:
    """The launches for one weight gradient, which has elements."""
    lanes = machine.vector_bytes // gradient.element.itemsize
    geometry = gradient.geometry
    windows = geometry.windows(gradient.image, lanes, may_cross=False)
    numbers = geometry.area(lanes, False)
    packs = numbers < LARGE_AREA or gradient.grad is not gradient.element
    cut = cut_up(gradient, lanes, machine, packs)
    launches: list[Launch] = []
    scratch, item = 0, gradient.grad.itemsize
    if packs:
        launch, scratch, a = packed(gradient, cut, numbers, machine, lanes)
        launches.append(launch)
    else:
        row = gradient.a[1] * item
        a = {"a": ("a", 0), "a_image": gradient.a[0] * item, "a_group": gradient.rows * row,
             "a_tile": 0, "a_row": row, "a_step": item, "a_stride": row}  # fmt: skip
    accesses = tuple(map(refined, gradient.accesses, gradient.strides))
    epilogue = Epilogue(0, accesses, gradient.scalars, gradient.stores)
    values = a | epilogue_values(epilogue, gradient.strides)
    if cut.parts == 1:
        launches.append(multiplied(gradient, cut, windows, epilogue, values, machine))
        return Plan(tuple(launches), scratch)
    rows, columns = gradient.groups * gradient.rows, gradient.channels * geometry.window
    size = ceil(rows * columns * gradient.element.itemsize, 64) * 64
    access = Access(gradient.element, (None, None, 1))
    partial = Epilogue(1, (access,), (), (Store(0, product(gradient.element)),))
    strides = (size // gradient.element.itemsize, columns, 1)
    there: Words = a | epilogue_values(partial, (strides,)) | {"pointer0": ("scratch", scratch)}
    launches.append(multiplied(gradient, cut, windows, partial, there, machine))
    combine = Combine(gradient.element, lanes, epilogue)
    groups = ceil(rows, ROWS_OF_A_TASK)
    values |= {"partial": ("scratch", scratch), "parts": cut.parts, "m": rows, "n": columns,
               "part_bytes": size, "groups": groups}  # fmt: skip
    text = combine_text(combine, machine.vector_bytes)
    launches.append(Launch(text, "combine", ordered(combine.words, values), groups))
    return Plan(tuple(launches), scratch + cut.parts * size)


def cut_up(gradient: Gradient, lanes: int, machine: Machine, packs: bool) -> Cutting:
    """Blocks as long as each other; tasks that can keep their sums between blocks."""
    geometry = gradient.geometry
    numbers, columns = geometry.area(lanes, False), gradient.channels * geometry.window
    real = geometry.area(lanes, True)
    length, images = (geometry.images * numbers, 1) if packs else (real, geometry.images)
    chunks = ceil(length, BLOCK)
    chunk = ceil(ceil(length, chunks), lanes) * lanes
    chunks = ceil(length, chunk)
    blocks = chunks * images
    vectors = tile_vectors(gradient.rows, ceil(columns, lanes), machine)
    height, tiles, full = tile_rows(gradient.rows, vectors, machine)
    panels = ceil(columns, vectors * lanes)
    steps = geometry.images * real
    work = 2 * gradient.groups * gradient.rows * panels * vectors * lanes * steps
    wanted = min(max(2, work // TASK_WORK), MOST_TASKS)
    groups_m = 1
    if blocks > 1:
        groups_m = ceil(tiles, TILES) if tiles > 2 * TILES else 1
        groups_n = ceil(panels, KEPT // ceil(tiles, groups_m))
        enough = min(wanted, FEWEST_TASKS)
        parts = ceil(enough, gradient.groups * groups_m * groups_n)
        parts = min(blocks, max(parts, ceil(steps, LONGEST)))
    else:
        groups_n, parts = min(panels, ceil(wanted, gradient.groups)), 1
    return Cutting(length, chunk, chunks, blocks, vectors, height, tiles, full, panels, groups_m,
                   groups_n, parts)  # fmt: skip


def multiplied(gradient: Gradient, cut: Cutting, windows: Windows, epilogue: Epilogue,
               values: Words, machine: Machine) -> Launch:  # fmt: skip
    """The launch that multiplies."""
    geometry, lanes = gradient.geometry, windows.lanes
    micro = Micro(
        element=computed(gradient.element), lanes=lanes, height=cut.height, vectors=cut.vectors,
        along_k=values["a_step"] == gradient.element.itemsize, ragged=True, packed=True,
        keeps=cut.blocks > 1, ahead_a=0, ahead_b=0,
    )  # fmt: skip
    room = max(64, 1 << (cut.chunk - 1).bit_length())
    code = WeightGradient(micro, cut.full < cut.tiles, room, geometry.window, windows, epilogue)
    values = values | geometry.values(windows) | {
        "x": ("b", 0), "blocks": cut.blocks, "chunks": cut.chunks, "chunk": cut.chunk,
        "length": cut.length, "full": cut.full, "height": cut.height, "tiles": cut.tiles,
        "x_group": gradient.channels * geometry.x[1] * gradient.image.itemsize,
        "panels": cut.panels, "task_tiles": ceil(cut.tiles, cut.groups_m),
        "groups_m": cut.groups_m, "groups_n": cut.groups_n, "parts": cut.parts,
        "rows": gradient.rows, "columns": gradient.channels * geometry.window,
    }  # fmt: skip
    text = weight_gradient_text(code, machine.vector_bytes)
    tasks = gradient.groups * cut.parts * cut.groups_m * cut.groups_n
    return Launch(text, "weight_gradient", ordered(code.words, values), tasks)


def packed(gradient: Gradient, cut: Cutting, numbers: int, machine: Machine,
           lanes: int) -> tuple[Launch, int, Words]:  # fmt: skip
    """The launch that packs A, the scratch memory it fills, and where A lies then.

    Each image has a whole number of vectors of steps; those that it lacks are zeros.
    """
    geometry, item = gradient.geometry, gradient.grad.itemsize
    pack = Pack(gradient.grad, computed(gradient.element), lanes, ceil(cut.height, lanes), "steps")
    image = numbers * pack.row_bytes
    panel = geometry.images * image
    row = gradient.a[1] * item
    values: Words = {
        "source": ("a", 0), "target": ("scratch", 0), "lines": gradient.rows,
        "k": geometry.area(lanes, True), "line": row, "step": item, "full": cut.full,
        "height": cut.height, "panels": cut.tiles, "panel_bytes": panel, "chunk": numbers,
        "chunks": 1, "group": 1, "groups": cut.tiles, "stripe": numbers,
        "size0": gradient.groups, "from0": gradient.rows * row, "to0": cut.tiles * panel,
        "size1": geometry.images, "from1": gradient.a[0] * item, "to1": image,
    }  # fmt: skip
    text = pack_text(pack, 2, machine.vector_bytes)
    tasks = gradient.groups * geometry.images * cut.tiles
    launch = Launch(text, "pack", ordered(pack_words(2), values), tasks)
    there: Words = {"a": ("scratch", 0), "a_image": 0, "a_group": cut.tiles * panel,
                    "a_tile": panel, "a_row": 0, "a_step": pack.row_bytes,
                    "a_stride": pack.row_bytes}  # fmt: skip
    return launch, gradient.groups * cut.tiles * panel, there
