"""Losses with weights of their own: adaptive softmax, and a linear layer with cross entropy."""

from collections import namedtuple
from math import prod

from flambeau.nn import functional as F
from flambeau.nn.modules.container import ModuleList, Sequential
from flambeau.nn.modules.linear import Linear
from flambeau.nn.modules.loss import _WeightedLoss
from flambeau.nn.modules.module import Module

_ASMoutput = namedtuple("_ASMoutput", "output loss")


class AdaptiveLogSoftmaxWithLoss(Module):
    """Softmax over many classes, frequent ones first: rare ones in clusters of their own, each with
    fewer features (E. Grave et al., 2016).
    """

    def __init__(self, in_features, n_classes, cutoffs, div_value=4.0, head_bias=False, device=None,
                 dtype=None):  # fmt: skip
        super().__init__()
        kind = {"device": device, "dtype": dtype}
        cutoffs = list(cutoffs)
        check_cutoffs(cutoffs, n_classes)
        self.in_features, self.n_classes = in_features, n_classes
        self.cutoffs = [*cutoffs, n_classes]
        self.div_value, self.head_bias = div_value, head_bias
        self.shortlist_size = cutoffs[0]
        self.n_clusters = len(cutoffs)
        self.head_size = self.shortlist_size + self.n_clusters
        self.head = Linear(in_features, self.head_size, bias=head_bias, **kind)
        self.tail = ModuleList()
        for number, (low, high) in enumerate(zip(self.cutoffs, self.cutoffs[1:])):
            width = int(in_features // div_value ** (number + 1))
            self.tail.append(Sequential(
                Linear(in_features, width, bias=False, **kind),
                Linear(width, high - low, bias=False, **kind),
            ))  # fmt: skip

    def reset_parameters(self):
        """Draw all weights anew."""
        self.head.reset_parameters()
        for first, second in self.tail:
            first.reset_parameters()
            second.reset_parameters()

    def forward(self, input_, target_):
        """The logarithm of each target's probability, and the loss: their mean, negated."""
        targets_dim = target_.dim()
        check_targets(input_, target_)
        input, target = (input_, target_) if targets_dim else (
            input_.unsqueeze(0), target_.unsqueeze(0))  # fmt: skip
        self.check_range(target)
        head = self.head(input)
        index = target.where(target < self.shortlist_size, target.new_zeros(()))
        output = input.new_zeros(target.shape)
        for number, (low, high) in enumerate(zip(self.cutoffs, self.cutoffs[1:])):
            inside = (target >= low) & (target < high)
            rows = inside.nonzero().squeeze(1)
            if rows.numel():
                local = self.cluster(number, input.index_select(0, rows))
                classes = (target.index_select(0, rows) - low).unsqueeze(1)
                output = output.index_copy(0, rows, local.gather(1, classes).squeeze(1))
                index = index.masked_fill(inside, self.shortlist_size + number)
        output = output + F.log_softmax(head, dim=1).gather(1, index.unsqueeze(1)).squeeze(1)
        loss = (-output).mean()
        return _ASMoutput(output if targets_dim else output.squeeze(0), loss)

    def check_range(self, target):
        """Targets are classes."""
        if not target.numel():
            return
        low, high = int(target.min()), int(target.max())
        if low < 0 or high >= self.n_classes:
            raise RuntimeError(f"Target values should be in [0, {self.n_classes - 1}], but values "
                               f"in range [{low}, {high}] were found. ")  # fmt: skip

    def cluster(self, number, input):
        """Logarithms of the probabilities within a cluster."""
        return F.log_softmax(self.tail[number](input), dim=1)

    def _get_full_log_prob(self, input, head_output):
        from flambeau import cat

        head = F.log_softmax(head_output, dim=1)
        parts = [head[:, : self.shortlist_size]]
        for number in range(self.n_clusters):
            own = head[:, self.shortlist_size + number].unsqueeze(1)
            parts.append(self.cluster(number, input) + own)
        return cat(parts, dim=1)

    def log_prob(self, input):
        """The logarithms of all classes' probabilities."""
        return self._get_full_log_prob(input, self.head(input))

    def predict(self, input):
        """The most probable class of each row."""
        return self.log_prob(input).argmax(dim=1)


def check_targets(input, target):
    """One target for each row, or one for one."""
    if target.dim() == 1:
        if input.size(0) != target.size(0):
            raise RuntimeError("Input and target should have the same size in the batch dimension.")
        if input.dim() != 2:
            raise RuntimeError("1D target tensor expects 2D input tensors, but found inputs with "
                               f"size {input.size()}")  # fmt: skip
    elif target.dim() == 0:
        if input.dim() != 1:
            raise RuntimeError("0D target tensor expects 1D input tensors, but found inputs with "
                               f"size {input.size()}")  # fmt: skip
    else:
        raise RuntimeError("0D or 1D target tensor expected, multi-target not supported")


def check_cutoffs(cutoffs, n_classes):
    """Where clusters begin."""
    if not cutoffs:
        raise ValueError("cutoffs should be a sequence of length larger than 0")
    if (cutoffs != sorted(cutoffs) or min(cutoffs) <= 0 or max(cutoffs) > n_classes - 1
            or len(set(cutoffs)) != len(cutoffs)
            or any(int(c) != c for c in cutoffs)):  # fmt: skip
        raise ValueError("cutoffs should be a sequence of unique, positive integers sorted in an "
                         "increasing order, where each value is between 1 and "
                         "n_classes-1")  # fmt: skip


# ------------------------------------------------------------------ linear cross entropy


class LinearCrossEntropyOptions:
    """How PyTorch cuts linear_cross_entropy into pieces; here the compiler decides that."""

    def __init__(self, allow_retain_graph=False, batch_chunk_size=None, chunking_method="auto",
                 acc_policy="auto", acc_dtype=None):  # fmt: skip
        from flambeau import bfloat16, float16, float32, float64

        if batch_chunk_size is not None and (
            not isinstance(batch_chunk_size, int) or batch_chunk_size <= 0
        ):
            raise ValueError(
                f"batch_chunk_size must be positive int or None, got {batch_chunk_size}"
            )
        if acc_policy not in ("accurate", "balanced", "compact", "auto"):
            raise ValueError(f"invalid acc_policy: {acc_policy!r}")
        if acc_dtype not in (None, float16, bfloat16, float32, float64):
            raise ValueError("acc_dtype must be one of {None, torch.float16, torch.bfloat16, "
                             f"torch.float32, torch.float64}}, got {acc_dtype}. Pass "
                             "acc_dtype=None to let the op pick automatically.")  # fmt: skip
        self.allow_retain_graph, self.batch_chunk_size = allow_retain_graph, batch_chunk_size
        self.chunking_method, self.acc_policy = chunking_method, acc_policy
        self.acc_dtype = acc_dtype

    def __repr__(self):
        shown = ", ".join(f"{name}={value!r}" for name, value in vars(self).items())
        return f"LinearCrossEntropyOptions({shown})"

    def __eq__(self, other):
        return type(other) is type(self) and vars(self) == vars(other)

    __hash__ = None


class LinearCrossEntropyLoss(_WeightedLoss):
    """cross_entropy of a linear layer's scores, (batch, classes, *out_features)."""

    def __init__(self, in_features, num_classes, *, out_features=(), bias=False, device=None,
                 dtype=None, reduction="mean", weight=None, ignore_index=None, label_smoothing=0.0,
                 options=None):  # fmt: skip
        from flambeau.likelihoods import check_weighting

        check_weighting(num_classes, weight, label_smoothing)
        super().__init__(weight, reduction=reduction)
        self.in_features, self.num_classes = in_features, num_classes
        self.out_features = tuple(out_features)
        self.ignore_index, self.label_smoothing = ignore_index, label_smoothing
        self.options = options
        rows = num_classes * prod(self.out_features)
        self.linear = Linear(in_features, rows, bias=bias, device=device, dtype=dtype)

    def forward(self, input, target):
        size = (self.num_classes, *self.out_features)
        bias = self.linear.bias
        return F.linear_cross_entropy(
            input, self.linear.weight.view((*size, self.in_features)), target,
            linear_bias=None if bias is None else bias.view(size), weight=self.weight,
            reduction=self.reduction, ignore_index=self.ignore_index,
            label_smoothing=self.label_smoothing, options=self.options,
        )  # fmt: skip

    def extra_repr(self):
        return (f"in_features={self.in_features}, num_classes={self.num_classes}, "
                f"out_features={self.out_features}, bias={self.linear.bias is not None}, "
                f"reduction={self.reduction}, ignore_index={self.ignore_index}, "
                f"label_smoothing={self.label_smoothing}, options={self.options}")  # fmt: skip
