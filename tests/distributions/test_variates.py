"""Gamma, Dirichlet, Poisson and binomial numbers: PyTorch's, and the stream goes on as there."""

from __future__ import annotations

import pytest

from tests.beside import same

DRAWS = """
torch.poisson(torch.tensor([0.0, 0.5, 3.0, 9.9, 10.0, 50.0, 1e4]))
torch.poisson(torch.full((50,), 20.0, dtype=torch.float64))
torch.poisson(torch.arange(1.0, 13).view(3, 4).t())
torch.poisson(torch.full((9,), 2.0, dtype=torch.float16))
torch.poisson(torch.full((9,), 12.0, dtype=torch.bfloat16))
torch.poisson(torch.ones(3), torch.Generator().manual_seed(3))
torch.poisson(torch.empty(0))
torch.binomial(torch.tensor([0.0, 1, 10, 50, 1000]), torch.tensor([0.5, 0.1, 0.9, 0.4, 0.7]))
torch.binomial(torch.full((60,), 40.0), torch.tensor(0.4))
torch.binomial(torch.full((60,), 40.0, dtype=torch.float64), torch.tensor(0.7).double())
torch.binomial(torch.tensor([[3.0], [9.0]]), torch.tensor([0.0, 0.5, 1.0]))
torch._standard_gamma(torch.tensor([0.0, 1e-3, 0.3, 0.99, 1.0, 2.5, 100.0, 1e6]))
torch._standard_gamma(torch.full((60,), 0.7, dtype=torch.float64))
torch._standard_gamma(torch.arange(1.0, 13).view(3, 4).t())
torch._standard_gamma(torch.ones(3), generator=torch.Generator().manual_seed(3))
torch._sample_dirichlet(torch.tensor([[0.01, 0.01], [3.0, 1.0], [0.5, 200.0]]))
torch._sample_dirichlet(torch.full((20, 3), 1e-3, dtype=torch.float64))
torch.poisson(torch.tensor([-1.0]))
torch.poisson(torch.tensor([1]))
torch.binomial(torch.tensor([3]), torch.tensor([0.5]))
torch.binomial(torch.tensor([3.0]), torch.tensor([0.5]).double())
torch.binomial(torch.tensor([3.0]).half(), torch.tensor([0.5]).half())
torch._standard_gamma(torch.ones(3).half())
torch._standard_gamma(torch.tensor([2.0], requires_grad=True))
torch.poisson(torch.tensor([2.0], requires_grad=True))
""".strip().splitlines()


@pytest.mark.parametrize("draw", DRAWS)
def test_the_numbers_and_what_comes_after(draw: str) -> None:
    same(
        "torch.manual_seed(7)",
        f"x = {draw}",
        "[x, torch.rand(3), torch.randn(3, dtype=torch.float64)]",
        tolerance=2e-6,
    )


def test_a_kept_normal_is_used_and_left() -> None:
    """One of a pair of normals waits in the state, before and after."""
    same("torch.randn(3, dtype=torch.float64)", "x = torch._standard_gamma(torch.ones(2) * 3)",
         "[x, torch.randn(2, dtype=torch.float64), torch.get_rng_state()]",
         tolerance=1e-6)  # fmt: skip


def test_in_a_loop_each_time_others() -> None:
    """Compiled or not: the stream goes on."""
    same(
        "seen = []",
        "for i in range(8):\n"
        "    x = torch.poisson(torch.rand(20) * 20) + torch._standard_gamma(torch.rand(20) + 0.1)\n"
        "    seen.append((x * 2).sum().item())",
        "seen",
        tolerance=1e-5,
    )


def test_a_fit_by_reparameterised_gradients() -> None:
    """A variational fit, step by step the same under PyTorch."""
    same(
        "D = torch.distributions",
        "loc, log = torch.zeros(3, requires_grad=True), torch.zeros(3, requires_grad=True)",
        "optimizer = torch.optim.Adam([loc, log], lr=0.05)",
        "target = D.Normal(torch.tensor([1.0, -2.0, 0.5]), torch.tensor([0.5, 1.0, 2.0]))",
        "for step in range(30):\n"
        "    optimizer.zero_grad()\n"
        "    q = D.Normal(loc, log.exp())\n"
        "    z = q.rsample((8,))\n"
        "    loss = (q.log_prob(z) - target.log_prob(z)).sum(-1).mean()\n"
        "    loss.backward()\n"
        "    optimizer.step()",
        "[loc.tolist(), log.tolist(), D.kl_divergence(q, target).tolist()]",
        tolerance=1e-4,
    )
