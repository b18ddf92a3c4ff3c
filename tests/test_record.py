"""Records behave as data classes do, and cost little."""

import dataclasses
import weakref

import pytest

from flambeau.ir.record import field, frozen, record, replace

SLOTS = dict(slots=True)


def pair(ours, **theirs):
    """The same class written with our decorator and with the standard library's."""
    made = []
    for decorate, extra in ((ours, field), (dataclasses.dataclass(**theirs), dataclasses.field)):

        class Point:
            x: int
            y: object = None
            tags: list = extra(default_factory=list)

            def twice(self):
                return self.x * 2

        made.append(decorate(Point))
    return made


def outcome(cls, args, kwargs):
    """How an instance looks, or the class and words of what making it raises."""
    try:
        return repr(cls(*args, **kwargs))
    except TypeError as error:
        return type(error), str(error)


@pytest.mark.parametrize("ours, theirs", [(record, SLOTS), (frozen, SLOTS | {"frozen": True})])
def test_records_are_what_data_classes_are(ours, theirs):
    mine, standard = pair(ours, **theirs)
    for args, kwargs in (((1,), {}), ((1, 2), {"tags": [3]}), ((), {}), ((1, 2, [], 4), {}),
                         ((1,), {"x": 2}), ((1,), {"z": 2})):  # fmt: skip
        assert outcome(mine, args, kwargs) == outcome(standard, args, kwargs)
    assert mine(1) == mine(1) and mine(1) != mine(2) and mine(1) != standard(1)
    assert mine(1).tags is not mine(1).tags and mine(4).twice() == 8
    assert mine.__match_args__ == standard.__match_args__ and mine.__slots__ == standard.__slots__
    assert mine.__name__ == "Point" and mine.__qualname__ == standard.__qualname__
    with pytest.raises(AttributeError):
        mine(1).z = 3


def test_a_frozen_record_stays_as_it_is():
    mine, standard = pair(frozen, frozen=True, slots=True)
    for change in (lambda p: setattr(p, "x", 2), lambda p: delattr(p, "y")):
        for point in (mine(1), standard(1)):
            with pytest.raises(AttributeError, match="cannot (assign to|delete) field '[xy]'"):
                change(point)
    a, b = mine(1, 2, ()), mine(1, 2, ())
    assert hash(a) == hash(b) and len({a, b, mine(1, 3, ())}) == 2
    with pytest.raises(TypeError, match="unhashable"):
        hash(pair(record, slots=True)[0](1))


def test_replace_makes_another():
    mine, _ = pair(frozen)
    a = mine(1, 2, ())
    assert replace(a, y=5) == mine(1, 5, ()) and a.y == 2
    with pytest.raises(TypeError):
        replace(a, z=1)


def test_what_a_class_says_itself_stays():
    @frozen
    class Named:
        name: str
        line: int = field(default=0, compare=False)

        __slots__ = ("__weakref__",)

        def __repr__(self):
            return self.name

    @frozen
    class Only:
        x: int

        __eq__, __hash__ = object.__eq__, object.__hash__

    @record
    class Checked:
        x: int

        def __post_init__(self):
            self.x = abs(self.x)

    assert repr(Named("a")) == "a" and Named("a", 1) == Named("a", 2) != Named("b", 1)
    assert hash(Named("a", 1)) == hash(Named("a", 2)) and Named("a").line == 0
    assert weakref.ref(named := Named("a"))() is named
    assert Only(1) != Only(1) and len({Only(1), Only(1)}) == 2
    assert Checked(-3).x == 3
