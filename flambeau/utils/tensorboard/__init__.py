"""torch.utils.tensorboard: SummaryWriter, by the package `tensorboard`, which has to be there."""

try:
    import tensorboard  # noqa: F401
except ImportError:
    raise ImportError(
        "torch.utils.tensorboard writes files by means of the package tensorboard, which is not "
        "installed\n  hint: pip install tensorboard"
    ) from None

from flambeau.utils.tensorboard.writer import FileWriter, SummaryWriter

__all__ = ["FileWriter", "SummaryWriter"]
