"""Sequences of different lengths in one tensor: padded, or packed without padding.

Packed data holds the first elements of all sequences, longest first, then the second ones, and so
on: at each time step a smaller batch, as long as there are sequences.
"""

from collections import namedtuple
from collections.abc import Iterable

from flambeau.tensor import FUNCTIONS, Tensor

UNSORTED = (
    "`lengths` array must be sorted in decreasing order when `enforce_sorted` is True. You can "
    "pass `enforce_sorted=False` to pack_padded_sequence and/or pack_sequence to sidestep this "
    "requirement if you do not need ONNX exportability."
)

_Fields = namedtuple("_Fields", "data batch_sizes sorted_indices unsorted_indices")


class PackedSequence(_Fields):
    """Data of sequences of different lengths, and how many are still there at each time step.

    sorted_indices: which sequence is the first, second, … of the packed ones; unsorted_indices: its
    inverse. Both are None where the sequences were sorted by length.
    """

    __slots__ = ()

    def __new__(cls, data, batch_sizes=None, sorted_indices=None, unsorted_indices=None):
        if batch_sizes is None:
            if not isinstance(data, (list, tuple)) or len(data) != 2:
                raise AssertionError("Expected data to be a list or tuple of length 2")
            data, batch_sizes = data
        if unsorted_indices is None:
            unsorted_indices = invert_permutation(sorted_indices)
        return super().__new__(cls, data, batch_sizes, sorted_indices, unsorted_indices)

    def to(self, *args, **kwargs):
        """The data converted, the indices with it to another device."""
        data = self.data.to(*args, **kwargs)
        return self if data is self.data else self._replace(data=data)

    def pin_memory(self):
        return self._replace(data=self.data.pin_memory())

    def cuda(self, *args, **kwargs):
        return self._replace(data=self.data.cuda(*args, **kwargs))

    def cpu(self, *args, **kwargs):
        return self.to("cpu")

    def double(self):
        return self.to(self.data.double().dtype)

    def float(self):
        return self.to(self.data.float().dtype)

    def half(self):
        return self.to(self.data.half().dtype)

    def long(self):
        return self.to(self.data.long().dtype)

    def int(self):
        return self.to(self.data.int().dtype)

    def short(self):
        return self.to(self.data.short().dtype)

    def char(self):
        return self.to(self.data.char().dtype)

    def byte(self):
        return self.to(self.data.byte().dtype)

    @property
    def is_cuda(self):
        return self.data.is_cuda

    def is_pinned(self):
        return self.data.is_pinned()


def invert_permutation(permutation):
    """Where each index stands in a permutation; None stays None."""
    if permutation is None:
        return None
    return permutation.argsort()


# ------------------------------------------------------------------ padded ↔ packed


def sizes_of(lengths):
    """How many sequences are longer than 0, 1, 2, …"""
    return [sum(n > t for n in lengths) for t in range(max(lengths, default=0))]


def places_of(sizes, batch):
    """Where packed elements stand in a padded (time · batch) row."""
    import flambeau as fl

    return fl.tensor([t * batch + b for t, n in enumerate(sizes) for b in range(n)], dtype=fl.int64)


def pack_padded_sequence(input, lengths, batch_first=False, enforce_sorted=True):
    """Leave the padding out of `input`, (time, batch, …) or batch first."""
    import flambeau as fl

    lengths = fl.as_tensor(lengths, dtype=fl.int64)
    sorted_indices = None
    if not enforce_sorted:
        lengths, sorted_indices = lengths.sort(descending=True, stable=True)
        input = input.index_select(0 if batch_first else 1, sorted_indices)
    if lengths.ndim != 1:
        raise RuntimeError("'lengths' argument should be a 1D CPU int64 tensor, but got "
                           f"{lengths.ndim}D cpu Long tensor")  # fmt: skip
    input = input.transpose(0, 1) if batch_first else input
    steps, batch = input.shape[0], input.size(1)
    counts = lengths.tolist()
    check_lengths(counts, steps, batch)
    sizes = sizes_of(counts)
    flat = input.reshape((steps * batch, *input.shape[2:]))
    data = FUNCTIONS["_pack_padded"](flat, places_of(sizes, batch))
    return PackedSequence(data, fl.tensor(sizes, dtype=fl.int64), sorted_indices)


