"""Ready-made parametrizations: weight norm, spectral norm, orthogonal matrices."""

from flambeau.autograd.modes import no_grad
from flambeau.nn.functional import normalize
from flambeau.nn.modules.module import Module
from flambeau.nn.utils import parametrize
from flambeau.nn.utils.spectral_norm import as_matrix, power_method
from flambeau.nn.utils.weight_norm import norm_except_dim, weight_of


class _WeightNorm(Module):
    """A weight of its length and its direction (T. Salimans, D. Kingma, 2016)."""

    def __init__(self, dim=0):
        super().__init__()
        self.dim = -1 if dim is None else dim

    def forward(self, weight_g, weight_v):
        return weight_of(weight_v, weight_g, self.dim)

    def right_inverse(self, weight):
        return norm_except_dim(weight, self.dim), weight


def weight_norm(module, name="weight", dim=0):
    """Length and direction of a weight become its originals."""
    parametrize.register_parametrization(module, name, _WeightNorm(dim), unsafe=True)
    return module


class _SpectralNorm(Module):
    """A weight over its largest singular value (T. Miyato et al., 2018)."""

    def __init__(self, weight, n_power_iterations=1, dim=0, eps=1e-12):
        super().__init__()
        n = weight.dim()
        if not -n <= dim < n:
            raise IndexError(
                f"Dimension out of range (expected to be in range of [-{n}, {n - 1}] but got {dim})"
            )
        if n_power_iterations <= 0:
            raise ValueError("Expected n_power_iterations to be positive, but got "
                             f"n_power_iterations={n_power_iterations}")  # fmt: skip
        self.dim, self.eps = dim % n, eps
        if n > 1:
            self.n_power_iterations = n_power_iterations
            matrix = as_matrix(weight, self.dim)
            rows, columns = matrix.size()
            with no_grad():
                u = normalize(matrix.new_empty(rows).normal_(0, 1), dim=0, eps=eps)
                v = normalize(matrix.new_empty(columns).normal_(0, 1), dim=0, eps=eps)
                power_method(matrix.t(), v, u, 15, eps)
            self.register_buffer("_u", u)
            self.register_buffer("_v", v)

    def forward(self, weight):
        if weight.ndim == 1:
            return normalize(weight, dim=0, eps=self.eps)
        matrix = as_matrix(weight, self.dim)
        if self.training:
            with no_grad():
                power_method(matrix.t(), self._v, self._u, self.n_power_iterations, self.eps)
        u, v = self._u.clone(), self._v.clone()
        return weight / u.dot(matrix.mv(v))

    def right_inverse(self, value):
        return value


def spectral_norm(module, name="weight", n_power_iterations=1, eps=1e-12, dim=None):
    """Divide a weight by its largest singular value, which each reading estimates better."""
    weight = getattr(module, name, None)
    if not hasattr(weight, "_spec"):
        raise ValueError(f"Module '{module}' has no parameter or buffer with name '{name}'")
    if dim is None:
        dim = 1 if type(module).__name__.startswith("ConvTranspose") else 0
    function = _SpectralNorm(weight, n_power_iterations, dim, eps)
    parametrize.register_parametrization(module, name, function)
    return module


# ------------------------------------------------------------------ orthogonal matrices

MAPS = ("matrix_exp", "cayley", "householder")


def is_orthogonal(q, eps=None):
    """Whether qᵀ q is the identity, nearly."""
    import flambeau as fl

    rows, columns = q.size(-2), q.size(-1)
    eye = fl.eye(columns, dtype=q.dtype)
    eps = 10.0 * rows * fl.finfo(q.dtype).eps if eps is None else eps
    return fl.allclose(q.mH @ q, eye.expand(q.mH.shape[:-1] + (columns,)), atol=eps)


def orthogonal_of(matrix):
    """An orthogonal matrix from any: the Q of a QR, with R's signs in it."""
    import flambeau as fl

    packed, tau = fl.geqrf(matrix)
    q = fl.linalg.householder_product(packed, tau)
    return q * packed.diagonal(dim1=-2, dim2=-1).sgn().unsqueeze(-2)


