"""Gathers text that every machine with Python has: the docstrings of its standard library."""

import ast
import re
import sysconfig
from pathlib import Path

MODULES = [
    "argparse", "ast", "asyncio/events", "bisect", "calendar", "codecs", "collections/__init__",
    "configparser", "contextlib", "copy", "csv", "dataclasses", "datetime", "decimal", "difflib",
    "doctest", "email/message", "enum", "fractions", "functools", "heapq", "inspect", "ipaddress",
    "json/__init__", "logging/__init__", "mailbox", "optparse", "os", "pathlib", "pdb", "pickle",
    "pprint", "random", "shelve", "shutil", "socket", "statistics", "string", "subprocess",
    "tarfile", "tempfile", "textwrap", "threading", "timeit", "tokenize", "traceback", "turtle",
    "typing", "unittest/case", "uuid", "zipfile",
]


def docstrings(path):
    """Yield the docstrings of one source file, in its order, without running it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            yield ast.get_docstring(node) or ""


def load_text(length):
    """Return `length` characters of prose: lower-case letters and single spaces, nothing else."""
    library = Path(sysconfig.get_path("stdlib"))
    files = [library / f"{name}.py" for name in MODULES]
    prose = " ".join(text for file in files if file.exists() for text in docstrings(file))
    return re.sub("[^a-z]+", " ", prose.lower()).strip()[:length]
