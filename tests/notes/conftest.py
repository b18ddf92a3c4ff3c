"""What learners of PyTorch write down holds on Flambeau, and on PyTorch itself.

Every module here goes through one learner's study notes: what they run and what they claim. Where a
note is out of date, the test says what PyTorch 2.13 does.
"""

import importlib

import pytest


@pytest.fixture(params=["flambeau", "torch"])
def torch(request):
    """The framework under test: also PyTorch, where installed, so no claim is taken on trust."""
    if request.param == "torch":
        pytest.importorskip("torch", reason="PyTorch, the reference, is not installed")
    module = importlib.import_module(request.param)
    module.manual_seed(1)
    return module
