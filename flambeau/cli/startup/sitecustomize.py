"""Makes `torch` another name of `flambeau` in every Python that has this folder on PYTHONPATH.

Python imports `sitecustomize` before the program it was asked for. `flambeau run` puts this folder
in front of PYTHONPATH, and so do the processes that the program starts inherit the name.
Imports as little as it can, and Flambeau not at all: many processes that pass through here never
ask for `torch`.
"""

import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
PACKAGE = os.path.dirname(os.path.dirname(HERE))


class AsTorch:
    """Finds `torch.x.y` as `flambeau.x.y`: the same module object under both names."""

    @staticmethod
    def find_spec(name, path=None, target=None):
        package = name.partition(".")[0]
        if package == "torch":
            return find_alias(name)
        return find_flambeau() if name == "flambeau" else None


def find_alias(name):
    """The spec of a module whose name starts with `torch`; None if Flambeau lacks it."""
    from importlib.util import find_spec, spec_from_loader

    real = "flambeau" + name.removeprefix("torch")
    if real in sys.modules or find_spec(real) is not None:
        return spec_from_loader(name, Alias(real), is_package=True)
    return None


def find_flambeau():
    """The spec of the Flambeau whose command was called, whether it is installed or not."""
    from importlib.util import spec_from_file_location

    return spec_from_file_location("flambeau", os.path.join(PACKAGE, "__init__.py"))


class Alias:
    """Loads a module by letting another one stand under its name."""

    def __init__(self, real):
        self.real = real

    def create_module(self, spec):
        return None  # an empty module, of which exec_module makes nothing

    def exec_module(self, module):
        import importlib

        # Python looks a module up in sys.modules once more after it has been executed.
        sys.modules[module.__name__] = importlib.import_module(self.real)

    def get_code(self, name):
        """What `python -m torch.…` runs."""
        import importlib.util

        return importlib.util.find_spec(self.real).loader.get_code(self.real)


def hand_over():
    """Take this folder off sys.path, and run the `sitecustomize` that it stood in front of."""
    from importlib.machinery import PathFinder

    sys.path[:] = [folder for folder in sys.path if os.path.abspath(folder) != HERE]
    spec = PathFinder.find_spec("sitecustomize")
    if spec is not None:
        from importlib.util import module_from_spec

        module = sys.modules["sitecustomize"] = module_from_spec(spec)
        spec.loader.exec_module(module)


def explain():
    """Watch this process for `flambeau explain`; those that it starts are not watched."""
    options = os.environ.pop("FLAMBEAU_EXPLAIN", None)
    if options:
        from flambeau.cli.watch import begin

        begin(options)


sys.meta_path.insert(0, AsTorch)
hand_over()
explain()
