"""What things are called in files: by PyTorch's names, so that either framework reads them."""

from __future__ import annotations

import importlib
from functools import cache
from typing import Any

# Where PyTorch has what stands elsewhere here: (module, name) → (module, name).
ELSEWHERE = {
    ("flambeau.tensor", "Tensor"): ("torch", "Tensor"),
    ("flambeau.size", "Size"): ("torch", "Size"),
    ("flambeau.device", "device"): ("torch", "device"),
    ("flambeau.ir.dtype", "dtype"): ("torch", "dtype"),
    ("flambeau.random", "Generator"): ("torch._C", "Generator"),
    ("flambeau._utils", "_rebuild_from_type_v2"): ("torch._tensor", "_rebuild_from_type_v2"),
}
OURS = {theirs: ours for ours, theirs in ELSEWHERE.items()}

# What PyTorch has in files of other names: its file → the names in it.
THERE = {
    "torch.nn.modules.activation": "MultiheadAttention",
    "torch.nn.modules.channelshuffle": "ChannelShuffle",
    "torch.nn.modules.flatten": "Flatten Unflatten",
    "torch.nn.modules.fold": "Fold Unfold",
    "torch.nn.modules.linear_cross_entropy_options": "LinearCrossEntropyOptions",
    "torch.nn.modules.loss": "LinearCrossEntropyLoss",
    "torch.nn.modules.pixelshuffle": "PixelShuffle PixelUnshuffle",
    "torch.optim": "Adafactor Muon",
    "torch.optim.adamw": "AdamW",
}
MOVED = {name: module for module, names in THERE.items() for name in names.split()}

# Old places that files of earlier versions name.
EARLIER = {
    ("torch._tensor", "Tensor"): ("torch", "Tensor"),
    ("torch.tensor", "Tensor"): ("torch", "Tensor"),
    ("torch.storage", "_TypedStorage"): ("torch.storage", "TypedStorage"),
    ("torch.storage", "_UntypedStorage"): ("torch.storage", "UntypedStorage"),
    ("torch._C", "Size"): ("torch", "Size"),
}


def file_name(module: str, name: str) -> tuple[str, str]:
    """What a class or function of ours is called in files."""
    if (module, name) in ELSEWHERE:
        return ELSEWHERE[module, name]
    if module == "flambeau.ir.dtype":  # a type itself: torch.float32
        return "torch", name.removesuffix("_")
    if module.startswith(("flambeau.nn.modules.", "flambeau.optim.")) and name in MOVED:
        return MOVED[name], name
    if module.startswith("flambeau.optim.lr_scheduler."):
        return "torch.optim.lr_scheduler", name
    if module == "flambeau" or module.startswith("flambeau."):
        return "torch" + module.removeprefix("flambeau"), name
    return module, name


@cache
def found(module: str, name: str) -> Any:
    """What a name of PyTorch's means here; AttributeError where it means nothing."""
    module, name = EARLIER.get((module, name), (module, name))
    module, name = OURS.get((module, name), (module, name))
    home = "flambeau" + module.removeprefix("torch") if is_torch(module) else module
    for place in (home, *also(home)):
        try:
            thing: Any = importlib.import_module(place)
            for part in name.split("."):
                thing = getattr(thing, part)
        except (ImportError, AttributeError):
            continue
        return thing
    raise AttributeError(
        f"Can't get attribute '{name}' on module '{module}': the file needs it, and Flambeau has "
        "nothing of that name"
    )


def is_torch(module: str) -> bool:
    """Whether a module is PyTorch's."""
    return module == "torch" or module.startswith("torch.")


def also(home: str) -> tuple[str, ...]:
    """Where else to look: what has a file of its own there may share one here."""
    for package in ("flambeau.nn.modules", "flambeau.optim"):
        if home.startswith(package + "."):
            return (package,)
    return ()


__all__ = ["file_name", "found", "is_torch"]
