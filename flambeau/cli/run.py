"""`flambeau run`: an unmodified PyTorch program, with Flambeau for PyTorch.

The program gets a Python of its own, started exactly as `python FILE` would start it, so that
arguments, tracebacks, exit codes, signals, standard input and `-m` need no imitation. What makes
`import torch` mean Flambeau there is `startup/sitecustomize.py`.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False  # as in `typing`, whose import takes longer than all that happens here
if TYPE_CHECKING:
    from collections.abc import Mapping

USAGE = """\
usage: flambeau run FILE [ARGUMENT…]
       flambeau run -m MODULE [ARGUMENT…]
       flambeau run -c CODE [ARGUMENT…]
       flambeau run -              (the program is read from standard input)
"""
STARTUP = os.path.join(os.path.dirname(os.path.abspath(__file__)), "startup")


def run(arguments: list[str], extra: Mapping[str, str] | None = None) -> int:
    """Run a program as `python` would, with `extra` environment variables.

    Does not return where the system can replace this process by the program.
    """
    if arguments[:1] in (["-h"], ["--help"]):
        print(USAGE, end="")
        return 0
    problem = _problem(arguments)
    if problem:
        print(f"{USAGE}flambeau run: {problem}", file=sys.stderr)
        return 2
    command = [sys.executable, *_own_options(), *arguments]
    return _become(command, _environment(os.environ, extra or {}))


def _problem(arguments: list[str]) -> str | None:
    """Why this cannot be run, if it cannot."""
    if not arguments:
        return "which program? Give a file, -m, -c or -"
    first = arguments[0]
    if first.startswith("-") and first != "-" and first[:2] not in ("-m", "-c"):
        hint = f"for an option of Python's own: python {first} -m flambeau run …"
        return f"'{first}' is neither a file nor one of -m, -c and -\n  hint: {hint}"
    if sys.flags.ignore_environment or sys.flags.no_site:
        return "Python's options -E, -I and -S cannot be used: the program would find PyTorch"
    return None


def _own_options() -> list[str]:
    """The options that this Python was started with (-X, -W, -O, …), for the program's too."""
    if sys.orig_argv[1 : -len(sys.argv)] in ([], ["-m"]):
        return []  # none, as a rule; then nothing need be imported
    import subprocess

    # What the standard library itself hands on to the processes that it starts.
    return list(subprocess._args_from_interpreter_flags())  # type: ignore[attr-defined]


def _environment(environment: Mapping[str, str], extra: Mapping[str, str]) -> dict[str, str]:
    """The program's environment: `startup` comes first on PYTHONPATH."""
    path = [part for part in environment.get("PYTHONPATH", "").split(os.pathsep) if part]
    path = [STARTUP, *(part for part in path if part != STARTUP)]
    return {**environment, **extra, "PYTHONPATH": os.pathsep.join(path)}


def _become(command: list[str], environment: dict[str, str]) -> int:
    sys.stdout.flush()
    sys.stderr.flush()
    if os.name == "nt":  # there, exec would return to the shell before the program has ended
        import subprocess

        return subprocess.call(command, env=environment)
    os.execve(command[0], command, environment)
