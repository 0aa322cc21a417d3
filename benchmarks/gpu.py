"""The loader's benchmark with decoding and augmentation on a GPU, ours against plain DALI on the same GPU.

Needs a CUDA GPU, the repository and its dependencies, and shards; where there is no GPU it says so and ends with 3.

    python benchmarks/gpu.py --shards '/data/train-{000000..000007}.tar' --batch-size 256 --threads 8
"""

import sys

import loader
import torch


def main() -> int:
    """Measure and write benchmarks/results/gpu.json."""
    if not torch.cuda.is_available():
        print("gpu.py: a CUDA GPU must be there, torch sees none. Nothing was measured.", file=sys.stderr)
        return 3
    print(torch.cuda.get_device_name())
    return loader.main(device="gpu")


if __name__ == "__main__":
    raise SystemExit(main())
