"""The parts of benchmarks/chaos.py: lives of a training, the moments of their kills, and their rows."""
