"""The old names of torch.amp for the CPU, which warn."""

from flambeau.amp.old_names import names_for
from flambeau.ir.dtype import bfloat16

autocast, GradScaler, *_ = names_for("cpu", bfloat16)
__all__ = ["GradScaler", "autocast"]
