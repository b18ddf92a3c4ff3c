"""The memory plan as a picture: SVG, drawn by hand.

To the right runs the time, a column for each kernel; downwards the arena, byte by byte. Each
storage is a box from the kernel that makes it to the last one that reads it, so one sees who takes
whose place.
"""

from __future__ import annotations

import html
from math import log2

from flambeau.compiler.observe import Observer
from flambeau.compiler.reaching import reaches_memory, touched_homes
from flambeau.ir.program import POSITIONS
from flambeau.ir.record import record

WIDTH, HEIGHT = 960, 360
LEFT, TOP = 78, 22
LEAST = 3.0  # pixels that even a small box is high


@record
class Box:
    """A storage in the arena: its place in bytes, and the clusters in which it is needed."""

    name: str
    start: int
    nbytes: int
    first: int
    last: int
    color: int
    used: bool  # whether anybody stores it


def memory_picture(observer: Observer) -> str:
    """The arena of a program as an SVG element; a sentence where there is none."""
    found = boxes(observer)
    if not found:
        return "<p>Nothing is kept between kernels: there is no arena.</p>"
    columns = max(len(observer.fused.clusters), 1)
    across = (WIDTH - LEFT - 8) / columns
    down = (HEIGHT - TOP - 8) / max(observer.arena, 1)
    parts = [axes(observer, columns, across)]
    parts += [drawn(box, across, down) for box in sorted(found, key=lambda b: -b.nbytes)]
    label = "Memory plan: storages by life time and place in the arena"
    return (f'<svg class="plan" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">'
            + "".join(parts) + "</svg>")  # fmt: skip


def boxes(observer: Observer) -> list[Box]:
    """Every storage of the arena, and the scratch memory of kernels."""
    lives: dict[int, list[int]] = {}
    stored = {observer.fused.homes[v] for v in reaches_memory(observer.fused) - {POSITIONS}}
    for number, cluster in enumerate(observer.fused.clusters):
        for home in touched_homes(cluster, observer.fused):
            lives.setdefault(home, []).append(number)
    found: list[Box] = []
    for key, start in observer.starts.items():
        if isinstance(key, int):
            if key not in lives or key not in observer.sizes:
                continue
            life, nbytes, name = lives[key], observer.sizes[key], f"%{key}"
        else:
            life, nbytes, name = [key[0]], observer.scratch[key], "scratch"
        used = not isinstance(key, int) or key in stored
        found.append(Box(name, start, nbytes, life[0], life[-1], len(found) % 6, used))
    return found


def drawn(box: Box, across: float, down: float) -> str:
    """A box, which says what it is when one points at it."""
    x, y = LEFT + box.first * across, TOP + box.start * down
    width, height = (box.last - box.first + 1) * across - 1, max(box.nbytes * down - 1, LEAST)
    life = f"clusters {box.first + 1} to {box.last + 1}"
    never = "" if box.used else ", never stored"
    title = html.escape(f"{box.name}: {sized(box.nbytes)} at {box.start}, {life}{never}")
    text = ""
    if height >= 12 and width >= 8 * len(box.name):
        text = f'<text x="{x + 4:.1f}" y="{y + 12:.1f}">{html.escape(box.name)}</text>'
    kind = f"box c{box.color}" + " unused" * (not box.used)
    return (f'<g class="{kind}"><title>{title}</title><rect x="{x:.1f}" y="{y:.1f}" '
            f'width="{max(width, 1):.1f}" height="{height:.1f}"/>{text}</g>')  # fmt: skip


def axes(observer: Observer, columns: int, across: float) -> str:
    """Numbers of clusters above, bytes at the left."""
    every = max(1, 2 ** max(0, int(log2(26 / across)) + 1)) if across < 26 else 1
    marks = [f'<text class="axis" x="{LEFT + (n + 0.5) * across:.1f}" y="14" '
             f'text-anchor="middle">{n + 1}</text>' for n in range(0, columns, every)]  # fmt: skip
    for share in (0.0, 0.5, 1.0):
        y = TOP + share * (HEIGHT - TOP - 8)
        marks.append(f'<line class="axis" x1="{LEFT}" x2="{WIDTH - 8}" y1="{y:.1f}" '
                     f'y2="{y:.1f}"/><text class="axis" x="{LEFT - 6}" y="{y + 4:.1f}" '
                     f'text-anchor="end">{sized(share * observer.arena)}</text>')  # fmt: skip
    return "".join(marks)


def sized(nbytes: float) -> str:
    """Bytes as one reads them."""
    for bound, unit in ((1 << 30, "GB"), (1 << 20, "MB"), (1 << 10, "KB")):
        if nbytes >= bound:
            return f"{nbytes / bound:.3g} {unit}"
    return f"{nbytes:.0f} bytes"


__all__ = ["memory_picture", "sized"]
