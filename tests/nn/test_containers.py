"""Containers, registration, hooks and initial values: the same code under both, the same text."""

import collections
import importlib
import re
import warnings

import pytest

import flambeau

torch = pytest.importorskip("torch")

CONTAINERS = """
S()[0]
S()[-1]
S()[1:]
S()[::2]
S()[3]
S()+S()
S()*2
2*S()
S()*0
S()*1.5
S().append(nn.ELU())
S().insert(1,nn.ELU())
S().insert(9,nn.ELU())
S().insert(-1,nn.ELU())
S().insert(0,3)
S().extend(S())
S().extend([nn.ELU()])
S().pop(0)
(lambda s:(s.pop(-1),s))(S())
(lambda s:(s.__delitem__(0),s))(S())
(lambda s:(s.__delitem__(slice(0,2)),s))(S())
(lambda s:(s.__setitem__(0,nn.ELU()),s))(S())
(lambda s:(s.__setitem__(9,nn.ELU()),s))(S())
(lambda s:(s.__iadd__(S()),s))(S())
(lambda s:(s.__imul__(2),s))(S())
S()+3
len(S())
[type(m).__name__ for m in S()]
nn.Sequential(collections.OrderedDict(x=nn.ReLU()))
nn.Sequential({'x':nn.ReLU()})
S()(torch.ones(1))
nn.Sequential()(torch.ones(1))
nn.Sequential(nn.Sequential())
S()['0']
M()[0]
M()[0:1]
M()[-1]
M()[2]
M()+M()
M().append(nn.ELU())
M().extend(M())
M().extend(3)
M().insert(0,nn.ELU())
M().pop(0)
M()(1)
(lambda s:(s.__delitem__(0),s))(M())
(lambda s:(s.__setitem__(-1,nn.ELU()),s))(M())
nn.ModuleList([nn.Linear(1,1)]*3+[nn.ReLU()])
M()+[nn.ELU()]
(lambda s:(s.__iadd__([nn.ELU()]),s))(M())
nn.ModuleList(3)
nn.ModuleList([3])
reversed(M())
M().index(3)
D()
D()['a']
D()['z']
D().pop('a')
list(D())
list(D().items())
'a' in D()
len(D())
D().update({'c':nn.ELU()})
(lambda d:(d.update({'c':nn.ELU()}),d))(D())
(lambda d:(d.update(D()),d))(D())
(lambda d:(d.update([('z',nn.ELU())]),d))(D())
(lambda d:(d.clear(),d))(D())
D().update(3)
D().update([(1,)])
(lambda d:(d.__delitem__('a'),d))(D())
D()(1)
nn.ModuleDict([['x',nn.ReLU()]])
D().keys()
PL()
PL()[0]
PL()[-1]
PL()[0:1]
PL()[5]
PL().append(torch.ones(3))
PL().extend([torch.ones(1)])
PL().extend(3)
PL().extend(torch.ones(3))
PL()(1)
len(PL())
list(PL().state_dict())
nn.ParameterList(['a',3,nn.Parameter(torch.ones(1,2))])
PL()+PL()
(lambda p:(p.__setitem__(0,torch.ones(5)),p))(PL())
(lambda p:(p.__iadd__([1]),p))(PL())
PL().pop()
nn.ParameterList(torch.ones(2,2))
nn.ParameterList(nn.Parameter(torch.ones(1)) for _ in range(2))
PD()
PD()['a']
PD()['q']
PD().pop('a')
PD().popitem()
PD().get('q')
PD().get('a')
PD().get('q',3)
PD().setdefault('z',torch.ones(1))
PD().fromkeys(['a'],3)
PD()|PD()
PD()|{'c':torch.ones(1)}
PD().__ror__({'c':torch.ones(1)})
(lambda p:(p.__ior__({'c':torch.ones(1)}),p))(PD())
list(PD().items())
list(PD().values())
list(reversed(PD()))
PD().copy()
PD()(1)
(lambda p:(p.__delitem__('a'),p))(PD())
(lambda p:(p.__setitem__(3,torch.ones(5)),p))(PD())
(lambda p:(p.update([('a',torch.ones(9))]),p))(PD())
PD().update(3)
PD().update([(1,2,3)])
(lambda d:(d.clear(),d))(PD())
list(PD().state_dict())
'a' in PD()
PD().keys()
""".strip().splitlines()

