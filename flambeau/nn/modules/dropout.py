"""Dropout."""

from flambeau.nn import functional as F
from flambeau.nn.modules.module import Module


class Dropout(Module):
    """Zeroes elements with probability p while training, and scales the others up."""

    def __init__(self, p=0.5, inplace=False):
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
        self.p, self.inplace = p, inplace

    def forward(self, input):
        return F.dropout(input, self.p, self.training, self.inplace)

    def extra_repr(self):
        return f"p={self.p}, inplace={self.inplace}"
