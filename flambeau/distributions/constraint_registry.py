"""From a constraint to a transform of unconstrained numbers: biject_to and transform_to."""

from flambeau.distributions import constraints, transforms

__all__ = ["ConstraintRegistry", "biject_to", "transform_to"]


class ConstraintRegistry:
    """A table from kinds of constraints to functions that make a transform for one."""

    def __init__(self):
        self._registry = {}
        super().__init__()

    def register(self, constraint, factory=None):
        """Say how to make the transform; without a factory, a decorator."""
        if factory is None:
            return lambda factory: self.register(constraint, factory)
        if isinstance(constraint, constraints.Constraint):
            constraint = type(constraint)
        if not (isinstance(constraint, type) and issubclass(constraint, constraints.Constraint)):
            raise TypeError("Expected constraint to be either a Constraint subclass or instance, "
                            f"but got {constraint}")  # fmt: skip
        self._registry[constraint] = factory
        return factory

    def __call__(self, constraint):
        """The transform whose results satisfy the constraint."""
        factory = self._registry.get(type(constraint))
        if factory is None:
            raise NotImplementedError(
                f"Cannot transform {type(constraint).__name__} constraints"
            ) from None
        return factory(constraint)


biject_to, transform_to = ConstraintRegistry(), ConstraintRegistry()
BOTH = (biject_to, transform_to)


def of_bounds(lower, upper):
    """Numbers between two bounds: a sigmoid, stretched unless they are 0 and 1."""
    if isinstance(lower, (int, float)) and isinstance(upper, (int, float)) and lower == 0:
        if upper == 1:
            return transforms.SigmoidTransform()
    stretch = transforms.AffineTransform(lower, upper - lower)
    return transforms.ComposeTransform([transforms.SigmoidTransform(), stretch])


def beyond(bound, direction):
    """Numbers on one side of a bound: exp, moved."""
    move = transforms.AffineTransform(bound, direction)
    return transforms.ComposeTransform([transforms.ExpTransform(), move])


def of_independent(registry):
    def make(constraint):
        base = registry(constraint.base_constraint)
        return transforms.IndependentTransform(base, constraint.reinterpreted_batch_ndims)

    return make


def of_cat(registry):
    return lambda c: transforms.CatTransform([registry(p) for p in c.cseq], c.dim, c.lengths)


def of_stack(registry):
    return lambda c: transforms.StackTransform([registry(p) for p in c.cseq], c.dim)


for _registry in BOTH:
    _registry.register(constraints._Real, lambda c: transforms.identity_transform)
    _registry.register(constraints.independent, of_independent(_registry))
    for _kind in (constraints._GreaterThan, constraints._GreaterThanEq):
        _registry.register(_kind, lambda c: beyond(c.lower_bound, 1))
    _registry.register(constraints._LessThan, lambda c: beyond(c.upper_bound, -1))
    for _kind in (constraints._Interval, constraints._HalfOpenInterval):
        _registry.register(_kind, lambda c: of_bounds(c.lower_bound, c.upper_bound))
    _registry.register(constraints._CorrCholesky, lambda c: transforms.CorrCholeskyTransform())
    _registry.register(constraints._Cat, of_cat(_registry))
    _registry.register(constraints._Stack, of_stack(_registry))
biject_to.register(constraints._Simplex, lambda c: transforms.StickBreakingTransform())
transform_to.register(constraints._Simplex, lambda c: transforms.SoftmaxTransform())
transform_to.register(constraints._LowerCholesky, lambda c: transforms.LowerCholeskyTransform())
for _kind in (constraints._PositiveDefinite, constraints._PositiveSemidefinite):
    transform_to.register(_kind, lambda c: transforms.PositiveDefiniteTransform())
