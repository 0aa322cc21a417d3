"""Commands as they are run: interrupted by Ctrl-C while a server stalls, and watched on a terminal or not."""

import os
import pty
import signal
import subprocess
import sys
import termios
from pathlib import Path

import pytest
from servers import http_proxy
from tars import consecutive, write_tars
from watching import PATIENCE, started

COMMAND = Path(sys.executable).with_name("streamaug")


@pytest.fixture
def folder(tmp_path):
    return write_tars(tmp_path, consecutive([5] * 3))


def shards_only(method, path, number):
    return "stall" if method == "GET" and path.endswith(".tar") else None


@pytest.mark.slow
@pytest.mark.parametrize("arguments", [["check"], ["check", "--decode"], ["index"], ["index", "--checksum"]])
def test_ctrl_c_ends_a_command_while_the_server_stalls(folder, interruptible, arguments):
    with http_proxy(folder, shards_only) as (proxy, base):
        command = [COMMAND, *arguments, f"{base}/x-{{0..2}}.tar"]
        with started(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            proxy.wait_for(lambda: proxy.faults["stall"] == 3)
            process.send_signal(signal.SIGINT)
            out, error = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out, error) == (130, "", f"streamaug {arguments[0]}: interrupted\n")


def read_to_the_end(descriptor):
    parts = []
    try:
        while part := os.read(descriptor, 4096):
            parts.append(part)
    except OSError:  # how Linux says that nobody has the terminal open any more
        pass
    return b"".join(parts).decode()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "title", "size"),
    [("check", "Checking", (24, 80)), ("index", "Indexing", (24, 80)), ("check", "Checking", (0, 0))],
)
def test_a_bar_is_shown_on_a_terminal_and_nowhere_else(folder, command, title, size):
    with http_proxy(folder, shards_only, stall_seconds=0.7) as (_, base):
        arguments = [COMMAND, command, f"{base}/x-{{0..2}}.tar", "--concurrency", "1"]
        if command == "index":
            arguments += ["--output", folder / "out"]
        plain = subprocess.run(arguments, capture_output=True, text=True, timeout=PATIENCE, check=False)
        ours, theirs = pty.openpty()
        termios.tcsetwinsize(theirs, size)
        process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=theirs, text=True)
        os.close(theirs)
        watched = read_to_the_end(ours)
        out, _ = process.communicate(timeout=PATIENCE)
        os.close(ours)
    assert plain.stderr == ""
    assert title in watched
    assert "3/3" in watched
    assert out == plain.stdout
    assert "3 shards, 15 samples" in out


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("arguments", [["--version"], ["info", "--json"], ["check"], ["completion", "bash"]])
def test_output_that_cannot_be_written_is_one_line(folder, arguments, unbuffered):
    shards = [folder] if arguments[0] in ("info", "check") else []
    environment = os.environ | {"PYTHONUNBUFFERED": unbuffered}
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [COMMAND, *arguments, *shards], stdout=full, stderr=subprocess.PIPE, text=True, check=False, env=environment
        )
    assert done.returncode == 1
    assert done.stderr == (
        "streamaug: stdout: must be writable, got: No space left on device. Write the output to another place.\n"
    )


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_a_command_runs_where_its_streams_are_closed(folder, closed):
    for arguments, status in ((f"info {folder}", 0), ("--help", 0), ("info missing.tar", 1), ("nothing", 2)):
        done = subprocess.run(
            f"{COMMAND} {arguments} {closed}", shell=True, capture_output=True, text=True, check=False
        )
        assert done.returncode == status
        assert "Traceback" not in done.stdout + done.stderr


def test_the_package_runs_as_the_command(folder):
    outputs = [
        subprocess.run([*command, "info", folder], capture_output=True, text=True, check=True).stdout
        for command in ([COMMAND], [sys.executable, "-m", "streamaug"])
    ]
    assert outputs[0] == outputs[1] != ""
