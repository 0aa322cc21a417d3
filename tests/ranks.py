"""What two processes of one gloo group read: the program that tests/stages/test_ranks.py starts by `spawn`.

The readers are made before there is a process group, in the parent and in the child, as launchers of notebooks and
torch.multiprocessing.spawn have it.
"""

import datetime
import os
import warnings

import torch
from torch import distributed
from torch.distributed.device_mesh import init_device_mesh

import streamaug as sa
from streamaug.integrations.ranks import of_mesh

OPTIONS = {"batch_size": 32, "seed": 3, "lanes": 16, "window": 128}


def attempt(action):
    """What it returns, or the class and the message of what it raises."""
    try:
        return action()
    except Exception as error:  # noqa: BLE001 - the test looks at it
        return type(error).__name__, str(error)


def first(chain):
    """(positions of the first batch, length)."""
    return next(iter(chain)).origin.positions.tolist(), len(chain)


def read(number, made_by_parent, folder):
    """Write what this process reads, and is told, to a file in the folder."""
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    shards = made_by_parent.shards
    made_here, begun, odd = (sa.ShardReader(shards, **OPTIONS) for _ in range(3))
    next(iter(begun))
    distributed.init_process_group(
        "gloo",
        init_method=f"file://{folder}/group",
        rank=number,
        world_size=2,
        timeout=datetime.timedelta(seconds=300),
    )
    seen = {
        "made by the parent": attempt(lambda: first(made_by_parent)),
        "made here": attempt(lambda: first(made_here)),
        "begun before": attempt(lambda: first(begun)),
    }
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        seen["odd batch"] = attempt(lambda: first(odd.augment(sa.recipes.imagenet_eval(size=16), device="cpu")))
    seen["threads"] = [str(one.message) for one in caught if "LOCAL_WORLD_SIZE" in str(one.message)]

    differences = {
        "nothing": {},
        "seed": {"seed": number},
        "order": {"window": 128 + 16 * number},
        "batch_size": {"batch_size": 32 + number},
        "world_size": {"rank": number, "world_size": 2 + number},
        "rank": {"rank": 1, "world_size": 2},
    }
    for name, options in differences.items():
        chain = sa.ShardReader(shards, **OPTIONS | options)
        seen[f"check_ranks, {name}"] = attempt(chain.check_ranks)
    other = sa.ShardSet.open([shard.url for shard in shards.shards[number:]])
    seen["check_ranks, fingerprint"] = attempt(sa.ShardReader(other, **OPTIONS).check_ranks)
    for shape in ((2, 1), (1, 2)):
        mesh = init_device_mesh("cpu", shape, mesh_dim_names=("dp", "tp"))
        seen[f"mesh {shape}"] = of_mesh(mesh["dp"])
        seen[f"whole mesh {shape}"] = attempt(lambda mesh=mesh: of_mesh(mesh))
    distributed.barrier()
    distributed.destroy_process_group()
    seen["without the group"] = attempt(lambda: first(made_here))
    torch.save(seen, f"{folder}/{number}.pt")