INITIAL = """
init.uniform(torch.empty(2))
init.constant_(torch.empty(2),3)
init.zeros_(torch.empty(2))
init.calculate_gain('tanh')
init.calculate_gain('leaky_relu',.2)
init.calculate_gain('relu')
init.calculate_gain('selu')
init.calculate_gain('linear')
init.calculate_gain('leaky_relu','x')
init.calculate_gain('zz')
init.eye_(torch.empty(2))
init.dirac_(torch.empty(2,2))
init.dirac_(torch.empty(4,2,3),groups=2)
init.dirac_(torch.empty(3,2,3),groups=2)
init.xavier_uniform_(torch.empty(3))
init.kaiming_uniform_(torch.empty(3,2),mode='x')
init.kaiming_normal_(torch.empty(0,2))
init.orthogonal_(torch.empty(3))
init.orthogonal_(torch.empty(3,2,2))
init.sparse_(torch.empty(3),.5)
init.trunc_normal_(torch.empty(5),5.,1.)
init.normal(torch.empty(2))
init.constant(torch.empty(1),2.)
init.eye(torch.empty(1,1))
init.dirac(torch.empty(1,1,1))
init.xavier_uniform(torch.empty(1,1))
init.xavier_normal(torch.empty(1,1))
init.kaiming_uniform(torch.empty(1,1))
init.kaiming_normal(torch.empty(1,1))
init.orthogonal(torch.empty(1,1))
init.sparse(torch.empty(1,1),.5)
init.xavier_normal_(torch.empty(3,4,2),gain=2.)
init.kaiming_uniform_(torch.empty(3,4,2),a=1,nonlinearity='relu',mode='fan_out')
init.uniform_(torch.empty(3),generator=torch.Generator().manual_seed(3))
init.normal_(torch.empty(20),generator=torch.Generator().manual_seed(3))
init.trunc_normal_(torch.empty(20),generator=torch.Generator().manual_seed(3))
init.sparse_(torch.empty(4,3),.3,generator=torch.Generator().manual_seed(3))
init.orthogonal_(torch.empty(4,3),generator=torch.Generator().manual_seed(3))
init.ones_(torch.empty(2,requires_grad=True))
init.normal_(torch.empty(2,3,dtype=torch.bfloat16))
init.uniform_(torch.empty(3).int())
init.uniform_(torch.empty(3),2,1)
""".strip().splitlines()

ASSIGNMENTS = """
n.a=3
n.a=None
n.a.weight=3
n.a.weight=torch.ones(3,2)
n.a.weight=None
n.register_buffer('a',torch.ones(1))
n.register_buffer('',None)
n.register_buffer(3,None)
n.register_buffer('f.g',None)
n.add_module('q',3)
n.add_module('',nn.ReLU())
n.add_module(4,nn.ReLU())
n.add_module('training',nn.ReLU())
n.register_parameter('w',torch.ones(1)*1)
n.register_parameter('w',nn.Parameter(torch.ones(1))*2)
del n.a
del n.nope
n.buf=nn.Buffer(torch.ones(2)); n.buf=3
n.buf=nn.Buffer(torch.ones(2)); n.buf=torch.zeros(1)
n.nope
nn.Module.__init__(3)
""".strip().splitlines()


def names(torch):
    """What the expressions name: a container of each kind, and a small network."""
    nn = torch.nn
    return {
        "torch": torch, "nn": nn, "init": nn.init, "collections": collections,
        "S": lambda: nn.Sequential(nn.ReLU(), nn.Tanh(), nn.Sigmoid()),
        "M": lambda: nn.ModuleList([nn.ReLU(), nn.Tanh()]),
        "D": lambda: nn.ModuleDict({"a": nn.ReLU(), "b": nn.Tanh()}),
        "PL": lambda: nn.ParameterList([torch.ones(1), torch.zeros(2)]),
        "PD": lambda: nn.ParameterDict({"a": torch.ones(1), "b": torch.zeros(2)}),
        "n": network(nn),
    }  # fmt: skip


def network(nn):
    layers = {"a": nn.Linear(2, 3), "b": nn.ReLU(), "c": nn.Linear(3, 1)}
    return nn.Sequential(collections.OrderedDict(layers))


def shown(torch, run):
    """What something gives, warns of or raises, as text."""
    torch.manual_seed(0)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            text = repr(run(torch))
        except Exception as error:
            text = f"{type(error).__name__}: {error}"
    text = re.sub(r"0x[0-9a-f]+", "0x", text).replace("flambeau.", "torch.")
    return text, [(w.category, str(w.message)) for w in caught]


@pytest.mark.parametrize("expression", CONTAINERS + INITIAL)
def test_shows_what_pytorch_shows(expression):
    def run(torch):
        return eval(expression, names(torch))

    assert shown(flambeau, run) == shown(torch, run)


@pytest.mark.parametrize("statement", ASSIGNMENTS)
def test_registers_what_pytorch_registers(statement):
    def run(torch):
        scope = names(torch)
        exec(statement, scope)
        return list(scope["n"].state_dict())

    assert shown(flambeau, run) == shown(torch, run)


