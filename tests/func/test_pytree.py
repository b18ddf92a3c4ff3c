"""Trees and their structures, against PyTorch's."""

from collections import OrderedDict, defaultdict, deque, namedtuple

import pytest

from flambeau.utils import _pytree as ours

theirs = pytest.importorskip("torch.utils._pytree")
Point = namedtuple("Point", "x y")
TREES = [
    3,
    None,
    [],
    [1, (2, [3]), {"a": 4, "b": {"c": 5}}],
    OrderedDict(b=1, a=[2, 3]),
    defaultdict(list, a=1, b=(2, 3)),
    deque([1, [2]], maxlen=5),
    Point(1, Point([2, 3], {"k": 4})),
    {"z": 1, "a": {}},
]


@pytest.mark.parametrize("tree", TREES, ids=repr)
def test_leaves_and_structure(tree):
    leaves, spec = ours.tree_flatten(tree)
    expected, other = theirs.tree_flatten(tree)
    assert leaves == expected == ours.tree_leaves(tree)
    assert repr(spec) == repr(other)
    assert (spec.num_leaves, spec.num_nodes) == (other.num_leaves, other.num_nodes)
    again = ours.tree_unflatten(leaves, spec)
    assert again == tree and type(again) is type(tree)
    assert spec == ours.tree_structure(tree) != ours.tree_structure([tree, 0])
    ways = [(ours.keystr(w), x) for w, x in ours.tree_leaves_with_path(tree)]
    assert ways == [(theirs.keystr(w), x) for w, x in theirs.tree_leaves_with_path(tree)]
    for way, leaf in ours.tree_leaves_with_path(tree):
        assert ours.key_get(tree, way) is leaf


def test_maps():
    tree = {"a": [1, 2.5], "b": ("x", None)}
    assert ours.tree_map(str, tree) == {"a": ["1", "2.5"], "b": ("x", "None")}
    assert ours.tree_map_only(int, lambda x: -x, tree) == {"a": [-1, 2.5], "b": ("x", None)}
    assert ours.tree_map(lambda x, y: (x, y), [1, 2], [[3], 4]) == [(1, [3]), (2, 4)]
    assert ours.tree_map(len, [[1, 2], [3]], is_leaf=lambda x: x and x[0] in (1, 3)) == [2, 1]
    assert ours.tree_all_only(int, lambda x: x > 0, tree) and ours.tree_any(callable, [1, len])
    assert ours.tree_map_with_path(lambda w, x: ours.keystr(w), tree)["b"] == (
        "['b'][0]",
        "['b'][1]",
    )
    seen = []
    assert ours.tree_map_(seen.append, tree) is tree and seen == [1, 2.5, "x", None]


@pytest.mark.parametrize("pair", [([1, 2], [1]), ([1], (1,)), ({"a": 1}, {"b": 1})], ids=repr)
def test_structures_must_fit(pair):
    for module in ours, theirs:
        with pytest.raises(ValueError):
            module.tree_map(lambda x, y: x, *pair)


def test_wrong_leaves():
    with pytest.raises(ValueError, match="has length 1 but the spec"):
        ours.tree_unflatten([1], ours.tree_structure([1, 2]))


def test_registered_class():
    class Pair:
        def __init__(self, *both):
            self.both = both

    ours.register_pytree_node(Pair, lambda p: (list(p.both), "note"), lambda xs, _: Pair(*xs))
    assert ours.tree_map(lambda x: x + 1, [Pair(1, 2)])[0].both == (2, 3)
    with pytest.raises(ValueError, match="already registered"):
        ours.register_pytree_node(Pair, None, None)
