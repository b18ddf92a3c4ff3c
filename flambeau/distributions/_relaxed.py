"""Smooth numbers in place of classes, made from those before the last function (`base_dist`)."""

from flambeau.distributions.transformed_distribution import TransformedDistribution


class Relaxed(TransformedDistribution):
    """Answers the parameters of what it is made from."""

    has_rsample = True

    @property
    def temperature(self):
        """How smooth."""
        return self.base_dist.temperature

    @property
    def logits(self):
        """The logits of the chances."""
        return self.base_dist.logits

    @property
    def probs(self):
        """The chances."""
        return self.base_dist.probs
