"""What benchmarks/chaos.py is made of: lives of a training, when each ends and by whom, and their rows."""
