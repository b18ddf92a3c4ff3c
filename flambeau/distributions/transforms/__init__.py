"""Transforms: functions with a domain, a codomain, and log |det dy/dx|."""

from flambeau.distributions.transforms import base, elementwise, structure, vectors
from flambeau.distributions.transforms.base import *  # noqa: F403
from flambeau.distributions.transforms.base import _InverseTransform
from flambeau.distributions.transforms.elementwise import *  # noqa: F403
from flambeau.distributions.transforms.structure import *  # noqa: F403
from flambeau.distributions.transforms.vectors import *  # noqa: F403

__all__ = [*base.__all__, *elementwise.__all__, *structure.__all__, *vectors.__all__]

for _thing in (*map(globals().get, __all__), _InverseTransform):
    if isinstance(_thing, type):
        _thing.__module__ = __name__  # one module, as in PyTorch: pickles and reprs name it
