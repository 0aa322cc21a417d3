"""The GPU's decoder: whether it crashes, whether pixels depend on the batch, which files it reads and refuses."""

import json
import os
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import distributions

import torch

from probes.finding import OK, Finding, Settings, judged
from probes.images import compared, cut, damaged, decoded, difference, halves, jpegs, variants

#: `hw_decoder_load`: none, DALI's default, all.
LOADS = (0.0, None, 1.0)
#: Seconds that a process which only decodes may take; a CPU that runs the tests may be busy with others.
PATIENCE = {"gpu": 20, "cpu": 140}


def circumstances(settings: Settings) -> Finding:
    """The card, the driver, the versions, the cores."""
    names = ("dali", "nvimgcodec", "nvjpeg", "torch", "numpy", "streamaug")
    installed = {dist.metadata["Name"] or "": dist.version for dist in distributions()}
    versions = {name: version for name, version in installed.items() if any(part in name.lower() for part in names)}
    card = "no GPU"
    if settings.on_gpu:
        query = "--query-gpu=name,driver_version,memory.total,pcie.link.gen.current"
        card = subprocess.run(
            ["nvidia-smi", query, "--format=csv,noheader"], capture_output=True, text=True, check=True
        ).stdout.strip()
    cores = len(os.sched_getaffinity(0))
    figures = {"card": card, "versions": versions, "cuda": torch.version.cuda, "cores": cores}
    return Finding(verdict=OK, summary=f"{card}; {cores} CPU cores", figures=figures)


def survive(settings: Settings) -> Finding:
    """NVIDIA/nvImageCodec issue 55: which settings of the decoder crash. Each in a process of its own."""

    def attempt(case):
        windows, load, count = case
        code = (
            "import json, sys; from probes.finding import Settings; from probes.images import *;"
            "device, pattern, windows, load, count = json.loads(sys.argv[1]);"
            "data = jpegs(Settings(device=device, jpegs=pattern, seconds=0), count);"
            "decoded(data, device, load=load, windows=halves(data) if windows else None)"
        )
        arguments = json.dumps([settings.device, settings.jpegs, windows, load, count])
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
        try:
            done = subprocess.run(
                [sys.executable, "-c", code, arguments],
                capture_output=True,
                text=True,
                check=False,
                timeout=PATIENCE[settings.device],
                env=environment,
            )
        except subprocess.TimeoutExpired:
            return f"over {PATIENCE[settings.device]} s"
        return (
            "ok" if done.returncode == 0 else f"exit {done.returncode}: {(done.stderr.splitlines() or [''])[-1][:200]}"
        )

    counts = (256, 8, 1) if settings.on_gpu else (2,)
    loads = LOADS if settings.on_gpu else (None,)
    cases = [(windows, load, count) for windows in (False, True) for load in loads for count in counts]
    with ThreadPoolExecutor(4 if settings.on_gpu else 1) as pool:
        results = dict(zip(cases, pool.map(attempt, cases), strict=True))
    shown = {f"{'window' if w else 'whole'} load={load} batch={n}": text for (w, load, n), text in results.items()}
    whole = all(text == "ok" for (windows, load, _), text in results.items() if not windows and load in (0.0, None))
    windows_live = all(text == "ok" for (windows, *_), text in results.items() if windows)
    summary = f"whole images {'live' if whole else 'FAIL'}, windows {'live' if windows_live else 'fail'}"
    return judged(whole, summary, shown)


