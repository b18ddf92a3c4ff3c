"""torch.sparse: no sparse tensors."""

from flambeau.absent import absent

__getattr__ = absent(
    __name__,
    """mm addmm sampled_addmm sum softmax log_softmax spdiags spsolve as_sparse_gradcheck
    check_sparse_tensor_invariants SparseSemiStructuredTensor to_sparse_semi_structured
    sparse_coo_tensor sparse_csr_tensor sparse_csc_tensor sparse_bsr_tensor sparse_bsc_tensor
    sparse_compressed_tensor""",
    "all tensors are dense. Use dense ones, index_add_ or scatter_add_",
)
