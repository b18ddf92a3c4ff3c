"""Losses, functions that draw, and distances: the same code under both, the same text from it."""

import math
import re
import warnings

import numpy as np
import pytest

import flambeau

torch = pytest.importorskip("torch")

EXPRESSIONS = """
F.nll_loss(torch.zeros(3, 200).log_softmax(1), torch.tensor([3, 156, 2], dtype=torch.uint8))
F.soft_margin_loss(x, x.sign())
F.margin_ranking_loss(x1,x2,y,margin=.3)
F.margin_ranking_loss(x1,x2,y,margin=.3,reduction='none')
F.margin_ranking_loss(x1,x2[None],y)
F.margin_ranking_loss(x1,x2,y,reduction='q')
F.multi_margin_loss(x,t)
F.multi_margin_loss(x,t,p=2,margin=.5,weight=torch.tensor([1.,2.,3.]),reduction='none')
F.multi_margin_loss(x,t,p=3)
F.multi_margin_loss(x,t,weight=torch.ones(2))
F.multi_margin_loss(x[0],t[0])
F.multi_margin_loss(x,torch.tensor([1,0,1]))
F.multi_margin_loss(x,t.int())
F.multi_margin_loss(x.detach().long(),t)
F.multilabel_margin_loss(x,torch.tensor([[2,-1,0],[0,1,-1]]))
F.multilabel_margin_loss(x,torch.tensor([[2,-1,0],[0,1,-1]]),reduction='none')
F.multilabel_margin_loss(x[0],torch.tensor([0,2,1]),reduction='sum')
F.multilabel_margin_loss(x,torch.tensor([[2,-1],[0,1]]))
F.multilabel_margin_loss(x,torch.ones(2,3))
F.multilabel_soft_margin_loss(x,(x>0).float())
F.multilabel_soft_margin_loss(x,(x>0).float(),weight=torch.tensor([1.,2.,3.]),reduction='none')
F.multilabel_soft_margin_loss(x,(x>0).float(),reduction='q')
F.hinge_embedding_loss(x1,y,margin=2)
F.hinge_embedding_loss(x,torch.tensor([1.,-1.,0.]),reduction='none')
F.cosine_embedding_loss(x,x.flip(1),y)
F.cosine_embedding_loss(x,x.flip(1),y,margin=.2,reduction='none')
F.cosine_embedding_loss(x[0],x[1],y[0])
F.cosine_embedding_loss(x,x.flip(1),y[0])
F.cosine_embedding_loss(x,x[0],y)
F.cosine_embedding_loss(x,x,torch.ones(2,2))
F.poisson_nll_loss(x,x.abs())
F.poisson_nll_loss(x,x.abs()*3,full=True,reduction='none')
F.poisson_nll_loss(x.abs(),x.abs()*3,log_input=False,reduction='sum')
F.poisson_nll_loss(x,x,reduction='q')
F.gaussian_nll_loss(x,x.flip(1),x.abs())
F.gaussian_nll_loss(x,x.flip(1),torch.ones(2),reduction='none',full=True)
F.gaussian_nll_loss(x,x.flip(1),torch.ones(2,1),reduction='sum')
F.gaussian_nll_loss(x,x.flip(1),2.0)
F.gaussian_nll_loss(x,x.flip(1),-torch.ones(2))
F.gaussian_nll_loss(x,x.flip(1),torch.ones(3,3))
F.gaussian_nll_loss(x,x,x.abs(),reduction='q')
F.gaussian_nll_loss(x,x.flip(1),-2.0)
F.kl_div(x, x.abs())
F.kl_div(x, x.abs(),reduction='batchmean')
F.kl_div(x, x.abs(),reduction='batchmean',log_target=True)
F.kl_div(x, x.abs(),reduction='q')
F.l1_loss(x,x,reduction='q')
F.huber_loss(x,x,delta=0)
F.huber_loss(x,x,delta='a')
F.smooth_l1_loss(x,x,beta=-1)
F.cross_entropy(x,t[:1])
F.cross_entropy(torch.ones(2,3,4),torch.zeros(2,3).long())
F.nll_loss(x,t[:1])
F.nll_loss(x,t.float())
F.nll_loss(x[0],t[0])
F.cross_entropy(x,torch.tensor([3,0]))
F.cross_entropy(x,t,size_average=False)
F.cross_entropy(x,t,reduce=False)
F.ctc_loss(torch.randn(5,2,3).log_softmax(-1),torch.tensor([[1,2],[2,2]]),torch.tensor([5,5]),torch.tensor([2,2]))
F.ctc_loss(torch.randn(5,2,3).log_softmax(-1),torch.tensor([[1,2],[2,2]]),(5,4),(2,1),reduction='none')
F.ctc_loss(torch.randn(5,2,3).log_softmax(-1),torch.tensor([1,2,2]),(5,4),(2,1),reduction='sum')
F.ctc_loss(torch.randn(5,3).log_softmax(-1),torch.tensor([1,2]),torch.tensor(5),torch.tensor(2))
F.ctc_loss(torch.randn(2,2,3).log_softmax(-1),torch.tensor([[1,1],[2,2]]),(2,2),(2,2),reduction='none')
F.ctc_loss(torch.randn(2,2,3).log_softmax(-1),torch.tensor([[1,1],[2,2]]),(2,2),(2,2),zero_infinity=True)
F.ctc_loss(torch.randn(2,2,3).log_softmax(-1),torch.tensor([[1,1],[2,2]]),(2,2),(2,0),blank=2)
F.ctc_loss(torch.randn(2,2,3).log_softmax(-1),torch.tensor([[1,1],[2,2]]),(2,2),(2,2),blank=5)
F.ctc_loss(torch.randn(2,2,3).log_softmax(-1),torch.tensor([[1,1],[2,2]]),(2,),(2,2))
F.ctc_loss(torch.randn(2,2,3).log_softmax(-1),torch.tensor([[1,1],[2,2]]),(2,2),(2,))
F.ctc_loss(torch.randn(2,2,3).log_softmax(-1),torch.tensor([[1,1],[2,2]]),(3,2),(2,2))
F.ctc_loss(torch.randn(2,2,3).log_softmax(-1),torch.tensor([[1,1],[2,2]]),(2,2),(3,2))
F.ctc_loss(torch.randn(2,2,3).log_softmax(-1),torch.tensor([[1,1],[2,2]]).float(),(2,2),(2,2)).dtype
F.ctc_loss(torch.randn(2,2,3).half(),torch.tensor([[1,1],[2,2]]),(2,2),(2,2))
F.ctc_loss(torch.randn(2,2,3),torch.tensor([[1,0],[2,2]]),(2,2),(2,2))
nn.MultiMarginLoss(p=3)
nn.MultiMarginLoss(weight=torch.ones(2,2))
nn.TripletMarginLoss(margin=-1)
nn.HuberLoss(delta='a')
nn.HuberLoss(delta=0)
nn.MSELoss(size_average=True)
nn.MSELoss(True,False)
nn.NLLLoss2d()
nn.AdaptiveLogSoftmaxWithLoss(8,20,[5,10])
nn.AdaptiveLogSoftmaxWithLoss(8,20,[5,10]).state_dict().keys()
nn.AdaptiveLogSoftmaxWithLoss(8,20,[5,10],head_bias=True,div_value=2.)
nn.AdaptiveLogSoftmaxWithLoss(8,20,[])
nn.AdaptiveLogSoftmaxWithLoss(8,20,[10,5])
nn.AdaptiveLogSoftmaxWithLoss(8,20,[5,20])
nn.AdaptiveLogSoftmaxWithLoss(8,20,[5,10])(torch.ones(3,8),torch.tensor([0,7,15]))
nn.AdaptiveLogSoftmaxWithLoss(8,20,[5,10])(torch.ones(3,8),torch.tensor([0,7,25]))
nn.AdaptiveLogSoftmaxWithLoss(8,20,[5,10])(torch.ones(3,8),torch.tensor([0,7]))
nn.AdaptiveLogSoftmaxWithLoss(8,20,[5,10])(torch.ones(8),torch.tensor([0,7]))
nn.AdaptiveLogSoftmaxWithLoss(8,20,[5,10])(torch.ones(8),torch.tensor(7))
nn.AdaptiveLogSoftmaxWithLoss(8,20,[5,10]).log_prob(torch.ones(3,8)).exp().sum(1)
nn.AdaptiveLogSoftmaxWithLoss(8,20,[5,10]).predict(torch.ones(3,8))
F.rrelu(x), F.rrelu(x,.1,.5,True), F.rrelu(x,inplace=False,training=False)
nn.RReLU()
nn.RReLU(.1,.2,True)
nn.Softmax2d()
nn.Dropout2d(.2,True)
nn.AlphaDropout()
nn.FeatureAlphaDropout()
F.rrelu(x,.5,.1)
nn.Softmax2d()(torch.ones(2,3))
F.gumbel_softmax(x), F.gumbel_softmax(x,hard=True,tau=.3)
F.gumbel_softmax(x).grad_fn, F.gumbel_softmax(x,hard=True).grad_fn
F.dropout1d(torch.ones(2,3,4),.5)
F.dropout2d(torch.ones(2,3,2,2),.5)
F.dropout3d(torch.ones(2,3,1,2,2),.5)
F.dropout1d(torch.ones(3,4),.5)
F.dropout1d(torch.ones(3),.5)
F.dropout2d(torch.ones(3,4,2),.5)
F.dropout2d(torch.ones(3,4),.5)
F.dropout3d(torch.ones(3,4),.5)
F.alpha_dropout(torch.ones(3,4),.5,True), F.feature_alpha_dropout(torch.ones(3,4,2),.5,True)
F.alpha_dropout(torch.ones(3,4),1.,True), F.feature_alpha_dropout(torch.ones(3,4,2),1.,True)
F.alpha_dropout(torch.ones(3,4),1.5,True)
F.dropout(x,.5).grad_fn
F.dropout2d(x[None,:,:,None],.5).grad_fn
F.alpha_dropout(x,.5,True).grad_fn
F.feature_alpha_dropout(x,.5,True).grad_fn
F.feature_alpha_dropout(torch.ones(3),.5,True)
torch.cdist(x[None],x[None]), torch.cdist(x,x,p=1).grad_fn, F.pdist(x), F.pdist(x,1).grad_fn
torch.cdist(x,x[:,:2])
torch.cdist(x,x,p=-1)
torch.cdist(x[0],x)
F.pdist(x[0])
F.pdist(x,-1)
torch.cdist(x.detach().int(),x.detach().int())
F.l1_loss(x,x).grad_fn, F.hinge_embedding_loss(x,x).grad_fn, F.margin_ranking_loss(x,x,x).grad_fn
""".strip().splitlines()  # fmt: skip


