"""The two frameworks that every program runs under."""

import pytest


@pytest.fixture(scope="session")
def theirs():
    """PyTorch, which says what is right."""
    torch = pytest.importorskip("torch", reason="PyTorch, the reference, is not installed")
    torch.set_num_threads(1)  # programs this small wait for threads longer than they compute
    return torch


@pytest.fixture(scope="session")
def ours():
    """Flambeau."""
    import flambeau
    return flambeau
