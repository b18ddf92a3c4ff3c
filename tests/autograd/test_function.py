"""Functions with derivatives of their own, hooks, modes: what PyTorch prints for the same code."""

import pytest

import flambeau

torch = pytest.importorskip("torch")
CASES = {}


def case(function):
    """Run under both frameworks; what is returned (or raised) must print alike."""
    CASES[function.__name__] = function
    return function


def functions(torch):
    """A few custom functions of one framework."""

    class Mul(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, y, k):
            ctx.save_for_backward(x, y)
            ctx.k = k
            return x * y * k

        @staticmethod
        def backward(ctx, g):
            x, y = ctx.saved_tensors
            return g * y * ctx.k, g * x * ctx.k if ctx.needs_input_grad[1] else None, None

    class Several(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            large = x > 1
            ctx.mark_non_differentiable(large)
            return x * 2, large, x.exp()

        @staticmethod
        def backward(ctx, g, _, h):
            return g * 2 + h

    class Dirty(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            x.add_(1)
            ctx.mark_dirty(x)
            return x

        @staticmethod
        def backward(ctx, g):
            return g * 5

    class KeepsResult(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            y = x.exp()
            ctx.save_for_backward(y)
            return y

        @staticmethod
        def backward(ctx, g):
            (y,) = ctx.saved_tensors
            return g * y

    class Separate(torch.autograd.Function):
        @staticmethod
        def forward(x, y):
            return x * y

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.save_for_backward(*inputs)

        @staticmethod
        def backward(ctx, g):
            x, y = ctx.saved_tensors
            return g * y, g * x

    class TooFew(Mul):
        @staticmethod
        def backward(ctx, g):
            return g

    return Mul, Several, Dirty, KeepsResult, Separate, TooFew


@case
def second_derivative(torch, a, b):
    out = functions(torch)[0].apply(a, b, 3)
    first = torch.autograd.grad(out.sum(), [a, b], create_graph=True)
    return out, out.grad_fn.name(), first, torch.autograd.grad((first[0] * first[1]).sum(), [a, b])


@case
def several_results(torch, a, b):
    double, large, exp = functions(torch)[1].apply(a)
    double.sum().backward(retain_graph=True)
    before = a.grad.clone()
    exp.sum().backward()
    return before, a.grad, large.requires_grad, double.grad_fn is exp.grad_fn, exp.output_nr


@case
def written_argument(torch, a, b):
    t = a * 1
    out = functions(torch)[2].apply(t)
    return out is t, t.grad_fn.name(), torch.autograd.grad(t.sum(), a)


@case
def written_view(torch, a, b):
    t = a * 1
    functions(torch)[2].apply(t[1:3])
    return t, t.grad_fn.name(), torch.autograd.grad(t.sum(), a)


@case
def kept_result(torch, a, b):
    out = functions(torch)[3].apply(a)
    (g,) = torch.autograd.grad(out.sum(), a, create_graph=True)
    return torch.autograd.grad(g.sum() * 0.1, a)


@case
def kept_result_was_written(torch, a, b):
    out = functions(torch)[3].apply(a)
    out.add_(1)
    out.sum().backward()


@case
def twice(torch, a, b):
    out = functions(torch)[3].apply(a)
    out.sum().backward()
    out.sum().backward()


@case
def separate_context(torch, a, b):
    return torch.autograd.grad(functions(torch)[4].apply(a, b).sum(), [a, b])


@case
def too_few_gradients(torch, a, b):
    functions(torch)[5].apply(a, b, 2).sum().backward()


@case
def node_hooks(torch, a, b):
    seen = []
    out = a * 2
    out.grad_fn.register_hook(lambda grads, outs: seen.append((grads, outs)))
    out.grad_fn.register_prehook(lambda outs: (outs[0] * 10,))
    out.sum().backward()
    return seen, a.grad


@case
def leaf_hooks(torch, a, b):
    seen = []
    first = a.register_hook(lambda g: g * 3)
    second = a.register_post_accumulate_grad_hook(lambda p: seen.append(p.grad.clone()))
    (a * 2).sum().backward()
    first.remove()
    second.remove()
    (a * 2).sum().backward()
    return seen, a.grad


@case
def retained(torch, a, b):
    middle = a * 2
    middle.retain_grad()
    (middle * middle).sum().backward()
    return middle.grad, middle.retains_grad, a.grad


@case
def graph(torch, a, b):
    node = (a * b).exp().grad_fn
    product = node.next_functions[0][0]
    leaf = product.next_functions[0][0]
    return node.name(), product.name(), leaf.name(), leaf.variable is a, node.metadata


@case
def modes(torch, a, b):
    @torch.no_grad()
    def generator():
        yield torch.is_grad_enabled()
        yield (a * 2).requires_grad

    with torch.set_grad_enabled(False):
        inside = torch.is_grad_enabled()
    with torch.inference_mode():
        inferring = torch.is_inference_mode_enabled(), (a * 2).requires_grad
    return [(v, torch.is_grad_enabled()) for v in generator()], inside, inferring


@case
def not_used(torch, a, b):
    return torch.autograd.grad(a.sum(), [b])


@case
def zeros_where_not_used(torch, a, b):
    return torch.autograd.grad(a.sum(), [b], materialize_grads=True)


@case
def several_roots(torch, a, b):
    torch.autograd.backward([(a * 2).sum(), a * b], [None, torch.ones(4)])
    return a.grad, b.grad


@case
def not_a_scalar(torch, a, b):
    (a * 2).backward()


@case
def wrong_shape(torch, a, b):
    (a * 2).backward(torch.ones(2))


@case
def leaf_written(torch, a, b):
    a.add_(1)


@case
def view_of_leaf_written(torch, a, b):
    a[0].add_(1)


@case
def saved_value_written(torch, a, b):
    out = (a * 2).exp()
    out.add_(1)
    out.sum().backward()


def outcome(torch, function):
    a = torch.arange(4.0).requires_grad_()
    b = torch.ones(4, requires_grad=True)
    try:
        return str(function(torch, a, b))
    except Exception as error:
        return f"{type(error).__name__}: {error}"


@pytest.mark.parametrize("name", CASES)
def test_prints_what_pytorch_prints(name):
    assert outcome(flambeau, CASES[name]) == outcome(torch, CASES[name])


def test_gradcheck_finds_a_wrong_derivative():
    class Wrong(flambeau.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return g * x * 3

    x = flambeau.tensor([1.0, 2.0], dtype=flambeau.float64, requires_grad=True)
    assert flambeau.autograd.gradcheck(lambda x: x * x, (x,))
    assert flambeau.autograd.gradgradcheck(lambda x: x.exp() * x, (x,))
    with pytest.raises(RuntimeError, match="Jacobian mismatch"):
        flambeau.autograd.gradcheck(Wrong.apply, (x,))
