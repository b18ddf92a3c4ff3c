"""The two frameworks that every program runs under."""

import pytest


@pytest.fixture(scope="session")
def theirs():
    """PyTorch, which says what is right."""
    return pytest.importorskip("torch", reason="PyTorch, the reference, is not installed")


@pytest.fixture(scope="session")
def ours():
    """Flambeau."""
    import flambeau
    return flambeau
