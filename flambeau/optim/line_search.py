"""A line search for the strong Wolfe conditions.

J. Nocedal, S. Wright: Numerical Optimization, 2006, algorithms 3.5 and 3.6; the safeguards are
those of M. Schmidt's minFunc, 2005.
"""

from dataclasses import dataclass
from typing import Any

DECREASE, FLATNESS = 1e-4, 0.9  # of how much the loss falls and of how flat it is in the end
MOST = 25  # steps of both phases together


@dataclass(frozen=True, slots=True)
class Point:
    """A place on the line: the step, the loss there, its gradient, and its slope along the line."""

    t: float
    loss: float
    grad: Any
    slope: float


def cubic_minimum(a, b, bounds=None):
    """Where the cubic through two points, with their slopes, has its minimum, within bounds."""
    low, high = bounds or sorted((a.t, b.t))
    if a.t > b.t:
        a, b = b, a
    d1 = a.slope + b.slope - 3 * (a.loss - b.loss) / (a.t - b.t)
    square = d1 * d1 - a.slope * b.slope
    if not square >= 0:
        return (low + high) / 2
    d2 = square**0.5
    best = b.t - (b.t - a.t) * ((b.slope + d2 - d1) / (b.slope - a.slope + 2 * d2))
    return min(max(best, low), high)


class Search:
    """One search from `start` (t = 0); evaluate(t) answers the Point there."""

    def __init__(self, evaluate, start, reach, tolerance):
        self.measure, self.start = evaluate, start
        self.reach, self.tolerance = reach, tolerance  # largest move of a parameter at t = 1
        self.count = self.rounds = 0

    def run(self, t):
        """The point to go to; `count` is how often the loss was evaluated."""
        points = self.bracket(t)
        return points[0] if len(points) == 1 else self.zoom(*points)

    def evaluate(self, t):
        self.count += 1
        return self.measure(t)

    def too_high(self, point):
        """Whether the loss has not fallen as far as the slope at the start promised."""
        return point.loss > self.start.loss + DECREASE * point.t * self.start.slope

    def flat(self, point):
        return abs(point.slope) <= -FLATNESS * self.start.slope

    def bracket(self, t):
        """Two points with a good one between them, or one that is good."""
        before, point = self.start, self.evaluate(t)
        while self.rounds < MOST:
            if self.too_high(point) or self.rounds > 1 and point.loss >= before.loss:
                return before, point
            if self.flat(point):
                return (point,)
            if point.slope >= 0:
                return before, point
            bounds = point.t + 0.01 * (point.t - before.t), point.t * 10
            t = cubic_minimum(before, point, bounds)
            before, point = point, self.evaluate(t)
            self.rounds += 1
        return self.start, point

    def zoom(self, low, high):
        """Narrow the two points down until one of them is good; `low` has the lower loss."""
        if low.loss > high.loss:
            low, high = high, low
        stuck = False
        while self.rounds < MOST and abs(high.t - low.t) * self.reach >= self.tolerance:
            t, stuck = away_from_ends(cubic_minimum(low, high), low.t, high.t, stuck)
            point = self.evaluate(t)
            self.rounds += 1
            if self.too_high(point) or point.loss >= low.loss:
                low, high = (low, point) if low.loss <= point.loss else (point, low)
                continue
            if self.flat(point):
                return point
            if point.slope * (high.t - low.t) >= 0:
                high = low
            low = point
        return low


def away_from_ends(t, a, b, stuck):
    """A step that makes progress: not twice in turn within a tenth of an end of the interval."""
    least, most = min(a, b), max(a, b)
    margin = 0.1 * (most - least)
    if min(most - t, t - least) >= margin:
        return t, False
    if not (stuck or t >= most or t <= least):
        return t, True
    nearer_to_most = abs(t - most) < abs(t - least)
    return (most - margin if nearer_to_most else least + margin), False
