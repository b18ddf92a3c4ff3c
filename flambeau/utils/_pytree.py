"""Nested containers as a list of leaves and the structure around them.

A container is a dict, OrderedDict, defaultdict, list, tuple, namedtuple, deque, or an instance of a
class given to `register_pytree_node`; everything else is a leaf, None among it.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict, deque
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple


class NodeDef(NamedTuple):
    """How a kind of container is taken apart and put together."""

    type: Any
    flatten_fn: Callable[[Any], tuple[list[Any], Any]]
    unflatten_fn: Callable[[Iterable[Any], Any], Any]
    flatten_with_keys_fn: Callable[[Any], tuple[list[Any], Any]] | None = None


class SequenceKey(NamedTuple):
    """The way to an element of a sequence."""

    idx: int

    def __str__(self) -> str:
        return f"[{self.idx!r}]"

    def get(self, sequence: Any) -> Any:
        return sequence[self.idx]


class MappingKey(NamedTuple):
    """The way to a value of a mapping."""

    key: Any

    def __str__(self) -> str:
        return f"[{self.key!r}]"

    def get(self, mapping: Any) -> Any:
        return mapping[self.key]


class GetAttrKey(NamedTuple):
    """The way to an attribute."""

    name: str

    def __str__(self) -> str:
        return f".{self.name}"

    def get(self, obj: Any) -> Any:
        return getattr(obj, self.name)


def _sequence(make: Callable[[Iterable[Any], Any], Any], context: Any = lambda x: None) -> Any:
    """The functions of a NodeDef for what is counted through."""
    return (
        lambda x: (list(x), context(x)),
        make,
        lambda x: ([(SequenceKey(i), y) for i, y in enumerate(x)], context(x)),
    )


def _mapping(make: Callable[[Iterable[Any], Any], Any], context: Any = list) -> Any:
    """The functions of a NodeDef for what has keys."""
    return (
        lambda x: (list(x.values()), context(x)),
        make,
        lambda x: ([(MappingKey(k), v) for k, v in x.items()], context(x)),
    )


SUPPORTED_NODES: dict[Any, NodeDef] = {
    kind: NodeDef(kind, *functions)
    for kind, functions in {
        tuple: _sequence(lambda values, _: tuple(values)),
        list: _sequence(lambda values, _: list(values)),
        deque: _sequence(lambda values, longest: deque(values, maxlen=longest),
                         lambda x: x.maxlen),
        dict: _mapping(lambda values, keys: dict(zip(keys, values))),
        OrderedDict: _mapping(lambda values, keys: OrderedDict(zip(keys, values))),
        defaultdict: _mapping(
            lambda values, context: defaultdict(context[0], zip(context[1], values)),
            lambda x: [x.default_factory, list(x)]),
    }.items()
}  # fmt: skip
_NAMEDTUPLE = NodeDef(
    tuple,
    lambda x: (list(x), type(x)),
    lambda values, kind: kind(*values),
    lambda x: ([(GetAttrKey(name), y) for name, y in zip(x._fields, x)], type(x)),
)
BUILTIN_TYPES = frozenset((*SUPPORTED_NODES, "namedtuple"))


def register_pytree_node(cls: type, flatten_fn: Any, unflatten_fn: Any, *,
                         serialized_type_name: str | None = None,
                         to_dumpable_context: Any = None, from_dumpable_context: Any = None,
                         flatten_with_keys_fn: Any = None) -> None:  # fmt: skip
    """Make instances of a class containers.

    flatten_fn: instance → (children, context); unflatten_fn: (children, context) → instance.
    The arguments about serialized structures are accepted and not used. Raises ValueError where the
    class is known already.
    """
    if cls in SUPPORTED_NODES:
        raise ValueError(f"{cls!r} is already registered as pytree node.")
    SUPPORTED_NODES[cls] = NodeDef(cls, flatten_fn, unflatten_fn, flatten_with_keys_fn)


_register_pytree_node = register_pytree_node


def is_namedtuple_class(cls: Any) -> bool:
    """Whether a class was made by namedtuple, or inherits from one that was."""
    if not isinstance(cls, type) or not issubclass(cls, tuple):
        return False
    fields = getattr(cls, "_fields", None)
    return isinstance(fields, tuple) and all(isinstance(name, str) for name in fields)


def is_namedtuple_instance(x: Any) -> bool:
    """Whether something is a namedtuple."""
    return is_namedtuple_class(type(x))


is_namedtuple = is_namedtuple_instance


def node_of(tree: Any) -> NodeDef | None:
    """How to take something apart; None where it is a leaf."""
    found = SUPPORTED_NODES.get(type(tree))
    return _NAMEDTUPLE if found is None and is_namedtuple_instance(tree) else found


class TreeSpec:
    """The structure around leaves. `type` None: a single leaf."""

    __slots__ = ("type", "context", "children_specs", "num_leaves", "_node")

    def __init__(self, type: Any, context: Any, children_specs: list[TreeSpec],
                 node: NodeDef | None = None) -> None:  # fmt: skip
        self.type, self.context, self.children_specs = type, context, list(children_specs)
        self._node = SUPPORTED_NODES.get(type) if node is None else node
        self.num_leaves: int = 1 if type is None else sum(c.num_leaves for c in self.children_specs)

    @property
    def num_children(self) -> int:
        return len(self.children_specs)

    @property
    def num_nodes(self) -> int:
        return 1 + sum(child.num_nodes for child in self.children_specs)

    def is_leaf(self) -> bool:
        return self.type is None

    def children(self) -> list[TreeSpec]:
        return list(self.children_specs)

    def child(self, index: int) -> TreeSpec:
        return self.children_specs[index]

    def unflatten(self, leaves: Iterable[Any]) -> Any:
        """Put leaves into this structure; there must be just as many as it holds."""
        leaves = list(leaves)
        if len(leaves) != self.num_leaves:
            raise ValueError(
                f"treespec.unflatten(leaves): `leaves` has length {len(leaves)} but the spec "
                f"refers to a pytree that holds {self.num_leaves} items ({self})."
            )
        return self._filled(iter(leaves))

    def _filled(self, leaves: Any) -> Any:
        if self.type is None:
            return next(leaves)
        children = [child._filled(leaves) for child in self.children_specs]
        assert self._node is not None
        return self._node.unflatten_fn(children, self.context)

    def flatten_up_to(self, tree: Any) -> list[Any]:
        """The parts of a tree that stand where this structure has leaves."""
        if self.type is None:
            return [tree]
        node = node_of(tree)
        if node is None or node.type is not self.type:
            raise ValueError(f"Type mismatch; expected {self.type!r}, but got {type(tree)!r}.")
        children, context = node.flatten_fn(tree)
        if len(children) != self.num_children:
            raise ValueError(f"Node arity mismatch; expected {self.num_children}, but got "
                             f"{len(children)}.")  # fmt: skip
        if self.type in (dict, OrderedDict) and context != self.context:
            if set(context) != set(self.context):
                raise ValueError(f"Node keys mismatch; expected {self.context}, got {context}.")
            children = [tree[key] for key in self.context]
        return [part for child, spec in zip(children, self.children_specs)
                for part in spec.flatten_up_to(child)]  # fmt: skip

    def __eq__(self, other: object) -> Any:
        if not isinstance(other, TreeSpec):
            return NotImplemented
        mine = self.type, self.context, self.children_specs
        return mine == (other.type, other.context, other.children_specs)

    def __hash__(self) -> int:
        return hash((self.type, self.num_leaves, len(self.children_specs)))

    def __repr__(self, indent: int = 0) -> str:
        if self.type is None:
            return "*"
        inner = ""
        if self.children_specs:
            indent += 2
            rest = [child.__repr__(indent) for child in self.children_specs]
            inner = rest[0] + "".join(",\n" + " " * indent + text for text in rest[1:])
        name = "namedtuple" if self._node is _NAMEDTUPLE else self.type.__name__
        return f"TreeSpec({name}, {self.context}, [{inner}])"


class LeafSpec(TreeSpec):
    """The structure of a single leaf."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(None, None, [])


