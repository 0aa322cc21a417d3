"""One program a loader for benchmarks/storage_peers.py, each run by the interpreter of its own environment."""
