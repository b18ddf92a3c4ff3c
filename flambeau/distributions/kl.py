"""kl_divergence and its registry. The formulas of pairs stand in kl_pairs.py."""

import warnings

_KL_REGISTRY = {}  # (type of p, type of q) → function
_KL_MEMOIZE = {}  # what was found for a pair of types, subclasses among them

__all__ = ["register_kl", "kl_divergence"]


def register_kl(type_p, type_q):
    """A decorator: this function is KL(p || q) for these types and their subclasses."""
    for name, kind in (("type_p", type_p), ("type_q", type_q)):
        if not isinstance(kind, type):
            raise TypeError(f"Expected {name} to be a Distribution subclass but got {kind}")

    def register(function):
        _KL_REGISTRY[type_p, type_q] = function
        _KL_MEMOIZE.clear()
        return function

    return register


def _rank(kind, given):
    """How far a registered type is from the type given: smaller is more specific."""
    return given.__mro__.index(kind)


def _dispatch_kl(type_p, type_q):
    """The most specific function: by p first, or by q first; a warning where these differ."""
    pairs = [(p, q) for p, q in _KL_REGISTRY if issubclass(type_p, p) and issubclass(type_q, q)]
    if not pairs:
        return NotImplemented
    left = min(pairs, key=lambda pair: (_rank(pair[0], type_p), _rank(pair[1], type_q)))
    right = min(pairs, key=lambda pair: (_rank(pair[1], type_q), _rank(pair[0], type_p)))
    if _KL_REGISTRY[left] is not _KL_REGISTRY[right]:
        names = [f"{a.__name__}, {b.__name__}" for a, b in (left, right)]
        warnings.warn(
            f"Ambiguous kl_divergence({type_p.__name__}, {type_q.__name__}). Please "
            f"register_kl({left[0].__name__}, {right[1].__name__}): both ({names[0]}) and "
            f"({names[1]}) match",
            RuntimeWarning,
            stacklevel=3,
        )
    return _KL_REGISTRY[left]


def kl_divergence(p, q):
    """KL(p || q) = E_p[log p - log q], of shape batch_shape.

    Raises NotImplementedError for a pair of types that no function is registered for.
    """
    pair = type(p), type(q)
    function = _KL_MEMOIZE.get(pair)
    if function is None:
        function = _KL_MEMOIZE[pair] = _dispatch_kl(*pair)
    if function is NotImplemented:
        raise NotImplementedError(
            f"No KL(p || q) is implemented for p type {type(p).__name__} and q type "
            f"{type(q).__name__}"
        )
    return function(p, q)


from flambeau.distributions import kl_pairs  # noqa: E402, F401 registers