PyTreeSpec = TreeSpec
_LEAF = LeafSpec()


def treespec_leaf() -> TreeSpec:
    """The structure of a single leaf."""
    return _LEAF


def tree_is_leaf(tree: Any, is_leaf: Any = None) -> bool:
    """Whether something is a leaf: no container, or one that `is_leaf` says is none."""
    return bool(is_leaf is not None and is_leaf(tree)) or node_of(tree) is None


def _flatten(tree: Any, leaves: list[Any], is_leaf: Any) -> TreeSpec:
    node = None if is_leaf is not None and is_leaf(tree) else node_of(tree)
    if node is None:
        leaves.append(tree)
        return _LEAF
    children, context = node.flatten_fn(tree)
    specs = [_flatten(child, leaves, is_leaf) for child in children]
    return TreeSpec(node.type, context, specs, node)


def tree_flatten(tree: Any, is_leaf: Any = None) -> tuple[list[Any], TreeSpec]:
    """The leaves of a tree, and its structure."""
    leaves: list[Any] = []
    spec = _flatten(tree, leaves, is_leaf)
    return leaves, spec


def tree_unflatten(leaves: Iterable[Any], treespec: TreeSpec) -> Any:
    """The tree with these leaves and this structure."""
    if not isinstance(treespec, TreeSpec):
        raise TypeError(f"tree_unflatten(leaves, treespec): Expected `treespec` to be instance of "
                        f"TreeSpec but got item of type {type(treespec)}.")  # fmt: skip
    return treespec.unflatten(leaves)


