"""Matrix multiplication on the CPU: what the compiler uses of `gemm/`.

    made = plan(Matmul(…), Shape(…), machine_of(cpu()))
    for launch in made.launches: …                # text, words by name, tasks

`spec` says what is asked for, `plan` chooses how it is done, `kernel`, `micro`, `pack`, `dot` and
`epilogue` write the code.
"""

from .gemm.plan import plan
from .gemm.spec import Launch, Machine, Matmul, Plan, Shape, machine_of, product

__all__ = ["Launch", "Machine", "Matmul", "Plan", "Shape", "machine_of", "plan", "product"]
