"""Rows for single operations over many elements: chains, reductions, matrix products.

Where one result is small, many are computed, from inputs of their own, before one is looked at.
"""

from __future__ import annotations

from benchmarks.rows import Row


def chain(torch, x):
    """Six elementwise calls."""
    return torch.exp(-x * x) * 0.5 + torch.relu(x)


def layer_norm(torch, x):
    """Layer normalisation as one writes it by hand."""
    centred = x - x.mean(-1, keepdim=True)
    return centred / torch.sqrt((centred * centred).mean(-1, keepdim=True) + 1e-5)


def broadcast(torch, x):
    """A row added to every row, a column times every column."""
    return (x + x[0]) * x[:, :1]


# What each row computes; what it writes: all elements, every second, one a row, or one a column;
# and up to how many elements PyTorch needs less than 20 µs for it.
OPERATIONS = {
    "6 elementwise calls": (chain, "all", 1_000),
    "broadcast row and column": (broadcast, "all", 10_000),
    "every second column": (lambda torch, x: torch.relu(x[:, ::2]) + 1.0, "half", 10_000),
    "transposed": (lambda torch, x: (x.t() * 2.0).contiguous(), "all", 10_000),
    "softmax": (lambda torch, x: torch.softmax(x, -1), "all", 10_000),
    "layer norm by hand": (layer_norm, "all", 1_000),
    "sum, last axis": (lambda torch, x: x.sum(-1), "row", 100_000),
    "sum, first axis": (lambda torch, x: x.sum(0), "column", 100_000),
    "max, last axis": (lambda torch, x: x.max(-1).values, "row", 10_000),
    "max, first axis": (lambda torch, x: x.max(0).values, "column", 10_000),
}
SHAPES = [(10, 100), (100, 100), (100, 1000), (1000, 1000), (10_000, 1000)]


def operation(torch, name, shape, count):
    """Apply the operation to `count` inputs, keep all results, look at one."""
    function = OPERATIONS[name][0]
    inputs = [torch.randn(shape) for _ in range(count)]
    while True:
        results = [function(torch, x) for x in inputs]
        yield results[-1].flatten()[-1].item()
        del results


def operation_row(name, shape):
    """One operation at one size: 100 results a look where PyTorch needs less than 20 µs for one,
    else one result a look."""
    rows, columns = shape
    _, writes, quick = OPERATIONS[name]
    count = 100 if rows * columns <= quick else 1
    written = {"all": rows * columns, "half": rows * columns // 2, "row": rows,
               "column": columns}[writes]
    moved = 4 * (rows * columns + written)
    return Row("kernels", f"{name}, {rows}×{columns}", operation,
               dict(name=name, shape=shape, count=count), per=count, bytes=moved,
               footprint=moved * count)


PRODUCTS = [  # m, n, k and how the operands lie
    (64, 64, 64, "AB"), (128, 128, 128, "AB"), (256, 256, 256, "AB"), (512, 512, 512, "AB"),
    (1024, 1024, 1024, "AB"), (2048, 2048, 2048, "AB"), (256, 10, 784, "AB"),
    (784, 10, 256, "AᵀB"), (256, 784, 10, "ABᵀ"), (256, 256, 784, "AB"), (700, 28, 256, "AB"),
    (32, 256, 256, "AB"), (256, 256, 256, "AᵀB"), (256, 256, 256, "ABᵀ"), (512, 512, 512, "AᵀB"),
    (512, 512, 512, "ABᵀ"),
    # one vector
    (1, 1024, 1024, "AB"), (1, 1024, 1024, "ABᵀ"), (1024, 1, 1024, "AB"), (1024, 1, 1024, "AᵀB"),
    (1, 4096, 4096, "AB"), (1, 4096, 4096, "ABᵀ"),
]
BATCHES = [  # matrices, and each product
    (64, (12, 12, 64, "ABᵀ")), (64, (12, 64, 12, "AB")), (48, (64, 64, 32, "AB")),
    (48, (64, 64, 32, "ABᵀ")), (48, (64, 32, 64, "AB")), (96, (128, 128, 64, "ABᵀ")),
]
OTHER_TYPES = {
    "float64": [(256, 256, 256, "AB"), (512, 512, 512, "AB"), (1024, 1024, 1024, "AB"),
                (512, 512, 512, "ABᵀ"), (1, 1024, 1024, "AB")],
    "bfloat16": [(64, 64, 64, "AB"), (256, 256, 256, "AB"), (1024, 1024, 1024, "AB"),
                 (512, 512, 512, "AB"), (512, 512, 512, "AᵀB"), (512, 512, 512, "ABᵀ"),
                 (256, 10, 784, "AB"), (32, 256, 256, "ABᵀ"), (1, 1024, 1024, "AB")],
    "float16": [(256, 256, 256, "AB"), (512, 512, 512, "AB"), (512, 512, 512, "ABᵀ"),
                (1, 1024, 1024, "AB")],
}  # fmt: skip
ITEM = {"float16": 2, "bfloat16": 2, "float32": 4, "float64": 8}
# Operations count as those of float32, whose peak is known; bfloat16 has units of its own.
WORK = {"float16": 1, "bfloat16": 0, "float32": 1, "float64": 2}


def product(torch, m, n, k, form, count, dtype, batch):
    """Multiply `count` pairs of matrices, or of batches of them, keep all results, look at one."""
    def matrix(rows, columns, transposed):
        sizes = (columns, rows) if transposed else (rows, columns)
        made = torch.randn(*batch, *sizes).to(getattr(torch, dtype))
        return made.transpose(-1, -2) if transposed else made

    pairs = [(matrix(m, k, form == "AᵀB"), matrix(k, n, form == "ABᵀ")) for _ in range(count)]
    while True:
        results = [a @ b for a, b in pairs]
        yield results[-1].flatten()[-1].item()
        del results


def product_row(m, n, k, form, dtype="float32", batch=()):
    """The row of one product: 100 results a look where PyTorch needs less than 20 µs for one."""
    matrices = batch[0] if batch else 1
    flops = 2 * matrices * m * n * k
    count = 100 if flops < 5_000_000 and (min(m, n, k) > 10 or batch) else 1
    moved = ITEM[dtype] * matrices * (m * k + k * n + m * n)
    name = f"{form} {f'{matrices} of ' if batch else ''}{m}×{n}×{k}"
    return Row("matmul", name if dtype == "float32" else f"{name}, {dtype}", product,
               dict(m=m, n=n, k=k, form=form, count=count, dtype=dtype, batch=batch), per=count,
               flops=flops * WORK[dtype], bytes=moved, footprint=moved * count, wanted=0.95,
               tolerance=1e-4 if ITEM[dtype] > 2 else 2.0**-7)


ROWS = [
    *(operation_row(name, shape) for name in OPERATIONS for shape in SHAPES),
    *(product_row(*shape) for shape in PRODUCTS),
    *(product_row(*shape, batch=(count,)) for count, shape in BATCHES),
    *(product_row(*shape, dtype=dtype) for dtype, shapes in OTHER_TYPES.items()
      for shape in shapes),
]
