"""Optimizers: one file an algorithm, each update one composite op. They are loaded when used."""

from importlib import import_module

from flambeau.optim.optimizer import Optimizer

FILES = {
    "ASGD": "asgd", "Adadelta": "adadelta", "Adafactor": "adafactor", "Adagrad": "adagrad",
    "Adam": "adam", "AdamW": "adam", "Adamax": "adamax", "LBFGS": "lbfgs", "Muon": "muon",
    "NAdam": "nadam", "RAdam": "radam", "RMSprop": "rmsprop", "Rprop": "rprop", "SGD": "sgd",
    "SparseAdam": "sparse_adam",
}  # fmt: skip
__all__ = [*FILES, "Optimizer", "lr_scheduler", "swa_utils"]


def __getattr__(name):
    if name in FILES:
        found = getattr(import_module(f"flambeau.optim.{FILES[name]}"), name)
    elif name in ("lr_scheduler", "swa_utils"):
        found = import_module(f"flambeau.optim.{name}")
    else:
        raise AttributeError(f"module 'torch.optim' has no attribute '{name}'")
    globals()[name] = found
    return found
