"""Special functions against SciPy, which is exact to the last digits where PyTorch is not."""

import numpy as np
import pytest

import flambeau

special = pytest.importorskip("scipy.special", reason="SciPy is the oracle of these tests")

STATE = np.random.RandomState(0)
REAL = np.concatenate([STATE.uniform(-20, 20, 500), 10.0 ** STATE.uniform(-9, 3, 300),
                       STATE.uniform(-300, 300, 200)])  # fmt: skip
RIGHT = np.abs(REAL)
SHARE = np.concatenate([STATE.uniform(0, 1, 500), 10.0 ** STATE.uniform(-300, 0, 300)])


def airy(x):
    return special.airy(x)[0]


# name, SciPy's function, arguments, relative and absolute error
CASES = [
    ("digamma", special.digamma, REAL, 1e-12, 1e-14),
    ("gammaln", special.gammaln, REAL, 1e-13, 1e-13),
    ("erfinv", special.erfinv, STATE.uniform(-1, 1, 500), 1e-14, 0),
    ("ndtri", special.ndtri, SHARE, 1e-14, 0),
    ("ndtr", special.ndtr, STATE.uniform(-37, 37, 500), 1e-12, 0),
    ("log_ndtr", special.log_ndtr, REAL, 1e-12, 1e-300),
    ("erfcx", special.erfcx, REAL[REAL > -26], 1e-13, 0),
    ("entr", special.entr, RIGHT, 1e-14, 1e-15),
    ("i0", special.i0, REAL, 1e-14, 0),
    ("i0e", special.i0e, REAL, 1e-14, 0),
    ("i1", special.i1, REAL, 1e-14, 0),
    ("i1e", special.i1e, REAL, 1e-14, 0),
    ("bessel_j0", special.j0, REAL, 0, 3e-15),
    ("bessel_j1", special.j1, REAL, 0, 3e-15),
    ("bessel_y0", special.y0, RIGHT, 1e-14, 1e-14),
    ("bessel_y1", special.y1, RIGHT, 1e-14, 1e-14),
    ("modified_bessel_i0", special.i0, REAL, 1e-14, 0),
    ("modified_bessel_k0", special.k0, RIGHT, 1e-13, 0),
    ("modified_bessel_k1", special.k1, RIGHT, 1e-13, 0),
    ("scaled_modified_bessel_k0", special.k0e, RIGHT, 1e-13, 0),
    ("scaled_modified_bessel_k1", special.k1e, RIGHT, 1e-13, 0),
    ("airy_ai", airy, REAL, 1e-11, 1e-11),
]


@pytest.mark.parametrize("name,exact,x,rtol,atol", CASES, ids=[case[0] for case in CASES])
def test_values(name, exact, x, rtol, atol):
    mine = getattr(flambeau.special, name)(flambeau.tensor(x)).numpy()
    np.testing.assert_allclose(mine, exact(x), rtol=rtol, atol=atol)


ORDER = np.concatenate([STATE.uniform(0, 20, 300), 10.0 ** STATE.uniform(-3, 6, 300)])
NEAR = np.abs(ORDER + np.sqrt(ORDER) * STATE.uniform(-4, 4, 600))
ANYWHERE = ORDER * 10.0 ** STATE.uniform(-1, 1, 600)


@pytest.mark.parametrize("x", [NEAR, ANYWHERE], ids=["near", "anywhere"])
@pytest.mark.parametrize("name", ["gammainc", "gammaincc"])
def test_incomplete_gammas(name, x):
    mine = getattr(flambeau.special, name)(flambeau.tensor(ORDER), flambeau.tensor(x)).numpy()
    np.testing.assert_allclose(mine, getattr(special, name)(ORDER, x), rtol=2e-10, atol=1e-13)


def test_zeta():
    s, q = STATE.uniform(1.001, 30, 500), 10.0 ** STATE.uniform(-3, 5, 500)
    mine = flambeau.special.zeta(flambeau.tensor(s), flambeau.tensor(q)).numpy()
    np.testing.assert_allclose(mine, special.zeta(s, q), rtol=1e-13)


@pytest.mark.parametrize("n", [1, 2, 3, 7])
def test_polygamma(n):
    x = 10.0 ** STATE.uniform(-3, 3, 300)
    mine = flambeau.polygamma(n, flambeau.tensor(x)).numpy()
    np.testing.assert_allclose(mine, special.polygamma(n, x), rtol=1e-13)


@pytest.mark.parametrize("n", [2, 3])
def test_polygamma_left_of_zero(n):
    """By the recurrence: ψ(n, x + 1) = ψ(n, x) + (-1)^n n! / x^(n + 1)."""
    x = STATE.uniform(-300, 0, 100)
    left, right = (flambeau.polygamma(n, flambeau.tensor(v)).numpy() for v in (x, x + 1))
    step = (-1) ** n * special.factorial(n) / x ** (n + 1)
    assert np.all(np.abs(left + step - right) <= 1e-9 * (np.abs(right) + np.abs(step)))


POLYNOMIALS = {
    "chebyshev_polynomial_t": special.eval_chebyt, "chebyshev_polynomial_u": special.eval_chebyu,
    "shifted_chebyshev_polynomial_t": special.eval_sh_chebyt,
    "shifted_chebyshev_polynomial_u": special.eval_sh_chebyu,
    "hermite_polynomial_h": special.eval_hermite, "hermite_polynomial_he": special.eval_hermitenorm,
    "laguerre_polynomial_l": special.eval_laguerre, "legendre_polynomial_p": special.eval_legendre,
}  # fmt: skip


@pytest.mark.parametrize("name", POLYNOMIALS)
def test_orthogonal_polynomials(name):
    x, n = STATE.uniform(-1.5, 1.5, 400), STATE.randint(0, 40, 400)
    mine = getattr(flambeau.special, name)(flambeau.tensor(x), flambeau.tensor(n)).numpy()
    np.testing.assert_allclose(mine, POLYNOMIALS[name](n, x), rtol=1e-9, atol=1e-9)


def test_names_are_those_of_pytorch():
    torch = pytest.importorskip("torch")
    theirs = {n for n in dir(torch.special) if not n.startswith("_")}
    theirs -= {"Tensor", "torch", "common_args", "multi_dim_common"}
    assert not theirs - set(dir(flambeau.special))
