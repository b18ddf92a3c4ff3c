"""The notation: what is shown says what is meant, and says it the same way everywhere."""

import itertools

import numpy as np
import pytest

import flambeau
from flambeau.codegen.scalar import Argument, Load, Result, k
from flambeau.compiler import pipeline, verify
from flambeau.ir import dtype as dt
from flambeau.ir.kernel import Access, Nest, Reduce, Stage, Store
from flambeau.ir.layout import Layout, Offset, contiguous_strides, extent
from flambeau.ir.program import POSITIONS, Call, Input, Program, Ref
from flambeau.ir.show import brief, folded, show, show_ref
from flambeau.ir.show_layout import show_view
from flambeau.settings import settings
from flambeau.trace import programs

OWN = Layout((4, 6), (6, 1))


def text(size, stride, offset=0, own=OWN):
    return show_view(Layout(size, stride, offset), own)


VIEWS = {
    "": ((4, 6), (6, 1)),
    "ᵀ": ((6, 4), (1, 6)),
    ".view(24)": ((24,), (1,)),
    "[1:3]": ((2, 6), (6, 1), 6),
    "[:, 3:5]": ((4, 2), (6, 1), 3),
    "[1::2, 1]": ((2,), (12,), 7),
    "[2]": ((6,), (1,), 12),
    "[1, 3]": ((), (), 9),
    "[:, 3:5]ᵀ": ((2, 4), (1, 6), 3),
    ".expand(3, 4, 6)": ((3, 4, 6), (0, 6, 1)),
    ".view(4, 1, 6).expand(4, 3, 6)": ((4, 3, 6), (6, 0, 1)),
    "[:1].expand(4, 6)": ((4, 6), (0, 1)),
    ".as_strided((5, 5), (1, 1), 2)": ((5, 5), (1, 1), 2),
    ".as_strided((4,), (7,))": ((4,), (7,)),
}


@pytest.mark.parametrize("words", VIEWS)
def test_views_read_as_their_author_would_write_them(words):
    assert text(*VIEWS[words]) == words


def test_an_offset_of_run_time_comes_first():
    assert text((4, 6), (6, 1), Offset(0)) == "@0"
    assert text((2, 6), (6, 1), Offset(1)) == "@1[:2]"


def evaluated(words, own):
    """What NumPy makes of the words of a view."""
    base = np.arange(60)
    x = np.lib.stride_tricks.as_strided(base, own.size, [8 * s for s in own.stride])

    class Words(np.ndarray):
        def expand(self, *size):
            return np.broadcast_to(self, size)

        def permute(self, *order):
            return self.transpose(order)

        def view(self, *size):
            return self.reshape(*size)

        def as_strided(self, size, stride, offset=0):
            flat = base[offset:]
            return np.lib.stride_tricks.as_strided(flat, size, [8 * s for s in stride])

        mT = property(lambda self: self.swapaxes(-1, -2))

    return eval("x" + words.replace("ᵀ", ".T"), {"x": np.array(x).view(Words)})


def small_layouts(own):
    """Every layout of up to two dims with small strides that stays inside the storage."""
    limit = extent(own.size, own.stride)
    pairs = itertools.product((1, 2, 3), (1, 2, 4))
    for size in [(), (1,), (2,), (3,), *pairs]:
        for stride in itertools.product((0, 1, 2, 3, 4, 12), repeat=len(size)):
            for offset in (0, 1, 4, 5):
                if offset + extent(size, stride) <= limit:
                    yield Layout(size, stride, offset)


OWNERS = [((3, 4), (4, 1)), ((4, 3), (1, 4)), ((12,), (1,)), ((3, 1, 4), (4, 4, 1)), ((), ())]


@pytest.mark.parametrize("own", [Layout(*facts) for facts in OWNERS], ids=str)
def test_the_words_of_a_view_mean_the_view(own):
    for layout in small_layouts(own):
        words = show_view(layout, own)
        flat = np.arange(60)[layout.offset :]
        meant = np.lib.stride_tricks.as_strided(flat, layout.size, [8 * s for s in layout.stride])
        assert np.array_equal(evaluated(words, own), meant), (words, layout)


