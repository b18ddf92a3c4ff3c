"""Fills the documents with what Flambeau really does: `python docs/regenerate.py`.

Blocks after a line `<!-- explain: NAME -->` are replaced by that section of the report that
`flambeau explain --llvm docs/softmax_regression.py` prints, or by what another program says.
"""

import difflib
import os
import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
DOCUMENTS = [HERE / "architecture.md", HERE / "looking_inside.md"]
BLOCK = re.compile(r"(<!-- explain: ([\w ]+) -->\n```\w*\n).*?(\n```\n)", re.DOTALL)
STEP = "softmax_regression.py"


def flambeau(*arguments, **variables):
    """What the command prints, on both streams."""
    command = [sys.executable, "-m", "flambeau_command", *arguments]
    done = subprocess.run(command, cwd=HERE.parent, capture_output=True, text=True, check=True,
                          env={**os.environ, **variables})  # fmt: skip
    return done.stdout, done.stderr


def explained():
    """The report's sections by name; 'title' is its second line."""
    text, _ = flambeau("explain", "--llvm", f"docs/{STEP}")
    head, *parts = re.split(r"^── (\w[\w ]*) ─+\n", text, flags=re.MULTILINE)
    found = dict(zip(parts[::2], (part.rstrip() for part in parts[1::2])))
    return {**found, "title": head.rstrip().split("═\n")[-1], **extracts(found)}


def extracts(found):
    """Parts of sections: what a pass changed, one kernel in full."""
    one = shortest(found["llvm"])
    number = re.match(r"; kernel (\d+)", one)[1]
    return {
        "lower changes": changes(found["expand"], found["lower"]),
        "one schedule": re.search(rf"^ +{number}  .*?(?=^ +\d+  |\Z)", found["schedule"],
                                  re.MULTILINE | re.DOTALL)[0].rstrip(),
        "one kernel": one,
    }  # fmt: skip


def changes(before, after):
    """The lines that a pass changed."""
    lines = difflib.unified_diff(before.split("\n"), after.split("\n"), lineterm="", n=0)
    return "\n".join(line for line in lines if not line.startswith(("---", "+++", "@@")))


def shortest(code):
    """The shortest kernel: LLVM IR is long."""
    kernels = re.split(r"\n(?=; kernel )", code)
    return min(kernels, key=len).rstrip()


def others():
    """What looking_inside.md shows beside the report."""
    kernel, _ = flambeau("explain", "--kernel", "2", f"docs/{STEP}")
    profile, _ = flambeau("run", "docs/profiled.py")
    _, log = flambeau("run", f"docs/{STEP}", FLAMBEAU_LOG="compile")
    return {"kernel": kernel.split("\n", 3)[3].strip(), "profile": profile.strip(),
            "log": "\n".join(wrapped(log.strip().replace(str(HERE) + os.sep, "")))}  # fmt: skip


def wrapped(text, width=118):
    """Long lines as several."""
    while len(text) > width:
        cut = text.rfind(" ", 0, width)
        yield text[:cut]
        text = "    " + text[cut + 1 :]
    yield text


def main():
    sections = explained() | others()

    def fill(match):
        return match[1] + sections[match[2]] + match[3]

    for document in DOCUMENTS:
        document.write_text(BLOCK.sub(fill, document.read_text()))


if __name__ == "__main__":
    main()
