"""Instance normalisation: each channel of each image by itself."""

import warnings

from flambeau.nn import functional as F
from flambeau.nn.modules.batchnorm import _LazyNormBase, _NormBase, ranks


class _InstanceNorm(_NormBase):
    """What instance normalisations share."""

    def __init__(self, num_features, eps=1e-5, momentum=0.1, affine=False,
                 track_running_stats=False, device=None, dtype=None, *, bias=True):  # fmt: skip
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype,
                         bias=bias)  # fmt: skip

    def _get_no_batch_dim(self):
        raise NotImplementedError

    def forward(self, input):
        self._check_input_dim(input)
        alone = self._get_no_batch_dim()
        dim = 0 if input.dim() == alone else 1
        if input.size(dim) != self.num_features:
            check_features(self, input.size(dim), dim)
        if input.dim() == alone:
            return self._apply_instance_norm(input.unsqueeze(0)).squeeze(0)
        return self._apply_instance_norm(input)

    def _apply_instance_norm(self, input):
        by_input = self.training or not self.track_running_stats
        momentum = 0.0 if self.momentum is None else self.momentum
        return F.instance_norm(input, self.running_mean, self.running_var, self.weight, self.bias,
                               by_input, momentum, self.eps)  # fmt: skip

    def _load_from_state_dict(self, state_dict, prefix, local_metadata, strict, missing_keys,
                              unexpected_keys, error_msgs):  # fmt: skip
        version = local_metadata.get("version", None)
        if version is None and not self.track_running_stats:  # files of old have statistics
            for name in ("running_mean", "running_var"):
                if prefix + name in state_dict:
                    error_msgs.append(
                        f'Unexpected running stats buffer(s) "{prefix}{name}" for '
                        f"{type(self).__name__} with track_running_stats=False."
                    )
                    state_dict.pop(prefix + name)
        super()._load_from_state_dict(state_dict, prefix, local_metadata, strict, missing_keys,
                                      unexpected_keys, error_msgs)  # fmt: skip


def check_features(module, found, dim):
    """The number of channels matters where there are parameters."""
    if module.affine:
        raise ValueError(f"expected input's size at dim={dim} to match num_features "
                         f"({module.num_features}), but got: {found}.")  # fmt: skip
    warnings.warn(f"input's size at dim={dim} does not match num_features. You can silence this "
                  "warning by not passing in num_features, which is not used because "
                  "affine=False", stacklevel=4)  # fmt: skip


class InstanceNorm1d(_InstanceNorm):
    """Mean 0 and variance 1 of each channel, for [n, channels, length]."""

    _check_input_dim = ranks(2, 3)

    def _get_no_batch_dim(self):
        return 2


class InstanceNorm2d(_InstanceNorm):
    """Mean 0 and variance 1 of each channel, for [n, channels, height, width]."""

    _check_input_dim = ranks(3, 4)

    def _get_no_batch_dim(self):
        return 3


class InstanceNorm3d(_InstanceNorm):
    """Mean 0 and variance 1 of each channel, for [n, channels, depth, height, width]."""

    _check_input_dim = ranks(4, 5)

    def _get_no_batch_dim(self):
        return 4


class _LazyInstanceNorm(_LazyNormBase):
    """The channels of an input that may have no batch dim."""

    def _channels(self, input):
        return input.shape[-self._get_no_batch_dim()]


class LazyInstanceNorm1d(_LazyInstanceNorm, InstanceNorm1d):
    """InstanceNorm1d that learns its number of channels from the first input."""

    cls_to_become = InstanceNorm1d


class LazyInstanceNorm2d(_LazyInstanceNorm, InstanceNorm2d):
    """InstanceNorm2d that learns its number of channels from the first input."""

    cls_to_become = InstanceNorm2d


class LazyInstanceNorm3d(_LazyInstanceNorm, InstanceNorm3d):
    """InstanceNorm3d that learns its number of channels from the first input."""

    cls_to_become = InstanceNorm3d
