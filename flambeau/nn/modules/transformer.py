"""Transformer: encoder, decoder, their layers, and both together."""

import copy
import math
import warnings

from flambeau.attention import canonical_mask
from flambeau.autograd.modes import is_grad_enabled
from flambeau.nn import functional as F
from flambeau.nn.init import xavier_uniform_
from flambeau.nn.modules.activation import GELU, ReLU
from flambeau.nn.modules.attention import MultiheadAttention
from flambeau.nn.modules.container import ModuleList
from flambeau.nn.modules.dropout import Dropout
from flambeau.nn.modules.linear import Linear
from flambeau.nn.modules.module import Module
from flambeau.nn.modules.normalization import LayerNorm


class _Layer(Module):
    """What a layer of the encoder and one of the decoder share."""

    attentions = ("self_attn",)

    def __init__(self, d_model, nhead, dim_feedforward=2048, dropout=0.1, activation=F.relu,
                 layer_norm_eps=1e-5, batch_first=False, norm_first=False, bias=True, device=None,
                 dtype=None):  # fmt: skip
        super().__init__()
        kind = {"device": device, "dtype": dtype}
        for name in self.attentions:
            attention = MultiheadAttention(
                d_model, nhead, dropout=dropout, bias=bias, batch_first=batch_first, **kind
            )
            setattr(self, name, attention)
        self.linear1 = Linear(d_model, dim_feedforward, bias=bias, **kind)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, bias=bias, **kind)
        self.norm_first = norm_first
        parts = range(1, len(self.attentions) + 2)
        for n in parts:
            setattr(self, f"norm{n}", LayerNorm(d_model, eps=layer_norm_eps, bias=bias, **kind))
        for n in parts:
            setattr(self, f"dropout{n}", Dropout(dropout))
        self.activation = function_of(activation) if isinstance(activation, str) else activation

    def __setstate__(self, state):
        super().__setstate__(state)
        if not hasattr(self, "activation"):
            self.activation = F.relu

    def sublayer(self, x, number, function):
        """x plus a function of it, normalised before or after."""
        norm = getattr(self, f"norm{number}")
        return x + function(norm(x)) if self.norm_first else norm(x + function(x))

    def attend(self, attention, dropout, x, memory, mask, padding, causal):
        """One attention's part."""
        out = attention(x, memory, memory, attn_mask=mask, key_padding_mask=padding,
                        need_weights=False, is_causal=causal)  # fmt: skip
        return dropout(out[0])

    def _sa_block(self, x, attn_mask, key_padding_mask, is_causal=False):
        """Attention of a sequence to itself."""
        return self.attend(
            self.self_attn, self.dropout1, x, x, attn_mask, key_padding_mask, is_causal
        )


class TransformerEncoderLayer(_Layer):
    """Attention of a sequence to itself, then two linear layers (A. Vaswani et al., 2017)."""

    def forward(self, src, src_mask=None, src_key_padding_mask=None, is_causal=False):
        other = None if src_mask is None else src_mask.dtype
        padding = canonical_mask(src_key_padding_mask, "src_key_padding_mask", other, "src_mask",
                                 src.dtype)  # fmt: skip
        mask = canonical_mask(src_mask, "src_mask", None, "", src.dtype, False)
        x = self.sublayer(src, 1, lambda y: self._sa_block(y, mask, padding, is_causal))
        return self.sublayer(x, 2, self._ff_block)

    def _ff_block(self, x):
        """The two linear layers."""
        return self.dropout2(self.linear2(self.dropout(self.activation(self.linear1(x)))))


class TransformerDecoderLayer(_Layer):
    """Attention to itself, attention to a memory, then two linear layers."""

    attentions = ("self_attn", "multihead_attn")

    def forward(self, tgt, memory, tgt_mask=None, memory_mask=None, tgt_key_padding_mask=None,
                memory_key_padding_mask=None, tgt_is_causal=False,
                memory_is_causal=False):  # fmt: skip
        x = self.sublayer(tgt, 1, lambda y: self._sa_block(
            y, tgt_mask, tgt_key_padding_mask, tgt_is_causal))  # fmt: skip
        x = self.sublayer(x, 2, lambda y: self._mha_block(
            y, memory, memory_mask, memory_key_padding_mask, memory_is_causal))  # fmt: skip
        return self.sublayer(x, 3, self._ff_block)

    def _mha_block(self, x, mem, attn_mask, key_padding_mask, is_causal=False):
        """Attention to the memory."""
        return self.attend(
            self.multihead_attn, self.dropout2, x, mem, attn_mask, key_padding_mask, is_causal
        )

    def _ff_block(self, x):
        """The two linear layers."""
        return self.dropout3(self.linear2(self.dropout(self.activation(self.linear1(x)))))


