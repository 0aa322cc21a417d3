"""The images that probes decode: from tars or drawn, of all formats, damaged; DALI's decoder alone; comparisons."""

import io
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image, features

from probes.finding import Settings
from streamaug.samples.image_header import inspect

DRAWN = 96


def jpegs(settings: Settings, count: int) -> list[bytes]:
    """So many JPEG files, repeated where there are fewer."""
    if settings.jpegs is None:
        from pictures import photographs

        found = photographs(min(count, DRAWN))
    else:
        found = []
        for path in sorted(Path(settings.jpegs).parent.glob(Path(settings.jpegs).name)):
            with tarfile.open(path) as tar:
                members = [member for member in tar if member.name.lower().endswith((".jpg", ".jpeg"))]
                found += [tar.extractfile(member).read() for member in members]
            if len(found) >= count:
                break
        if not found:
            raise ValueError(f"--jpegs: must match tars with .jpg members, got {settings.jpegs}. Leave it out to draw.")
    return (found * (count // len(found) + 1))[:count]


def decoded(data, device, *, windows=None, load=None, fancy=None, huffman=None, batch=None, orientation=False):
    """uint8 (h, w, 3) arrays, by DALI's decoder alone.

    Args:
        data: Encoded images.
        device: "cpu" or "gpu".
        windows: (top, left, height, width) of each image, decoded by `image_slice`; None: whole images.
        load: `hw_decoder_load`; None: DALI's default. This and the next two matter on a GPU alone.
        fancy: `jpeg_fancy_upsampling`; None: DALI's default.
        huffman: `hybrid_huffman_threshold`; None: DALI's default.
        batch: Images at a time; None: all.
        orientation: Whether EXIF turns images.
    """
    from nvidia.dali import Pipeline, fn, types

    gpu = device != "cpu"
    options = {"hw_decoder_load": load, "jpeg_fancy_upsampling": fancy, "hybrid_huffman_threshold": huffman}
    options = {name: value for name, value in options.items() if gpu and value is not None}
    options |= {"device": "mixed" if gpu else "cpu", "output_type": types.RGB, "adjust_orientation": orientation}
    batch = batch or len(data)
    pipe = Pipeline(
        batch_size=batch, num_threads=8, device_id=0 if gpu else None, exec_dynamic=True, prefetch_queue_depth=1
    )
    with pipe:
        files = fn.external_source(name="files", no_copy=False)
        if windows is None:
            pipe.set_outputs(fn.decoders.image(files, **options))
        else:
            start, shape = fn.external_source(name="start"), fn.external_source(name="shape")
            pipe.set_outputs(fn.decoders.image_slice(files, start=start, shape=shape, axis_names="HW", **options))
    pipe.build()
    out = []
    for at in range(0, len(data), batch):
        pipe.feed_input("files", [np.frombuffer(file, np.uint8) for file in data[at : at + batch]])
        if windows is not None:
            part = windows[at : at + batch]
            pipe.feed_input("start", [np.array(window[:2], np.int32) for window in part])
            pipe.feed_input("shape", [np.array(window[2:], np.int32) for window in part])
        (images,) = pipe.run()
        images = images.as_cpu() if gpu else images
        out += [np.array(images.at(row)) for row in range(len(images))]
    return out


def halves(data):
    """A window of each image: the middle half of its sides, at odd offsets on purpose."""
    headers = [inspect(file) for file in data]
    return [(h.height // 4 | 1, h.width // 4 | 1, h.height // 2, h.width // 2) for h in headers]


def cut(images, windows):
    """The windows of decoded images."""
    pairs = zip(images, windows, strict=True)
    return [image[top : top + height, left : left + width] for image, (top, left, height, width) in pairs]


def difference(ours, theirs):
    """{"shapes": …} where they differ, else {"max": levels, "mean": levels} of two uint8 arrays."""
    if ours.shape != theirs.shape:
        return {"shapes": [list(ours.shape), list(theirs.shape)]}
    levels = np.abs(ours.astype(int) - theirs.astype(int))
    return {"max": int(levels.max()), "mean": round(float(levels.mean()), 4)}


def compared(ours, theirs):
    """Of many pairs: how many differ at all, the worst, the mean of means, how many have other shapes."""
    rows = [difference(a, b) for a, b in zip(ours, theirs, strict=True)]
    alike = [row for row in rows if "max" in row]
    return {
        "images": len(rows),
        "differ": sum(row.get("max", 1) > 0 for row in rows),
        "max": max((row["max"] for row in alike), default=0),
        "mean": round(sum(row["mean"] for row in alike) / max(len(alike), 1), 4),
        "other_shapes": len(rows) - len(alike),
    }


def variants(base):
    """{name: bytes}: one picture in every format and every EXIF orientation."""
    picture = Image.open(io.BytesIO(base)).convert("RGB")
    picture.thumbnail((320, 320))
    out = {}

    def put(name, image, kind, **options):
        file = io.BytesIO()
        image.save(file, kind, **options)
        out[name] = file.getvalue()

    for number, name in enumerate(("444", "422", "420")):
        put(f"jpeg {name}", picture, "JPEG", quality=90, subsampling=number)
    put("jpeg progressive", picture, "JPEG", progressive=True)
    for name, mode in (("gray", "L"), ("cmyk", "CMYK")):
        put(f"jpeg {name}", picture.convert(mode), "JPEG")
    for name, mode in (("rgb", "RGB"), ("gray", "L"), ("rgba", "RGBA"), ("palette", "P")):
        put(f"png {name}", picture.convert(mode), "PNG")
    put("webp", picture, "WEBP", lossless=True)
    put("tiff", picture, "TIFF")
    put("bmp", picture, "BMP")
    if features.check("jpg_2000"):
        put("jpeg 2000", picture, "JPEG2000")
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        put(f"exif {orientation}", picture, "JPEG", quality=95, exif=exif)
    return out


def damaged(good):
    """{name: bytes}: noise in the middle, a file that ends too early, Huffman tables of zeros."""
    random, out = np.random.default_rng(0), {}
    for number, file in enumerate(good):
        noisy, tables, middle = bytearray(file), bytearray(file), len(file) // 2
        noisy[middle : middle + 64] = random.integers(0, 255, 64, np.uint8).tobytes()
        at = file.find(b"\xff\xc4")
        tables[at + 4 : at + 24] = bytes(20)
        out |= {f"noise {number}": bytes(noisy), f"tables {number}": bytes(tables)}
        out[f"cut {number}"] = file[:middle] + b"\xff\xd9"
    return out


def pngs(count, size=(150, 201)):
    """Smooth pictures in sizes of their own, losslessly encoded: both devices decode them alike."""
    random, out = np.random.default_rng(3), []
    for number in range(count):
        small = Image.fromarray(random.integers(0, 256, (24, 30, 3), np.uint8))
        height, width = size[0] + number % 5 * 30, size[1] + number % 7 * 20
        file = io.BytesIO()
        small.resize((width, height), Image.Resampling.BICUBIC).save(file, "PNG")
        out.append(file.getvalue())
    return out