class _Orthogonal(Module):
    """A matrix with orthonormal columns, or rows if it is wide (M. Lezcano-Casado, 2019)."""

    def __init__(self, weight, orthogonal_map, *, use_trivialization=True):
        super().__init__()
        if weight.is_complex() and orthogonal_map == "householder":
            raise ValueError("The householder parametrization does not support complex tensors.")
        self.shape = weight.shape
        self.orthogonal_map = orthogonal_map
        if use_trivialization:
            self.register_buffer("base", None)

    def forward(self, X):
        import flambeau as fl

        rows, columns = X.size(-2), X.size(-1)
        wide = rows < columns
        if wide:
            X, rows, columns = X.mT, columns, rows
        if self.orthogonal_map == "householder":
            q = fl.linalg.householder_product(X.tril(-1), self.scales(X))
            q = q * X.diagonal(dim1=-2, dim2=-1).int().unsqueeze(-2)
        else:
            q = self.of_skew(X, rows, columns)
        if hasattr(self, "base"):
            q = self.base @ q
        return q.mT if wide else q

    def scales(self, X):
        """The factors of the reflections that have the columns of X as their vectors."""
        below = X.tril(-1)
        return 2 / (1 + (below * below).sum(-2))

    def of_skew(self, X, rows, columns):
        """An orthogonal matrix of a skew-symmetric one: by its exponential, or by Cayley's map."""
        import flambeau as fl

        X = X.tril()
        if rows != columns:
            X = fl.cat([X, X.new_zeros((rows, rows - columns)).expand(
                *X.shape[:-2], -1, -1)], dim=-1)  # fmt: skip
        skew = X - X.mH
        if self.orthogonal_map == "matrix_exp":
            q = fl.matrix_exp(skew)
        else:
            eye = fl.eye(rows, dtype=skew.dtype)
            q = fl.linalg.solve(eye - skew * 0.5, eye + skew * 0.5)
        return q[..., :columns] if rows != columns else q

    @no_grad()
    def right_inverse(self, Q):
        import flambeau as fl

        if Q.shape != self.shape:
            raise ValueError(f"Expected a matrix or batch of matrices of shape {self.shape}. Got a "
                             f"tensor of shape {Q.shape}.")  # fmt: skip
        wide = Q.size(-2) < Q.size(-1)
        q = Q.mT if wide else Q
        rows, columns = q.size(-2), q.size(-1)
        if not hasattr(self, "base"):
            if self.orthogonal_map != "householder":
                raise NotImplementedError("It is not possible to assign to the matrix "
                                          "exponential or the Cayley parametrizations when "
                                          "use_trivialization=False.")  # fmt: skip
            packed, tau = fl.geqrf(q)
            # The diagonal holds the signs of R; a reflection whose factor is 0 changes nothing.
            packed.diagonal(dim1=-2, dim2=-1).sign_()
            packed.diagonal(dim1=-2, dim2=-1)[tau == 0.0] *= -1
            return packed.mT if wide else packed
        if rows == columns:
            self.base = q.clone() if is_orthogonal(q) else orthogonal_of(q)
        else:
            rest = fl.randn((*q.shape[:-2], rows, rows - columns), dtype=q.dtype)
            self.base = orthogonal_of(fl.cat([q, rest], dim=-1))
        negative_eye = fl.zeros_like(q)
        negative_eye.diagonal(dim1=-2, dim2=-1).fill_(-1.0)
        return negative_eye.mT if wide else negative_eye


def orthogonal(module, name="weight", orthogonal_map=None, *, use_trivialization=True):
    """Keep a matrix orthogonal, whatever the optimizer does with its original."""
    weight = getattr(module, name, None)
    if not hasattr(weight, "_spec"):
        raise ValueError(f"Module '{module}' has no parameter or buffer with name '{name}'")
    if weight.ndim < 2:
        raise ValueError(
            f"Expected a matrix or batch of matrices. Got a tensor of {weight.ndim} dimensions."
        )
    if orthogonal_map is None:
        square = weight.size(-2) == weight.size(-1) or weight.is_complex()
        orthogonal_map = "matrix_exp" if square else "householder"
    if orthogonal_map not in MAPS:
        raise ValueError('orthogonal_map has to be one of "matrix_exp", "cayley", "householder". '
                         f"Got: {orthogonal_map}")  # fmt: skip
    function = _Orthogonal(weight, orthogonal_map, use_trivialization=use_trivialization)
    parametrize.register_parametrization(module, name, function, unsafe=True)
    return module


__all__ = ["orthogonal", "spectral_norm", "weight_norm"]
