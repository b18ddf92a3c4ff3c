"""Convolution, pools, normalisation, padding and resizing beside PyTorch: results, gradients of
inputs and parameters, running statistics, initial values, reprs, names of nodes, errors.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import flambeau
from flambeau.settings import settings

torch = pytest.importorskip("torch", reason="PyTorch is the oracle of these tests")

LAYERS = """
Conv2d(3, 4, 3, padding=1)                                      | 2 3 8 8
Conv2d(3, 4, 3, padding=1, padding_mode='reflect')              | 2 3 8 8
Conv2d(3, 4, 4, padding='same', padding_mode='circular')        | 2 3 8 8
Conv2d(3, 4, 3, 2, 1)                                           | 2 3 9 8
Conv2d(3, 4, 1, 2)                                              | 2 3 9 8
Conv2d(3, 4, 3, 1, 1)                                           | 2 3 17 18
Conv2d(4, 8, 3, 2, 1, groups=4)                                 | 2 4 9 8
Conv2d(4, 8, 7, 2, 1, groups=4)                                 | 2 4 19 18
Conv2d(4, 8, 3, 2, 1, 2, groups=2)                              | 2 4 9 8
Conv2d(3, 4, 3)                                                 | 3 8 8
Conv1d(3, 4, 3, bias=False)                                     | 2 3 8
Conv1d(3, 4, 2, padding='same')                                 | 2 3 8
Conv3d(3, 4, 3, 2, 1)                                           | 2 3 5 6 7
ConvTranspose2d(3, 4, 3, 2, 1, 1)                               | 2 3 4 5
ConvTranspose2d(4, 4, 3, 2, 1, 1, groups=2, dilation=2)         | 2 4 4 5
ConvTranspose1d(3, 4, 4, 3)                                     | 2 3 5
ConvTranspose3d(3, 2, 2, 2)                                     | 1 3 3 4 2
LazyConv2d(6, 3)                                                | 2 3 6 7
LazyConvTranspose1d(6, 3)                                       | 2 3 6
LazyLinear(3)                                                   | 2 3 6
MaxPool2d(2)                                                    | 2 3 8 9
MaxPool2d(3, 2, 1, ceil_mode=True)                              | 2 3 8 9
MaxPool2d(2, 2, 1, 2)                                           | 2 3 8 9
MaxPool2d(7, 2, 3)                                              | 2 3 18 19
MaxPool2d((9, 40), (2, 7), (1, 5))                              | 1 2 20 60
MaxPool1d(3)                                                    | 2 3 8
MaxPool1d(60)                                                   | 2 3 60
MaxPool1d(40, 3, 5)                                             | 2 3 60
MaxPool3d(3, 2, 1)                                              | 2 3 8 9 7
AvgPool2d(2)                                                    | 2 3 8 9
AvgPool2d(3, 2, 1, ceil_mode=True)                              | 2 3 8 9
AvgPool2d(3, 2, 1, count_include_pad=False, ceil_mode=True)     | 2 3 8 9
AvgPool2d(7)                                                    | 2 3 7 7
AvgPool2d(7, 3, 2)                                              | 2 3 17 17
AvgPool1d(40, 3, 2)                                             | 2 3 60
AvgPool3d(3, 2, 1)                                              | 2 3 8 9 7
LPPool2d(2, 3, 2)                                               | 2 3 7 7
LPPool1d(3.5, 3, 2)                                             | 2 3 7
AdaptiveAvgPool2d(1)                                            | 2 3 7 7
AdaptiveAvgPool2d((3, None))                                    | 2 3 7 8
AdaptiveAvgPool1d(3)                                            | 2 3 7
AdaptiveAvgPool3d(3)                                            | 2 3 7 5 4
AdaptiveMaxPool2d(3)                                            | 2 3 7 5
AdaptiveMaxPool1d(3)                                            | 2 3 7
AdaptiveMaxPool3d(3)                                            | 2 3 7 5 4
FractionalMaxPool2d(2, 3)                                       | 2 3 7 7
FractionalMaxPool3d(2, output_ratio=0.6)                        | 2 3 7 7 7
BatchNorm1d(6)                                                  | 5 6
BatchNorm2d(6)                                                  | 5 6 3 4
BatchNorm2d(6).eval()                                           | 5 6 3 4
BatchNorm2d(6, momentum=None)                                   | 5 6 3 4
BatchNorm2d(6, track_running_stats=False, affine=False)         | 5 6 3 4
BatchNorm2d(6, bias=False)                                      | 5 6 3 4
BatchNorm3d(6)                                                  | 5 6 3 4 2
SyncBatchNorm(6)                                                | 5 6 3
LazyBatchNorm2d()                                               | 2 3 6 7
InstanceNorm1d(6)                                               | 5 6 3
InstanceNorm2d(6, affine=True, track_running_stats=True)        | 5 6 3 4
InstanceNorm2d(6, affine=True, track_running_stats=True).eval() | 5 6 3 4
LazyInstanceNorm2d()                                            | 2 3 6 7
LayerNorm((3, 4))                                               | 5 6 3 4
GroupNorm(3, 6)                                                 | 5 6 3 4
GroupNorm(3, 6, affine=False)                                   | 5 6 4
RMSNorm(4)                                                      | 5 6 3 4
LocalResponseNorm(3, 0.5, 0.7, 1.2)                             | 5 6 3 4
LocalResponseNorm(4, 0.5, 0.7, 1.2)                             | 5 6 3
ReflectionPad2d((1, 2, 3, 1))                                   | 2 3 6 7
ReflectionPad2d((-1, 2, 3, -1))                                 | 2 3 6 7
ReflectionPad3d(1)                                              | 2 3 3 4 3
ReflectionPad1d(2)                                              | 2 3 4
ReplicationPad2d((-1, 3, 2, -2))                                | 2 3 6 7
ReplicationPad3d((1, 2, 0, 3, 1, 0))                            | 2 3 3 4 3
CircularPad2d((1, -2, -1, 3))                                   | 2 3 6 7
CircularPad3d(1)                                                | 2 3 3 4 3
ZeroPad2d((1, -1, 0, 2))                                        | 2 3 6 7
ConstantPad1d(1, 3.5)                                           | 2 3 6
Unfold(3, 2, 1, 2)                                              | 2 3 6 7
Fold((5, 6), 2)                                                 | 2 12 20
PixelShuffle(2)                                                 | 2 8 6 4
PixelUnshuffle(2)                                               | 2 2 6 4
ChannelShuffle(2)                                               | 2 8 6
UpsamplingNearest2d(scale_factor=2)                             | 2 3 5 4
UpsamplingBilinear2d(scale_factor=2)                            | 2 3 5 4
""".strip().splitlines()
RESIZED = [
    f"Upsample(mode='{mode}', {how}{corners}) | {size}"
    for mode, size in (("nearest", "2 3 5"), ("nearest", "2 3 5 4"), ("nearest-exact", "2 3 5 4"),
                       ("nearest", "1 2 3 4 3"), ("linear", "2 3 5"), ("bilinear", "2 3 5 4"),
                       ("bicubic", "2 3 5 4"), ("trilinear", "1 2 3 4 3"), ("area", "2 3 5 4"))
    for how in ("scale_factor=2", "scale_factor=0.7", "scale_factor=1.7", "size=7", "size=1")
    for corners in ("", ", align_corners=True")
    if not corners or mode.endswith(("linear", "cubic"))
]  # fmt: skip


def numbers(state: Any, size: Any) -> Any:
    return state.uniform(-2, 2, tuple(size)).tolist()


def behaviour(framework: Any, layer: str, size: Any, steps: int) -> tuple[list[Any], list[Any]]:
    """Facts and arrays of a layer after some steps: repr, names, results, gradients, buffers."""
    framework.manual_seed(7)
    net = eval(f"nn.{layer}", {"nn": framework.nn})
    facts, arrays, state = [repr(net)], [], np.random.RandomState(3)
    for _ in range(steps):
        framework.manual_seed(8)
        x = framework.tensor(numbers(state, size), requires_grad=True)
        y = net(x)
        y.backward(framework.tensor(numbers(state, y.shape)))
        facts.append((y.grad_fn.name(), tuple(y.shape), y.stride()))
        arrays += [y.detach(), x.grad, *(p.grad for p in net.parameters())]
    facts.append(sorted(net.state_dict()))
    arrays += [*net.parameters(), *net.buffers()]
    return facts, [np.array(a.tolist()) for a in arrays]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("tier", ["numpy", "usual"])
@pytest.mark.parametrize("case", LAYERS + RESIZED)
def test_layers_are_pytorchs(case: str, tier: str) -> None:
    layer, size = (part.strip() for part in case.split("|"))
    shape = tuple(map(int, size.split()))
    steps = 1 if tier == "numpy" else 3  # the third runs compiled
    with settings.override(numpy=tier == "numpy"):
        facts, arrays = behaviour(flambeau, layer, shape, steps)
    wanted_facts, wanted = behaviour(torch, layer, shape, steps)
    assert facts == wanted_facts
    for mine, other in zip(arrays, wanted, strict=True):
        np.testing.assert_allclose(mine, other, rtol=2e-4, atol=2e-5)


EXPRESSIONS = """
F.conv2d(x, w[:, :2])
F.conv2d(x, w[0])
F.conv2d(x, w, torch.ones(3))
F.conv2d(x[0, 0], w)
F.conv2d(x, w, stride=0)
F.conv2d(x, w, padding=-1)
F.conv2d(x, w, dilation=0)
F.conv2d(x, w, stride=(1, 2, 3))
F.conv2d(x, w, groups=0)
F.conv2d(x, w, stride=2, padding='same')
F.conv2d(x, w, padding='sam')
F.conv2d(x[:, :, :2], w)
F.conv2d(x.double(), w)
F.conv2d(x.bool(), w.bool())
F.conv_transpose2d(x, w.transpose(0, 1), stride=2, output_padding=2)
F.conv_transpose2d(x, w.transpose(0, 1), stride=2, output_padding=-1)
nn.ConvTranspose2d(3, 4, 3, 2)(x, output_size=(20, 20))
nn.ConvTranspose2d(3, 4, 3, 2)(x, output_size=(15, 18))
nn.Conv2d(3, 4, 3, groups=2)
nn.ConvTranspose2d(3, 4, 3, padding_mode='reflect')
F.max_pool2d(x, 2, padding=2)
F.max_pool2d(x, 9)
F.max_pool2d(x, 2, 0)
F.max_pool2d(x, 2, dilation=0)
F.max_pool2d(x, (2, 2, 2))
F.max_pool2d(x.bool(), 2)
F.max_pool1d(x[0], 3, return_indices=True)
F.max_pool2d(x, 3, 2, 1, return_indices=True)
F.max_pool2d(x * float('nan'), 3, 2, 1, return_indices=True)
F.max_pool2d(x.round(), 3, 2, 1, return_indices=True)
F.max_pool3d(x, 3, 2, 1, return_indices=True)
F.adaptive_max_pool2d(x, (3, 2), return_indices=True)
F.max_unpool2d(*F.max_pool2d(x, 2, return_indices=True), 2)
F.max_unpool2d(*F.max_pool2d(x, 2, return_indices=True), 2, output_size=(7, 8))
F.max_unpool2d(*F.max_pool2d(x, 2, return_indices=True), 2, output_size=(17, 8))
F.avg_pool2d(x, 2, divisor_override=0)
F.avg_pool2d(x.long(), 2)
F.avg_pool2d(x.int(), 2)
F.adaptive_avg_pool2d(x, -1)
F.adaptive_avg_pool2d(x, (1, 2, 3))
F.fractional_max_pool2d(x, 2)
F.batch_norm(x, None, None)
F.batch_norm(x, torch.zeros(2), torch.ones(3))
F.batch_norm(x[:1, :, :1, :1], None, None, training=True)
F.layer_norm(x, (5,))
F.layer_norm(x, (8,), torch.ones(3))
F.layer_norm(x.long(), (8,))
F.group_norm(x, 2)
F.instance_norm(x[:, :, :1, :1])
F.local_response_norm(x[0, 0], 2)
nn.BatchNorm2d(3)(x[0])
nn.InstanceNorm2d(2, affine=True)(x)
F.pad(x, (1, 1), mode='reflect')
F.pad(x, (8, 8, 1, 1), mode='reflect')
F.pad(x, (9, 8, 1, 1), mode='circular')
F.pad(x, (1, 1, 1))
F.pad(x, (1, 1), mode='foo')
F.pad(x, (1, 1, 1, 1), mode='reflect', value=3)
F.pad(x.long(), (1, 1, 1, 1), mode='reflect')
F.interpolate(x)
F.interpolate(x, 3, 2)
F.interpolate(x, (3, 2, 1))
F.interpolate(x, 2, mode='linear')
F.interpolate(x, 2, mode='foo')
F.interpolate(x, 0)
F.interpolate(x, 2, align_corners=True)
F.interpolate(x, scale_factor=0.6, mode='bilinear', antialias=True)
F.interpolate(x, scale_factor=0.6, mode='bicubic', antialias=True, align_corners=True)
F.interpolate(x, scale_factor=1.6, mode='lanczos', antialias=True)
F.interpolate((x.abs() * 90).to(torch.uint8), (5, 3), mode='bilinear')
F.interpolate((x.abs() * 90).to(torch.uint8), (9, 13), mode='bicubic')
F.interpolate((x.abs() * 90).to(torch.uint8), (9, 13))
F.pixel_shuffle(x, 2)
F.pixel_unshuffle(x, 2)
F.grid_sample(x, g)
F.grid_sample(x, g, 'bicubic', 'reflection', True)
F.grid_sample(x, g, 'foo')
F.grid_sample(x, g[:1])
F.affine_grid(theta, (2, 3, 4, 5))
F.affine_grid(theta, (2, 3, 4, 5), True)
F.affine_grid(theta, (2, 3, 4))
F.pairwise_distance(x, x + 1)
F.unfold(x, 9)
F.fold(x[0], (4, 4), 5)
torch.batch_norm(x, None, None, None, None, True, 0.1, 1e-5, False)
torch.conv2d(x, w, padding='same')
torch.max_pool2d(x, 2)
""".strip().splitlines()


def value(framework: Any, expression: str) -> Any:
    """What an expression gives, or the error that it raises."""
    state = np.random.RandomState(5)
    names = dict(x=(2, 3, 7, 8), w=(4, 3, 3, 3), g=(2, 4, 3, 2), theta=(2, 2, 3))
    scope = {n: framework.tensor(numbers(state, size)) for n, size in names.items()}
    scope |= {"torch": framework, "nn": framework.nn, "F": framework.nn.functional}
    framework.manual_seed(1)
    try:
        found = eval(expression, scope)
    except Exception as error:
        return error
    many = found if isinstance(found, tuple) else (found,)
    return [(str(f.dtype), np.array(f.tolist())) for f in many]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_expressions_give_what_pytorch_gives(expression: str) -> None:
    mine, other = value(flambeau, expression), value(torch, expression)
    if isinstance(other, Exception):
        assert type(mine) is type(other), mine
        return
    assert not isinstance(mine, Exception), mine
    for a, b in zip(mine, other, strict=True):
        assert a[0] == b[0]
        np.testing.assert_allclose(a[1], b[1], rtol=2e-5, atol=2e-5)


SECOND = """
F.conv2d(x, w, stride=2, padding=1)
F.conv_transpose2d(x, w.transpose(0, 1), stride=2, output_padding=1)
F.max_pool2d(x, 3, 2, 1)
F.avg_pool2d(x, 3, 2, 1)
F.adaptive_avg_pool2d(x, 3)
F.batch_norm(x, None, None, w[:3, 0, 0, 0], None, True)
F.group_norm(x, 3, w[:3, 0, 0, 0])
F.layer_norm(x, (5,), w[0, 0].flatten()[:5])
F.interpolate(x, scale_factor=1.5, mode='bicubic')
F.pad(x, (1, 2, 1, 0), mode='reflect')
F.grid_sample(x, w.tanh()[:2, :2, :, :2].contiguous(), align_corners=True)
F.fold(F.unfold(x, 2), (4, 5), 2)
""".strip().splitlines()


def second(framework: Any, expression: str) -> list[Any]:
    """Gradients of the squares of gradients."""
    state = np.random.RandomState(5)
    x, w = (framework.tensor(numbers(state, size), dtype=framework.float64, requires_grad=True)
            for size in ((2, 3, 4, 5), (4, 3, 3, 3)))  # fmt: skip
    y = eval(expression, {"x": x, "w": w, "F": framework.nn.functional})
    first = framework.autograd.grad((y * y * y).sum(), [x, w], create_graph=True, allow_unused=True)
    total = sum((g * g).sum() for g in first if g is not None)
    found = framework.autograd.grad(total, [x, w], allow_unused=True)
    return [None if g is None else np.array(g.tolist()) for g in (*first, *found)]


@pytest.mark.parametrize("expression", SECOND)
def test_second_derivatives(expression: str) -> None:
    for mine, other in zip(second(flambeau, expression), second(torch, expression), strict=True):
        assert (mine is None) == (other is None)
        if other is not None:
            np.testing.assert_allclose(mine, other, rtol=1e-6, atol=1e-8)


def test_views_with_gaps_that_begin_anywhere() -> None:
    """A view whose start is told at run time, in programs that were compiled."""
    values = np.random.RandomState(0).randn(3, 4, 9, 9)
    w = np.random.RandomState(1).randn(2, 2, 3, 3)
    for start in (0, 1, 2, 1, 0, 2):
        found = []
        for framework in (flambeau, torch):
            x = framework.tensor(values.tolist())[:, start : start + 2, 1:, ::2]
            k, f = framework.tensor(w.tolist()), framework.nn.functional
            y = f.conv2d(x, k, padding=1).relu()
            found.append([f.max_pool2d(x, 2), f.avg_pool2d(y, 2, 1, 1), y, f.interpolate(x, 3)])
        for mine, other in zip(*found):
            np.testing.assert_allclose(mine.tolist(), other.tolist(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5])
def test_cross_map_lrn_has_pytorchs_values(size: int) -> None:
    """Not its derivative: PyTorch's is not that of its function."""
    x = np.random.RandomState(0).randn(2, 7, 3, 2)
    mine, other = (f.nn.CrossMapLRN2d(size, 0.5, 0.7, 1.2)(f.tensor(x.tolist())).tolist()
                   for f in (flambeau, torch))  # fmt: skip
    np.testing.assert_allclose(mine, other, rtol=1e-5, atol=1e-6)


def test_sync_batch_norm_takes_the_place_of_others() -> None:
    net = flambeau.nn.Sequential(flambeau.nn.Conv2d(3, 4, 3), flambeau.nn.BatchNorm2d(4))
    made = flambeau.nn.SyncBatchNorm.convert_sync_batchnorm(net)
    assert isinstance(made[1], flambeau.nn.SyncBatchNorm)
    assert made[1].weight is net[1].weight or made is net


def test_even_kernels_warn_where_padding_is_not_the_same_on_both_sides() -> None:
    x, w = flambeau.ones(1, 1, 4, 4), flambeau.ones(1, 1, 2, 2)
    with pytest.warns(UserWarning, match="padding='same' with even kernel lengths"):
        flambeau.nn.functional.conv2d(x, w, padding="same")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        flambeau.nn.functional.conv2d(x, flambeau.ones(1, 1, 3, 3), padding="same")
