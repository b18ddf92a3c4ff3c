"""The pass `lower` with all its rules: importing this file fills the table."""

from flambeau.compiler import reducing, writing
from flambeau.compiler.lower import RULES, lower

__all__ = ["RULES", "lower", "reducing", "writing"]
