"""torch.hub: models by the `hubconf.py` of a folder; nothing is fetched from elsewhere."""

from __future__ import annotations

import os
from types import ModuleType
from typing import Any

_folder: str | None = None


def get_dir() -> str:
    """Where downloads would be kept: $TORCH_HOME/hub, or torch/hub in the user's cache."""
    if _folder is not None:
        return _folder
    cache = os.getenv("XDG_CACHE_HOME", "~/.cache")
    home = os.getenv("TORCH_HOME", os.path.join(cache, "torch"))
    return os.path.join(os.path.expanduser(home), "hub")


def set_dir(d: Any) -> None:
    """Another place for downloads."""
    global _folder
    _folder = os.path.expanduser(d)


def _is_local(source: str) -> None:
    if source.lower() not in ("github", "local"):
        raise ValueError(f'Unknown source: "{source}". Allowed values: "github" | "local".')
    if source.lower() == "github":
        _remote()


def _remote(*_: Any, **__: Any) -> Any:
    raise NotImplementedError(
        "nothing is fetched from the network; clone the repository, and load it with "
        "torch.hub.load(folder, model, source='local')"
    )


def _entry_points(folder: str) -> ModuleType:
    """The module `hubconf.py` of a folder, which may import what lies beside it."""
    import importlib.util
    import sys

    path = os.path.join(os.path.realpath(folder), "hubconf.py")
    with open(path):  # FileNotFoundError, if there is none
        pass
    spec = importlib.util.spec_from_file_location("hubconf", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, os.path.dirname(path))
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(os.path.dirname(path))
    check_dependencies(module)
    return module


def check_dependencies(module: ModuleType) -> None:
    """Refuse a module whose list of dependencies names a package that is not there."""
    from importlib.util import find_spec

    missing = [name for name in getattr(module, "dependencies", ()) if find_spec(name) is None]
    if missing:
        raise RuntimeError(f"Missing dependencies: {', '.join(missing)}")


def _entry_point(module: ModuleType, model: Any) -> Any:
    if not isinstance(model, str):
        raise ValueError("Invalid input: model should be a string of function name")
    found = getattr(module, model, None)
    if not callable(found):
        raise RuntimeError(f"Cannot find callable {model} in hubconf")
    return found


def list(  # noqa: A001 PyTorch's name
    github: str,
    force_reload: bool = False,
    skip_validation: bool = False,
    trust_repo: Any = None,
    verbose: bool = True,
    *,
    source: str = "github",
) -> Any:
    """The names of what a folder's hubconf.py offers; source has to be 'local'."""
    _is_local(source)
    module = _entry_points(github)
    return [n for n, x in vars(module).items() if callable(x) and not n.startswith("_")]


def help(  # noqa: A001 PyTorch's name
    github: str,
    model: str,
    force_reload: bool = False,
    skip_validation: bool = False,
    trust_repo: Any = None,
    *,
    source: str = "github",
) -> Any:
    """The docstring of an entry; source has to be 'local'."""
    _is_local(source)
    return _entry_point(_entry_points(github), model).__doc__


def load(
    repo_or_dir: str,
    model: str,
    *args: Any,
    source: str = "github",
    trust_repo: Any = None,
    force_reload: bool = False,
    verbose: bool = True,
    skip_validation: bool = False,
    **kwargs: Any,
) -> Any:
    """What an entry of a folder's hubconf.py gives for these arguments; source: 'local'."""
    _is_local(source)
    return _entry_point(_entry_points(repo_or_dir), model)(*args, **kwargs)


def load_state_dict_from_url(
    url: str,
    model_dir: str | None = None,
    map_location: Any = None,
    progress: bool = True,
    check_hash: bool = False,
    file_name: str | None = None,
    weights_only: bool = False,
) -> Any:
    """A file that was downloaded before, by the last part of its address; nothing is fetched."""
    from urllib.parse import urlparse

    from flambeau.serialization import load as load_file

    name = file_name or os.path.basename(urlparse(url).path)
    path = os.path.join(model_dir or os.path.join(get_dir(), "checkpoints"), name)
    if not os.path.exists(path):
        raise NotImplementedError(f"nothing is fetched from the network; put {url} at {path}")
    return load_file(path, map_location, weights_only=weights_only)


download_url_to_file = _remote

__all__ = ["download_url_to_file", "get_dir", "help", "list", "load", "load_state_dict_from_url",
           "set_dir"]  # fmt: skip
