"""Loop nests against NumPy: every mode, element type and memory layout."""

import numpy as np
import pytest

from flambeau.codegen import loops
from flambeau.codegen.cpu.target import cpu
from flambeau.codegen.scalar import Argument, Index, Load, Result, k
from flambeau.ir import dtype as dt
from flambeau.ir.failures import code_of
from flambeau.ir.kernel import Access, Nest, Reduce, Stage, Store, canonical, words
from flambeau.ir.tree import Check, Pick
from flambeau.runtime import threads
from flambeau.settings import settings

from .harness import Run, contiguous, run

FLOATS = [dt.float16, dt.bfloat16, dt.float32, dt.float64]
ALL = [dt.bool_, dt.uint8, dt.int8, dt.int16, dt.int32, dt.int64, *FLOATS]
x32 = Load(0, dt.float32)


def random(dtype, count, seed=0):
    rng = np.random.default_rng(seed)
    if dtype.kind == "b":
        return rng.integers(0, 2, count).astype(bool)
    if dtype.kind in "iu":
        low = 0 if dtype.kind == "u" else -50
        return rng.integers(low, 50, count).astype(dtype.numpy)
    return dt.narrow(rng.normal(size=count), dtype)


def reader(strides, dtype=dt.float32):
    """An access that compiles in what can be compiled in."""
    return Access(dtype, tuple(s if s in (0, 1) else None for s in strides))


def view(array, sizes, strides):
    byte = [s * array.itemsize for s in strides]
    return np.lib.stride_tricks.as_strided(array, sizes, byte)


def softmax_nest(strides, dtype=dt.float32, mode="rows"):
    x = Load(0, dtype)
    e = k.exp(x - Result(0, dtype))
    stages = (
        Stage((Reduce("max", x, dtype),)),
        Stage((Reduce("sum", e, dtype),)),
        Stage((), (Store(1, e / Result(1, dtype)),)),
    )
    return Nest(2, (reader(strides, dtype), reader(strides, dtype)), (), stages, mode)


# -- maps


@pytest.mark.parametrize("n", [0, 1, 2, 15, 16, 17, 63, 64, 65, 1000, 40007])
def test_flat_map(n):
    a, b, out = random(dt.float32, n), random(dt.float32, n, 1), np.full(n + 9, 7, np.float32)
    nest = Nest(1, (reader([1]),) * 3, (), (Stage((), (Store(2, x32 * 2 + Load(1, dt.float32)),)),))
    run(nest, [a, b, out], [n], [[1]] * 3)
    np.testing.assert_allclose(out[:n], a * 2 + b, rtol=1e-5, atol=1e-6)
    assert (out[n:] == 7).all()


LAYOUTS = {
    "dense": ([3, 5, 7], [35, 7, 1]),
    "transposed": ([7, 5, 3], [1, 7, 35]),
    "broadcast rows": ([4, 5, 20], [0, 0, 1]),
    "broadcast columns": ([4, 5, 20], [5, 1, 0]),
    "a scalar": ([2, 3, 4], [0, 0, 0]),
    "every other": ([3, 4, 33], [300, 70, 2]),
    "one row": ([1, 1, 100], [100, 100, 1]),
    "many short rows": ([900, 11, 3], [33, 3, 1]),
    "empty": ([3, 0, 5], [0, 5, 1]),
    "backwards": ([2, 3, 9], [27, 9, 1]),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ALL, ids=str)
def test_strided_map(dtype, layout):
    sizes, strides = LAYOUTS[layout]
    source, dense = random(dtype, 40000), contiguous(sizes)
    out = np.zeros(max(1, int(np.prod(sizes))), dtype.numpy)
    nest = Nest(3, (reader(strides, dtype), reader(dense, dtype)), (),
                (Stage((), (Store(1, Load(0, dtype)),)),))  # fmt: skip
    run(nest, [source, out], sizes, [strides, dense])
    want = view(source, sizes, strides)
    np.testing.assert_array_equal(out[: want.size].reshape(sizes), want)


