"""torch.linalg and what came before it: the same expressions in both frameworks."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

theirs = pytest.importorskip("torch", reason="PyTorch is the oracle of these tests")
ours = pytest.importorskip("flambeau")

NORMS = """
L.norm(x) L.norm(x,2) L.norm(x,dim=(0,1)) L.norm(x,dim=(0,1,2)) L.norm(x,1,dim=(0,1)) L.norm(m,1)
L.norm(m,-1) L.norm(m,inf) L.norm(m,'fro') L.norm(m[0],'fro') L.norm(m,3) L.norm(m[0],0)
L.norm(m,1,dim=1) L.norm(m,1,keepdim=True) L.norm(m,dim=0,keepdim=True) L.norm(m,'abc')
L.norm(m.int()) L.norm(m,dtype=torch.float64) L.matrix_norm(m[0]) L.matrix_norm(x)
L.matrix_norm(x,1) L.matrix_norm(x,inf,keepdim=True) L.matrix_norm(x,'fro',(0,2))
L.matrix_norm(x,-inf,dim=(0,2)) L.matrix_norm(x,dim=1) L.matrix_norm(x,dim=(1,1))
L.matrix_norm(x,1,(2,0),keepdim=True) L.matrix_norm(x[:,:0],inf) L.matrix_norm(x[:,:0],-inf)
L.vector_norm(x,'fro') L.vector_norm(x,dim=()) L.vector_norm(x[:,:0],inf,dim=1)
L.vector_norm(x,dtype=torch.float16) L.vector_norm(x,dtype=torch.int64) L.vector_norm(x[:0],-1.)
L.vector_norm(x[:,:0],0.5,dim=1) L.vecdot(x,x) L.vecdot(x,x,dim=0) L.diagonal(x) L.matmul(x,m.t())
""".split()


def outcome(torch: Any, expression: str) -> Any:
    """Facts that must be the same, and numbers that must be close: values and gradient."""
    x = (torch.arange(24.0).reshape(2, 3, 4) - 7).requires_grad_()
    names = dict(torch=torch, L=torch.linalg, x=x, m=x[0], inf=float("inf"))
    try:
        result = eval(expression, names)
    except (RuntimeError, IndexError) as error:
        return (type(error).__name__, str(error).partition("\n")[0]), []
    except TypeError:  # PyTorch lists all signatures
        return "TypeError", []
    if result.requires_grad:
        result.double().sum().backward()
    grad = x.new_zeros(24) if x.grad is None else x.grad.flatten()  # PyTorch: no gradient at all
    facts = tuple(result.shape), str(result.dtype).removeprefix("torch.")
    return facts, result.flatten().tolist() + grad.tolist()


@pytest.mark.parametrize("expression", NORMS)
def test_norms_as_pytorch(expression: str) -> None:
    facts, numbers = outcome(ours, expression)
    expected, values = outcome(theirs, expression)
    assert facts == expected
    assert numbers == pytest.approx(values, nan_ok=True)


# ------------------------------------------------------------------ everything else
#
# a: batch of square matrices, p: positive definite, t: tall, w: wide, b: right sides, v: vectors.
# Each expression is compared with its first and second derivatives, real and complex.

SMOOTH = """
L.det(a) L.slogdet(a)[1] torch.logdet(p).real L.inv(a) L.inv_ex(a).inverse torch.inverse(a)
L.solve(a,b) L.solve(a,v) L.solve(a,b.mT,left=False) L.solve(a[0],b) L.solve_ex(a,b).result
L.cholesky(p) L.cholesky(p,upper=True) L.cholesky_ex(p).L torch.cholesky_solve(b,L.cholesky(p))
torch.cholesky_inverse(L.cholesky(p)) torch.cholesky_inverse(L.cholesky(p,upper=True),True)
L.solve_triangular(a,b,upper=True) L.solve_triangular(a,b,upper=False,unitriangular=True)
L.solve_triangular(a,b.mT,upper=True,left=False) torch.triangular_solve(b,a).solution
torch.triangular_solve(b,a,False,True).solution L.qr(t) L.qr(w) L.qr(a) torch.qr(t) L.lu(a)[1:]
L.lu(t)[1:] L.lu(w)[1:] L.lu_factor(t).LU L.lu_solve(*L.lu_factor(a),b)
L.lu_solve(*L.lu_factor(a),b,adjoint=True) L.lu_solve(*L.lu_factor(a),b.mT,left=False)
torch.lu_unpack(*L.lu_factor(a))[1:] L.svdvals(t) L.svd(w,full_matrices=False).S torch.svd(t).S
L.pinv(t) L.pinv(w) L.pinv(p,hermitian=True) torch.pinverse(t) L.eigvalsh(p) L.eigh(p).eigenvalues
L.eigvals(a).abs() L.matrix_exp(a) L.matrix_power(a,3) L.matrix_power(a,-2) L.matrix_power(a,1)
L.multi_dot([t[0],w[0],t[1]]) L.multi_dot([v[0],a[0],v[1]]) torch.chain_matmul(t[0],w[0])
L.lstsq(t,b2).solution L.lstsq(w,b[:,:3]).solution L.lstsq(t,b2,driver='gels').residuals
L.cross(t,t.flip(1)) torch.trace(a[0]) L.vander(v[0],N=4) L.vecdot(v,v.flip(0)) L.cond(a)
L.cond(a,'nuc') L.matrix_norm(t,'nuc') L.matrix_norm(t,2)
L.matrix_norm(t,-2,keepdim=True) torch.norm(t,'nuc',dim=(1,2)) L.householder_product(t,v[:,:3])
torch.ormqr(t,v[:,:3],b2) torch.ormqr(t,v[:,:3],b2.mT,left=False,transpose=True) L.tensorinv(c,2)
L.tensorsolve(c,b[0,:4,:1])
""".split()


def operands(torch: Any, kind: str) -> dict[str, Any]:
    """The same numbers in both frameworks, as leaves."""
    state = np.random.RandomState(3)

    def leaf(*size: int) -> Any:
        values = state.uniform(-1, 1, size)
        if kind == "complex128":
            values = values + 1j * state.uniform(-1, 1, size)
        return torch.tensor(values.tolist(), dtype=getattr(torch, kind)).requires_grad_()

    names = dict(a=leaf(2, 4, 4), t=leaf(2, 5, 3), w=leaf(2, 3, 5), b=leaf(2, 4, 2), v=leaf(2, 4))
    names |= dict(b2=leaf(2, 5, 2), c=leaf(2, 2, 1, 4))
    return names


def derivatives(torch: Any, kind: str, expression: str) -> list[Any]:
    """Values, gradients, and gradients of a sum of those."""
    leaves = operands(torch, kind)
    names = leaves | dict(torch=torch, L=torch.linalg, p=0)
    names["p"] = leaves["a"] @ leaves["a"].mH + torch.eye(4, dtype=leaves["a"].dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = eval(expression, names)
    made = made if isinstance(made, (tuple, list)) else [made]
    made = [x for x in made if x.is_floating_point() or x.is_complex()]
    wave = torch.arange(1.0, 200.0, dtype=torch.float64).sin()

    def total(results: Any) -> Any:
        parts = []
        for x in results:
            x = torch.view_as_real(x.resolve_conj()) if x.is_complex() else x
            flat = x.reshape(-1)
            parts.append((flat * wave[: flat.shape[0]]).sum())
        return sum(parts[1:], parts[0])

    variables = list(leaves.values())
    options = dict(create_graph=True, allow_unused=True)
    first = torch.autograd.grad(total(made), variables, **options)
    kept = [g for g in first if g is not None and g.requires_grad]
    second = torch.autograd.grad(total(kept), variables, allow_unused=True) if kept else []
    gradients = [x.new_zeros(x.shape) if g is None else g for x, g in zip(variables, first)]
    more = [g for g in second if g is not None and bool((g != 0).any())]
    return [x.detach().resolve_conj().tolist() for x in (*made, *gradients, *more)]


@pytest.mark.parametrize("kind", ["float64", "complex128"])
@pytest.mark.parametrize("expression", SMOOTH)
def test_values_and_two_derivatives(expression: str, kind: str) -> None:
    mine, other = (derivatives(torch, kind, expression) for torch in (ours, theirs))
    assert len(mine) == len(other)
    for x, y in zip(mine, other):
        np.testing.assert_allclose(np.array(x), np.array(y), rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("hermitian", [False, True])
def test_ldl_has_the_pivots_of_lapack(seed: int, hermitian: bool) -> None:
    values = np.random.RandomState(seed).uniform(-1, 1, (2, 9, 9))
    values = values + 1j * values[::-1] ** 2
    values = values + (values.conj() if hermitian else values).transpose(0, 2, 1)
    results = []
    for torch in (ours, theirs):
        a = torch.tensor(values.tolist(), dtype=torch.complex128)
        factors, pivots = torch.linalg.ldl_factor(a, hermitian=hermitian)
        x = torch.linalg.ldl_solve(factors, pivots, a[..., :3], hermitian=hermitian)
        results.append((np.tril(np.array(factors.tolist())), pivots.tolist(), np.array(x.tolist())))
    assert results[0][1] == results[1][1]
    for place in (0, 2):
        np.testing.assert_allclose(results[0][place], results[1][place], atol=1e-10)


def test_lu_of_a_matrix_of_several_blocks() -> None:
    values = np.random.RandomState(0).uniform(-1, 1, (130, 150))
    a = ours.tensor(values.tolist(), dtype=ours.float64)
    p, low, up = ours.linalg.lu(a)
    assert ours.allclose(p @ low @ up, a)
    assert ours.linalg.lu_factor(a).pivots.tolist() == (
        theirs.linalg.lu_factor(theirs.tensor(values)).pivots.tolist()
    )


# ------------------------------------------------------------------ what is refused, when, and how

REFUSED = """
L.inv(zero) L.inv(zeros) L.inv_ex(zeros,check_errors=True) torch.inverse(zero) L.solve(zero,v)
L.solve_ex(zeros,b,check_errors=True) L.cholesky(zero) L.cholesky(-zeros)
L.cholesky_ex(zero,check_errors=True) torch.cholesky(zero) L.lu_factor(zero)
L.matrix_power(zero,-1) torch.cholesky_inverse(zero) L.inv(b) L.inv(v[0]) L.inv(a.int())
L.inv(a.half()) L.solve(a,b.double()) L.solve(a,b[:,:2]) L.solve(a,b,left=False) L.cholesky(b)
L.eigh(b) L.eigh(a,'X') L.eig(b) L.qr(a,'x') L.qr(v[0]) L.svd(v[0]) L.lu(v[0]) L.lu(a,pivot=False)
L.det(b) L.slogdet(a.int()) torch.logdet(a.int()) L.pinv(v[0]) L.matrix_rank(v[0]) L.cond(a,3)
L.cond(b,1) L.lstsq(a,b,driver='x') L.lstsq(v[0],b) L.lstsq(b,a[:,:3]) L.multi_dot([a[0]])
L.multi_dot([a[0],v[0],a[0]]) L.multi_dot([a[0],b[0].t()]) L.multi_dot([a[0],a[0].int()])
L.vander(v,N=1) torch.vander(a[0]) L.cross(b,b) torch.trace(a) torch.cross(b,b) L.tensorinv(b,1)
L.tensorsolve(b,v) L.vecdot(v,v.int()) L.svd(a,driver='gesvd') L.matrix_norm(a,'abc')
L.matrix_norm(a,3) L.matrix_exp(b) L.lu_solve(a,v,b) L.householder_product(b,v) torch.ormqr(b,v,b)
L.inv(a,out=torch.empty(3,dtype=torch.int64)) L.inv(a.clone().requires_grad_(),out=torch.empty(0))
torch.eig(a) torch.symeig(a) torch.solve(a,a) torch.lstsq(a,a) torch.matrix_rank(a) L.svd(a*nan)
L.eig(a*nan)
""".split()


@pytest.mark.parametrize("expression", REFUSED)
def test_refusals_come_at_the_call(expression: str) -> None:
    errors = []
    for torch in (theirs, ours):
        a = (torch.arange(32.0) * 1.7).sin().reshape(2, 4, 4)
        names = dict(torch=torch, L=torch.linalg, a=a, b=a[..., :2], v=a[..., 0], nan=float("nan"))
        names |= dict(zero=torch.zeros(4, 4), zeros=torch.stack([torch.eye(4), torch.zeros(4, 4)]))
        with warnings.catch_warnings(), pytest.raises(Exception) as caught:
            warnings.simplefilter("ignore")
            result = eval(expression, names)
            (result[0] if isinstance(result, tuple) else result).tolist()
        errors.append(caught.value)
    expected, given = errors
    assert type(given).__name__ == type(expected).__name__, given
    if "nan" not in expression:  # PyTorch's words for NaN name its algorithm
        assert str(given).split()[:4] == str(expected).split()[:4]


def test_an_error_of_numbers_can_be_caught_where_it_happens() -> None:
    try:
        ours.linalg.cholesky(-ours.eye(3))
    except ours.linalg.LinAlgError as error:
        assert "leading minor of order 1" in str(error)
    else:
        raise AssertionError("no error")
    assert issubclass(ours.linalg.LinAlgError, RuntimeError)


# ------------------------------------------------------------------ results by name, out=, repr


def test_results_have_pytorchs_names_and_repr() -> None:
    for torch in (ours, theirs):
        found = torch.linalg.slogdet(torch.eye(2) * 2)
        assert found.sign.item() == 1
        assert repr(found) == (
            "torch.return_types.linalg_slogdet(\nsign=tensor(1.),\nlogabsdet=tensor(1.3863))"
        )


@pytest.mark.parametrize("name, fields", [
    ("linalg_svd", ("U", "S", "Vh")), ("linalg_qr", ("Q", "R")), ("svd", ("U", "S", "V")),
    ("linalg_lu_factor_ex", ("LU", "pivots", "info")), ("geqrf", ("a", "tau")),
    ("linalg_lstsq", ("solution", "residuals", "rank", "singular_values")),
    ("triangular_solve", ("solution", "cloned_coefficient")),
    ("linalg_eigh_out", ("eigenvalues", "eigenvectors")),
])  # fmt: skip
def test_fields(name: str, fields: tuple[str, ...]) -> None:
    assert getattr(ours.return_types, name).fields == fields
    assert getattr(theirs.return_types, name).__match_args__ == fields


def test_out_takes_the_result_and_its_strides() -> None:
    for torch in (ours, theirs):
        a = torch.eye(3).expand(2, 3, 3) * 2
        out = torch.empty(0)
        assert torch.linalg.inv(a, out=out) is out
        assert out.stride() == (9, 1, 3)
        parts = torch.empty(0), torch.empty(0)
        given = torch.linalg.qr(a, out=parts)
        assert given[0] is parts[0]
        assert parts[1].shape == (2, 3, 3)


# ------------------------------------------------------------------ a few of many


def test_svd_lowrank_finds_a_low_rank() -> None:
    ours.manual_seed(0)
    left, right = ours.randn(9, 2), ours.randn(2, 30)
    u, s, v = ours.svd_lowrank(left @ right, q=4)
    assert ours.allclose(u * s @ v.mT, left @ right, atol=1e-4)
    assert s.shape == (4,) and bool((s[2:] < 1e-3).all())


@pytest.mark.parametrize("largest", [True, False])
def test_lobpcg_finds_eigenpairs(largest: bool) -> None:
    ours.manual_seed(0)
    a = ours.randn(30, 30, dtype=ours.float64)
    a = a @ a.mT
    values, vectors = ours.lobpcg(a, 3, largest=largest)
    expected = ours.linalg.eigvalsh(a)
    expected = expected.flip(0)[:3] if largest else expected[:3]
    assert ours.allclose(values, expected, rtol=1e-6)
    assert ours.allclose(a @ vectors, vectors * values, atol=1e-4)


def test_in_a_compiled_loop() -> None:
    """Factorizations stand among compiled calls, and their gradients too."""
    results = []
    for torch in (ours, theirs):
        a = (torch.arange(16.0, dtype=torch.float64) ** 2 * 1.3).sin().reshape(4, 4)
        a.requires_grad_()  # of full rank, or its singular vectors hang on the last bits
        for _ in range(40):
            p = a @ a.mT + torch.eye(4, dtype=torch.float64)
            loss = torch.linalg.eigvalsh(p).log().sum() + torch.linalg.svdvals(a).sum()
            loss = loss + torch.linalg.matrix_exp(a * 0.1).trace()
            (grad,) = torch.autograd.grad(loss, a)
            with torch.no_grad():
                a -= 0.01 * grad
        results.append(a.tolist())
    np.testing.assert_allclose(results[0], results[1], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("call", [
    "L.solve(A=a,B=a)", "L.lstsq(input=a,b=a).solution", "L.cholesky(input=a)", "L.svdvals(A=a)",
    "L.norm(input=a)", "L.vector_norm(x=a)", "L.eigvalsh(input=a)", "L.pinv(input=a,rcond=0.1)",
    "L.solve_triangular(input=a,B=a,upper=True)", "L.tensorinv(input=a,ind=1)",
    "torch.cholesky_solve(input=a,input2=a)", "L.matrix_rank(input=a,tol=0.1)",
    "torch.ormqr(input=a,input2=a[0],input3=a)", "torch.norm(input=a,p='nuc')",
])  # fmt: skip
def test_arguments_have_pytorchs_names(call: str) -> None:
    mine, other = (
        eval(call, dict(torch=torch, L=torch.linalg, a=torch.eye(3))) for torch in (ours, theirs)
    )
    np.testing.assert_allclose(mine.tolist(), other.tolist(), atol=1e-6)
