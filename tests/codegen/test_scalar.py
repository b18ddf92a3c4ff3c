"""Scalar trees: identity, printing, price."""

import gc

import pytest

from flambeau.codegen.scalar import Argument, Load, Number, cost, k, show
from flambeau.ir import dtype as dt
from flambeau.ir.tree import walk

x, y = Load(0, dt.float32), Load(1, dt.float32)


def test_equal_trees_are_one_object():
    assert k.exp(x) * 2 is k.exp(x) * 2.0
    assert x + y is not y + x
    assert Number(0.0, dt.float32) is not Number(-0.0, dt.float32)
    assert Number(1, dt.int64) is not Number(True, dt.bool_)


def test_trees_that_nobody_holds_go_away():
    from flambeau.ir import tree

    gc.collect()
    before = len(tree._known)
    made = k.tanh(x * 123.456) + 77.0
    assert len(tree._known) > before
    del made
    gc.collect()
    assert len(tree._known) == before


def test_show():
    assert show(x / (1 + k.exp(-x))) == "x / (1 + exp(-x))"
    assert show((x - 1) - (y - 2)) == "x - 1 - (x1 - 2)"
    assert show(k.where(x > 0, x, -(x * 2))) == "where(x > 0, x, -(x * 2))"
    assert show(x * Argument(0, dt.float32), {0: "a"}) == "a * s0"
    assert show(k.cast(x, dt.int32)) == "int32(x)"


def test_cost_counts_shared_parts_once():
    e = k.exp(x)
    assert cost(x / (1 + k.exp(-x))) == (4, 1)
    assert cost(e + e * e) == (3, 1)


def test_walk_is_linear_in_shared_trees():
    node = x
    for _ in range(200):
        node = node + node
    assert len(list(walk(node))) == 201


def test_numbers_take_the_type_beside_them():
    assert (x + 1).args[1].dtype is dt.float32
    i = Load(0, dt.uint8)
    assert (i + 300).args[1].data == 44
    with pytest.raises(TypeError, match="one type"):
        x + i
    with pytest.raises(TypeError, match="not defined"):
        i / 2
