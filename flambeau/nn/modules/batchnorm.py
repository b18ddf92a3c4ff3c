"""Batch normalisation in all its dims, also lazy, and over several processes."""

from flambeau.nn import functional as F
from flambeau.nn import init
from flambeau.nn.modules.lazy import LazyModuleMixin
from flambeau.nn.modules.module import Module
from flambeau.nn.parameter import Parameter, UninitializedBuffer, UninitializedParameter


class _NormBase(Module):
    """Parameters and running statistics of a normalisation by channels."""

    _version = 2

    def __init__(self, num_features, eps=1e-5, momentum=0.1, affine=True, track_running_stats=True,
                 device=None, dtype=None, *, bias=True):  # fmt: skip
        super().__init__()
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.affine, self.track_running_stats = affine, track_running_stats
        self.make_members(bias and affine, {"device": device, "dtype": dtype})
        self.reset_parameters()

    def make_members(self, bias, kind):
        from flambeau import empty, int64, ones, tensor, zeros

        n = self.num_features
        self.register_parameter("weight", Parameter(empty(n, **kind)) if self.affine else None)
        self.register_parameter("bias", Parameter(empty(n, **kind)) if bias else None)
        track = self.track_running_stats
        self.register_buffer("running_mean", zeros(n, **kind) if track else None)
        self.register_buffer("running_var", ones(n, **kind) if track else None)
        count = tensor(0, dtype=int64, device=kind["device"]) if track else None
        self.register_buffer("num_batches_tracked", count)

    def reset_running_stats(self):
        """Mean 0, variance 1, no batches."""
        if self.track_running_stats:
            self.running_mean.zero_()
            self.running_var.fill_(1)
            self.num_batches_tracked.zero_()

    def reset_parameters(self):
        """Weight 1, bias 0, and fresh statistics."""
        self.reset_running_stats()
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def _check_input_dim(self, input):
        raise NotImplementedError

    def extra_repr(self):
        return (f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, "
                f"affine={self.affine}, bias={self.bias is not None}, "
                f"track_running_stats={self.track_running_stats}")  # fmt: skip

    def _load_from_state_dict(self, state_dict, prefix, local_metadata, strict, missing_keys,
                              unexpected_keys, error_msgs):  # fmt: skip
        from flambeau import tensor

        version = local_metadata.get("version", None)
        key = prefix + "num_batches_tracked"
        if (version is None or version < 2) and self.track_running_stats:
            if key not in state_dict:  # older files have none
                state_dict[key] = tensor(0)
        super()._load_from_state_dict(state_dict, prefix, local_metadata, strict, missing_keys,
                                      unexpected_keys, error_msgs)  # fmt: skip


class _BatchNorm(_NormBase):
    """The forward computation of batch normalisation."""

    def forward(self, input):
        self._check_input_dim(input)
        mean, var = self.running_mean, self.running_var
        by_batch = self.training or (mean is None and var is None)
        factor = 0.0 if self.momentum is None else self.momentum
        if self.training and self.track_running_stats and self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
            if self.momentum is None:  # a plain average over all batches
                factor = 1.0 / float(self.num_batches_tracked)
        if self.training and not self.track_running_stats:
            mean = var = None
        return F.batch_norm(input, mean, var, self.weight, self.bias, by_batch, factor, self.eps)


def ranks(*allowed):
    """A check of the input's number of dims."""
    words = " or ".join(f"{n}D" for n in allowed)

    def check(self, input):
        if input.dim() not in allowed:
            raise ValueError(f"expected {words} input (got {input.dim()}D input)")

    return check


class BatchNorm1d(_BatchNorm):
    """Mean 0 and variance 1 over the batch, for [n, channels] or [n, channels, length]."""

    _check_input_dim = ranks(2, 3)


class BatchNorm2d(_BatchNorm):
    """Mean 0 and variance 1 over the batch, for [n, channels, height, width]."""

    _check_input_dim = ranks(4)


class BatchNorm3d(_BatchNorm):
    """Mean 0 and variance 1 over the batch, for [n, channels, depth, height, width]."""

    _check_input_dim = ranks(5)


class SyncBatchNorm(_BatchNorm):
    """Batch normalisation over the batches of all processes; of one process, its own."""

    def __init__(self, num_features, eps=1e-5, momentum=0.1, affine=True, track_running_stats=True,
                 process_group=None, device=None, dtype=None, *, bias=True):  # fmt: skip
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype,
                         bias=bias)  # fmt: skip
        self.process_group = process_group

    def _check_input_dim(self, input):
        if input.dim() < 2:
            raise ValueError(f"expected at least 2D input (got {input.dim()}D input)")

    def _check_non_zero_input_channels(self, input):
        if input.size(1) == 0:
            raise ValueError("SyncBatchNorm number of input channels should be non-zero")

    def forward(self, input):
        self._check_input_dim(input)
        self._check_non_zero_input_channels(input)
        return super().forward(input)

    @classmethod
    def convert_sync_batchnorm(cls, module, process_group=None):
        """Put a SyncBatchNorm in the place of every batch normalisation in a module."""
        made = module
        if isinstance(module, _BatchNorm):
            made = cls(module.num_features, module.eps, module.momentum, module.affine,
                       module.track_running_stats, process_group,
                       bias=module.bias is not None)  # fmt: skip
            made.weight, made.bias = module.weight, module.bias
            made.running_mean, made.running_var = module.running_mean, module.running_var
            made.num_batches_tracked = module.num_batches_tracked
            made.training = module.training
        for name, child in module.named_children():
            made.add_module(name, cls.convert_sync_batchnorm(child, process_group))
        return made


# ------------------------------------------------------------------ lazy


class _LazyNormBase(LazyModuleMixin):
    """A normalisation that learns its number of channels from the first input."""

    def __init__(self, eps=1e-5, momentum=0.1, affine=True, track_running_stats=True, device=None,
                 dtype=None, *, bias=True):  # fmt: skip
        super().__init__(0, eps, momentum, affine, track_running_stats, device, dtype, bias=bias)

    def make_members(self, bias, kind):
        from flambeau import tensor

        affine, track = self.affine, self.track_running_stats
        self.register_parameter("weight", UninitializedParameter(**kind) if affine else None)
        self.register_parameter("bias", UninitializedParameter(**kind) if bias else None)
        for name in ("running_mean", "running_var"):
            self.register_buffer(name, UninitializedBuffer(**kind) if track else None)
        self.register_buffer("num_batches_tracked", tensor(0) if track else None)

    def reset_parameters(self):
        if not self.has_uninitialized_params() and self.num_features != 0:
            super().reset_parameters()

    def initialize_parameters(self, input):
        if not self.has_uninitialized_params():
            return
        self._check_input_dim(input)
        self.num_features = self._channels(input)
        for tensor in (self.weight, self.bias, self.running_mean, self.running_var):
            if tensor is not None:
                tensor.materialize((self.num_features,))
        self.reset_parameters()

    def _channels(self, input):
        return input.shape[1]


class LazyBatchNorm1d(_LazyNormBase, BatchNorm1d):
    """BatchNorm1d that learns its number of channels from the first input."""

    cls_to_become = BatchNorm1d


class LazyBatchNorm2d(_LazyNormBase, BatchNorm2d):
    """BatchNorm2d that learns its number of channels from the first input."""

    cls_to_become = BatchNorm2d


class LazyBatchNorm3d(_LazyNormBase, BatchNorm3d):
    """BatchNorm3d that learns its number of channels from the first input."""

    cls_to_become = BatchNorm3d
