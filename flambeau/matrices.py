"""Functions of square matrices and products of many: det, powers, exp, multi_dot, vander, cross."""

from __future__ import annotations

from flambeau.filling import fill, named, results
from flambeau.products import matmul
from flambeau.tensor import FUNCTIONS as row
from flambeau.tensor import Tensor

results("linalg_slogdet", "sign", "logabsdet")


def det(A, *, out=None):
    """The determinant."""
    return fill("linalg_det", row["linalg_det"](A), out)


def slogdet(A, *, out=None):
    """The determinant's sign (or phase), and the logarithm of its size."""
    return named("linalg_slogdet", row["linalg_slogdet"](A), out)


def logdet(input):
    """The logarithm of the determinant; NaN where that is negative."""
    if input.dtype.kind not in "fc":
        raise RuntimeError("logdet: Expected a floating point or complex tensor as input. Got "
                           f"{input.dtype.legacy}")  # fmt: skip
    sign, size = row["linalg_slogdet"](input)
    if input.dtype.kind == "c":
        return sign.log() + size
    return row["where"](sign == -1, float("nan"), size)


def matrix_power(input, n, *, out=None):
    """input · … · input, n times; of the inverse where n is negative."""
    from flambeau.ops.linalg_rules import square
    from flambeau.solving import inv

    square("linalg.matrix_power", input._spec)
    return fill("matrix_power", power(inv(input) if n < 0 else input, abs(n)), out, False)


def power(a, n):
    """By repeated squaring."""
    if n == 0:
        return a.clone().copy_(a.new_ones((a.shape[-1],)).diag_embed())
    if n == 1:
        return a.clone()
    result = None
    while n:
        if n & 1:
            result = a if result is None else matmul(result, a)
        n >>= 1
        a = matmul(a, a) if n else a
    return result


def matrix_exp(input):
    """The exponential of square matrices."""
    return row["linalg_matrix_exp"](input)


def multi_dot(tensors, *, out=None):
    """The product of several matrices, in the order that needs the fewest multiplications."""
    tensors = list(tensors)
    check_chain(tensors)
    first, last = tensors[0].ndim == 1, tensors[-1].ndim == 1
    if first:
        tensors[0] = tensors[0].unsqueeze(0)
    if last:
        tensors[-1] = tensors[-1].unsqueeze(-1)
    product = chained(tensors)
    if first:
        product = product.squeeze(0)
    return fill("multi_dot", product.squeeze(-1) if last else product, out)


def check_chain(tensors):
    n = len(tensors)
    if n < 2:
        raise RuntimeError(f"multi_dot(): expected at least 2 tensors but got {n}")
    for i, x in enumerate(tensors):
        inside = 0 < i < n - 1
        if x.ndim != 2 and (inside or x.ndim != 1):
            kind = "2D" if inside else "1D or 2D"
            which = i if inside else "the first" if i == 0 else "the last"
            what = f"tensor {which}" if inside else f"{which} tensor"
            raise RuntimeError(f"multi_dot(): {what} must be {kind} but got {x.ndim}D")
        if x.dtype is not tensors[0].dtype:
            raise RuntimeError("multi_dot(): all tensors must have be the same dtype but tensor 0 "
                               f"is {tensors[0].dtype.legacy.lower()} and tensor {i} "
                               f"{x.dtype.legacy.lower()}")  # fmt: skip
    for i, (a, b) in enumerate(zip(tensors, tensors[1:])):
        if a.shape[-1] != b.shape[0]:
            raise RuntimeError(f"multi_dot(): tensors {i} and {i + 1} with shapes {list(a.shape)} "
                               f"and {list(b.shape)} cannot be multiplied")  # fmt: skip