@pytest.mark.parametrize("n", [1, 5, 8, 16, 33, 70])
@pytest.mark.parametrize("dtype", ALL, ids=str)
def test_every_other_element(dtype, n):
    source, out = random(dtype, 3 * (2 * n - 1)), np.zeros(3 * n, dtype.numpy)
    nest = Nest(2, (Access(dtype, (None, 2)), reader([n, 1], dtype)), (),
                (Stage((), (Store(1, Load(0, dtype)),)),))  # fmt: skip
    run(nest, [source, out], [3, n], [[2 * n - 1, 2], [n, 1]])
    np.testing.assert_array_equal(out.reshape(3, n), source.reshape(3, -1)[:, ::2])


SHARES = {  # the stride within a share, and how far apart the two are
    "repeated": (1, 0),
    "two rows": (1, 100),
    "neighbours": (1, 1),
    "two elements": (0, 7),
}


@pytest.mark.parametrize("how", SHARES)
@pytest.mark.parametrize("n", [1, 3, 7, 8, 16, 19, 40])
@pytest.mark.parametrize("dtype", [dt.bool_, dt.uint8, dt.int64, *FLOATS], ids=str)
def test_a_loop_that_takes_turns_between_two_shares(dtype, n, how):
    """Beside a dense operand, in rows of two times n."""
    stride, apart = SHARES[how]
    source, dense = random(dtype, 1000), random(dtype, 5 * 2 * n, 1)
    out = np.zeros(5 * 2 * n, dtype.numpy)
    turning = Access(dtype, (None, stride), every=2, apart=apart and None)
    rows = reader([2 * n, 1], dtype)
    stores = Store(2, k.where(k.ne(Load(1, dtype), 0), Load(0, dtype), Load(1, dtype)))
    nest = Nest(2, (turning, rows, rows), (), (Stage((), (stores,)),))
    run(nest, [source, dense, out], [5, 2 * n], [[150, stride, apart], [2 * n, 1], [2 * n, 1]])
    want = view(source, (5, n, 2), (150, stride, apart)).reshape(5, 2 * n)
    seen = np.where(dense.reshape(5, -1) != 0, want, dense.reshape(5, -1))
    np.testing.assert_array_equal(out.reshape(5, 2 * n), seen)


def test_scattered_store_leaves_the_rest_alone():
    a, out = random(dt.float32, 300), np.full(1000, 5, np.float32)
    nest = Nest(2, (reader([30, 1]), reader([90, 3])), (), (Stage((), (Store(1, -x32),)),))
    run(nest, [a, out], [10, 30], [[30, 1], [90, 3]])
    np.testing.assert_array_equal(out[:900:3], -a)
    assert (out[1:900:3] == 5).all() and (out[900:] == 5).all()


def test_map_in_place_with_two_outputs_scalars_and_counters():
    a, out = random(dt.float32, 2000), np.zeros(2000, np.int64)
    s, t = Argument(0, dt.float32), Argument(1, dt.int64)
    stores = (Store(0, x32 * s + 1), Store(1, Index(0) * 100 + Index(1) + t))
    nest = Nest(2, (reader([100, 1]), reader([100, 1], dt.int64)), (dt.float32, dt.int64),
                (Stage((), stores),))  # fmt: skip
    before = a.copy()
    run(nest, [a, out], [20, 100], [[100, 1]] * 2, scalars=[0.1, -7])
    np.testing.assert_allclose(a, before * np.float32(0.1) + 1, rtol=1e-6)
    np.testing.assert_array_equal(out, np.arange(2000) - 7)


def test_a_store_rounds_to_the_type_of_its_access():
    a = random(dt.float32, 500)
    for dtype in (dt.float16, dt.bfloat16, dt.float64, dt.int32, dt.bool_):
        out = np.zeros(500, dtype.numpy)
        nest = Nest(1, (reader([1]), reader([1], dtype)), (), (Stage((), (Store(1, x32 * 3),)),))
        run(nest, [a, out], [500], [[1]] * 2)
        np.testing.assert_array_equal(out, dt.narrow(a * np.float32(3), dtype))


# -- reductions

