"""Pictures made from nothing, the same each time: arrays, and the files that hold them."""

import io

import numpy as np
from PIL import Image, ImageDraw

#: (height, width) as cameras and the web have them, from 300 to 500 pixels.
_SIZES = ((375, 500), (333, 500), (500, 375), (400, 400), (500, 333), (300, 480), (342, 457), (461, 307))


def pictures(count=12, height=96, width=128):
    """uint8 (height, width, 3) arrays: smooth and colourful, with a little texture and all levels."""
    random = np.random.default_rng(7)
    found = []
    for _ in range(count):
        small = random.integers(0, 256, (*random.integers(3, 12, 2), 3), dtype=np.uint8)
        smooth = np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC), np.int16)
        texture = random.integers(-12, 13, smooth.shape)
        found.append(np.clip(smooth + texture, 0, 255).astype(np.uint8))
    return found


def encoded(picture, kind="JPEG", **options):
    """The bytes of a file that holds a picture: an array or an image, in what format, with what options of Pillow."""
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def decoded(file):
    """The RGB image in the bytes of a file, by Pillow."""
    return Image.open(io.BytesIO(file)).convert("RGB")


def without_tables(jpeg):
    """The JPEG with its Huffman tables damaged: header and end are whole, only a decoder can tell."""
    data = bytearray(jpeg)
    at = data.index(b"\xff\xc4")
    data[at + 4 : at + 21] = b"\xff" * 17
    return bytes(data)


def drawn_samples(count, seed=0):
    """(key, label, jpeg) of smooth coloured pictures in many sizes of 80 to 260 pixels; small and quick to make."""
    rng = np.random.default_rng(seed)
    out = []
    for i in range(count):
        height, width = rng.integers(80, 260, 2)
        coarse = Image.fromarray(rng.integers(0, 256, (6, 6, 3), np.uint8))
        smooth = coarse.resize((int(width), int(height)), Image.Resampling.BICUBIC)
        out.append((f"drawn{i:05d}", int(rng.integers(1000)), encoded(smooth, quality=88)))
    return out


def photograph(rng, height, width):
    """uint8 (height, width, 3) with the spectrum of a natural scene, 1/frequency, and things with hard edges in it."""
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width))
    frequency[0, 0] = 1.0
    noise = np.fft.rfft2(rng.standard_normal((3, height, width))) / frequency
    noise[1:] = 0.4 * noise[1:] + 0.9 * noise[:1]  # colours of a scene are mostly its light
    scene = np.fft.irfft2(noise, s=(height, width))
    scene = 115 + 60 * (scene - scene.mean((1, 2), keepdims=True)) / scene.std((1, 2), keepdims=True)
    image = Image.fromarray(np.clip(scene, 0, 255).astype(np.uint8).transpose(1, 2, 0).copy())
    draw = ImageDraw.Draw(image)
    for _ in range(12):
        x, y, wide, high = (rng.random(4) * (width, height, width / 4, height / 4)).tolist()
        color = tuple(rng.integers(0, 256, 3).tolist())
        (draw.ellipse if rng.random() < 0.5 else draw.rectangle)((x, y, x + wide, y + high), fill=color)
        draw.line((x, y, *(rng.random(2) * (width, height)).tolist()), fill=color, width=int(rng.integers(1, 4)))
    return np.asarray(image)


def photographs(count=64, seed=0):
    """JPEG files as cameras and the web make them.

    Sides of 300 to 500 pixels, qualities of 70 to 97, half of them with chroma at half the resolution, a seventh
    progressive, a sixteenth gray, an eighth with an EXIF orientation.
    """
    rng = np.random.default_rng(seed)
    files = []
    for number in range(count):
        height, width = _SIZES[number // 2 % len(_SIZES)] if number % 2 else rng.integers(300, 501, 2).tolist()
        image = Image.fromarray(photograph(rng, height, width))
        subsampling = ("4:2:0", "4:2:0", "4:2:2", "4:4:4")[number % 4]
        options = {"quality": int(rng.integers(70, 98)), "subsampling": subsampling}
        if number % 7 == 3:
            options["progressive"] = True
        if number % 8 == 5:
            options["exif"] = oriented(int(rng.integers(2, 9)))
        if number % 16 == 9:
            image = image.convert("L")
            del options["subsampling"]
        files.append(encoded(image, **options))
    return files


def oriented(orientation):
    """EXIF that holds an orientation, 1 to 8."""
    exif = Image.Exif()
    exif[0x010F] = "a maker"
    exif[0x0112] = orientation
    return exif
