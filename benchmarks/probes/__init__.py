"""Questions to a GPU, each a function of `Settings` that returns a `Finding`; benchmarks/gpu.py runs them."""
