"""AdamW, where PyTorch has it: it is Adam with another kind of weight decay."""

from flambeau.optim.adam import AdamW

__all__ = ["AdamW"]
