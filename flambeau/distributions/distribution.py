"""Distribution: shapes, checks, and what every distribution answers."""

import warnings

import flambeau as fl
from flambeau.distributions import constraints
from flambeau.distributions.utils import lazy_property
from flambeau.size import Size
from flambeau.tensor import Tensor

__all__ = ["Distribution"]


class Distribution:
    """Probabilities over tensors of `event_shape`, one for each place of `batch_shape`."""

    has_rsample = False
    has_enumerate_support = False
    _validate_args = __debug__

    @staticmethod
    def set_default_validate_args(value):
        """Whether new distributions check their parameters and the values they are asked for."""
        if value not in [True, False]:
            raise ValueError
        Distribution._validate_args = value

    def __init__(self, batch_shape=Size(), event_shape=Size(), validate_args=None):  # noqa: B008
        self._batch_shape, self._event_shape = Size(batch_shape), Size(event_shape)
        if validate_args is not None:
            self._validate_args = validate_args
        if self._validate_args:
            self._check_parameters()
        super().__init__()

    def _check_parameters(self):
        try:
            wanted = self.arg_constraints
        except NotImplementedError:
            wanted = {}
            warnings.warn(f"{type(self)} does not define `arg_constraints`. Please set "
                          "`arg_constraints = {}` or initialize the distribution with "
                          "`validate_args=False` to turn off validation.",
                          stacklevel=4)  # fmt: skip
        for name, constraint in wanted.items():
            late = name not in vars(self) and isinstance(
                getattr(type(self), name, None), (lazy_property, property)
            )
            if constraints.is_dependent(constraint) or late:
                continue
            value = getattr(self, name)
            if not constraint.check(value).all():
                raise ValueError(
                    f"Expected parameter {name} ({type(value).__name__} of shape "
                    f"{tuple(value.shape)}) of distribution {self!r} to satisfy the constraint "
                    f"{constraint!r}, but found invalid values:\n{value}"
                )

    def expand(self, batch_shape, _instance=None):
        """The same distribution with another batch_shape, its parameters expanded."""
        raise NotImplementedError

    def _expanded(self, cls, batch_shape, instance=None, parameters=None):
        """A new instance whose parameters, those of `arg_constraints`, are expanded.

        cls: the class that asks; parameters: name → dims of an event, if not as constrained.
        """
        new = self._get_checked_instance(cls, instance)
        batch_shape = Size(batch_shape)
        if parameters is None:
            parameters = {name: c.event_dim for name, c in self.arg_constraints.items()}
        for name, value in vars(self).items():
            if name in parameters and isinstance(value, Tensor):
                event = tuple(value.shape[value.dim() - parameters[name] :])
                value = value.expand(batch_shape + event)
            if name not in vars(new):
                setattr(new, name, value)
        Distribution.__init__(new, batch_shape, self._event_shape, validate_args=False)
        new._validate_args = self._validate_args
        return new

    def _get_checked_instance(self, cls, _instance=None):
        """An empty instance; refused for a subclass whose __init__ may need more."""
        if _instance is None and type(self).__init__ != cls.__init__:
            raise NotImplementedError(
                f"Subclass {type(self).__name__} of {cls.__name__} that defines a custom __init__ "
                "method must also define a custom .expand() method."
            )
        return type(self).__new__(type(self)) if _instance is None else _instance

    @property
    def batch_shape(self):
        """How many distributions there are."""
        return self._batch_shape

    @property
    def event_shape(self):
        """The shape of one sample of one distribution."""
        return self._event_shape

    @property
    def arg_constraints(self):
        """Parameter → what its values must satisfy."""
        raise NotImplementedError

    @property
    def support(self):
        """Which values have a probability."""
        raise NotImplementedError

    @property
    def mean(self):
        """The mean."""
        raise NotImplementedError

    @property
    def mode(self):
        """Where the density is largest."""
        raise NotImplementedError(f"{self.__class__} does not implement mode")

    @property
    def variance(self):
        """The variance."""
        raise NotImplementedError

    @property
    def stddev(self):
        """The standard deviation."""
        return self.variance.sqrt()

    def sample(self, sample_shape=Size()):  # noqa: B008
        """Draws of shape sample_shape + batch_shape + event_shape, without a gradient."""
        with fl.no_grad():
            return self.rsample(sample_shape)

    def rsample(self, sample_shape=Size()):  # noqa: B008
        """Draws with gradients by the parameters."""
        raise NotImplementedError

    def sample_n(self, n):
        """n draws; the older way to say sample((n,))."""
        warnings.warn("`sample_n(n)` will be deprecated. Use `sample((n,))` instead.",
                      FutureWarning, stacklevel=2)  # fmt: skip
        return self.sample(Size((n,)))

    def log_prob(self, value):
        """The logarithm of the density or probability at `value`."""
        raise NotImplementedError

    def cdf(self, value):
        """The probability of what is at most `value`."""
        raise NotImplementedError

    def icdf(self, value):
        """The inverse of cdf."""
        raise NotImplementedError

    def enumerate_support(self, expand=True):
        """All values of a discrete distribution along a new first dim."""
        raise NotImplementedError

    def entropy(self):
        """The entropy, in nats."""
        raise NotImplementedError

    def perplexity(self):
        """exp of the entropy."""
        return fl.exp(self.entropy())

    def _extended_shape(self, sample_shape=Size()):  # noqa: B008
        return Size(tuple(sample_shape) + self._batch_shape + self._event_shape)

    def _validate_sample(self, value):
        """Refuse a value of another shape, or out of the support."""
        if not isinstance(value, Tensor):
            raise ValueError("The value argument to log_prob must be a Tensor")
        event_dims = len(self._event_shape)
        if value.shape[value.dim() - event_dims :] != self._event_shape:
            raise ValueError("The right-most size of value must match event_shape: "
                             f"{value.shape} vs {self._event_shape}.")  # fmt: skip
        expected = self._batch_shape + self._event_shape
        for a, b in zip(reversed(value.shape), reversed(expected)):
            if a != 1 and b != 1 and a != b:
                raise ValueError("Value is not broadcastable with batch_shape+event_shape: "
                                 f"{value.shape} vs {Size(expected)}.")  # fmt: skip
        try:
            support = self.support
        except NotImplementedError:
            warnings.warn(f"{type(self)} does not define `support` to enable sample validation. "
                          "Please initialize the distribution with `validate_args=False` to turn "
                          "off validation.", stacklevel=3)  # fmt: skip
            return
        if not support.check(value).all():
            raise ValueError(
                f"Expected value argument ({type(value).__name__} of shape {tuple(value.shape)}) "
                f"to be within the support ({support!r}) of the distribution {self!r}, but found "
                f"invalid values:\n{value}"
            )

    def __repr__(self):
        known = ((k, vars(self)[k]) for k in self.arg_constraints if k in vars(self))
        shown = (f"{k}: {v if v.numel() == 1 else v.size()}" for k, v in known)
        return f"{type(self).__name__}({', '.join(shown)})"
