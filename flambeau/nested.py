"""torch.nested: no nested tensors."""

from flambeau.absent import absent

__getattr__ = absent(
    __name__,
    """nested_tensor as_nested_tensor nested_tensor_from_jagged narrow to_padded_tensor
    masked_select""",
    "use torch.nn.utils.rnn.pad_sequence and a mask",
)
