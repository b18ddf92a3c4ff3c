"""torch._logging: what PyTorch's compiler may say; FLAMBEAU_SHOW says what ours does."""

from typing import Any


def set_logs(**_: Any) -> None:
    """Accepted: there are none of PyTorch's logs to switch on."""
