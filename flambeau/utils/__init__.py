"""Things beside the network: data loading, hook handles."""