def function_of(activation):
    """An activation by its name."""
    if activation not in ("relu", "gelu"):
        raise RuntimeError(f"activation should be relu/gelu, not {activation}")
    return getattr(F, activation)


def copies(module, n):
    """n copies of a module."""
    return ModuleList([copy.deepcopy(module) for _ in range(n)])


# ------------------------------------------------------------------ stacks of layers


class TransformerEncoder(Module):
    """Layers one after the other.

    In evaluation without gradients, padded places of the output are zero where PyTorch takes its
    path for nested tensors.
    """

    def __init__(self, encoder_layer, num_layers, norm=None, enable_nested_tensor=True,
                 mask_check=True):  # fmt: skip
        super().__init__()
        self.layers = copies(encoder_layer, num_layers)
        self.num_layers, self.norm = num_layers, norm
        self.enable_nested_tensor, self.mask_check = enable_nested_tensor, mask_check
        reason = why_not_nested(encoder_layer)
        self.use_nested_tensor = enable_nested_tensor and not reason
        if enable_nested_tensor and reason:
            warnings.warn("enable_nested_tensor is True, but self.use_nested_tensor is False "
                          f"because {reason}", stacklevel=2)  # fmt: skip

    def forward(self, src, mask=None, src_key_padding_mask=None, is_causal=None):
        other = None if mask is None else mask.dtype
        padding = canonical_mask(src_key_padding_mask, "src_key_padding_mask", other, "mask",
                                 src.dtype)  # fmt: skip
        mask = canonical_mask(mask, "mask", None, "", src.dtype, False)
        x = src
        for layer in self.layers:
            x = layer(x, src_mask=mask, is_causal=bool(is_causal), src_key_padding_mask=padding)
        if padding is not None and self.drops_padding(src, mask, src_key_padding_mask):
            x = x.masked_fill(src_key_padding_mask.unsqueeze(-1), 0.0)
        return x if self.norm is None else self.norm(x)

    def drops_padding(self, src, mask, padding):
        """Whether PyTorch would leave padded places out, and fill them with zeros afterwards."""
        if not self.use_nested_tensor or self.training or src.dim() != 3 or mask is not None:
            return False
        if is_grad_enabled() and (src.requires_grad
                                  or any(p.requires_grad for p in self.parameters())):  # fmt: skip
            return False
        return padding.dtype.kind == "b" and left_aligned(padding)


def left_aligned(padding):
    """Whether no place follows a padded one."""
    return not bool((padding[:, :-1] & ~padding[:, 1:]).any())


def why_not_nested(layer):
    """Why PyTorch would not use nested tensors for layers like this; "" if it would."""
    if not isinstance(layer, TransformerEncoderLayer):
        return "encoder_layer was not TransformerEncoderLayer"
    attention = layer.self_attn
    reasons = (
        (layer.norm_first, "encoder_layer.norm_first was True"),
        (not attention.batch_first, "encoder_layer.self_attn.batch_first was not True"
                                    "(use batch_first for better inference performance)"),
        (attention.in_proj_bias is None, "encoder_layer.self_attn was passed bias=False"),
        (not attention._qkv_same_embed_dim,
         "encoder_layer.self_attn._qkv_same_embed_dim was not True"),
        (not is_plain(layer.activation), "encoder_layer.activation_relu_or_gelu was not True"),
        (layer.norm1.eps != layer.norm2.eps,
         "encoder_layer.norm1.eps was not equal to encoder_layer.norm2.eps"),
        (attention.num_heads % 2 == 1, "encoder_layer.self_attn.num_heads is odd"),
    )  # fmt: skip
    return next((reason for holds, reason in reasons if holds), "")


