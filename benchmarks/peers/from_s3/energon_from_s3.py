"""Megatron-Energon, of the same samples below a folder for each shard, with the indexes that it asks for.

Its documented way to object stores is the Multi-Storage Client, which takes its settings from a file. Those name a
cache: without one the client downloads a shard whole when it is opened, and with two workers Energon 7.4.1 then fails
in some epochs ("Unexpected end of tar file"); with one, it reads ranges, and writes nothing there.
"""

import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

from energon_encoded import batches
from timed_epoch import WORKERS, Job, main


def write(shards: Path, target: Path) -> None:
    """The shards are copies of each other, and Energon prepares no dataset in which two samples have the same key."""
    target.mkdir()
    for path in shards.glob("*.tar"):
        with tarfile.open(path) as tar, tarfile.open(target / path.name, "w", format=tarfile.USTAR_FORMAT) as renamed:
            for info in tar:
                file = tar.extractfile(info)
                info.name = f"{path.stem}/{info.name}"
                renamed.addfile(info, file)
    program = str(Path(sys.executable).with_name("energon"))
    flags = ["--non-interactive", "--split-ratio", "1,0,0", "--sample-type", "CrudeWebdataset", "--no-progress"]
    subprocess.run([program, "prepare", *flags, str(target)], check=True, stdout=sys.stderr)


def epoch(job: Job) -> Iterator[int]:
    options = {"base_path": "bucket", "endpoint_url": os.environ["AWS_ENDPOINT_URL"], "region_name": "us-east-1"}
    profiles = {"store": {"storage_provider": {"type": "s3", "options": options}}}
    settings = {"profiles": profiles, "cache": {"size": "20G", "location": str(job.scratch / "shards")}}
    os.environ["MSC_CONFIG"] = str(job.scratch / "msc.json")
    Path(os.environ["MSC_CONFIG"]).write_text(json.dumps(settings))
    yield from map(len, batches("msc://store/energon", job.batch_size, WORKERS))


if __name__ == "__main__":
    main(epoch, write)
