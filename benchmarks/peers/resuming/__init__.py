"""One program a loader for benchmarks/determinism.py, each run by the interpreter of its own environment."""
