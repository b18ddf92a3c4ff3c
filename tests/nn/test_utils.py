"""torch.nn.utils: the same code under both frameworks, and the same text from it."""

import copy
import importlib
import warnings

import pytest

import flambeau

torch = pytest.importorskip("torch")

EXPRESSIONS = """
reg(L(),'weight',Sym())
[k for k in reg(L(),'weight',Sym()).state_dict()]
reg(L(),'weight',Sym()).weight
reg(reg(L(),'weight',Sym()),'weight',Exp(),unsafe=True)
[k for k in reg(L(),'weight',Two()).state_dict()]
reg(L(),'weight',Bad())
reg(L(),'foo',Sym())
P.is_parametrized(reg(L(),'weight',Sym()))
P.is_parametrized(reg(L(),'weight',Sym()),'bias')
P.remove_parametrizations(reg(L(),'weight',Sym()),'weight')
P.remove_parametrizations(reg(L(),'weight',Sym()),'weight',leave_parametrized=False).weight
P.remove_parametrizations(L(),'weight')
P.remove_parametrizations(reg(L(),'weight',Two()),'weight',leave_parametrized=False)
P.remove_parametrizations(reg(L(),'weight',Two()),'weight').weight
copy.deepcopy(reg(L(),'weight',Sym())).weight
type(reg(L(),'weight',Sym())).__name__
P.type_before_parametrizations(reg(L(),'weight',Sym())).__name__
Z.weight_norm(L())
[k for k in Z.weight_norm(L(),dim=None).state_dict()]
Z.spectral_norm(L())
Z.spectral_norm(L()).weight
Z.spectral_norm(L()).eval().weight
Z.spectral_norm(nn.Linear(4,3),n_power_iterations=3,dim=1)(torch.ones(2,4))
Z.spectral_norm(L(),n_power_iterations=0)
[(k,v.shape) for k,v in Z.spectral_norm(L()).state_dict().items()]
Z.spectral_norm(L(),'foo')
Z.orthogonal(L())
Z.orthogonal(L()).weight.round(decimals=4)
Z.orthogonal(nn.Linear(4,2)).weight.round(decimals=4)
Z.orthogonal(nn.Linear(2,4),orthogonal_map='cayley').weight.round(decimals=4)
Z.orthogonal(nn.Linear(2,4),orthogonal_map='householder').weight.round(decimals=4)
Z.orthogonal(L(),use_trivialization=False).weight.round(decimals=4)
Z.orthogonal(L(),orthogonal_map='x')
Z.orthogonal(L(),'bias')
U.weight_norm(L())
[k for k in U.weight_norm(L()).state_dict()]
U.weight_norm(L(),dim=None).weight_g
U.weight_norm(L())(torch.ones(2,3))
U.remove_weight_norm(U.weight_norm(L())).weight
U.remove_weight_norm(L())
U.weight_norm(U.weight_norm(L()))
U.spectral_norm(L())
[(k,v) for k,v in U.spectral_norm(L()).state_dict().items()]
U.spectral_norm(L())(torch.ones(2,3))
U.remove_spectral_norm(U.spectral_norm(L())).weight
U.remove_spectral_norm(L())
U.spectral_norm(L(),n_power_iterations=0)
prune.l1_unstructured(L(),'weight',.3).weight
[k for k in prune.l1_unstructured(L(),'weight',2).state_dict()]
prune.l1_unstructured(L(),'weight',20)
prune.l1_unstructured(L(),'weight',1.2)
prune.l1_unstructured(L(),'weight',-2)
prune.l1_unstructured(L(),'weight','a')
prune.random_unstructured(L(),'weight',.5).weight_mask
prune.random_structured(L(),'weight',1,dim=0).weight_mask
prune.ln_structured(L(),'weight',1,n=2,dim=1).weight_mask
prune.ln_structured(L(),'weight',.4,n=float('inf'),dim=-1).weight_mask
prune.ln_structured(L(),'bias',1,n=2,dim=0)
prune.identity(L(),'weight').weight_mask
prune.custom_from_mask(L(),'weight',torch.eye(3)).weight
prune.remove(prune.l1_unstructured(L(),'weight',.3),'weight').weight
prune.remove(L(),'weight')
prune.is_pruned(prune.l1_unstructured(L(),'weight',.3))
prune.is_pruned(L())
prune.global_unstructured([(L(),'weight')],prune.LnStructured,amount=.5)
prune.l1_unstructured(L(),'weight',3,importance_scores=torch.arange(9.).view(3,3)).weight_mask
prune.l1_unstructured(L(),'weight',3,importance_scores=torch.ones(2)).weight_mask
list(dict(prune.l1_unstructured(L(),'weight',1).named_parameters()))
functional_call(L(),{'weight':torch.ones(3,3)},(torch.ones(1,3),))
functional_call(L(),{'foo':torch.ones(3,3)},(torch.ones(1,3),))
functional_call(L(),{'weight':torch.ones(3,3)},torch.ones(1,3),strict=True)
functional_call(nn.Sequential(L(),nn.ReLU()),{'0.weight':torch.ones(3,3),'0.bias':torch.zeros(3)},torch.ones(1,3))
U.skip_init(nn.Linear,3,4)
(U.skip_init(nn.Linear,3,4), torch.rand(2))[1]
U.skip_init(nn.ReLU)
U.skip_init(3)
U.fuse_linear_bn_eval(nn.Linear(3,4).eval(), nn.BatchNorm1d(4).eval()).weight
U.fuse_linear_bn_eval(nn.Linear(3,4), nn.BatchNorm1d(4))
U.fuse_conv_bn_eval(nn.Conv2d(2,3,1).eval(), nn.BatchNorm2d(3).eval())
U.get_total_norm([torch.ones(2),torch.ones(3)])
U.get_total_norm([])
U.clip_grad_norm_([torch.ones(2,requires_grad=True)],1.)
U.clip_grad_norm_((x for x in ()),1.)
U.vector_to_parameters([1],[])
U.parameters_to_vector([torch.ones(2),torch.zeros(1,2)])
""".strip().splitlines()


