"""Steps of random programs with what networks are made of; see random_programs.py."""

from __future__ import annotations

from typing import Any

from tests.compiler.random_programs import act, dim_of, fitting, is_filled, is_float, pick


def some(torch: Any, x: Any, *size: int) -> Any:
    """As many elements of x as go into a size, zeros where it has fewer."""
    count = 1
    for n in size:
        count *= n
    return torch.cat([x.reshape(-1), x.new_zeros(count)])[:count].reshape(size)


def a_float(torch: Any, env: list[Any], i: int) -> Any:
    return fitting(env, i, is_float)


def two_floats(torch: Any, env: list[Any], i: int, j: int) -> tuple[Any, Any]:
    x = a_float(torch, env, i)
    return x, a_float(torch, env, j).to(x.dtype)


@act
def convolve(torch: Any, env: list[Any], i: int, j: int, k: int) -> Any:
    x, w = two_floats(torch, env, i, j)
    f = torch.nn.functional
    image = some(torch, x, 1, 2, 4, 3)
    made = [
        lambda: f.conv2d(image, some(torch, w, 3, 2, 2, 2), padding=k % 2, stride=1 + k // 2 % 2),
        lambda: f.conv2d(image, some(torch, w, 4, 1, 3, 3), groups=2, padding=1),
        lambda: f.conv1d(some(torch, x, 2, 3, 8), some(torch, w, 2, 3, 3), dilation=1 + k % 2),
        lambda: f.conv_transpose2d(image, some(torch, w, 2, 2, 2, 2), stride=1 + k % 2),
    ][k % 4]()
    return made * 0.125


@act
def pool(torch: Any, env: list[Any], i: int, j: int, k: int) -> Any:
    image = some(torch, a_float(torch, env, i), 1, 2, 4, 3)
    f = torch.nn.functional
    return [lambda: f.max_pool2d(image, 2, padding=j % 2), lambda: f.avg_pool2d(image, 2, stride=1),
            lambda: f.adaptive_avg_pool2d(image, (2, 2)),
            lambda: f.pixel_shuffle(image.reshape(1, 4, 2, 3), 2)][k % 4]()  # fmt: skip


@act
def normalize(torch: Any, env: list[Any], i: int, j: int, k: int) -> Any:
    x = fitting(env, i, lambda x: is_float(x) and is_filled(x))
    f = torch.nn.functional
    table = some(torch, x, 4, 6)
    return [lambda: f.layer_norm(x, x.shape[-1:], eps=0.5),
            lambda: f.batch_norm(table, None, None, training=True, eps=0.5),
            lambda: f.group_norm(table, 2, eps=0.5),
            lambda: f.rms_norm(x, x.shape[-1:], eps=0.5)][k % 4]()  # fmt: skip


@act
def loss(torch: Any, env: list[Any], i: int, j: int, k: int) -> Any:
    x, y = two_floats(torch, env, i, j)
    f = torch.nn.functional
    scores, aims = some(torch, x, 5, 3), some(torch, y, 5, 3)
    labels = torch.tensor([0, 2, k % 3, 1, j % 3])
    return [lambda: f.cross_entropy(scores, labels), lambda: f.mse_loss(scores, aims),
            lambda: f.smooth_l1_loss(scores, aims, reduction="none"),
            lambda: f.binary_cross_entropy_with_logits(scores, aims.sigmoid()),
            lambda: f.nll_loss(scores.log_softmax(1), labels, reduction="sum"),
            lambda: f.cross_entropy(scores, aims.softmax(1), label_smoothing=0.1),
            ][k % 6]()  # fmt: skip


@act
def linear(torch: Any, env: list[Any], i: int, j: int, k: int) -> Any:
    x, y = two_floats(torch, env, i, j)
    f = torch.nn.functional
    a, w, b = some(torch, x, 3, 4), some(torch, y, 5, 4) * 0.25, some(torch, y, 5)
    return [lambda: f.linear(a, w, b), lambda: f.gelu(f.linear(a, w)),
            lambda: torch.addmm(b, a, w.t(), beta=0.5), lambda: torch.einsum("ij,kj->ik", a, w),
            lambda: torch.bmm(some(torch, x, 2, 2, 4), w[:4].expand(2, 4, 4)),
            lambda: f.silu(torch.outer(b, b) * 0.125)][k % 6]()  # fmt: skip


@act
def attend(torch: Any, env: list[Any], i: int, j: int, k: int) -> Any:
    """With its derivative, which PyTorch cannot differentiate once more."""
    x, y = (z.detach() for z in two_floats(torch, env, i, j))
    given = [some(torch, z, 1, 2, 3, 4).requires_grad_() for z in (x * 0.5, y * 0.5, x)]
    out = torch.nn.functional.scaled_dot_product_attention(*given, is_causal=k % 2 == 1)
    found = out.detach() if k % 5 == 0 else torch.autograd.grad(out.sum(), given)[k % 3]
    return found.contiguous()


@act
def recur(torch: Any, env: list[Any], i: int, j: int, k: int) -> Any:
    """A few steps that are all alike."""
    x, y = two_floats(torch, env, i, j)
    state, weight = some(torch, x, 2, 3), some(torch, y, 3, 3) * 0.25
    for _ in range(2 + k % 3):
        state = torch.tanh(state @ weight + 0.5)
    return state


@act
def cumulate(torch: Any, env: list[Any], i: int, j: int, k: int) -> Any:
    x = fitting(env, i, lambda x: is_float(x) and is_filled(x))
    d = dim_of(x, j)
    return [lambda: x.tanh().cumprod(d), lambda: x.cummax(d).values,
            lambda: x.clamp(-3, 3).logcumsumexp(d), lambda: x.cumsum(d) * 0.25,
            ][k % 4]()  # fmt: skip


@act
def summarize(torch: Any, env: list[Any], i: int, j: int, k: int) -> Any:
    x = fitting(env, i, lambda x: is_float(x) and is_filled(x))
    d = dim_of(x, j)
    return [lambda: x.tanh().prod(d), lambda: (x * x + 0.5).sum(d).sqrt(), lambda: x.norm(),
            lambda: x.std() if x.numel() > 1 else x.sum(), lambda: x.min(d).values,
            lambda: torch.count_nonzero(x > 0.3), lambda: (x < 0.3).all(d),
            lambda: x.amin((0, -1) if x.dim() > 1 else 0), lambda: x.mean() * 0.5,
            ][k % 9]()  # fmt: skip


# ------------------------------------------------------------------ values that become Python


@act
def number_of(torch: Any, env: list[Any], i: int, j: int, k: int) -> Any:
    """A value is looked at and goes on as a number, or decides."""
    x, y = pick(env, i), a_float(torch, env, j)
    value = float(x.detach().sum())
    if not abs(value) < 100:
        return y * 0.5
    return y * 0.5 + (value * 0.125 if k % 2 else 1 if value > 0.3 else 2)


@act
def array_of(torch: Any, env: list[Any], i: int, j: int, k: int) -> Any:
    """NumPy changes the memory of a tensor, which may be a view of others."""
    x = fitting(env, i, lambda x: x.dtype in (torch.float32, torch.float64, torch.int64))
    array = x.detach().numpy()
    if not (x.is_contiguous() or k % 3 == 0):
        return torch.from_numpy(array.copy())
    array[...] = array * (k % 2)
    return torch.from_numpy(array).clone()


# ------------------------------------------------------------------ gradients


@act
def gradient(torch: Any, env: list[Any], i: int, j: int, k: int) -> Any:
    x = fitting(env, i, lambda x: x.requires_grad and x.grad_fn is not None)
    leaves = [x for x in env if x.is_leaf and x.requires_grad]
    if x is None or not leaves:
        return None
    found = torch.autograd.grad((x * x).sum() * 0.125, leaves, create_graph=k % 2 == 1,
                                retain_graph=True, allow_unused=True)  # fmt: skip
    return next((g for g in found if g is not None), None)


@act
def hook(torch: Any, env: list[Any], i: int, j: int, k: int) -> Any:
    x = fitting(env, i, lambda x: x.requires_grad)
    if x is None:
        return None
    x = x * 1
    x.register_hook(lambda g: g * 0.5)
    return x


@act
def descend(torch: Any, env: list[Any], i: int, j: int, k: int) -> Any:
    """A step of an optimizer over the leaves that have gradients."""
    leaves = [x for x in env if x.is_leaf and x.requires_grad and x.grad is not None]
    if leaves:
        optimizer = torch.optim.SGD(leaves, lr=0.0625 * (1 + k % 3), momentum=0.5 * (j % 2))
        optimizer.step()
        optimizer.zero_grad()
    return None


@act
def draw(torch: Any, env: list[Any], i: int, j: int, k: int) -> Any:
    x = fitting(env, i, is_float).detach().clone()
    return [lambda: x.uniform_(-1, 1), lambda: x.normal_(), lambda: torch.rand_like(x),
            lambda: x.bernoulli_(0.5), lambda: torch.randint(0, 5, (4,)),
            lambda: torch.randperm(4), lambda: torch.bernoulli(x.sigmoid()),
            lambda: x.t().normal_() if x.dim() == 2 else x.random_(0, 5)][k % 8]()  # fmt: skip
