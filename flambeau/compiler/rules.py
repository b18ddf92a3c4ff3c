"""The pass `lower` with all its rules: importing these files fills the table."""

from flambeau.compiler import choosing, classes, parts, reading, reducing, writing
from flambeau.compiler.lower import RULES, lower

__all__ = ["RULES", "choosing", "classes", "lower", "parts", "reading", "reducing", "writing"]