def tree_leaves(tree: Any, is_leaf: Any = None) -> list[Any]:
    """The leaves of a tree."""
    return tree_flatten(tree, is_leaf)[0]


def tree_iter(tree: Any, is_leaf: Any = None) -> Iterable[Any]:
    """An iterator over the leaves of a tree."""
    return iter(tree_leaves(tree, is_leaf))


def tree_structure(tree: Any, is_leaf: Any = None) -> TreeSpec:
    """The structure of a tree."""
    return tree_flatten(tree, is_leaf)[1]


def tree_map(func: Callable[..., Any], tree: Any, *rests: Any, is_leaf: Any = None) -> Any:
    """The tree of func(leaf, …): further trees must have the structure of the first, or more."""
    leaves, spec = tree_flatten(tree, is_leaf)
    return spec.unflatten(map(func, leaves, *[spec.flatten_up_to(r) for r in rests]))


def tree_map_(func: Callable[..., Any], tree: Any, *rests: Any, is_leaf: Any = None) -> Any:
    """Call func on the leaves, and return the tree as it is."""
    leaves, spec = tree_flatten(tree, is_leaf)
    for args in zip(leaves, *[spec.flatten_up_to(r) for r in rests]):
        func(*args)
    return tree


def map_only(kinds: Any) -> Any:
    """A decorator: the function is called on instances of `kinds`, and others come back."""
    chosen = _chooser(kinds)
    return lambda func: lambda x: func(x) if chosen(x) else x


def _chooser(kinds: Any) -> Callable[[Any], bool]:
    if isinstance(kinds, (type, tuple)) or not callable(kinds):
        return lambda x: isinstance(x, kinds)
    return kinds


def tree_map_only(kinds: Any, func: Any, tree: Any, is_leaf: Any = None) -> Any:
    """tree_map of the leaves of some classes (or that a predicate chooses)."""
    return tree_map(map_only(kinds)(func), tree, is_leaf=is_leaf)


def tree_map_only_(kinds: Any, func: Any, tree: Any, is_leaf: Any = None) -> Any:
    """tree_map_ of the leaves of some classes (or that a predicate chooses)."""
    return tree_map_(map_only(kinds)(func), tree, is_leaf=is_leaf)


