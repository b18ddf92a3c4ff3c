"""`flambeau.explain(function, *arguments)`: run it a few times, and say what became of it."""

from __future__ import annotations

import html
import os
from collections.abc import Callable
from typing import Any

from flambeau.cli.watch import Watch
from flambeau.settings import settings
from flambeau.trace import flush, programs

RUNS = 5  # two until it is compiled, one to warm up, one that is measured, and one more


class Explanation:
    """What became of a program: as text (`str`, `text`), or as a page for a browser (`html`)."""

    def __init__(self, watch: Watch) -> None:
        self.watch = watch

    def __str__(self) -> str:
        return self.text()

    def __repr__(self) -> str:
        return f"<Explanation of {len(self.watch.records)} programs; print it, or save(path)>"

    def text(self, code: str = "", kernel: int | None = None) -> str:
        """The report. code: 'llvm' or 'assembly'; kernel: the number of the only one to show."""
        if code not in ("", "llvm", "assembly"):
            raise ValueError(f"code should be 'llvm' or 'assembly', but is '{code}'")
        from flambeau.report import report

        return report(self.watch, code, kernel)

    def html(self) -> str:
        """One page with all of it, which needs nothing else."""
        from flambeau.cli.page import page

        return page(self.watch)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the page to a file, or the text where its name does not end in .html."""
        name = os.fspath(path)
        content = self.html() if name.endswith((".html", ".htm")) else self.text() + "\n"
        with open(name, "w", encoding="utf-8") as file:
            file.write(content)

    def _repr_html_(self) -> str:
        """For notebooks: the page in a frame of its own, so that its style stays in it."""
        inside = html.escape(self.html(), quote=True)
        return f'<iframe srcdoc="{inside}" style="width:100%;height:80vh;border:0"></iframe>'


def explain(function: Callable[..., Any], /, *args: Any, runs: int = RUNS,
            **kwargs: Any) -> Explanation:  # fmt: skip
    """Call `function(*args, **kwargs)` a few times, and explain what became of it.

    runs: how often it is called; what it changes (parameters, random numbers) changes as often.
    What it returns counts as wanted; everything is compiled when it is met for the second time.
    Kernels are timed in the third compiled run at the earliest, on copies of their inputs.
    """
    if runs < 1:
        raise ValueError(f"runs should be 1 or more, but is {runs}")
    flush.flush_current()
    watch = Watch()
    programs.watchers.append(watch)
    try:
        with settings.override(patience=0.0):
            for _ in range(runs):
                wanted = function(*args, **kwargs)
                flush.flush_current()
                del wanted
    finally:
        programs.watchers.remove(watch)
    return Explanation(watch)


__all__ = ["Explanation", "explain"]
