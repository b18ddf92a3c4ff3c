"""torch._logging: the words of PyTorch's logs for what Flambeau can say of the same things.

FLAMBEAU_SHOW and FLAMBEAU_LOG switch the same on from outside.
"""

from typing import Any

from flambeau.settings import settings

SHOWN = {
    "graph": "trace", "graph_code": "trace", "graph_sizes": "trace", "aot_graphs": "expand",
    "aot_joint_graph": "expand", "post_grad_graphs": "simplify", "fusion": "fuse",
    "schedule": "schedule", "output_code": "llvm", "kernel_code": "llvm",
}  # fmt: skip
LOGGED = {"recompiles": "compile", "recompiles_verbose": "compile", "fx_graph_cache": "cache"}

_asked = settings.show, settings.log  # from outside; these stay


def set_logs(**wanted: Any) -> None:
    """Switch on what is wanted, and what else was switched on here before off.

    Names that mean nothing here are accepted: their part of PyTorch is not there to say anything.
    """
    names = {name for name, value in wanted.items() if value}
    show, log = _asked
    settings.show = show | {SHOWN[name] for name in names & SHOWN.keys()}
    settings.log = log | {LOGGED[name] for name in names & LOGGED.keys()}