def shown(torch, expression):
    """What an expression gives, warns of or raises, as text."""
    x = torch.tensor([[0.3, -1.0, 2.0], [0.5, 0.1, -0.2]], requires_grad=True)
    names = {
        "torch": torch, "nn": torch.nn, "F": torch.nn.functional, "math": math, "x": x,
        "y": torch.tensor([1.0, -1.0]), "t": torch.tensor([2, 0]),
        "x1": torch.tensor([0.5, -2.0]), "x2": torch.tensor([1.5, 0.25]),
    }  # fmt: skip
    torch.manual_seed(1)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            text = str(eval(expression, names))
        except Exception as error:
            text = f"{type(error).__name__}: {error}"
    text = re.sub(r" object at 0x\w+", "", text)
    return text, [(w.category, str(w.message)) for w in caught]


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_shows_what_pytorch_shows(expression):
    assert shown(flambeau, expression) == shown(torch, expression)


def ctc(torch, one_after_the_other, **options):
    """A loss of sequences of different lengths, and its gradient before the softmax and after."""
    torch.manual_seed(2)
    scores = torch.randn(9, 4, 5, dtype=torch.float64, requires_grad=True)
    logs = scores.log_softmax(2)
    logs.retain_grad()
    targets = torch.tensor([[1, 1, 2], [3, 2, 3], [2, 2, 2], [1, 0, 0]])
    lengths, counts = torch.tensor([9, 7, 5, 4]), torch.tensor([3, 2, 3, 0])
    if one_after_the_other:
        targets = torch.cat([row[:n] for row, n in zip(targets, counts.tolist())])
    loss = torch.nn.functional.ctc_loss(logs, targets, lengths, counts, **options)
    loss.sum().backward()
    return [np.asarray(t.detach().numpy()) for t in (loss, logs.grad, scores.grad)]


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("options", [{}, {"reduction": "none"}, {"blank": 4, "reduction": "sum"}])
def test_ctc(together, options):
    for mine, theirs in zip(ctc(flambeau, together, **options), ctc(torch, together, **options)):
        np.testing.assert_allclose(mine, theirs, rtol=1e-10, atol=1e-12)


