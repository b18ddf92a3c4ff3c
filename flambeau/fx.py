"""torch.fx: programs are recorded as they run, so there are no graphs of modules to rewrite."""

from flambeau.absent import absent

__getattr__ = absent(
    __name__,
    """symbolic_trace Tracer Graph GraphModule Node Proxy Interpreter Transformer wrap
    replace_pattern CodeGen ProxyableClassMeta PH""",
    "there is no symbolic tracing. What a program records is shown by `flambeau explain`; change "
    "modules with forward hooks or by subclassing",
)
