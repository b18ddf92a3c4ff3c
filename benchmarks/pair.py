"""Two child processes, one a framework, that take turns at the same row."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.results import Result, compare
from benchmarks.rows import Row

ROOT = Path(__file__).resolve().parent.parent
PAUSE = 0.01  # seconds between turns, in which the threads of the last one fall asleep


class RowFailedError(RuntimeError):
    """A framework could not run a row; the last line of the message says why."""


@dataclass(frozen=True)
class Plan:
    """How long to measure, and what."""

    theirs: str = "torch"
    ours: str = "flambeau"
    threads: int = 2
    alternations: int = 9
    passes: int = 20
    seconds: float = 0.15  # a turn takes at least so long
    enough: float = 2.0  # and ends here, whatever the passes, from the third on
    patience: float = 120.0  # a turn that takes longer has failed


def environment(threads: int, extra: dict[str, str] | None = None) -> dict[str, str]:
    """The variables that children run under: the same number of threads for everybody.

    Byte code is kept, so that both are imported as they are where they were installed.
    """
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "FLAMBEAU_THREADS")
    same = dict.fromkeys(names, str(threads)) | {"PYTHONDONTWRITEBYTECODE": ""}
    return os.environ | same | (extra or {})


class Child:
    """The parent's end of one child process."""

    def __init__(self, module: str, plan: Plan, extra: dict[str, str] | None = None) -> None:
        self.module, self.patience = module, plan.patience
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.child", module, str(plan.threads)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0, cwd=ROOT,
            env=environment(plan.threads, extra))

    def ask(self, **request: object) -> dict:
        """Send a request and wait for its answer."""
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(request).encode() + b"\n")
            answer = json.loads(self.read_line())
        except (BrokenPipeError, json.JSONDecodeError) as failure:
            code = self.process.wait(timeout=self.patience)
            raise RowFailedError(f"{self.module} ended with code {code}") from failure
        if "error" in answer:
            raise RowFailedError(f"{self.module}: {answer['error'].strip()}")
        return answer

    def read_line(self) -> bytes:
        """One line of the child's, as long as patience lasts."""
        stream, line = self.process.stdout, b""
        assert stream is not None
        deadline = time.monotonic() + self.patience
        while not line.endswith(b"\n"):
            left = max(0.0, deadline - time.monotonic())
            if not select.select([stream], [], [], left)[0]:
                self.process.kill()
                raise RowFailedError(f"{self.module} took longer than {self.patience:.0f} s")
            piece = stream.read(65536)
            if not piece:
                break
            line += piece
        return line

    def alive(self) -> bool:
        """Whether the process still runs."""
        return self.process.poll() is None

    def close(self) -> None:
        """Let the process end: there are no more requests."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.close()
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()


class Pair:
    """Both frameworks, ready to take turns; a child that died is replaced."""

    def __init__(self, plan: Plan, extra: dict[str, str] | None = None) -> None:
        self.plan, self.extra = plan, extra
        self.children = [Child(plan.theirs, plan, extra), Child(plan.ours, plan, extra)]

    def measure(self, row: Row) -> Result:
        """Run a row in turns; a failure becomes a result that says so."""
        try:
            values = [child.ask(do="start", title=row.title)["values"] for child in self.children]
            turns = [self.alternation(swap=bool(i % 2)) for i in range(self.plan.alternations)]
        except RowFailedError as failure:
            self.replace_dead()
            return Result(row.group, row.name, error=str(failure))
        theirs, ours = zip(*turns, strict=True)
        result = compare(row.group, row.name, theirs, ours, values, row.per, row.tolerance)
        result.wanted = row.wanted
        return result

    def alternation(self, swap: bool) -> list[list[float]]:
        """One turn each; who is first changes, so that neither always finds the machine warm."""
        times: list[list[float]] = [[], []]
        for i in (1, 0) if swap else (0, 1):
            time.sleep(PAUSE)
            times[i] = self.children[i].ask(
                do="turn", passes=self.plan.passes, seconds=self.plan.seconds,
                enough=self.plan.enough)["times"]
        return times

    def replace_dead(self) -> None:
        """Start anew what has crashed or was killed."""
        for i, child in enumerate(self.children):
            if not child.alive():
                child.close()
                self.children[i] = Child(child.module, self.plan, self.extra)

    def close(self) -> None:
        """End both processes."""
        for child in self.children:
            child.close()