def is_plain(activation):
    """Whether an activation is relu or gelu, with or without what asks subclasses around it."""
    plain = [getattr(f, "__wrapped__", f) for f in (activation, F.relu, F.gelu)]
    return plain[0] in plain[1:] or isinstance(activation, (ReLU, GELU))


class TransformerDecoder(Module):
    """Layers one after the other."""

    def __init__(self, decoder_layer, num_layers, norm=None):
        super().__init__()
        self.layers = copies(decoder_layer, num_layers)
        self.num_layers, self.norm = num_layers, norm

    def forward(self, tgt, memory, tgt_mask=None, memory_mask=None, tgt_key_padding_mask=None,
                memory_key_padding_mask=None, tgt_is_causal=None,
                memory_is_causal=False):  # fmt: skip
        x = tgt
        for layer in self.layers:
            x = layer(x, memory, tgt_mask, memory_mask, tgt_key_padding_mask,
                      memory_key_padding_mask, bool(tgt_is_causal), memory_is_causal)  # fmt: skip
        return x if self.norm is None else self.norm(x)


class Transformer(Module):
    """An encoder and a decoder (A. Vaswani et al., 2017)."""

    def __init__(self, d_model=512, nhead=8, num_encoder_layers=6, num_decoder_layers=6,
                 dim_feedforward=2048, dropout=0.1, activation=F.relu, custom_encoder=None,
                 custom_decoder=None, layer_norm_eps=1e-5, batch_first=False, norm_first=False,
                 bias=True, device=None, dtype=None):  # fmt: skip
        super().__init__()
        kind = {"device": device, "dtype": dtype}
        settings = (d_model, nhead, dim_feedforward, dropout, activation, layer_norm_eps,
                    batch_first, norm_first, bias)  # fmt: skip
        norm = {"eps": layer_norm_eps, "bias": bias, **kind}
        if custom_encoder is None:
            layer = TransformerEncoderLayer(*settings, **kind)
            custom_encoder = TransformerEncoder(layer, num_encoder_layers,
                                                LayerNorm(d_model, **norm))  # fmt: skip
        if custom_decoder is None:
            layer = TransformerDecoderLayer(*settings, **kind)
            custom_decoder = TransformerDecoder(layer, num_decoder_layers,
                                                LayerNorm(d_model, **norm))  # fmt: skip
        self.encoder, self.decoder = custom_encoder, custom_decoder
        self._reset_parameters()
        self.d_model, self.nhead, self.batch_first = d_model, nhead, batch_first

    def forward(self, src, tgt, src_mask=None, tgt_mask=None, memory_mask=None,
                src_key_padding_mask=None, tgt_key_padding_mask=None,
                memory_key_padding_mask=None, src_is_causal=None, tgt_is_causal=None,
                memory_is_causal=False):  # fmt: skip
        batch = 0 if self.batch_first else 1
        if src.dim() == 3 and src.size(batch) != tgt.size(batch):
            raise RuntimeError("the batch number of src and tgt must be equal")
        if src.size(-1) != self.d_model or tgt.size(-1) != self.d_model:
            raise RuntimeError("the feature number of src and tgt must be equal to d_model")
        memory = self.encoder(src, mask=src_mask, src_key_padding_mask=src_key_padding_mask,
                              is_causal=src_is_causal)  # fmt: skip
        return self.decoder(tgt, memory, tgt_mask=tgt_mask, memory_mask=memory_mask,
                            tgt_key_padding_mask=tgt_key_padding_mask,
                            memory_key_padding_mask=memory_key_padding_mask,
                            tgt_is_causal=tgt_is_causal,
                            memory_is_causal=memory_is_causal)  # fmt: skip

    @staticmethod
    def generate_square_subsequent_mask(sz, device=None, dtype=None):
        """A mask that lets every place see itself and those before it."""
        from flambeau import full

        return full((sz, sz), -math.inf, dtype=dtype, device=device).triu(1)

    def _reset_parameters(self):
        """Matrices as X. Glorot and Y. Bengio (2010) have them."""
        for param in self.parameters():
            if param.dim() > 1:
                xavier_uniform_(param)
