"""Which names a file holds that weights_only=True would refuse."""

from __future__ import annotations

from pickle import UnpicklingError
from typing import Any

from flambeau.serialization.archive import Reader
from flambeau.serialization.weights import OLD_BUILTINS, Machine


class Survey(Machine):
    """Follows a pickle and makes nothing of what it names; `refused` is what is not allowed."""

    def __init__(self, data: Any) -> None:
        super().__init__(data, 0, lambda name: None)
        self.refused: list[str] = []

    def global_(self, module: str, name: str) -> Any:
        full = f"{OLD_BUILTINS.get(module, module)}.{name}".removeprefix("builtins.")
        try:
            super().global_(module, name)
        except UnpicklingError:
            if full not in self.refused:
                self.refused.append(full)
        return full

    def call(self, function: Any, args: Any) -> Any:
        return None

    def make(self, cls: Any, args: Any) -> Any:
        return None

    def build(self, obj: Any, state: Any) -> None: ...

    def fill_list(self, items: list[Any]) -> None: ...

    def fill_dict(self, items: list[Any]) -> None: ...


def names_in(file: Any) -> list[str]:
    """The names in an archive that are not allowed."""
    survey = Survey(Reader(file).read("data.pkl"))
    survey.run()
    return survey.refused


__all__ = ["names_in"]