def bags(torch, mode, weighted, padding):
    torch.manual_seed(3)
    bag = torch.nn.EmbeddingBag(7, 3, mode=mode, padding_idx=padding)
    index, offsets = torch.randint(7, (9,)), torch.tensor([0, 4, 4, 7])
    weights = torch.rand(9, requires_grad=True) if weighted else None
    out = bag(index, offsets, weights)
    rows = bag(index.view(3, 3), per_sample_weights=None if weights is None else weights.view(3, 3))
    (out.sin().sum() + rows.square().sum()).backward()
    results = [out, rows, bag.weight.grad] + ([weights.grad] if weighted else [])
    return [np.asarray(t.detach().numpy()) for t in results]


@pytest.mark.parametrize("padding", [None, 2])
@pytest.mark.parametrize("mode, weighted", [("sum", True), ("sum", False), ("mean", False),
                                            ("max", False)])  # fmt: skip
def test_bags_of_embeddings(mode, weighted, padding):
    arguments = mode, weighted, padding
    for mine, theirs in zip(bags(flambeau, *arguments), bags(torch, *arguments)):
        np.testing.assert_allclose(mine, theirs, rtol=1e-5, atol=1e-6)


def shortened(torch):
    table = torch.nn.Embedding(4, 3, max_norm=1.0, norm_type=1.0)
    with torch.no_grad():
        table.weight.copy_(torch.arange(12.0).reshape(4, 3))
    out = table(torch.tensor([[0, 2], [2, 1]]))
    return [np.asarray(t.detach().numpy()) for t in (out, table.weight)]


def test_rows_that_are_used_and_too_long_are_shortened():
    for mine, theirs in zip(shortened(flambeau), shortened(torch)):
        np.testing.assert_allclose(mine, theirs, rtol=1e-6)


def test_derivatives_that_are_constant_have_a_derivative_of_zero():
    for torch_ in (flambeau, torch):
        x = torch_.tensor([-1.0, 2.0], requires_grad=True)
        (g,) = torch_.autograd.grad(torch_.relu(x).sum(), x, create_graph=True)
        assert torch_.autograd.grad(g.sum(), x)[0].tolist() == [0.0, 0.0]
