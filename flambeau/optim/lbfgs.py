"""L-BFGS."""

from flambeau.autograd.modes import enable_grad, no_grad
from flambeau.ops.curvature import quasi_newton
from flambeau.ops.functions import function_of
from flambeau.optim.checks import check_lr
from flambeau.optim.line_search import Point, Search
from flambeau.optim.optimizer import Optimizer
from flambeau.optim.stepping import number, real_view

two_loops = function_of(quasi_newton)
KEPT = ("al", "d", "t", "old_dirs", "old_stps", "ro", "H_diag", "prev_flat_grad", "prev_loss")


class LBFGS(Optimizer):
    """Newton steps with a curvature known from the last gradients (J. Nocedal, 1980).

    step(closure) takes up to max_iter of them; closure evaluates the loss and its gradients.
    """

    def __init__(self, params, lr=1, max_iter=20, max_eval=None, tolerance_grad=1e-7,
                 tolerance_change=1e-9, history_size=100, line_search_fn=None):  # fmt: skip
        check_lr(lr)
        super().__init__(params, {
            "lr": lr, "max_iter": max_iter,
            "max_eval": max_iter * 5 // 4 if max_eval is None else max_eval,
            "tolerance_grad": tolerance_grad, "tolerance_change": tolerance_change,
            "history_size": history_size, "line_search_fn": line_search_fn,
        })  # fmt: skip
        if len(self.param_groups) != 1:
            raise ValueError("LBFGS doesn't support per-parameter options (parameter groups)")
        self._params = self.param_groups[0]["params"]

    def step(self, closure):
        """Take up to max_iter steps; answers the loss at the beginning."""
        with no_grad():
            return Run(self, enable_grad()(closure)).run()


class Run:
    """One call of step()."""

    def __init__(self, optimizer, closure):
        self.group, self.params = optimizer.param_groups[0], optimizer._params
        self.closure, self.state = closure, optimizer.state[self.params[0]]
        self.state.setdefault("func_evals", 0)
        self.state.setdefault("n_iter", 0)

    def run(self):
        group, state = self.group, self.state
        first = self.closure()
        self.count(1)
        self.loss, self.grad = float(first), self.gradient()
        if self.largest(self.grad) <= group["tolerance_grad"]:
            return first
        evaluations = 1
        for iteration in range(1, group["max_iter"] + 1):
            state["n_iter"] += 1
            self.direction()
            state["prev_flat_grad"], state["prev_loss"] = self.grad, self.loss
            lr = number(group["lr"])
            if state["n_iter"] == 1:
                lr = min(1.0, 1.0 / self.grad.abs().sum().item()) * lr
            state["t"], slope = lr, self.grad.dot(state["d"]).item()
            if slope > -group["tolerance_change"]:
                break
            used = self.advance(slope, last=iteration == group["max_iter"])
            self.count(used)
            evaluations += used
            if evaluations >= group["max_eval"] or self.arrived():
                break
        if "t" in state:  # the learning rate, or a computed step, which PyTorch has as a tensor
            given = state["t"] == number(group["lr"])
            state["t"] = group["lr"] if given else self.grad.new_tensor(state["t"])
        for name in KEPT:  # in PyTorch's order
            if name in state:
                state[name] = state.pop(name)
        return first

    def count(self, evaluations):
        self.state["func_evals"] += evaluations

    def direction(self):
        """Where to go: the gradient times the inverse curvature (the two-loop recursion)."""
        state = self.state
        if state["n_iter"] == 1:
            state.update(d=self.grad.neg(), old_dirs=[], old_stps=[], ro=[], H_diag=1)
            return
        self.remember()
        changes, moves, ro = state["old_dirs"], state["old_stps"], state["ro"]
        shares = state.setdefault("al", [None] * self.group["history_size"])
        state["d"] = self.grad.neg() * state["H_diag"]
        if changes:
            state["d"], found = two_loops(self.grad, changes, moves, ro, state["H_diag"])
            shares[: len(changes)] = found.unbind()

    def remember(self):
        """Keep the last move and the change of the gradient, if the curvature is positive."""
        state = self.state
        change, move = self.grad - state["prev_flat_grad"], state["d"] * number(state["t"])
        curvature = change.dot(move)
        if not curvature.item() > 1e-10:
            return
        if len(state["old_dirs"]) == self.group["history_size"]:
            for name in ("old_dirs", "old_stps", "ro"):
                state[name].pop(0)
        state["old_dirs"].append(change)
        state["old_stps"].append(move)
        state["ro"].append(1.0 / curvature)
        state["H_diag"] = curvature / change.dot(change)

    def advance(self, slope, last):
        """Go along the direction; answers how often the loss was evaluated."""
        state, method = self.state, self.group["line_search_fn"]
        if method is None:
            self.move(state["t"], state["d"])
            if not last:
                self.loss, self.grad = self.evaluate()
            return 0 if last else 1
        if method != "strong_wolfe":
            raise RuntimeError("only 'strong_wolfe' is supported")
        begin = [p.clone() for p in self.params]

        def at(t):
            self.move(t, state["d"])
            loss, grad = self.evaluate()
            for param, value in zip(self.params, begin):
                param.copy_(value)
            return Point(t, loss, grad, grad.dot(state["d"]).item())

        start = Point(0.0, self.loss, self.grad, slope)
        search = Search(at, start, self.largest(state["d"]), 1e-9)
        found = search.run(state["t"])
        self.loss, self.grad = found.loss, found.grad
        self.move(found.t, state["d"])
        state["t"] = found.t
        return search.count

    def evaluate(self):
        """The loss and the gradient where the parameters are."""
        with enable_grad():
            loss = float(self.closure())
        return loss, self.gradient()

    def arrived(self):
        """Whether there is nothing left to gain."""
        state, tolerance = self.state, self.group["tolerance_change"]
        return (self.largest(self.grad) <= self.group["tolerance_grad"]
                or self.largest(state["d"] * number(state["t"])) <= tolerance
                or abs(self.loss - state["prev_loss"]) < tolerance)  # fmt: skip

    def largest(self, x):
        return x.abs().max().item()

    def gradient(self):
        """All gradients as one vector; a copy, since the closure may write to them."""
        import flambeau as fl

        parts = []
        for param in self.params:
            grad = real_view(param if param.grad is None else param.grad.to_dense())
            parts.append((fl.zeros_like(grad) if param.grad is None else grad).reshape(-1))
        return fl.cat(parts)

    def move(self, t, d):
        """Add t times a direction to the parameters."""
        offset = 0
        for param in map(real_view, self.params):
            n = param.numel()
            param.add_(d[offset : offset + n].view_as(param), alpha=t)
            offset += n