def tools(framework):
    """What the expressions name."""
    nn, name = framework.nn, framework.__name__

    class Sym(nn.Module):
        def forward(self, x):
            return x.triu() + x.triu(1).transpose(-1, -2)

    class Two(nn.Module):
        def forward(self, a, b):
            return a + b

        def right_inverse(self, x):
            return x / 2, x / 2

    class Exp(nn.Module):
        def forward(self, x):
            return x.exp()

        def right_inverse(self, x):
            return x.log()

    class Bad(nn.Module):
        def forward(self, x):
            return x[:1]

    parametrize = importlib.import_module(f"{name}.nn.utils.parametrize")

    def reg(module, *args, **kwargs):
        parametrize.register_parametrization(module, *args, **kwargs)
        return module

    return {
        "torch": framework, "nn": nn, "U": nn.utils, "copy": copy, "P": parametrize, "reg": reg,
        "Z": importlib.import_module(f"{name}.nn.utils.parametrizations"),
        "prune": importlib.import_module(f"{name}.nn.utils.prune"),
        "functional_call": importlib.import_module(f"{name}.nn.utils.stateless").functional_call,
        "L": lambda: nn.Linear(3, 3), "Sym": Sym, "Two": Two, "Exp": Exp, "Bad": Bad,
    }  # fmt: skip


TOOLS = {framework: tools(framework) for framework in (flambeau, torch)}


def shown(framework, run):
    """What something gives, warns of or raises, as text."""
    framework.manual_seed(0)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            text = repr(run(TOOLS[framework]))
        except Exception as error:
            text = f"{type(error).__name__}: {error}"
    return text.replace("flambeau.", "torch."), [(w.category, str(w.message)) for w in caught]


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_shows_what_pytorch_shows(expression):
    def run(names):
        return eval(expression, names)

    assert shown(flambeau, run) == shown(torch, run)


def assigned(names):
    """Writing to a parametrized name sets the original."""
    module = names["reg"](names["L"](), "weight", names["Exp"]())
    module.weight = names["torch"].full((3, 3), 2.0)
    return module.parametrizations.weight.original, module.weight


def refused(names):
    module = names["reg"](names["L"](), "weight", names["Sym"]())
    module.weight = names["torch"].full((3, 3), 2.0)


def computed_once(names):
    module = names["reg"](names["L"](), "weight", names["Sym"]())
    with names["P"].cached():
        return module.weight is module.weight


def pruned_twice(names):
    module, prune = names["L"](), names["prune"]
    prune.l1_unstructured(module, "weight", 2)
    prune.random_unstructured(module, "weight", 2)
    (hook,) = module._forward_pre_hooks.values()
    return module.weight_mask, type(hook).__name__, len(hook)


def pruned_by_slices(names):
    module, prune = names["L"](), names["prune"]
    prune.ln_structured(module, "weight", 1, 2, 0)
    prune.ln_structured(module, "weight", 1, 2, 0)
    prune.l1_unstructured(module, "weight", 1)
    return module.weight_mask


def pruned_together(names):
    net, prune = names["nn"].Sequential(names["L"](), names["L"]()), names["prune"]
    where = [(net[0], "weight"), (net[1], "weight")]
    prune.global_unstructured(where, prune.L1Unstructured, amount=0.5)
    return net[0].weight_mask, net[1].weight_mask


def trained(names):
    """A spectrally normed, a weight normed and a pruned layer learn the same."""
    torch, nn, Z = names["torch"], names["nn"], names["Z"]
    net = nn.Sequential(
        Z.spectral_norm(nn.Linear(3, 4)), nn.Tanh(), Z.weight_norm(nn.Linear(4, 4)),
        Z.orthogonal(nn.Linear(4, 4)), names["prune"].l1_unstructured(nn.Linear(4, 1), "weight", 1),
    )  # fmt: skip
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    losses = []
    for _ in range(5):
        x = torch.randn(8, 3)
        loss = (net(x) - x.sum(1, keepdim=True)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(f"{loss.item():.4f}")
    return losses


@pytest.mark.parametrize("run", [assigned, refused, computed_once, pruned_twice, pruned_by_slices,
                                 pruned_together, trained])  # fmt: skip
def test_does_what_pytorch_does(run):
    assert shown(flambeau, run) == shown(torch, run)


def test_tied_tensors_are_replaced_together():
    net = flambeau.nn.Sequential(flambeau.nn.Linear(2, 2), flambeau.nn.Linear(2, 2))
    net[1].weight = net[0].weight
    call = importlib.import_module("flambeau.nn.utils.stateless").call_with
    x, w = flambeau.ones(1, 2), flambeau.eye(2)
    given = {"0.weight": w, "0.bias": flambeau.zeros(2), "1.bias": flambeau.zeros(2)}
    assert call(net, given, x).tolist() == [[1.0, 1.0]]
    assert net[0].weight is net[1].weight and net[0].weight is not w
