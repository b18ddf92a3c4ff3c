"""Distributions whose parameter is a chance, or its logit: each is computed from the other."""

from flambeau.distributions.utils import lazy_property, logits_to_probs, probs_to_logits


class OfChance:
    """Sets probs or logits, whichever is given, and answers both."""

    _is_binary = True

    def _set_chances(self, probs, logits, made):
        """made: what turns the given one into the tensor that is kept."""
        if (probs is None) == (logits is None):
            raise ValueError("Either `probs` or `logits` must be specified, but not both.")
        if probs is not None:
            self.probs = made(probs)
        else:
            self.logits = made(logits)

    @property
    def _param(self):
        return self.probs if "probs" in vars(self) else self.logits

    @lazy_property
    def logits(self):
        """log(p / (1 - p)), or log p of each class."""
        return probs_to_logits(self.probs, is_binary=self._is_binary)

    @lazy_property
    def probs(self):
        """The chances."""
        return logits_to_probs(self.logits, is_binary=self._is_binary)

    @property
    def param_shape(self):
        """The shape of probs and logits."""
        return self._param.size()


def floating(x):
    """One number or tensor as a tensor."""
    from flambeau.distributions.utils import broadcast_all

    return broadcast_all(x)[0]
