"""torch.distributed: not available, as in a build of PyTorch without it."""

from __future__ import annotations

from flambeau.absent import absent

__getattr__ = absent(
    __name__,
    """init_process_group destroy_process_group new_group ProcessGroup Backend ReduceOp Work P2POp
    all_reduce all_gather all_gather_into_tensor all_gather_object all_to_all all_to_all_single
    barrier batch_isend_irecv broadcast broadcast_object_list gather gather_object get_backend
    get_global_rank get_process_group_ranks irecv isend monitored_barrier recv reduce reduce_scatter
    reduce_scatter_tensor scatter scatter_object_list send Store TCPStore FileStore HashStore
    DeviceMesh init_device_mesh""",
    "is_available() is False. Run a single process: leave out init_process_group and what follows "
    "from it",
)


def is_available() -> bool:
    """Whether processes can train together: no."""
    return False


def is_initialized() -> bool:
    """Whether there is a group of processes: never."""
    return False


def is_torchelastic_launched() -> bool:
    """Whether the launcher of PyTorch started this process."""
    import os

    return "TORCHELASTIC_RUN_ID" in os.environ


def is_nccl_available() -> bool:
    return False


is_gloo_available = is_mpi_available = is_ucc_available = is_nccl_available


def get_rank(group: object = None) -> int:
    """Raises ValueError: there is no group of processes."""
    raise ValueError("Default process group has not been initialized, please make sure to call "
                     "init_process_group.")  # fmt: skip


get_world_size = get_rank
