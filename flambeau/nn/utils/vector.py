"""Parameters as one vector, and back."""

from flambeau.tensor import Tensor


def parameters_to_vector(parameters):
    """All elements of all parameters, one after the other."""
    import flambeau as fl

    return fl.cat([p.reshape(-1) for p in parameters])


def vector_to_parameters(vec, parameters):
    """Make the parameters views of the parts of a vector."""
    if not isinstance(vec, Tensor):
        raise TypeError(f"expected torch.Tensor, but got: {type(vec).__name__}")
    start = 0
    for param in parameters:
        count = param.numel()
        param.data = vec[start : start + count].view_as(param).data
        start += count
