"""Measures Flambeau beside PyTorch, in turns, on the same machine in the same run.

`python -m benchmarks` runs everything and writes RESULTS.md; `--help` says more.
"""