STEPS = {
    "sum": lambda a, axis: a.sum(axis), "prod": lambda a, axis: a.prod(axis),
    "max": lambda a, axis: a.max(axis), "min": lambda a, axis: a.min(axis),
    "argmax": lambda a, axis: a.argmax(axis), "argmin": lambda a, axis: a.argmin(axis),
    "any": lambda a, axis: (a != 0).any(axis), "all": lambda a, axis: (a != 0).all(axis),
}  # fmt: skip


def result_type(step, dtype):
    if step.startswith("arg"):
        return dt.int64
    if step in ("any", "all"):
        return dt.bool_
    return dt.int64 if step in ("sum", "prod") and dtype.kind != "f" else dtype


def reduction(step, dtype, mode, strides, out_strides):
    out = result_type(step, dtype)
    accesses = (reader(strides, dtype), reader(out_strides, out))
    reduce = Reduce(step, Load(0, dtype), out)
    return Nest(2, accesses, (), (Stage((reduce,), (Store(1, Result(0, out)),)),), mode)


def close(got, want, dtype):
    if dtype.kind != "f":
        np.testing.assert_array_equal(got, want)
        return
    tolerance = {"float16": 2e-2, "bfloat16": 2e-2, "float32": 1e-4, "float64": 1e-12}[dtype.name]
    np.testing.assert_allclose(dt.widen(got, dtype), want, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("shape", [(1, 1), (5, 3), (3, 64), (4, 131), (40, 1000), (700, 9)])
@pytest.mark.parametrize("dtype", ALL, ids=str)
@pytest.mark.parametrize("step", STEPS)
def test_reduction_of_rows_and_columns(step, dtype, shape):
    if step == "prod" and (shape[1] > 64 or dtype.itemsize == 2):
        pytest.skip("overflows")
    a = random(dtype, shape[0] * shape[1])
    out = result_type(step, dtype)
    wide = dt.widen(a, dtype).reshape(shape)
    wide = wide if dtype.kind != "f" or step.startswith("arg") else wide.astype(np.float64)
    for mode, axis in (("rows", 1), ("columns", 0)):
        if step == "prod" and shape[axis] > 64:
            continue
        written = [1, 0] if mode == "rows" else [0, 1]
        got = np.zeros(shape[1 - axis], out.numpy)
        strides = [shape[1], 1]
        run(reduction(step, dtype, mode, strides, written), [a, got], shape, [strides, written])
        close(got, STEPS[step](wide, axis), out)


@pytest.mark.parametrize("mode", ["rows", "columns"])
def test_reduction_of_nothing(mode):
    shape = (4, 0) if mode == "rows" else (0, 4)
    written = [1, 0] if mode == "rows" else [0, 1]
    for step, want in (("sum", 0), ("prod", 1), ("max", -np.inf), ("min", np.inf)):
        got = np.full(4, 9, np.float32)
        nest = reduction(step, dt.float32, mode, [2, 1], written)
        run(nest, [np.zeros(8, np.float32), got], shape, [[2, 1], written])
        assert (got == want).all()
    for shape in ((0, 3), (3, 0)):
        nest = reduction("sum", dt.float32, mode, [2, 1], written)
        run(nest, [got, got.copy()], shape, [[2, 1], written])


@pytest.mark.parametrize("mode", ["rows", "columns"])
@pytest.mark.parametrize("place", [0, 5, 70, 99])
def test_nan_wins_and_the_first_of_equals(mode, place):
    a = np.zeros((100, 100), np.float32)
    a[place, place] = np.nan
    a[60, 61:63] = a[61:63, 60] = 3
    written = [1, 0] if mode == "rows" else [0, 1]
    axis = 1 if mode == "rows" else 0
    for step in ("max", "min", "argmax", "argmin"):
        out = result_type(step, dt.float32)
        got = np.zeros(100, out.numpy)
        nest = reduction(step, dt.float32, mode, [100, 1], written)
        run(nest, [a, got], (100, 100), [[100, 1], written])
        np.testing.assert_array_equal(got, STEPS[step](a, axis))
    a[:] = -np.inf
    run(reduction("argmax", dt.float32, mode, [100, 1], written), [a, got], (100, 100),
        [[100, 1], written])  # fmt: skip
    assert (got == 0).all()


@pytest.mark.parametrize("shape", [(1, 1), (7, 10), (33, 100), (5, 1000), (2000, 3)])
@pytest.mark.parametrize("dtype", [dt.float32, dt.float64, dt.float16], ids=str)
def test_softmax_along_rows_and_columns(shape, dtype):
    a = random(dtype, shape[0] * shape[1]).reshape(shape)
    wide = dt.widen(a, dtype).astype(np.float64)
    for mode, axis in (("rows", 1), ("columns", 0)):
        out, strides = np.zeros_like(a), [shape[1], 1]
        run(softmax_nest(strides, dtype, mode), [a, out], shape, [strides] * 2)
        want = np.exp(wide - wide.max(axis, keepdims=True))
        want /= want.sum(axis, keepdims=True)
        close(out, want, dtype)
    run(softmax_nest(strides, dtype), [a, a], shape, [strides] * 2)
    want = np.exp(wide - wide.max(1, keepdims=True))
    close(a, want / want.sum(1, keepdims=True), dtype)


def test_strided_rows():
    a = random(dt.float32, 3000)
    out = np.zeros(40, np.float32)
    nest = reduction("sum", dt.float32, "rows", [3, 75], [1, 0])
    run(nest, [a, out], [40, 35], [[3, 75], [1, 0]])
    np.testing.assert_allclose(out, view(a, [40, 35], [3, 75]).sum(1), rtol=1e-4, atol=1e-5)


def test_rows_with_scratch_of_their_own():
    """A layer norm that keeps the centred row in scratch, one copy for each thread."""
    a, out = random(dt.float32, 500 * 300), np.zeros(500 * 300, np.float32)
    apart = 300 * 4 + 64
    scratch = np.zeros(apart * threads.get_num_threads() // 4, np.float32)
    mean, centred = Result(0, dt.float32) / 300, Load(2, dt.float32)
    stages = (
        Stage((Reduce("sum", x32, dt.float32),)),
        Stage((Reduce("sum", (x32 - mean) * (x32 - mean), dt.float32),), (Store(2, x32 - mean),)),
        Stage((), (Store(1, centred * k.rsqrt(Result(1, dt.float32) / 300 + 1e-5)),)),
    )
    accesses = (reader([300, 1]), reader([300, 1]), Access(dt.float32, (0, 1), per_thread=True))
    nest = Nest(2, accesses, (), stages, "rows")
    run(nest, [a, out, scratch], [500, 300], [[300, 1], [300, 1], [0, 1]], apart=apart)
    wide = a.reshape(500, 300).astype(np.float64)
    want = (wide - wide.mean(1, keepdims=True)) / np.sqrt(wide.var(1, keepdims=True) + 1e-5)
    np.testing.assert_allclose(out.reshape(500, 300), want, atol=1e-5)


def test_three_loops_of_rows_and_columns():
    a = random(dt.float32, 6 * 7 * 50)
    wide = a.reshape(6, 7, 50)
    for mode, axis, sizes, written in (
        ("rows", 2, [6, 7], [7, 1, 0]), ("columns", 1, [6, 50], [50, 0, 1]),
    ):  # fmt: skip
        out = np.zeros(int(np.prod(sizes)), np.float32)
        strides = [350, 50, 1]
        store = Store(1, Result(0, dt.float32) * 2)
        stage = Stage((Reduce("sum", x32, dt.float32),), (store,))
        nest = Nest(3, (reader(strides), reader(written)), (), (stage,), mode)
        run(nest, [a, out], [6, 7, 50], [strides, written])
        np.testing.assert_allclose(out.reshape(sizes), wide.sum(axis) * 2, rtol=1e-4, atol=1e-5)


# -- split reductions


@pytest.mark.parametrize("n", [0, 1, 16384, 16385, 100003])
def test_split_row(n):
    a = random(dt.float32, n)
    split = Nest(
        1,
        (reader([1]), reader([1])),
        (),
        (Stage((Reduce("sum", x32, dt.float32),), (Store(1, Result(0, dt.float32)),)),),
        "split",
    )
    count = loops.chunks(split, [n])
    partial, out = np.zeros(max(1, count), np.float32), np.zeros(1, np.float32)
    run(split, [a, partial], [n], [[1], [1]])
    whole = Nest(1, (reader([1]), reader([0])), (), split.stages, "rows")
    run(whole, [partial, out], [count], [[1], [0]])
    np.testing.assert_allclose(out[0], a.sum(dtype=np.float64), rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize("shape", [(1, 5), (5000, 7), (1000, 300), (64, 100000), (0, 5)])
def test_split_columns(shape):
    a = random(dt.float32, shape[0] * shape[1])
    strides = [shape[1], 1]
    stage = Stage((Reduce("sum", x32, dt.float32),), (Store(1, Result(0, dt.float32)),))
    split = Nest(2, (reader([None, 1]), reader([None, 1])), (), (stage,), "split columns")
    count = loops.chunks(split, shape)
    partial, out = np.zeros((max(1, count), shape[1]), np.float32), np.zeros(shape[1], np.float32)
    run(split, [a, partial], shape, [strides, strides])
    whole = Nest(2, (reader([None, 1]), reader([0, 1])), (), (stage,), "columns")
    run(whole, [partial, out], [count, shape[1]], [strides, [0, 1]])
    np.testing.assert_allclose(out, a.reshape(shape).sum(0, np.float64), rtol=1e-4, atol=1e-3)


def test_split_argmax():
    a = random(dt.float32, 60000)
    a[[41111, 51111]] = 100
    i64 = Load(2, dt.int64)
    values = Reduce("max", x32, dt.float32), Reduce("argmax", x32, dt.int64)
    stores = Store(1, Result(0, dt.float32)), Store(2, Result(1, dt.int64))
    accesses = (reader([1]), reader([1]), reader([1], dt.int64))
    split = Nest(1, accesses, (), (Stage(values, stores),), "split")
    count = loops.chunks(split, [len(a)])
    best, where, out = np.zeros(count, np.float32), np.zeros(count, np.int64), np.zeros(1, np.int64)
    run(split, [a, best, where], [len(a)], [[1]] * 3)
    final = Stage((Reduce("argmax", x32, dt.int64, i64),), (Store(1, Result(0, dt.int64)),))
    whole = Nest(1, (reader([1]), reader([0], dt.int64), reader([1], dt.int64)), (), (final,),
                 "rows")  # fmt: skip
    run(whole, [best, out, where], [count], [[1], [0], [1]])
    assert out[0] == 41111


# -- bits, words, refusals


def test_the_same_bits_on_any_number_of_threads():
    a = random(dt.float32, 300 * 1000)
    results, before = [], threads.get_num_threads()
    for count in (1, 2, 3, 5):
        threads.set_num_threads(count)
        out, total = np.zeros_like(a), np.zeros(1000, np.float32)
        run(softmax_nest([1000, 1]), [a, out], [300, 1000], [[1000, 1]] * 2)
        nest = reduction("sum", dt.float32, "columns", [1000, 1], [0, 1])
        run(nest, [a, total], [300, 1000], [[1000, 1], [0, 1]])
        results.append((out.tobytes(), total.tobytes()))
    threads.set_num_threads(before)
    assert len(set(results)) == 1


def test_small_work_is_one_task():
    nest = softmax_nest([None, 1])
    assert loops.tasks(nest, [32, 10]) == 1
    assert loops.tasks(nest, [0, 10]) == 0
    assert loops.tasks(nest, [100000, 10]) > 8


def test_words_are_listed_in_order():
    nest = Nest(2, (reader([50, 1]), reader([1, 0])), (dt.float32,), (
        Stage((Reduce("sum", x32 * Argument(0, dt.float32), dt.float32),),
              (Store(1, Result(0, dt.float32)),)),), "rows")  # fmt: skip
    listed = [(w.what, w.number, w.second) for w in words(nest)]
    assert listed == [
        ("pointer", 0, 0), ("pointer", 1, 0), ("size", 0, 0), ("size", 1, 0), ("stride", 0, 0),
        ("scalar", 0, 0), ("grain", 0, 0),
    ]  # fmt: skip
    assert canonical(nest) == canonical(Nest(2, nest.accesses, nest.scalars, nest.stages, "rows"))


@pytest.mark.parametrize(
    "wrong",
    [
        dict(mode="sideways"), dict(loops=2), dict(mode="columns"),
        dict(stages=(Stage((Reduce("sum", x32, dt.float32),)),)),
        dict(stages=(Stage((), (Store(1, Result(0, dt.float32)),)),)),
    ],
    ids=str,
)  # fmt: skip
def test_refuses_what_is_not_a_nest(wrong):
    fine = dict(loops=1, accesses=(reader([1]), reader([1])), scalars=(), mode="map",
                stages=(Stage((), (Store(1, x32),)),))  # fmt: skip
    with pytest.raises(ValueError, match="not a loop nest"):
        Nest(**{**fine, **wrong})


# -- checked code


@pytest.fixture
def checked(monkeypatch):
    monkeypatch.setattr(settings, "check", True)
    return cpu()


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("n", [5, 64, 100])
def test_checked_code_reports_and_does_not_touch(checked, n, stride):
    a, out = random(dt.float32, n * stride), np.full(n + 64, 7, np.float32)
    nest = Nest(1, (reader([stride]), reader([1])), (), (Stage((), (Store(1, x32),)),))
    start, end = out.ctypes.data, out.ctypes.data + n * 4
    whole = a.ctypes.data, a.ctypes.data + a.nbytes
    fine = Run(nest, [a, out], [n], [[stride], [1]], target=checked, ranges=[whole, (start, end)])
    assert fine() == 0
    np.testing.assert_array_equal(out[:n], a[::stride])
    out[:] = 7
    short = Run(nest, [a, out], [n], [[stride], [1]], target=checked,
                ranges=[whole, (start, end - 4)])  # fmt: skip
    assert short() == 1 and list(short.record[:2]) == [2, 1]
    assert (out[n - 1 :] == 7).all()
    less = whole[0], whole[1] - stride * 4
    wrong = Run(nest, [a, out], [n], [[stride], [1]], target=checked, ranges=[less, (start, end)])
    assert wrong() == 1 and list(wrong.record[:2]) == [2, 0]


def test_checked_code_agrees(checked):
    a = random(dt.float32, 70 * 90)
    out = np.zeros_like(a)
    run(softmax_nest([90, 1]), [a, out], [70, 90], [[90, 1]] * 2, target=checked)
    np.testing.assert_allclose(out.reshape(70, 90).sum(1), 1, rtol=1e-5)


# -- elements picked by index


def picking(table_stride):
    """out[i] = table[index[i]], the index checked against a run-time bound."""
    where = Check(Load(0, dt.int64), Argument(0, dt.int64), "index", 3)
    accesses = (reader([1], dt.int64), reader([table_stride]), reader([1]))
    stage = Stage((), (Store(2, Pick(1, where, dt.float32)),))
    return Nest(1, accesses, (dt.int64,), (stage,))


def test_elements_picked_by_index():
    table, index = random(dt.float32, 50), np.arange(1003) * 7 % 50
    out = np.zeros(1003, np.float32)
    run(picking(0), [index, table, out], [1003], [[1], [0], [1]], scalars=[50])
    np.testing.assert_array_equal(out, table[index])


@pytest.mark.parametrize("place", [0, 17, 1002])
@pytest.mark.parametrize("wrong", [50, -1, 2**40])
def test_an_index_out_of_range_is_reported_with_its_facts(place, wrong):
    table, index = random(dt.float32, 50), np.arange(1003) * 7 % 50
    index[place] = wrong
    out = np.zeros(1003, np.float32)
    broken = Run(picking(0), [index, table, out], [1003], [[1], [0], [1]], [50])
    assert broken() == 1
    assert list(broken.record[:4]) == [code_of("index"), wrong, 50, 3]
