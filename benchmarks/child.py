"""A process that runs rows under one framework, and sleeps while the other process is measured.

It reads requests, one JSON object a line, and answers each with one line to `pair`.
"""

from __future__ import annotations

import importlib
import json
import math
import os
import sys
import time
import traceback
from collections.abc import Iterator
from itertools import islice

from benchmarks.rows import find_row

CHECKED = 20  # passes whose values are compared; they are the warm-up too


class Worker:
    """Holds the framework and the row that is being measured."""

    def __init__(self, module: str, threads: int) -> None:
        self.torch = importlib.import_module(module)
        self.torch.set_num_threads(threads)
        self.running: Iterator[float] = iter(())

    def start(self, title: str) -> dict:
        """Begin a row; answer the values of its first passes, and how long the very first took."""
        self.running = iter(())  # frees the memory of the row before
        self.running = find_row(title).start(self.torch)
        begin = time.perf_counter()
        values = [next(self.running)]
        first = time.perf_counter() - begin
        return {"values": values + list(islice(self.running, CHECKED - 1)), "first": first}

    def turn(self, passes: int, seconds: float, enough: float = math.inf) -> dict:
        """Answer the times of so many passes that take at least so long; three are enough then."""
        next(self.running), next(self.running)  # wakes threads and caches after the pause
        times: list[float] = []
        start = time.perf_counter()
        while (spent := time.perf_counter() - start) < seconds or len(times) < (
                passes if spent < enough else 3):
            begin = time.perf_counter()
            next(self.running)
            times.append(time.perf_counter() - begin)
        return {"times": times}


def serve(worker: Worker, requests: Iterator[str], answers: int) -> None:
    """Answer requests until there are no more; a failed one is answered with its traceback."""
    for line in requests:
        request = json.loads(line)
        try:
            answer = getattr(worker, request.pop("do"))(**request)
        except Exception:  # whatever goes wrong in a row belongs into the report, not here
            answer = {"error": traceback.format_exc()}
        os.write(answers, json.dumps(answer).encode() + b"\n")


if __name__ == "__main__":
    channel = os.dup(1)  # the programs may print: the answers get a channel of their own
    os.dup2(2, 1)
    serve(Worker(sys.argv[1], int(sys.argv[2])), iter(sys.stdin), channel)
