"""`flambeau explain`: run a program, and then say what became of one of its steps.

The program runs as under `flambeau run`; watch.py watches it from inside.
"""

from __future__ import annotations

import json
import os
import sys

from flambeau.cli import run

USAGE = """\
usage: flambeau explain [OPTION…] FILE [ARGUMENT…]      (or -m MODULE, -c CODE, -)
  --step N      explain what ran at the N-th flush; else the program that took most of the time
  --kernel K    only the K-th kernel: its calls, its loops, its words
  --llvm        print the LLVM IR of each kernel too
  --asm         print each kernel in this machine's assembly language too
  --html FILE   write all of it as a page for a browser, in one file
"""
CODE = {"--llvm": "llvm", "--asm": "assembly", "--assembly": "assembly"}
NUMBERS = ("--step", "--kernel")


def explain(arguments: list[str]) -> int:
    """Run a program and explain it; returns the exit code where the process is not replaced."""
    wanted: dict[str, object] = {"step": None, "kernel": None, "code": "", "html": ""}
    rest = list(arguments)
    while rest and rest[0].startswith("--"):
        option = rest.pop(0)
        if option in CODE:
            wanted["code"] = CODE[option]
        elif option in NUMBERS and rest and rest[0].isdecimal() and int(rest[0]):
            wanted[option[2:]] = int(rest.pop(0))
        elif option == "--html" and rest:
            wanted["html"] = os.path.abspath(rest.pop(0))
        elif option == "--help":
            print(USAGE, end="")
            return 0
        else:
            print(f"{USAGE}flambeau explain: not understood: {option}", file=sys.stderr)
            return 2
    if not rest or rest[0] == "-h":
        print(USAGE, end="", file=sys.stdout if rest else sys.stderr)
        return 0 if rest else 2
    return run.run(rest, {"FLAMBEAU_EXPLAIN": json.dumps(wanted)})
