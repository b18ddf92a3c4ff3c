"""Named tuples of results, as torch.return_types."""

from __future__ import annotations

from operator import itemgetter
from typing import Any


class _Results(tuple):
    """Several results that have names."""

    fields: tuple[str, ...] = ()

    def __repr__(self) -> str:
        parts = ",\n".join(f"{name}={value!r}" for name, value in zip(self.fields, self))
        return f"torch.return_types.{type(self).__name__}(\n{parts})"

    def __reduce__(self) -> Any:
        return type(self), (tuple(self),)


def named(name: str, *fields: str) -> type:
    """A class for the results of one function; it is found in this module by that name."""
    body: dict[str, Any] = {field: property(itemgetter(i)) for i, field in enumerate(fields)}
    body |= {"fields": fields, "n_fields": len(fields), "__module__": "flambeau.return_types"}
    cls = type(name, (_Results,), body)
    globals()[name] = cls
    return cls


for _name in (
    "max",
    "min",
    "topk",
    "sort",
    "kthvalue",
    "mode",
    "median",
    "nanmedian",
    "cummax",
    "cummin",
):
    named(_name, "values", "indices")
    named(f"{_name}_out", "values", "indices")
