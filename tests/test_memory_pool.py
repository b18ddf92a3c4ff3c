"""Blocks of memory are used again."""

from __future__ import annotations

import pytest

from flambeau.runtime import buffers


@pytest.fixture(autouse=True)
def afresh():
    buffers.empty_cache()
    yield
    buffers.empty_cache()


def test_huge_blocks_of_two_sizes_take_turns_in_the_larger_one():
    """Two programs whose scratch memory differs do not drive out each other's."""
    sizes = buffers.HUGE, buffers.HUGE * 5 // 4
    for size in sizes:
        buffers.allocate(size)
    (large,) = {block[0] for n in sizes for block in buffers.free_list(n)}
    for size in sizes * 2:
        buffer = buffers.allocate(size)
        assert (buffer.address, buffer.nbytes) == (large, size)
        assert buffers._pool.kept == 0
        del buffer
        assert buffers._pool.kept == sizes[1]


def test_a_huge_block_is_not_spent_on_far_less():
    buffers.allocate(buffers.HUGE * 4)
    small = buffers.allocate(buffers.HUGE)
    assert small.capacity == buffers.HUGE