def chained(matrices):
    """Matrix-chain order by dynamic programming (Cormen et al. 2009, 15.2)."""
    sizes = [m.shape[0] for m in matrices] + [matrices[-1].shape[1]]
    n = len(matrices)
    cost = {(i, i): 0 for i in range(n)}
    cut = {}
    for length in range(1, n):
        for i in range(n - length):
            j = i + length
            cost[i, j], cut[i, j] = min(
                (cost[i, k] + cost[k + 1, j] + sizes[i] * sizes[k + 1] * sizes[j + 1], k)
                for k in range(i, j)
            )

    def product(i, j):
        if i == j:
            return matrices[i]
        k = cut[i, j]
        return matmul(product(i, k), product(k + 1, j))

    return product(0, n - 1)


def chain_matmul(*matrices, out=None):
    """multi_dot of two-dimensional tensors, of one too."""
    if not matrices:
        raise RuntimeError("chain_matmul(): Expected one or more matrices")
    if len(matrices) == 1:
        return fill("chain_matmul", matrices[0], out)
    return multi_dot(matrices, out=out)


def vander(x, N=None):
    """The powers 0, …, N - 1 of each element of the last dim, along a new one."""
    if x.dtype.kind == "b":
        raise RuntimeError("linalg.vander supports floating point, complex, and integer tensors, "
                           "but got Bool")  # fmt: skip
    if N is None:
        N = x.shape[-1] if x.ndim else 1
    if N <= 1:
        raise RuntimeError("N must be greater than 1.")
    x = x.unsqueeze(0) if x.ndim == 0 else x
    powers = x.unsqueeze(-1)
    if N > 2:
        powers = powers.expand((*x.shape, N - 1)).cumprod(-1)
    return row["cat"]([x.new_ones((*x.shape, 1), dtype=powers.dtype), powers], -1)


def vander_of_vector(x, N=None, increasing=False):
    """The powers of a vector's elements, from the highest unless `increasing`."""
    if x.ndim != 1:
        raise RuntimeError("x must be a one-dimensional tensor.")
    N = x.shape[0] if N is None else N
    if N < 0:
        raise RuntimeError("N must be non-negative.")
    ones = x.new_ones((x.shape[0], min(N, 1)))
    ones = ones.long() if x.dtype.kind in "biu" else ones
    if N > 1:
        powers = x.unsqueeze(-1).expand((x.shape[0], N - 1)).cumprod(-1)
        ones = row["cat"]([ones.to(powers.dtype), powers], -1)
    return ones if increasing else ones.flip((1,))


def vecdot(x, y, *, dim=-1, out=None):
    """The dot products of vectors along a dim, of the conjugate of x with y."""
    from flambeau.ops.linalg_rules import floating, same_type

    floating("linalg.vecdot", x._spec, low=True)
    same_type("linalg.vecdot", x._spec, y._spec, "x y")
    if out is not None and out.dtype is not x.dtype:
        raise RuntimeError(f"linalg.vecdot: Expected out of dtype {x.dtype.legacy} but found "
                           f"{out.dtype.legacy}")  # fmt: skip
    return row["sum"](x.conj() * y, dim, out=out)


def linalg_cross(input, other, *, dim=-1, out=None):
    """The cross products of vectors along a dim of size 3."""
    return fill("linalg_cross", row["linalg_cross"](input, other, dim), out)


def cross(input, other, dim=None, *, out=None):
    """The cross products along a dim, or along the first dim of size 3."""
    if dim is None:
        import warnings

        warnings.warn("Using torch.cross without specifying the dim arg is deprecated.\nPlease "
                      "either pass the dim explicitly or simply use torch.linalg.cross.\nThe "
                      "default value of dim will change to agree with that of linalg.cross in a "
                      "future release.", stacklevel=2)  # fmt: skip
        dim = next((d for d, n in enumerate(input.shape) if n == 3), None)
        if dim is None:
            raise RuntimeError("no dimension of size 3 in input")
    return linalg_cross(input, other, dim=dim, out=out)


def trace(input):
    """The sum of the diagonal."""
    return row["_trace"](input)


def diagonal(A, *, offset=0, dim1=-2, dim2=-1):
    """The diagonals of matrices, as a view."""
    return Tensor.diagonal(A, offset, dim1, dim2)