def position(settings: Settings) -> Finding:
    """Do the pixels of a sample depend on its batch? The same images in batches of 256, 7 and 1, and reversed."""
    data = jpegs(settings, settings.count(256))
    figures = {}
    cases = [(None, load) for load in LOADS] + [(halves(data), 0.0)]
    for windows, load in cases if settings.on_gpu else cases[:1]:
        options = {"load": load}
        backwards = windows and windows[::-1]
        name = f"{'windows' if windows else 'whole'} load={load}"
        try:
            once = decoded(data, settings.device, windows=windows, **options)
            others = {
                "batch 7": decoded(data, settings.device, windows=windows, batch=7, **options),
                "batch 1": decoded(data, settings.device, windows=windows, batch=1, **options),
                "reversed": decoded(data[::-1], settings.device, windows=backwards, **options)[::-1],
                "again": decoded(data, settings.device, windows=windows, **options),
            }
        except RuntimeError as error:
            figures[name] = str(error)[-200:]
            continue
        figures |= {f"{name} {other}": compared(once, images) for other, images in others.items()}
    chosen = [row for name, row in figures.items() if name.startswith("whole load=0.0")]
    steady = all(isinstance(row, dict) and row["differ"] == 0 for row in chosen)
    return judged(steady and bool(chosen), "at load 0 " + ("nothing" if steady else "PIXELS") + " changes", figures)


def windows(settings: Settings) -> Finding:
    """A window against the whole image and a slice; the GPU against the CPU, with plain and fancy upsampling."""
    data, figures = jpegs(settings, settings.count(128)), {}
    places, on_cpu = halves(data), decoded(data, "cpu")
    for fancy in (False, True):
        try:
            whole = decoded(data, settings.device, load=0.0, fancy=fancy)
            figures[f"whole against the CPU, fancy={fancy}"] = compared(whole, on_cpu)
            part = decoded(data, settings.device, windows=places, load=0.0, fancy=fancy)
            figures[f"window against slice, fancy={fancy}"] = compared(part, cut(whole, places))
        except RuntimeError as error:
            figures[f"fancy={fancy}"] = str(error)[-200:]
    fine = figures.get("whole against the CPU, fancy=True")
    near = fine is not None and fine["mean"] <= 1.0 and fine["other_shapes"] == 0
    return judged(near, f"fancy, whole images: {fine and fine['mean']} levels from the CPU on average", figures)


def formats(settings: Settings) -> Finding:
    """Every format and orientation, GPU against CPU."""
    figures, wrong = {}, []
    for name, data in variants(jpegs(settings, 1)[0]).items():
        turned = name.startswith("exif")
        try:
            on_cpu = decoded([data], "cpu", orientation=turned)[0]
            figures[name] = difference(decoded([data], settings.device, orientation=turned, load=0.0)[0], on_cpu)
        except RuntimeError as error:
            figures[name] = {"error": str(error)[-160:]}
        if figures[name].get("mean", 99.0) > 2.0:
            wrong.append(name)
    return judged(not wrong, f"{len(figures)} formats; not as on the CPU: {', '.join(wrong) or 'none'}", figures)


def verdicts(settings: Settings) -> Finding:
    """Damaged images: those that CPU and GPU refuse; whether good images decode in the same process afterwards."""
    good = jpegs(settings, 12 if settings.on_gpu else 3)

    def verdict(file, device):
        try:
            return decoded([file], device)[0]
        except RuntimeError:
            return None

    count = Counter()
    for name, file in damaged(good).items():
        on_cpu, on_gpu = verdict(file, "cpu"), verdict(file, settings.device)
        words = ["refuses" if image is None else "decodes" for image in (on_cpu, on_gpu)]
        count[f"{name.split()[0]}: CPU {words[0]}, device {words[1]}"] += 1
    alone = decoded(good, settings.device)
    try:
        decoded([*good, damaged(good[:1])["tables 0"]], settings.device)
        error = "no error"
    except RuntimeError as refused:
        error = str(refused).strip().splitlines()[-1][-200:]
    after = compared(alone, decoded(good, settings.device))
    lenient = sum(number for name, number in count.items() if name.endswith("CPU refuses, device decodes"))
    figures = {"counts": dict(count), "a batch with a bad one": error, "good ones afterwards": after}
    return judged(after["differ"] == 0, f"the device decodes {lenient} that the CPU refuses", figures)
