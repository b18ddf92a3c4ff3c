"""Measures what the machine can do at most, so that a time can be held against it.

Copies by NumPy on every thread, each between two buffers of its own, give the bandwidth at a
footprint; the best time of a large matrix product, in either framework, gives the arithmetic.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.pair import Child
from benchmarks.rows import Row, find_row

FOOTPRINTS = [2**k for k in range(16, 29, 2)]  # 64 KiB (first-level cache) to 256 MiB (memory)
CACHE_LINE = 64
LARGEST_PRODUCT = "matmul/AB 1024×1024×1024"


@dataclass(frozen=True)
class Limits:
    """Peak arithmetic (FLOP/s) and bandwidth (bytes/s read and written) at each footprint."""

    flops: float
    bandwidth: dict[int, float]
    load: float = 0.0  # how busy others kept the machine before the run

    def seconds(self, row: Row) -> float | None:
        """The least time a unit of the row can take here; None where the row names no cost."""
        closest = min(self.bandwidth, key=lambda size: abs(np.log(size / max(row.footprint, 1))))
        least = max(row.flops / self.flops, row.bytes / self.bandwidth[closest])
        return least or None


def measure_limits(children: Sequence[Child], threads: int, quick: bool) -> Limits:
    """Measure both."""
    load = os.getloadavg()[0]
    best = min(product_time(child, 0.1 if quick else 0.5) for child in children)
    seconds = 0.02 if quick else 0.3
    bandwidth = {size: copy_bandwidth(size, threads, seconds) for size in FOOTPRINTS}
    return Limits(find_row(LARGEST_PRODUCT).flops / best, bandwidth, load)


def product_time(child: Child, seconds: float) -> float:
    """The best time of the product."""
    child.ask(do="start", title=LARGEST_PRODUCT)
    return min(child.ask(do="turn", passes=20, seconds=seconds)["times"])


def copy_bandwidth(footprint: int, threads: int, seconds: float) -> float:
    """Bytes a second, read and written together, when every thread copies its share."""
    half = footprint // threads // 2
    moved = [0.0] * threads
    workers = [threading.Thread(target=copy_for, args=(half, seconds, moved, i))
               for i in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return sum(moved)


def copy_for(half: int, seconds: float, moved: list[float], i: int) -> None:
    """Copy one buffer to another for so long; note the best bandwidth in moved[i].

    One call copies the rows of a view, each a cache line further on, so that the call itself
    costs little where the buffers are small.
    """
    rows = max(1, min(half // CACHE_LINE // 8, 2**22 // half))
    source, target = (repeated(half, rows) for _ in range(2))
    end = time.perf_counter() + seconds
    while (begin := time.perf_counter()) < end:
        np.copyto(target, source)
        moved[i] = max(moved[i], 2 * half * rows / (time.perf_counter() - begin))


def repeated(half: int, rows: int) -> np.ndarray:
    """A buffer read again and again: row i of the view begins i cache lines after the first."""
    memory = np.ones(half + rows * CACHE_LINE, np.uint8)
    return np.lib.stride_tricks.as_strided(memory, (rows, half), (CACHE_LINE, 1))
