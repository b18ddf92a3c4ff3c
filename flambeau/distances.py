"""Distances between the rows of matrices: cdist, pdist."""

from __future__ import annotations

from typing import Any

from flambeau.tensor import FUNCTIONS as row

BY_PRODUCT = 25  # more rows than this, and a product of matrices is the faster way
MODES = ("use_mm_for_euclid_dist_if_necessary", "use_mm_for_euclid_dist",
         "donot_use_mm_for_euclid_dist")  # fmt: skip


def cdist(x1: Any, x2: Any, p: float = 2.0, compute_mode: str = MODES[0]) -> Any:
    """The p-norm of each row of x1 (…, P, M) minus each row of x2 (…, R, M): (…, P, R)."""
    if compute_mode not in MODES:
        raise ValueError(f"{compute_mode} is not a valid value for compute_mode")
    large = min(x1.ndim, x2.ndim) > 1 and max(x1.size(-2), x2.size(-2)) > BY_PRODUCT
    wanted = compute_mode == MODES[1] or compute_mode == MODES[0] and large
    return row["_cdist"](x1, x2, float(p), p == 2 and wanted)


def pdist(input: Any, p: float = 2.0) -> Any:
    """The p-norm of each row minus each later row, one after the other."""
    import numpy as np

    from flambeau import from_numpy

    if input.ndim != 2:
        raise RuntimeError(f"pdist only supports 2D tensors, got: {input.ndim}D")
    if p < 0:
        raise RuntimeError("pdist only supports non-negative p values")
    n = input.shape[0]
    first, second = np.triu_indices(n, 1)
    return row["_pdist"](input, from_numpy(first * n + second), float(p))


PUBLIC = ["cdist", "pdist"]
