"""Generated matrix multiplication against NumPy in a wider type."""

from __future__ import annotations

import numpy as np
import pytest

from flambeau.codegen.cpu.matmul import Machine, Matmul, Shape, machine_of, plan, product
from flambeau.codegen.cpu.target import cpu
from flambeau.codegen.scalar import k as K
from flambeau.ir import dtype as types
from flambeau.ir.dtype import DType, narrow, widen
from flambeau.ir.kernel import Access, Store
from flambeau.ir.tree import Argument, Index, Load, Tree
from flambeau.runtime.threads import Launch

SIZES = [(1, 1, 1), (5, 7, 3), (14, 32, 16), (33, 1, 5), (1, 33, 40), (64, 64, 64), (30, 45, 100),
         (100, 100, 37), (256, 10, 784), (10, 200, 64), (130, 70, 300), (40, 170, 5)]  # fmt: skip
SUM = product(types.float32)
rng = np.random.default_rng(0)


def strides(x: np.ndarray) -> tuple[int, ...]:
    return tuple(s // x.itemsize for s in x.strides)


def run(
    matmul: Matmul,
    arrays: dict[str, np.ndarray],
    scalars: tuple[float, ...] = (),
    machine: Machine | None = None,
) -> None:
    """Run a matmul on NumPy arrays: 'a', 'b', 'access0', …"""
    a, b, c = (arrays[name] for name in ("a", "b", "access0"))
    accesses = tuple(strides(arrays[f"access{i}"]) for i in range(len(matmul.accesses)))
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    shape = Shape(batch, a.shape[-2], b.shape[-1], a.shape[-1], strides(a), strides(b), accesses)
    made = plan(matmul, shape, machine or machine_of(cpu()))
    scratch = np.full(made.scratch + 64, 0xFF, np.uint8)  # NaN wherever it is read unwritten
    values = {name: x.ctypes.data for name, x in arrays.items()} | {"": 0}
    values["scratch"] = scratch.ctypes.data + -scratch.ctypes.data % 64
    values |= {f"scalar{j}": int(np.float64(x).view(np.int64)) for j, x in enumerate(scalars)}
    slots = {"": 0} | {name: i for i, name in enumerate(values, 2)}
    frame = np.zeros(len(slots) + 2, np.int64)
    for name, slot in slots.items():
        frame[slot] = values[name]
    tape = cpu().tape([
        Launch(cpu().load_text(x.text, x.name).address,
               tuple((slots[name], more) for name, more in x.words), x.tasks)
        for x in made.launches
    ])  # fmt: skip
    assert tape.run(frame.ctypes.data) == 0
    assert c is arrays["access0"]


def plain(dtype: DType, batch: int = 0, out: DType | None = None) -> Matmul:
    element = types.float64 if dtype is types.float64 else types.float32
    access = Access(out or dtype, (None,) * (batch + 1) + (1,))
    return Matmul(dtype, dtype, batch, (access,), (), (Store(0, product(element)),))


def operand(shape: tuple[int, ...], layout: str, dtype: str = "f4") -> np.ndarray:
    """Random numbers, contiguous ('N'), transposed ('T') or with gaps in both dimensions ('S')."""
    *batch, rows, columns = shape
    if layout == "T":
        return rng.standard_normal((*batch, columns, rows)).astype(dtype).swapaxes(-1, -2)
    if layout == "S":
        return rng.standard_normal((*batch, 3 * rows, 2 * columns)).astype(dtype)[..., ::3, ::2]
    return rng.standard_normal(shape).astype(dtype)


def close(got: np.ndarray, a: np.ndarray, b: np.ndarray, wide: np.ndarray, epsilon: float) -> None:
    """Within the error bound of a sum of products in any order."""
    bound = np.abs(a.astype("f8")) @ np.abs(b.astype("f8"))
    error = np.abs(got - wide)
    assert (error <= epsilon * (8 + a.shape[-1] ** 0.5) * bound + 1e-30).all(), error.max()


@pytest.mark.parametrize("layouts", ["NN", "NT", "TN", "TT", "SS"])
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_any_layout(sizes: tuple[int, int, int], layouts: str) -> None:
    m, n, k = sizes
    a, b = operand((m, k), layouts[0]), operand((k, n), layouts[1])
    c = np.full((m, n), np.nan, "f4")
    run(plain(types.float32), {"a": a, "b": b, "access0": c})
    close(c, a, b, a.astype("f8") @ b.astype("f8"), 1.2e-7)


LARGE = [(2100, 40, 550), (600, 530, 450), (75, 600, 1024), (560, 512, 512)]


@pytest.mark.parametrize("layouts", ["NN", "NT", "TN", "TT"])
@pytest.mark.parametrize("sizes", LARGE, ids=str)
def test_operands_that_are_packed_read_in_place_and_cut_into_groups(
    sizes: tuple[int, int, int], layouts: str
) -> None:
    m, n, k = sizes
    a, b = operand((m, k), layouts[0]), operand((k, n), layouts[1])
    c = np.full((m, n), np.nan, "f4")
    run(plain(types.float32), {"a": a, "b": b, "access0": c})
    close(c, a, b, a.astype("f8") @ b.astype("f8"), 1.2e-7)


@pytest.mark.parametrize("layouts", ["NN", "TT"])
@pytest.mark.parametrize("sizes", [(1, 1, 1), (33, 45, 21), (100, 40, 300)], ids=str)
def test_float64(sizes: tuple[int, int, int], layouts: str) -> None:
    m, n, k = sizes
    a, b = operand((m, k), layouts[0], "f8"), operand((k, n), layouts[1], "f8")
    c = np.full((m, n), np.nan)
    run(plain(types.float64), {"a": a, "b": b, "access0": c})
    wide = (a.astype("g") @ b.astype("g")).astype("f8")
    close(c, a, b, wide, 2.3e-16)


@pytest.mark.parametrize("machine", [Machine(32, 16), Machine(16, 32)], ids=str)
@pytest.mark.parametrize("layouts", ["NN", "TT"])
def test_tiles_for_other_machines(machine: Machine, layouts: str) -> None:
    a, b = operand((33, 70), layouts[0]), operand((70, 45), layouts[1])
    c = np.full((33, 45), np.nan, "f4")
    run(plain(types.float32), {"a": a, "b": b, "access0": c}, machine=machine)
    close(c, a, b, a.astype("f8") @ b.astype("f8"), 1.2e-7)


@pytest.mark.parametrize("dtype", [types.float16, types.bfloat16], ids=str)
def test_half_precision(dtype: DType) -> None:
    a, b = (narrow(operand(shape, "N"), dtype) for shape in ((20, 50), (50, 40)))
    c = np.zeros((20, 40), dtype.numpy)
    run(plain(dtype), {"a": a, "b": b, "access0": c})
    wide = widen(a, dtype).astype("f4") @ widen(b, dtype).astype("f4")
    again = widen(narrow(wide, dtype), dtype)
    assert np.abs(widen(c, dtype) - again).max() <= np.abs(wide).max() * 2.0**-8


BFLOAT16 = [(16, 16, 32), (33, 32, 64), (31, 5, 3), (100, 77, 513), (20, 40, 5000), (70, 200, 96),
            (200, 70, 100)]  # fmt: skip


@pytest.mark.parametrize("tiles", [True, False])
@pytest.mark.parametrize("layouts", ["NN", "NT", "TN", "TT", "SS"])
@pytest.mark.parametrize("sizes", BFLOAT16, ids=str)
def test_bfloat16_with_and_without_tile_registers(
    sizes: tuple[int, int, int], layouts: str, tiles: bool
) -> None:
    """Sums are kept in float32, so a float32 result is as exact as a product of float32."""
    machine = machine_of(cpu())
    if tiles and not machine.tiles:
        pytest.skip("this processor has no tile registers")
    m, n, k = sizes
    a, b = (bfloat16(shape, layout) for shape, layout in zip(((m, k), (k, n)), layouts))
    c = np.full((m, n), np.nan, "f4")
    run(plain(types.bfloat16, out=types.float32), {"a": a, "b": b, "access0": c},
        machine=Machine(machine.vector_bytes, machine.registers, tiles, 2))  # fmt: skip
    first, second = widen(a, types.bfloat16), widen(b, types.bfloat16)
    close(c, first, second, first.astype("f8") @ second.astype("f8"), 1.2e-7)


def bfloat16(shape: tuple[int, ...], layout: str) -> np.ndarray:
    """As `operand`, with its strides."""
    wide = operand(shape, layout)
    made = np.zeros(-(-wide.nbytes // 4) * 20, types.bfloat16.numpy)
    step = [stride // 4 * 2 for stride in wide.strides]
    view = np.lib.stride_tricks.as_strided(made, wide.shape, step)
    view[...] = narrow(np.ascontiguousarray(wide), types.bfloat16)
    return view


@pytest.mark.parametrize("layouts", ["NN", "NT", "TN"])
def test_batches_of_bfloat16_with_something_to_add(layouts: str) -> None:
    a, b = bfloat16((3, 2, 37, 64), layouts[0]), bfloat16((3, 2, 64, 50), layouts[1])
    b = np.broadcast_to(b[:, :1], b.shape)
    bias, c = operand((1, 1, 1, 50), "N"), np.zeros((3, 2, 37, 50), types.bfloat16.numpy)
    accesses = (Access(types.bfloat16, (None,) * 3 + (1,)), Access(types.float32, (0, 0, 0, 1)))
    tree = K.maximum(SUM + Load(1, types.float32), 0.0)
    matmul = Matmul(types.bfloat16, types.bfloat16, 2, accesses, (), (Store(0, tree),))
    run(matmul, {"a": a, "b": b, "access0": c, "access1": bias})
    wide = widen(a, types.bfloat16).astype("f8") @ widen(b, types.bfloat16) + bias
    assert np.abs(widen(c, types.bfloat16) - np.maximum(wide, 0)).max() <= wide.max() * 2.0**-8


@pytest.mark.parametrize("layouts", ["NN", "NT", "TN"])
@pytest.mark.parametrize("batch", [(6,), (2, 3), (0,)], ids=str)
def test_batches(batch: tuple[int, ...], layouts: str) -> None:
    a, b = operand((*batch, 20, 30), layouts[0]), operand((*batch, 30, 70), layouts[1])
    c = np.full((*batch, 20, 70), np.nan, "f4")
    run(plain(types.float32, len(batch)), {"a": a, "b": b, "access0": c})
    close(c, a, b, a.astype("f8") @ b.astype("f8"), 1.2e-7)


@pytest.mark.parametrize("which", "ab")
def test_an_operand_shared_by_the_batch(which: str) -> None:
    a, b = operand((90, 40), "T"), operand((40, 130), "T")
    a = np.broadcast_to(a, (3, 90, 40)) if which == "a" else operand((3, 90, 40), "N")
    b = np.broadcast_to(b, (3, 40, 130)) if which == "b" else operand((3, 40, 130), "N")
    c = np.full((3, 90, 130), np.nan, "f4")
    run(plain(types.float32, 1), {"a": a, "b": b, "access0": c})
    close(c, a, b, a.astype("f8") @ b.astype("f8"), 1.2e-7)


@pytest.mark.parametrize("sizes", [(3, 4, 0), (0, 4, 3), (3, 0, 3), (200, 200, 0)], ids=str)
def test_empty(sizes: tuple[int, int, int]) -> None:
    m, n, k = sizes
    c = np.full((m, n), np.nan, "f4")
    run(plain(types.float32), {"a": operand((m, k), "N"), "b": operand((k, n), "N"), "access0": c})
    assert not c.any()


def test_a_long_sum_goes_in_blocks() -> None:
    a, b = operand((70, 5000), "N"), operand((5000, 90), "T")
    c = np.full((70, 90), np.nan, "f4")
    run(plain(types.float32), {"a": a, "b": b, "access0": c})
    close(c, a, b, a.astype("f8") @ b.astype("f8"), 1.2e-7)


@pytest.mark.parametrize("layouts", ["NN", "TT"])
@pytest.mark.parametrize("sizes", [(1, 1, 9000), (10, 20, 5000), (40, 3, 4096)], ids=str)
def test_a_long_sum_for_a_small_c_is_done_in_parts(
    sizes: tuple[int, int, int], layouts: str
) -> None:
    m, n, k = sizes
    a, b = operand((2, m, k), layouts[0]), operand((2, k, n), layouts[1])
    c, bias = operand((2, m, n), "N"), operand((1, 1, n), "N")
    wide = a.astype("f8") @ b.astype("f8") + bias + c
    accesses = (Access(types.float32, (None, None, 1)), Access(types.float32, (0, 0, 1)))
    tree = SUM + Load(1, types.float32) + Load(0, types.float32)
    matmul = Matmul(types.float32, types.float32, 1, accesses, (), (Store(0, tree),))
    run(matmul, {"a": a, "b": b, "access0": c, "access1": bias})
    assert np.abs(c - wide).max() < 2e-3


@pytest.mark.parametrize("name", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("sizes", [(1, 2500, 403), (1, 130, 2600), (1000, 1, 97)], ids=str)
def test_a_vector_times_a_large_matrix_is_a_sum_of_rows(
    sizes: tuple[int, int, int], name: str
) -> None:
    m, n, k = sizes
    dtype = getattr(types, name)
    wide = "f8" if name == "float64" else "f4"
    a = narrow(operand((2, m, k), "T", wide), dtype)
    b = narrow(operand((2, k, n), "N", wide), dtype)
    out = types.float64 if name == "float64" else types.float32
    c, bias = np.full((2, m, n), np.nan, wide), operand((1, m, n), "N", wide)
    accesses = (Access(out, (None, None, 1)), Access(out, (0, None, 1)))
    matmul = Matmul(dtype, dtype, 1, accesses, (), (Store(0, product(out) + Load(1, out)),))
    run(matmul, {"a": a, "b": b, "access0": c, "access1": bias})
    first, second = widen(a, dtype), widen(b, dtype)
    exact = first.astype("f8") @ second.astype("f8") + bias
    close(c, first, second, exact, 2.3e-16 if name == "float64" else 1.2e-7)


def epilogue(tree: Tree, *loads: Access, scalars: tuple[DType, ...] = ()) -> Matmul:
    out = Access(types.float32, (None, 1))
    return Matmul(types.float32, types.float32, 0, (out, *loads), scalars, (Store(0, tree),))


@pytest.mark.parametrize("n", [10, 64])
def test_bias_residual_and_relu(n: int) -> None:
    a, b = operand((50, 20), "N"), operand((20, n), "T")
    bias, mine, rest = operand((1, n), "N"), operand((50, 1), "N"), operand((50, n), "S")
    loads = (Access(types.float32, (0, 1)), Access(types.float32, (None, 0)),
             Access(types.float32, (None, None)))  # fmt: skip
    tree = SUM * Argument(0, types.float32) + Load(1, types.float32) + Load(2, types.float32)
    tree = K.maximum(tree, 0.0) - Load(3, types.float32)
    c = np.full((50, n), np.nan, "f4")
    arrays = {"a": a, "b": b, "access0": c, "access1": bias, "access2": mine, "access3": rest}
    run(epilogue(tree, *loads, scalars=(types.float32,)), arrays, (0.5,))
    wide = np.maximum(0.5 * (a.astype("f8") @ b) + bias + mine, 0) - rest
    assert np.abs(c - wide).max() < 1e-5


def test_the_old_c_and_a_transcendental_function() -> None:
    a, b, c = operand((40, 20), "N"), operand((20, 50), "N"), operand((40, 50), "N")
    wide = np.tanh(a.astype("f8") @ b + 2 * c)
    run(epilogue(K.tanh(SUM + 2.0 * Load(0, types.float32))), {"a": a, "b": b, "access0": c})
    assert np.abs(c - wide).max() < 1e-5


def test_several_stores_of_several_types() -> None:
    a, b = operand((40, 20), "N"), operand((20, 50), "N")
    accesses = (Access(types.float32, (None, 1)), Access(types.float64, (None, 1)),
                Access(types.bool_, (1, None)))  # fmt: skip
    stores = (Store(0, SUM), Store(1, K.cast(K.maximum(SUM, 0.0), types.float64)),
              Store(2, SUM > 0.0))  # fmt: skip
    matmul = Matmul(types.float32, types.float32, 0, accesses, (), stores)
    c, d, e = np.zeros((40, 50), "f4"), np.zeros((40, 50)), np.zeros((50, 40), bool)
    run(matmul, {"a": a, "b": b, "access0": c, "access1": d, "access2": e.T})
    wide = a.astype("f8") @ b
    assert np.abs(c - wide).max() < 1e-5
    assert (d == np.maximum(c, 0)).all() and (e.T == (c > 0)).all()


@pytest.mark.parametrize("m", [3, 60])
def test_counters_in_an_epilogue(m: int) -> None:
    """A causal mask: what lies right of the diagonal is replaced."""
    a, b = operand((m, 20), "N"), operand((20, m), "T")
    c = np.zeros((m, m), "f4")
    tree = K.where(Index(1) <= Index(0), SUM, -1.0)
    run(epilogue(tree), {"a": a, "b": b, "access0": c})
    assert np.abs(np.where(np.tri(m), a.astype("f8") @ b, -1) - c).max() < 1e-5


@pytest.mark.parametrize("sizes", [(40, 50, 30), (1, 50, 30), (50, 1, 300), (90, 120, 40)], ids=str)
def test_output_in_columns(sizes: tuple[int, int, int]) -> None:
    m, n, k = sizes
    a, b, bias = operand((m, k), "N"), operand((k, n), "N"), operand((m, 1), "N")
    c = np.full((n, m), np.nan, "f4").T
    out, load = Access(types.float32, (1, None)), Access(types.float32, (1, 0))
    matmul = Matmul(types.float32, types.float32, 0, (out, load), (),
                    (Store(0, SUM + Load(1, types.float32)),))  # fmt: skip
    run(matmul, {"a": a, "b": b, "access0": c, "access1": bias})
    assert np.abs(c - (a.astype("f8") @ b + bias)).max() < 1e-4


def test_what_is_not_finite_stays_where_it_is() -> None:
    a, b = operand((30, 20), "N"), operand((20, 40), "T")
    a[3, 5], b[7, 11], b[0, 39] = np.nan, np.inf, -np.inf
    c = np.zeros((30, 40), "f4")
    run(plain(types.float32), {"a": a, "b": b, "access0": c})
    with np.errstate(invalid="ignore"):
        wide = a.astype("f8") @ b.astype("f8")
    assert (np.isnan(c) == np.isnan(wide)).all()
    assert (np.isinf(c) == np.isinf(wide)).all()


SPLIT = [(100, 130, 70), (1, 300, 500), (300, 1, 500), (540, 520, 500), (300, 64, 100),
         (200, 200, 256)]  # fmt: skip


@pytest.mark.parametrize("dtype", [types.float32, types.bfloat16], ids=str)
@pytest.mark.parametrize("sizes", SPLIT, ids=str)
@pytest.mark.parametrize("layout", ["N", "T"])
def test_the_same_bits_however_tasks_are_split(
    sizes: tuple[int, int, int], layout: str, dtype: DType
) -> None:
    from flambeau.runtime.threads import get_num_threads, set_num_threads

    m, n, k = sizes
    draw = bfloat16 if dtype is types.bfloat16 else operand
    a, b = draw((m, k), "N"), draw((k, n), layout)
    results, before = [], get_num_threads()
    try:
        for count in (1, 2, 5):
            set_num_threads(count)
            results.append(np.zeros((m, n), "f4"))
            run(plain(dtype, out=types.float32), {"a": a, "b": b, "access0": results[-1]})
    finally:
        set_num_threads(before)
    assert all((x == results[0]).all() for x in results)


def test_types_that_are_refused() -> None:
    with pytest.raises(NotImplementedError, match="int64"):
        plain(types.int64)
    with pytest.raises(TypeError, match="cast"):
        Matmul(types.float32, types.float64, 0, (), (), ())


def test_nothing_is_read_or_written_beyond_the_arrays() -> None:
    """Operands end where a page that may not be touched begins."""
    mmap = pytest.importorskip("mmap")
    import ctypes

    page = mmap.PAGESIZE
    protect = getattr(ctypes.CDLL(None), "mprotect", None)
    if protect is None:
        pytest.skip("no mprotect on this system")

    def fenced(rows: int, columns: int, dtype: str = "f4") -> np.ndarray:
        size = rows * columns * np.dtype(dtype).itemsize
        pages = -(-size // page)
        memory = mmap.mmap(-1, (pages + 1) * page)
        base = np.frombuffer(memory, np.uint8)
        assert protect(ctypes.c_void_p(base.ctypes.data + pages * page), page, 0) == 0
        x = base[pages * page - size : pages * page].view(dtype).reshape(rows, columns)
        x[...] = 1 if dtype == "u2" else rng.standard_normal((rows, columns))
        return x

    for m, n, k in [(5, 7, 3), (33, 45, 21), (70, 33, 19), (1, 300, 7), (300, 1, 7), (90, 130, 10),
                    (30, 28, 50), (30, 3, 21), (9, 33, 2), (14, 3, 5), (20, 40, 1)]:  # fmt: skip
        for layouts in ("NN", "NT", "TN", "TT"):
            a = fenced(m, k) if layouts[0] == "N" else fenced(k, m).T
            b = fenced(k, n) if layouts[1] == "N" else fenced(n, k).T
            c = fenced(m, n)
            run(plain(types.float32), {"a": a, "b": b, "access0": c})
            assert np.abs(c - a.astype("f8") @ b.astype("f8")).max() < 1e-4
            b = np.broadcast_to(fenced(1, n), (k, n))
            run(plain(types.float32), {"a": a, "b": b, "access0": c})
            assert np.abs(c - a.astype("f8") @ b.astype("f8")).max() < 1e-4
            a = fenced(m, k, "u2") if layouts[0] == "N" else fenced(k, m, "u2").T
            b = fenced(k, n, "u2") if layouts[1] == "N" else fenced(n, k, "u2").T
            run(plain(types.bfloat16, out=types.float32), {"a": a, "b": b, "access0": c})
            assert not c.any()  # the smallest numbers there are: their products are 0
