"""The `flambeau` command: `flambeau run train.py` and what helps to look inside.

A command is a function that takes the arguments after its name and returns the exit code.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

from flambeau.cli.explain import explain
from flambeau.cli.look import cache, settings
from flambeau.cli.run import run

COMMANDS: dict[str, tuple[Callable[[list[str]], int], str]] = {
    "run": (run, "run a PyTorch program, unmodified, with Flambeau"),
    "explain": (explain, "run a program, then show what became of its step, and what it cost"),
    "settings": (settings, "list the settings: environment variables, values, meanings"),
    "cache": (cache, "say what the kernel cache holds; `cache clear` empties it"),
}


def usage() -> str:
    """What the command can do, a line each."""
    lines = [f"  {name:10}{sentence}" for name, (_, sentence) in COMMANDS.items()]
    return "\n".join(["usage: flambeau COMMAND [ARGUMENT…]", "", *lines])


def main(arguments: list[str] | None = None) -> int:
    """Do what the command line says; returns the exit code."""
    name, *rest = (sys.argv[1:] if arguments is None else arguments) or ["--help"]
    if name in ("-h", "--help"):
        print(usage())
        return 0
    if name not in COMMANDS:
        print(f"{usage()}\n\nflambeau: there is no command '{name}'", file=sys.stderr)
        return 2
    return COMMANDS[name][0](rest)


if __name__ == "__main__":
    sys.exit(main())