def test_positions_are_a_function_of_the_index():
    assert show_ref(Ref(POSITIONS, Layout((3, 4), (-1, 1), 0), dt.int64), {}) == "⟨-i + j⟩"
    assert show_ref(Ref(POSITIONS, Layout((3, 4), (0, 20), 2), dt.int64), {}) == "⟨2 + 20j⟩"


# ------------------------------------------------------------------ programs


def recorded(function, *tensors):
    """The program that a function records."""
    caught = []
    programs.watchers.append(lambda entry, *rest: caught.append(entry.program))
    try:
        result = function(*tensors)
        result.tolist()
    finally:
        programs.watchers.pop()
    return caught[-1]


def parameters():
    new = flambeau.ones
    return new(8, 4), new(4, 3), new(3)


def lines(thing):
    """What is shown, without sources and with values counted from 0."""
    return [line.split("  test_show")[0].rstrip() for line in show(thing).split("\n")]


def after(program, name):
    return dict(pipeline.passes(program))[name]


def test_a_program_shows_inputs_calls_and_what_is_wanted():
    x, w, b = parameters()
    x.tolist(), w.tolist(), b.tolist()
    program = recorded(lambda x, w, b: (x @ w * 0.5 + b).relu(), x, w, b)
    assert lines(program) == [
        "inputs %0 float32[8, 4], %1 float32[4, 3], %4 float32[3]",
        "%2 float32[8, 3] = mm(%0, %1)",
        "%3 float32[8, 3] = mul(%2, $0)",
        "%5 float32[8, 3] = add(%3, %4)",
        "%6 float32[8, 3] = relu(%5)",
        "live %6",
    ]
    assert repr(program) == show(program) and "test_show.py:" in repr(program)
    assert repr(program.calls[0]) == "%2 float32[8, 3] = mm(%0, %1)"


def test_a_transpose_is_a_sign():
    x, w, b = parameters()
    x.tolist(), w.tolist(), b.tolist()
    program = recorded(lambda x, w: w.t() @ x.t(), x, w)
    assert lines(program)[1] == "%4 float32[3, 8] = mm(%0ᵀ, %2ᵀ)"


def test_bias_and_relu_join_the_matmul():
    x, w, b = parameters()
    x.tolist(), w.tolist(), b.tolist()
    fused = after(recorded(lambda x, w, b: (x @ w + b).relu(), x, w, b), "fuse")
    assert lines(fused) == ["%5 float32[8, 3] = mm(%0, %1) then add(%3), relu()"]


def test_a_cluster_that_is_no_chain_shows_its_members():
    x = flambeau.ones(8, 4)
    x.tolist()
    shown = lines(after(recorded(lambda x: x.softmax(1), x), "fuse"))
    assert shown[0] == "reduce over [8, 4], reduced along 1"
    assert any("amax(%0, dim=1, keepdim=True)" in line for line in shown[1:])


def test_writes_say_what_they_write_over():
    x = flambeau.zeros(4, 6)
    x.tolist()

    def write(x):
        x[1:3] = 7.0
        return x

    shown = lines(recorded(write, x))
    assert any(" over %0" in line and "float32[2, 6]" in line for line in shown)


def test_slices_begin_where_the_program_is_told():
    x = flambeau.ones(8, 4)
    x.tolist()
    program = recorded(lambda x: x[2:4] * x[4:6].sum(), x)
    assert lines(program)[1:3] == [
        "%3 float32[] = sum_all(%0@1)", "%4 float32[2, 4] = mul(%0@0, %3)"]  # fmt: skip


def test_long_calls_are_cut_after_commas():
    cut = folded("f(" + ", ".join(["argument"] * 30) + ")", 60, "")
    assert all(len(line) <= 60 for line in cut) and len(cut) > 4
    assert "".join(line.strip() for line in cut).count("argument") == 30


def test_an_error_says_what_was_called():
    x = flambeau.ones(5, 3)
    call = recorded(lambda x: flambeau.softmax(x, 1), x).calls[-1]
    assert brief(call).startswith("softmax(float32[5, 3], dim=1")


