"""Puts Tensor together: rows of the table, front functions, views, indexing, operators.

Imported once, by the package. `FUNCTIONS` holds what `torch` offers by the same names.
"""

from __future__ import annotations

import importlib
from typing import Any

from flambeau import operators, parting, viewing
from flambeau.numpynames import with_numpy_names
from flambeau.ops.functions import function_of, inplace_of
from flambeau.ops.table import TABLE
from flambeau.tensor import FUNCTIONS, Tensor

PUBLIC: dict[str, Any] = {}  # torch.name → function
# Modules that have METHODS, NAMED or PUBLIC; later ones win.
MODULES = """legacy viewing parting complexes creation sequences literal convert indexing history
    arranging selecting random drawing sharing copying functions elementary differences statistics
    recurrent noise distances earlier lowrank spectrogram contracting viewcopies reducing
    lookups"""


def add_rows() -> None:
    """A function for each row, and methods where the row says so."""
    for name, op in TABLE.items():
        if op.kind == "view":
            continue
        FUNCTIONS[name] = function = function_of(op)
        names = (name, *op.aliases)
        if "torch" in op.public:
            PUBLIC.update(dict.fromkeys(names, function))
        if "Tensor" not in op.public:
            continue
        for method in names:
            setattr(Tensor, method, function)
            if op.inplace:
                setattr(Tensor, method + "_", inplace_of(op))


def add_module(module: Any) -> None:
    """What a front module says in METHODS, NAMED (method's name → function) and PUBLIC."""
    for name in getattr(module, "METHODS", ()):
        setattr(Tensor, name, with_numpy_names(getattr(module, name)))
    for name, function in getattr(module, "NAMED", {}).items():
        setattr(Tensor, name, with_numpy_names(function))
    for name in getattr(module, "PUBLIC", ()):
        PUBLIC[name] = with_numpy_names(getattr(module, name))


add_rows()
for _name in MODULES.split():
    add_module(importlib.import_module(f"flambeau.{_name}"))
for _name, _method in {
    "split": parting.split_method,
    "T": property(viewing.reversed_dims),
    "mT": property(viewing.matrix_transpose),
    "mH": property(lambda self: viewing.adjoint(self, "mH")),
    "H": property(viewing.conjugate_transpose),
}.items():
    setattr(Tensor, _name, _method)
# Methods that change their tensor which `torch` has as functions too.
for _name in """abs acos acosh addmv alpha_dropout arccos arccosh arcsin arcsinh arctan arctanh
    as_strided asin asinh atan atanh ceil clamp_max clamp_min clip cos cosh deg2rad detach erf erfc
    exp exp2 expm1 fill fix floor frac gcd i0 index_put lcm ldexp log log10 log1p log2 logit
    nan_to_num neg negative rad2deg reciprocal relu resize_as round rsqrt sigmoid sin sinc sinh sqrt
    tan tanh threshold trunc xlogy zero""".split():
    if hasattr(Tensor, f"{_name}_"):
        PUBLIC[f"{_name}_"] = getattr(Tensor, f"{_name}_")
operators.attach(Tensor, {**FUNCTIONS, **PUBLIC})
