"""Distributed Checkpoint, FSDP2 and device meshes, as one of two ranks."""

import json
import os
import sys
import warnings
from pathlib import Path

import loops
import torch
from torch import distributed
from torch.distributed import checkpoint
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

from streamaug.integrations.ranks import of_mesh


def take(chain, count):
    """Digests of the next batches, over the ends of epochs."""
    seen = []
    while len(seen) < count:
        for batch in chain:
            seen.append(loops.digest(*batch))
            if len(seen) == count:
                break
    return seen


def saved_and_loaded(url, folder, rank):
    """States by Distributed Checkpoint: saved by two and by one, at once and beside the training, loaded by two."""
    chain = loops.mixed(url, ranks=2)
    seen = take(chain, 8)
    checkpoint.save({"loader": chain}, checkpoint_id=f"{folder}/two")
    pending = checkpoint.async_save({"loader": chain}, checkpoint_id=f"{folder}/beside")
    seen += take(chain, 2)  # the pass that was left began anew: these are of epoch 2
    pending.result()
    found = {"seen": seen}
    for name in ("two", "beside", "one"):
        again = loops.mixed(url, ranks=2)
        checkpoint.load({"loader": again}, checkpoint_id=f"{folder}/{name}")
        found[name] = take(again, 6)
    return found


def sharded(url, rank):
    """What FSDP2 trains on along the data-parallel axis of a mesh, and its peers along the other one."""
    found = {}
    for shape in ((2, 1), (1, 2)):
        mesh = init_device_mesh("cpu", shape, mesh_dim_names=("dp", "tp"))
        number, size = of_mesh(mesh["dp"])
        chain = loops.mixed(url, ranks=size, rank=number)
        model = loops.Classifier()
        fully_shard(model, mesh=mesh["dp"])
        optimizer = torch.optim.SGD(model.parameters(), 0.01)
        seen = []
        for images, targets in chain:
            loops.loss_of(model(images), targets).backward()
            optimizer.step()
            optimizer.zero_grad()
            seen.append(loops.digest(images, targets))
        found["x".join(map(str, shape))] = seen
    return found


def main(folder, url):
    warnings.simplefilter("ignore")
    rank = int(os.environ["RANK"])
    distributed.init_process_group("gloo")
    found = saved_and_loaded(url, folder, rank) | sharded(url, rank)
    found["places"] = loops.places(url, loops.mixed, rank=rank, ranks=2)
    distributed.barrier()
    distributed.destroy_process_group()
    Path(f"{folder}/{rank}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
