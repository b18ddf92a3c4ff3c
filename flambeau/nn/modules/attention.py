"""MultiheadAttention."""

from flambeau import attention
from flambeau.nn import init
from flambeau.nn.modules.linear import NonDynamicallyQuantizableLinear
from flambeau.nn.modules.module import Module
from flambeau.nn.parameter import Parameter


class MultiheadAttention(Module):
    """Attention of several heads (A. Vaswani et al., 2017), with projections in and out."""

    def __init__(self, embed_dim, num_heads, dropout=0.0, bias=True, add_bias_kv=False,
                 add_zero_attn=False, kdim=None, vdim=None, batch_first=False, device=None,
                 dtype=None):  # fmt: skip
        if embed_dim <= 0 or num_heads <= 0:
            raise ValueError("embed_dim and num_heads must be greater than 0, got embed_dim="
                             f"{embed_dim} and num_heads={num_heads} instead")  # fmt: skip
        super().__init__()
        kind = {"device": device, "dtype": dtype}
        self.embed_dim = embed_dim
        self.kdim = embed_dim if kdim is None else kdim
        self.vdim = embed_dim if vdim is None else vdim
        self._qkv_same_embed_dim = self.kdim == embed_dim and self.vdim == embed_dim
        self.num_heads, self.dropout, self.batch_first = num_heads, dropout, batch_first
        self.head_dim = embed_dim // num_heads
        if self.head_dim * num_heads != embed_dim:
            raise AssertionError("embed_dim must be divisible by num_heads")
        for name, size in self.sizes(bias, add_bias_kv).items():
            self.register_parameter(name, None if size is None else new(size, kind))
        self.out_proj = NonDynamicallyQuantizableLinear(embed_dim, embed_dim, bias=bias, **kind)
        for name in ("bias_k", "bias_v"):
            size = (1, 1, embed_dim) if add_bias_kv else None
            self.register_parameter(name, None if size is None else new(size, kind))
        self.add_zero_attn = add_zero_attn
        self._reset_parameters()

    def sizes(self, bias, add_bias_kv):
        """The projections in: one weight for all three, or one each."""
        n, same = self.embed_dim, self._qkv_same_embed_dim
        parts = {"q_proj_weight": (n, n), "k_proj_weight": (n, self.kdim),
                 "v_proj_weight": (n, self.vdim)}  # fmt: skip
        if same:
            sizes = {"in_proj_weight": (3 * n, n)} | dict.fromkeys(parts)
        else:
            sizes = parts | {"in_proj_weight": None}
        return sizes | {"in_proj_bias": (3 * n,) if bias else None}

    def _reset_parameters(self):
        """Weights as X. Glorot and Y. Bengio (2010) have them, biases zero."""
        if self._qkv_same_embed_dim:
            init.xavier_uniform_(self.in_proj_weight)
        else:
            for weight in (self.q_proj_weight, self.k_proj_weight, self.v_proj_weight):
                init.xavier_uniform_(weight)
        if self.in_proj_bias is not None:
            init.constant_(self.in_proj_bias, 0.0)
            init.constant_(self.out_proj.bias, 0.0)
        if self.bias_k is not None:
            init.xavier_normal_(self.bias_k)
        if self.bias_v is not None:
            init.xavier_normal_(self.bias_v)

    def forward(self, query, key, value, key_padding_mask=None, need_weights=True, attn_mask=None,
                average_attn_weights=True, is_causal=False):  # fmt: skip
        flip = self.batch_first and query.dim() == 3
        if flip:
            alike = {id(x): x.transpose(1, 0) for x in (query, key, value) if x.dim() > 1}
            query, key, value = (alike.get(id(x), x) for x in (query, key, value))
        out, weights = attention.multi_head_attention_forward(
            query, key, value, self.embed_dim, self.num_heads, self.in_proj_weight,
            self.in_proj_bias, self.bias_k, self.bias_v, self.add_zero_attn, self.dropout,
            self.out_proj.weight, self.out_proj.bias, self.training, key_padding_mask,
            need_weights, attn_mask, not self._qkv_same_embed_dim, self.q_proj_weight,
            self.k_proj_weight, self.v_proj_weight, average_attn_weights=average_attn_weights,
            is_causal=is_causal,
        )  # fmt: skip
        return (out.transpose(1, 0) if flip else out), weights

    def merge_masks(self, attn_mask, key_padding_mask, query):
        """Both masks in one, and which it is: 0 attention's, 1 that of padding, 2 both."""
        if key_padding_mask is None:
            return attn_mask, None if attn_mask is None else 0
        if attn_mask is None:
            return key_padding_mask, 1
        batch, length, _ = query.shape
        lead = (batch, -1) if attn_mask.dim() == 3 else (1, 1)
        merged = attn_mask.view((*lead, length, length)).expand(batch, self.num_heads, -1, -1)
        padding = key_padding_mask.view((batch, 1, 1, length)).expand(-1, self.num_heads, -1, -1)
        return merged + padding, 2


def new(size, kind):
    """A parameter that is filled later."""
    from flambeau import empty

    return Parameter(empty(size, **kind))
