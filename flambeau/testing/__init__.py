"""torch.testing: whether results are as close as their types allow, and tensors to test with."""

from flambeau.testing.closeness import assert_allclose, assert_close
from flambeau.testing.making import make_tensor

__all__ = ["assert_allclose", "assert_close", "make_tensor"]
