"""Fills docs/architecture.md with what Flambeau really does: `python docs/regenerate.py`.

Blocks after a line `<!-- explain: NAME -->` are replaced by that section of the report that
`flambeau explain --llvm docs/softmax_regression.py` prints.
"""

import difflib
import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
DOCUMENT = HERE / "architecture.md"
BLOCK = re.compile(r"(<!-- explain: ([\w ]+) -->\n```\w*\n).*?(\n```\n)", re.DOTALL)


def explained():
    """The report's sections by name; 'title' is its second line."""
    command = [sys.executable, "-m", "flambeau_command", "explain", "--llvm",
               str(HERE / "softmax_regression.py")]  # fmt: skip
    done = subprocess.run(command, cwd=HERE.parent, capture_output=True, text=True, check=True)
    text = done.stdout
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


def main():
    sections = explained()

    def fill(match):
        return match[1] + sections[match[2]] + match[3]

    DOCUMENT.write_text(BLOCK.sub(fill, DOCUMENT.read_text()))


if __name__ == "__main__":
    main()
