"""The `flambeau` command before Flambeau is imported.

`flambeau run` starts a Python of the program's own. To import Flambeau, and NumPy with it, into
this one first would double the time before the program's first line. All other commands are
`flambeau/__main__.py`.
"""

import os
import sys


def main() -> int:
    """Do what the command line says; returns the exit code."""
    if sys.argv[1:2] != ["run"]:
        from flambeau.__main__ import main

        return main()
    return import_run().run(sys.argv[2:])


def import_run():
    """The module flambeau.cli.run, without the package that it lies in."""
    from importlib.util import find_spec, module_from_spec, spec_from_file_location

    package = os.path.dirname(find_spec("flambeau").origin)
    spec = spec_from_file_location("run", os.path.join(package, "cli", "run.py"))
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    sys.exit(main())
