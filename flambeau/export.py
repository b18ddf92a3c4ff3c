"""torch.export: there is no format for exported programs."""

from flambeau.absent import absent

__getattr__ = absent(
    __name__,
    """export export_for_training draft_export save load register_dataclass unflatten Dim
    ExportedProgram ExportGraphSignature ModuleCallEntry ShapesCollection AdditionalInputs""",
    "keep the code and save the state_dict with torch.save",
)