def check_lengths(lengths, steps, batch):
    """Lengths as pack_padded_sequence wants them."""
    if len(lengths) != batch:
        raise RuntimeError("Expected `len(lengths)` to be equal to batch_size, but got "
                           f"{len(lengths)} (batch_size={batch})")  # fmt: skip
    if lengths and min(lengths) <= 0:
        raise RuntimeError("Length of all samples has to be greater than 0, but found an element "
                           "in 'lengths' that is <= 0")  # fmt: skip
    if sorted(lengths, reverse=True) != lengths:
        raise RuntimeError(UNSORTED)
    if lengths and lengths[0] > steps:
        raise RuntimeError(f"a sequence cannot be longer than the padded input: got length "
                           f"{lengths[0]}, but the input has {steps} steps")  # fmt: skip


def pad_packed_sequence(sequence, batch_first=False, padding_value=0.0, total_length=None):
    """The padded sequences, (time, batch, …) or batch first, and their lengths."""
    import flambeau as fl

    sizes = sequence.batch_sizes.tolist()
    longest, batch = len(sizes), sizes[0]
    if total_length is not None:
        if total_length < longest:
            raise ValueError("Expected total_length to be at least the length of the longest "
                             f"sequence in input, but got total_length={total_length} and max "
                             f"sequence length being {longest}")  # fmt: skip
        longest = total_length
    data = sequence.data
    rest = tuple(data.shape[1:])
    out = data.new_full((longest, batch, *rest), padding_value)
    out.view((longest * batch, *rest))[places_of(sizes, batch)] = data
    out = out.transpose(0, 1) if batch_first else out
    lengths = fl.tensor([sum(n > b for n in sizes) for b in range(batch)], dtype=fl.int64)
    order = sequence.unsorted_indices
    if order is not None:
        out, lengths = out.index_select(0 if batch_first else 1, order), lengths[order]
    return out, lengths


# ------------------------------------------------------------------ lists of sequences


def pad_sequence(sequences, batch_first=False, padding_value=0.0, padding_side="right"):
    """Sequences (length, …) as one tensor, as long as the longest."""
    if not isinstance(sequences, Iterable):
        raise RuntimeError("pad_sequence: Expected iterable for input sequences, but got arg of "
                           f"type: {type(sequences)}")  # fmt: skip
    if padding_side not in ("left", "right"):
        raise RuntimeError(
            f"Expected padding_side to be one of left or right, but got {padding_side}."
        )
    sequences = list(sequences.unbind(0) if isinstance(sequences, Tensor) else sequences)
    if not sequences:
        raise RuntimeError("received an empty list of sequences")
    first, batch = sequences[0], len(sequences)
    longest = max(s.shape[0] for s in sequences)
    lead = (batch, longest) if batch_first else (longest, batch)
    out = first.new_full((*lead, *first.shape[1:]), padding_value)
    for number, sequence in enumerate(sequences):
        n = sequence.shape[0]
        where = slice(longest - n, None) if padding_side == "left" else slice(n)
        out[(number, where) if batch_first else (where, number)] = sequence
    return out


def unpad_sequence(padded_sequences, lengths, batch_first=False):
    """The sequences that pad_sequence was given."""
    if not batch_first:
        padded_sequences = padded_sequences.transpose(0, 1)
    counts = lengths.tolist() if isinstance(lengths, Tensor) else lengths
    return [row[:n] for row, n in zip(padded_sequences.unbind(0), counts)]


def pack_sequence(sequences, enforce_sorted=True):
    """Pack a list of sequences (length, …)."""
    import flambeau as fl

    lengths = fl.tensor([s.size(0) for s in sequences], dtype=fl.int64)
    return pack_padded_sequence(pad_sequence(sequences), lengths, enforce_sorted=enforce_sorted)


def unpack_sequence(packed_sequences):
    """The list of sequences that pack_sequence was given."""
    padded, lengths = pad_packed_sequence(packed_sequences, batch_first=True)
    return unpad_sequence(padded, lengths, batch_first=True)


__all__ = [
    "PackedSequence", "invert_permutation", "pack_padded_sequence", "pack_sequence",
    "pad_packed_sequence", "pad_sequence", "unpack_sequence", "unpad_sequence",
]  # fmt: skip