# ------------------------------------------------------------------ hooks


def hooks_of_all(torch):
    """Hooks of all modules, in the order in which they are called."""
    module = importlib.import_module(f"{torch.__name__}.nn.modules.module")
    seen = []
    handles = [
        module.register_module_forward_pre_hook(lambda m, a: seen.append(("pre", m._get_name()))),
        module.register_module_forward_hook(lambda m, a, o: seen.append(("out", m._get_name()))),
        module.register_module_full_backward_hook(
            lambda m, gi, go: seen.append(("back", m._get_name()))
        ),
        module.register_module_full_backward_pre_hook(
            lambda m, go: seen.append(("before", m._get_name()))
        ),
    ]
    net = network(torch.nn)
    net(torch.ones(4, 2, requires_grad=True)).sum().backward()
    for handle in handles:
        handle.remove()
    net(torch.ones(4, 2))
    return seen


def hooks_of_registration(torch):
    module = importlib.import_module(f"{torch.__name__}.nn.modules.module")
    seen = []
    kinds = "parameter", "buffer", "module"
    handles = [
        getattr(module, f"register_module_{kind}_registration_hook")(
            lambda m, name, value, kind=kind: seen.append((kind, name))
        )
        for kind in kinds
    ]
    net = network(torch.nn)
    net.register_buffer("q", torch.ones(1))
    net.z = torch.nn.Parameter(torch.ones(1))
    for handle in handles:
        handle.remove()
    torch.nn.Linear(1, 1)
    return seen


def hooks_of_the_old_form(torch):
    net, seen = network(torch.nn), []
    net.c.register_backward_hook(lambda m, gi, go: seen.append((len(gi), go[0].tolist())))
    net(torch.ones(4, 2)).sum().backward()
    return seen


def hooks_of_both_forms(torch):
    net = network(torch.nn)
    net.c.register_backward_hook(lambda m, gi, go: None)
    net.c.register_full_backward_hook(lambda m, gi, go: None)


def hooks_after_a_failure(torch):
    class Failing(torch.nn.Module):
        def forward(self, x):
            raise ValueError("no")

    net, seen = Failing(), []
    net.register_forward_hook(lambda m, a, o: seen.append(o), always_call=True)
    with pytest.raises(ValueError):
        net(1)
    return seen


def hooks_with_keywords(torch):
    net = torch.nn.Linear(2, 3)
    net.register_forward_pre_hook(lambda m, a, k: ((a[0] * 2,), k), with_kwargs=True)
    net.register_forward_hook(lambda m, a, k, o: (o, k), with_kwargs=True)
    return net(torch.ones(1, 2))


def hooks_of_a_dictionary(torch):
    class Both(torch.nn.Linear):
        def forward(self, x):
            return {"out": super().forward(x)}

    net, seen = Both(2, 2), []
    net.register_full_backward_hook(lambda m, gi, go: seen.append(go))
    net(torch.ones(1, 2))["out"].sum().backward()
    return seen


def hooks_of_state(torch):
    net, seen = network(torch.nn), []
    net._register_state_dict_hook(lambda m, sd, p, meta: sd.update({p + "more": 1}))
    net.register_state_dict_post_hook(lambda m, sd, p, meta: sd.update({p + "after": 2}))
    net.register_load_state_dict_pre_hook(lambda m, sd, p, *rest: seen.append(p))
    net.a.register_load_state_dict_post_hook(lambda m, keys: seen.append(keys))
    net.load_state_dict(network(torch.nn).state_dict())
    return list(net.state_dict()), seen


def state_assigned(torch):
    net = network(torch.nn)
    net.load_state_dict({k: v.double() for k, v in net.state_dict().items()}, assign=True)
    return net.a.weight.dtype, isinstance(net.a.weight, torch.nn.Parameter)


def state_with_extras(torch):
    class Extra(torch.nn.Module):
        value = 1

        def get_extra_state(self):
            return {"value": self.value}

        def set_extra_state(self, state):
            self.value = state["value"] + 1

    net = Extra()
    found = net.load_state_dict(Extra().state_dict())
    return net.state_dict(), found, net.load_state_dict({}, strict=False)


@pytest.mark.parametrize("run", [
    hooks_of_all, hooks_of_registration, hooks_of_the_old_form, hooks_of_both_forms,
    hooks_after_a_failure, hooks_with_keywords, hooks_of_a_dictionary, hooks_of_state,
    state_assigned, state_with_extras,
])  # fmt: skip
def test_does_what_pytorch_does(run):
    assert shown(flambeau, run) == shown(torch, run)