def test_a_nest_shows_its_passes():
    x, r, row = Load(0, dt.float32), Result(0, dt.float32), (None, 1)
    stages = (
        Stage((Reduce("max", x, dt.float32),)),
        Stage((), (Store(1, k.exp(x - r) * Argument(0, dt.float32)),)),
    )
    accesses = (Access(dt.float32, row), Access(dt.float32, row))
    nest = Nest(2, accesses, (dt.float32,), stages, "rows")
    assert show(nest).split("\n") == [
        "rows · 2 loops · s0 float32",
        "  x0  float32[·, 1]",
        "  x1  float32[·, 1]",
        "  pass 0   r0 = max(x0)",
        "  pass 1   x1 ← exp(x0 - r0) * s0",
    ]


def test_what_is_used_twice_gets_a_name():
    x = Load(0, dt.float32)
    long = k.exp(k.sin(x) * 3.5 + k.cos(x) * 2.5)
    nest = Nest(1, (Access(dt.float32, (1,)),), (), (Stage((), (Store(0, long / (1 + long)),)),))
    assert show(nest).split("\n")[2:] == [
        "  t0 = exp(sin(x0) * 3.5 + cos(x0) * 2.5)",
        "  x0 ← t0 / (1 + t0)",
    ]


# ------------------------------------------------------------------ verify


def sample_program():
    x, w, b = parameters()
    x.tolist(), w.tolist(), b.tolist()
    return recorded(lambda x, w, b: (x @ w + b).relu(), x, w, b)


def changed(program, **fields):
    values = {name: getattr(program, name) for name in Program.__slots__}
    return Program(**{**values, **fields})


def test_programs_are_in_order_after_every_pass():
    with settings.override(check=True):
        dict(pipeline.passes(sample_program()))


def broken_programs():
    """Programs that no pass may leave behind, and what is said about them."""
    program = sample_program()
    first, second, third = program.calls
    yield changed(program, calls=(second, first, third)), "read before it is made"
    yield changed(program, calls=(first, first, second, third)), "made twice"
    yield changed(program, live=(99,)), "nobody makes it"
    yield changed(program, inputs=(*program.inputs, program.inputs[0])), "two inputs"
    outside = Ref(first.outs[0].value, Layout((8, 4), (3, 1)), dt.float32)
    other = Call(second.op, (outside, *second.args[1:]), second.outs)
    yield changed(program, calls=(first, other, third)), "is touched at elements 0 to 24"


def test_what_a_pass_must_not_do_is_noticed():
    for program, words in broken_programs():
        with pytest.raises(verify.Broken, match=words):
            verify.verify(program, "a test")


def test_reading_what_was_written_over_is_noticed():
    x = Input(0, dt.float32)
    program = sample_program()
    relu = program.calls[-1]
    layout = Layout((8, 3), contiguous_strides((8, 3)))
    over = type(relu.outs[0])(1, layout, dt.float32, 0)
    write = Call(relu.op, (Ref(0, layout, dt.float32),), (over,))
    late = Call(relu.op, (Ref(0, layout, dt.float32),), (type(over)(2, layout, dt.float32),))
    with pytest.raises(verify.Broken, match="%0 is read after %1 took its place"):
        verify.verify(Program((x,), (write, late), (2,), (), 0), "a test")


def test_clusters_out_of_order_are_noticed():
    x = flambeau.ones(6, 6)
    x.tolist()
    fused = after(recorded(lambda x: (x @ x).sum() + (x @ x).t() @ x, x), "fuse")
    assert len(fused.clusters) > 1
    fused.clusters.reverse()
    with pytest.raises(verify.Broken, match="which it needs"):
        verify.verify(fused, "a test")


def test_memory_that_overlaps_in_time_is_noticed():
    verify.verify_memory([(1, 64, 0, 1), (2, 64, 2, 3)], {1: 0, 2: 0}, 64)
    with pytest.raises(verify.Broken, match="at the same time"):
        verify.verify_memory([(1, 64, 0, 2), (2, 64, 2, 3)], {1: 0, 2: 0}, 64)
    with pytest.raises(verify.Broken, match="of an arena of 32 bytes"):
        verify.verify_memory([(1, 64, 0, 2)], {1: 0}, 32)
