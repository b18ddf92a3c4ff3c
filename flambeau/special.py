"""torch.special: functions of one or two reals, by the names they have there."""

from flambeau.tensor import FUNCTIONS

exp2, expm1, log1p, erf, erfc, round = (
    FUNCTIONS[name] for name in "exp2 expm1 log1p erf erfc round".split()
)
expit = FUNCTIONS["sigmoid"]
logsumexp, softmax, log_softmax = (
    FUNCTIONS[name] for name in "logsumexp softmax log_softmax".split()
)


def __getattr__(name):
    """What is not here yet, by name."""
    raise AttributeError(f"module 'torch.special' has no attribute '{name}'")
