"""The old names of torch.amp for CUDA devices, which warn."""

from flambeau.amp.old_names import names_for
from flambeau.ir.dtype import float16

autocast, GradScaler, custom_fwd, custom_bwd = names_for("cuda", float16)
__all__ = ["GradScaler", "autocast", "custom_bwd", "custom_fwd"]
