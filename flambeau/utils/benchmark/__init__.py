"""Timing small pieces of code: Timer, what it measures, and tables of several measurements."""

from flambeau.utils.benchmark.compare import Compare
from flambeau.utils.benchmark.measurement import Measurement, TaskSpec
from flambeau.utils.benchmark.timer import Language, Timer, timer

__all__ = ["Compare", "Language", "Measurement", "TaskSpec", "Timer", "timer"]
