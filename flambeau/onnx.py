"""torch.onnx: no export to ONNX."""

from flambeau.absent import absent

__getattr__ = absent(
    __name__,
    """export dynamo_export ONNXProgram register_custom_op_symbolic unregister_custom_op_symbolic
    select_model_mode_for_export symbolic_helper ExportOptions TrainingMode OperatorExportTypes""",
    "save the state_dict with torch.save, load it in PyTorch (the files are the same), and export "
    "from there",
)


def is_in_onnx_export() -> bool:
    """Whether an export is going on: never."""
    return False
