"""DLPack: tensors on the memory of other libraries, and the other way round."""

from flambeau.exchange import DLDeviceType, from_dlpack, to_dlpack

__all__ = ["DLDeviceType", "from_dlpack", "to_dlpack"]
