"""Memory that buffers take from the pool, and what an interrupt leaves of one."""

from __future__ import annotations

import sys

from flambeau.runtime import buffers


def test_a_block_that_was_interrupted_while_it_was_made_goes_quietly(monkeypatch):
    told: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", told.append)
    for names in ((), ("address",), ("address", "block", "nbytes", "capacity")):
        whole = buffers.allocate(100)
        ill = buffers.Block.__new__(buffers.Block)
        for name in names:
            setattr(ill, name, getattr(whole, name))
        waiting = len(whole.free)
        del ill
        assert len(whole.free) == waiting  # what it stood for is not handed out twice
    assert not told


def test_a_block_comes_back():
    first = buffers.allocate(5000)
    address, waiting = first.address, first.free
    del first
    assert waiting[-1][0] == address
    assert buffers.allocate(5000).address == address
