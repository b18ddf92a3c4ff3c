"""Layers that learn their sizes from the first input, and parameters without a size."""

import copy
import pickle

import pytest

import flambeau as fl
from flambeau import nn
from flambeau.nn.modules.lazy import LazyModuleMixin
from flambeau.nn.parameter import UninitializedBuffer, UninitializedParameter, is_lazy


class LazyScale(LazyModuleMixin, nn.Linear):
    """A Linear whose number of inputs is known later."""

    cls_to_become = nn.Linear

    def __init__(self, out_features):
        super().__init__(0, 0)
        self.out_features = out_features
        self.weight, self.bias = UninitializedParameter(), UninitializedParameter()

    def reset_parameters(self):
        if self.in_features:
            super().reset_parameters()

    def initialize_parameters(self, input):
        with fl.no_grad():
            self.in_features = input.shape[-1]
            self.weight.materialize((self.out_features, self.in_features))
            self.bias.materialize((self.out_features,))
            self.reset_parameters()


def test_the_first_call_gives_the_sizes():
    layer = LazyScale(3)
    parameters = list(layer.parameters())
    assert layer.has_uninitialized_params() and repr(layer.weight) == "<UninitializedParameter>"
    assert layer(fl.ones(2, 5)).shape == (2, 3)
    assert type(layer) is nn.Linear and type(layer.weight) is nn.Parameter
    assert parameters[0] is layer.weight and layer.weight.requires_grad
    layer(fl.ones(2, 5)).sum().backward()
    assert layer.weight.grad.shape == (3, 5)


def test_sizes_come_from_a_state_dict():
    full, lazy = nn.Linear(4, 3), LazyScale(3)
    lazy.load_state_dict(full.state_dict())
    assert lazy.weight.equal(full.weight) and not lazy.has_uninitialized_params()
    assert is_lazy(LazyScale(3).state_dict()["weight"])
    with pytest.raises(RuntimeError, match="Can't access the shape of an uninitialized"):
        full.load_state_dict(LazyScale(3).state_dict())


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_learn_their_own_sizes(copied):
    layer = LazyScale(3)
    other = copied(layer)
    other(fl.ones(2, 7))
    assert type(other) is nn.Linear and type(layer) is LazyScale


def test_what_works_without_a_size():
    weight = UninitializedParameter(dtype=fl.float64)
    assert weight.dtype is fl.float64 and weight.size() == (0,) and weight.is_leaf
    assert LazyScale(3).double().weight.dtype is fl.float64
    assert UninitializedBuffer().persistent and isinstance(UninitializedBuffer(), nn.Buffer)
    for refused in (weight.detach, weight.numel, lambda: weight + 1, lambda: fl.ones(1) * weight):
        with pytest.raises(ValueError, match="Attempted to use an uninitialized parameter"):
            refused()
    with pytest.raises(RuntimeError, match="Can't share memory"):
        weight.share_memory_()
