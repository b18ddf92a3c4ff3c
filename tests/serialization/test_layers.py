"""Whole layers in files: what PyTorch saved is ours, and what Flambeau saved is PyTorch's."""

from __future__ import annotations

import io
import warnings
from typing import Any

import pytest

import flambeau
import flambeau.nn
import flambeau.optim.lr_scheduler

oracle = pytest.importorskip("torch", reason="PyTorch is the oracle of these tests")

LAYERS = (
    r"""
Linear(2,3) | Bilinear(2,2,3) | Identity() | Conv1d(1,2,3) | Conv2d(4,2,3,padding=1,groups=2)
Conv3d(1,1,1) | ConvTranspose1d(1,1,2) | ConvTranspose2d(1,1,2) | ConvTranspose3d(1,1,2)
BatchNorm1d(2) | BatchNorm2d(2) | BatchNorm3d(2) | SyncBatchNorm(2) | InstanceNorm1d(2)
InstanceNorm2d(2,affine=True) | InstanceNorm3d(2) | GroupNorm(2,4) | LayerNorm(3) | RMSNorm(3)
LocalResponseNorm(2) | CrossMapLRN2d(2) | Embedding(3,2,padding_idx=0) | EmbeddingBag(3,2)
Dropout(.3) | Dropout1d() | Dropout2d() | Dropout3d() | AlphaDropout() | FeatureAlphaDropout()
ReLU() | ReLU6() | ELU() | SELU() | CELU() | GELU('tanh') | GLU() | Hardshrink() | Hardsigmoid()
Hardswish() | Hardtanh() | LeakyReLU(.2) | LogSigmoid() | LogSoftmax(1) | Mish() | PReLU()
RReLU() | SiLU() | Sigmoid() | Softmax(1) | Softmax2d() | Softmin(1) | Softplus() | Softshrink()
Softsign() | Tanh() | Tanhshrink() | Threshold(1,2) | MultiheadAttention(4,2)
MultiheadAttention(4,2,kdim=3,vdim=2,batch_first=True) | RNN(2,3)
LSTM(2,3,2,bidirectional=True) | LSTM(2,3,proj_size=2) | GRU(2,3) | RNNCell(2,3) | LSTMCell(2,3)
GRUCell(2,3) | Transformer(4,2,1,1,8) | TransformerEncoderLayer(4,2,8)
TransformerDecoderLayer(4,2,8) | TransformerEncoder(nn.TransformerEncoderLayer(4,2,8),2)
MaxPool1d(2) | MaxPool2d(2) | MaxPool3d(2) | MaxUnpool2d(2) | AvgPool1d(2) | AvgPool2d(2)
AvgPool3d(2) | AdaptiveAvgPool1d(2) | AdaptiveAvgPool2d((1,None)) | AdaptiveMaxPool2d(2)
LPPool1d(2,2) | LPPool2d(2,2) | FractionalMaxPool2d(2,output_size=2) | ReflectionPad1d(1)
ReflectionPad2d(1) | ReplicationPad2d(1) | ZeroPad2d(1) | ConstantPad2d(1,2.) | CircularPad2d(1)
PixelShuffle(2) | PixelUnshuffle(2) | ChannelShuffle(2) | Upsample(scale_factor=2)
UpsamplingNearest2d(scale_factor=2) | UpsamplingBilinear2d(scale_factor=2) | Fold((2,2),1)
Unfold(2) | Flatten() | Unflatten(1,(2,2)) | CosineSimilarity() | PairwiseDistance()
Sequential(nn.Linear(1,1)) | ModuleList([nn.Linear(1,1)])
ModuleDict({'a':nn.Linear(1,1)}) | ParameterList([nn.Parameter(torch.ones(2))])
ParameterDict({'a':nn.Parameter(torch.ones(2))}) | L1Loss() | MSELoss()
CrossEntropyLoss(torch.ones(2)) | CTCLoss() | NLLLoss() | PoissonNLLLoss() | GaussianNLLLoss()
KLDivLoss() | BCELoss() | BCEWithLogitsLoss() | MarginRankingLoss() | HingeEmbeddingLoss()
MultiLabelMarginLoss() | HuberLoss() | SmoothL1Loss() | SoftMarginLoss()
MultiLabelSoftMarginLoss() | CosineEmbeddingLoss() | MultiMarginLoss() | TripletMarginLoss()
TripletMarginWithDistanceLoss() | AdaptiveLogSoftmaxWithLoss(4,6,[2,4])
""".strip()
    .replace("\n", " | ")
    .split(" | ")
)


def crossed(saver: Any, loader: Any, obj: Any) -> Any:
    file = io.BytesIO()
    saver.save(obj, file)
    file.seek(0)
    return loader.load(file, weights_only=False)


def made(torch: Any, layer: str) -> Any:
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return eval(f"nn.{layer}", {"nn": torch.nn, "torch": torch})


def facts(layer: Any) -> Any:
    state = {name: x.tolist() for name, x in layer.state_dict().items()}
    return repr(layer), state, layer.training, [p.requires_grad for p in layer.parameters()]


@pytest.mark.parametrize("pair", [(flambeau, oracle), (oracle, flambeau)], ids=["to", "from"])
@pytest.mark.parametrize("layer", LAYERS)
def test_layers(layer: str, pair: Any) -> None:
    saver, loader = pair
    before = made(saver, layer)
    after = crossed(saver, loader, before)
    assert type(after).__name__ == type(before).__name__
    assert type(after).__module__.startswith(loader.__name__)
    assert facts(after) == facts(before)
    after.train().eval()


@pytest.mark.parametrize("pair", [(flambeau, oracle), (oracle, flambeau)], ids=["to", "from"])
@pytest.mark.parametrize("layer", ["LSTM(2, 3, 2, bidirectional=True)", "GRU(2, 3)", "RNN(2, 3)"])
def test_recurrent_layers_go_on(layer: str, pair: Any) -> None:
    saver, loader = pair
    before = made(saver, layer)
    after = crossed(saver, loader, before)
    expected = before(saver.ones(4, 1, 2))[0].sum().item()
    assert after(loader.ones(4, 1, 2))[0].sum().item() == pytest.approx(expected, rel=1e-5)
    again = crossed(loader, saver, after)
    assert again(saver.ones(4, 1, 2))[0].sum().item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("pair", [(flambeau, oracle), (oracle, flambeau)], ids=["to", "from"])
@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "RMSprop", "Adagrad", "Adafactor"])
def test_optimizers_and_schedulers(name: str, pair: Any) -> None:
    """Whole objects, with the parameters that they share with the module."""
    saver, loader = pair
    model = saver.nn.Linear(2, 1)
    optimizer = getattr(saver.optim, name)(model.parameters(), lr=0.1)
    model(saver.ones(1, 2)).sum().backward()
    optimizer.step()
    after, moved = crossed(saver, loader, [model, optimizer])
    assert type(moved) is getattr(loader.optim, name)
    assert moved.param_groups[0]["params"][0] is after.weight
    for m, o, torch in ((model, optimizer, saver), (after, moved, loader)):
        o.zero_grad()
        m(torch.ones(1, 2)).sum().backward()
        o.step()
    assert after.weight.tolist()[0] == pytest.approx(model.weight.tolist()[0], rel=1e-5)
