"""Runs a program of this folder in two processes at once, as a launcher does, and gives what both found."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
LAUNCHERS = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "NODE_RANK")


def free_port():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


def clean_environment():
    """The environment without any launcher's variables, with this folder's modules to import."""
    environment = {name: value for name, value in os.environ.items() if name not in LAUNCHERS}
    path = os.pathsep.join([str(FOLDER.parents[1]), str(FOLDER), str(FOLDER.parent), environment.get("PYTHONPATH", "")])
    return environment | {"PYTHONPATH": path, "GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}


def run(program, folder, *arguments, world_size=2, timeout=300):
    """The results of each rank: `program folder arguments…` writes them as JSON to `folder/RANK.json`.

    Raises:
        AssertionError: If a process fails; with the ends of what it said.
    """
    folder.mkdir(parents=True, exist_ok=True)
    port = str(free_port())
    processes, logs = [], []
    for rank in range(world_size):
        environment = clean_environment() | {"RANK": str(rank), "LOCAL_RANK": str(rank), "NODE_RANK": "0"}
        environment |= {"WORLD_SIZE": str(world_size), "LOCAL_WORLD_SIZE": str(world_size)}
        environment |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        logs.append(folder / f"{rank}.log")
        command = [sys.executable, str(FOLDER / program), str(folder), *map(str, arguments)]
        with logs[-1].open("w") as log:
            processes.append(subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT))
    try:
        codes = [process.wait(timeout) for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    said = "\n".join(log.read_text()[-4000:] for log in logs)
    assert codes == [0] * world_size, said
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(world_size)]