def tree_all(pred: Callable[[Any], bool], tree: Any, is_leaf: Any = None) -> bool:
    """Whether all leaves are as `pred` says."""
    return all(map(pred, tree_leaves(tree, is_leaf)))


def tree_any(pred: Callable[[Any], bool], tree: Any, is_leaf: Any = None) -> bool:
    """Whether some leaf is as `pred` says."""
    return any(map(pred, tree_leaves(tree, is_leaf)))


def tree_all_only(kinds: Any, pred: Any, tree: Any, is_leaf: Any = None) -> bool:
    """Whether all leaves of some classes are as `pred` says."""
    return all(pred(x) for x in tree_leaves(tree, is_leaf) if isinstance(x, kinds))


def tree_any_only(kinds: Any, pred: Any, tree: Any, is_leaf: Any = None) -> bool:
    """Whether some leaf of some classes is as `pred` says."""
    return any(pred(x) for x in tree_leaves(tree, is_leaf) if isinstance(x, kinds))


def arg_tree_leaves(*args: Any, **kwargs: Any) -> list[Any]:
    """The leaves of all arguments."""
    return tree_leaves(args) + tree_leaves(kwargs)


def broadcast_to_and_flatten(tree: Any, treespec: TreeSpec, is_leaf: Any = None) -> Any:
    """A leaf of `tree` for each leaf of a structure that goes on where the tree ends.

    None where the tree is no beginning of the structure.
    """
    node = None if is_leaf is not None and is_leaf(tree) else node_of(tree)
    if node is None:
        return [tree] * treespec.num_leaves
    children, context = node.flatten_fn(tree)
    if (node.type, len(children)) != (treespec.type, treespec.num_children):
        return None
    if context != treespec.context:
        return None
    found: list[Any] = []
    for child, spec in zip(children, treespec.children_specs):
        part = broadcast_to_and_flatten(child, spec, is_leaf)
        if part is None:
            return None
        found += part
    return found


_broadcast_to_and_flatten = broadcast_to_and_flatten


# ------------------------------------------------------------------ with the ways to the leaves


def _walk(tree: Any, way: tuple[Any, ...], is_leaf: Any) -> Iterable[tuple[Any, Any]]:
    node = None if is_leaf is not None and is_leaf(tree) else node_of(tree)
    if node is None:
        yield way, tree
        return
    if node.flatten_with_keys_fn is None:
        raise ValueError(f"Did not find a flatten_with_keys_fn for type: {node.type}. Please pass "
                         "a flatten_with_keys_fn argument to register_pytree_node.")  # fmt: skip
    for key, child in node.flatten_with_keys_fn(tree)[0]:
        yield from _walk(child, (*way, key), is_leaf)


def tree_leaves_with_path(tree: Any, is_leaf: Any = None) -> list[tuple[Any, Any]]:
    """(the way to it, leaf) of all leaves."""
    return list(_walk(tree, (), is_leaf))


def tree_flatten_with_path(tree: Any, is_leaf: Any = None) -> tuple[Any, TreeSpec]:
    """(the way to it, leaf) of all leaves, and the structure."""
    return tree_leaves_with_path(tree, is_leaf), tree_structure(tree, is_leaf)


def tree_map_with_path(func: Callable[..., Any], tree: Any, *rests: Any,
                       is_leaf: Any = None) -> Any:  # fmt: skip
    """tree_map of a function that gets the way to the leaf first."""
    leaves, spec = tree_flatten_with_path(tree, is_leaf)
    ways, values = [way for way, _ in leaves], [leaf for _, leaf in leaves]
    return spec.unflatten(map(func, ways, values, *[spec.flatten_up_to(r) for r in rests]))


def keystr(kp: Any) -> str:
    """A way to a leaf as text: "[0]['name'].field"."""
    return "".join(map(str, kp))


def key_get(obj: Any, kp: Any) -> Any:
    """What stands at the end of a way."""
    for key in kp:
        obj = key.get(obj)
    return obj
