"""Headers are read once a process where a sample id stands for the same bytes, and anew wherever it may not."""

import dataclasses

import numpy as np
import pytest
from chains import STEPS, plain, train

import streamaug as sa
from streamaug import recipes
from streamaug.dali import prepare
from streamaug.dali.known_headers import KnownHeaders
from streamaug.samples.image_header import MAX_PIXELS, Header, inspect

HEADERS = [Header(480, 640), Header(1, MAX_PIXELS, 8), Header(MAX_PIXELS, 1, 2), Header(7, 9, 5)]
IDS = np.array([3, 0, 9, 5], np.int64)
IMAGES = [b"a" * size for size in (4, 1, 9, 5)]


def test_what_is_kept_is_found_for_the_same_id_and_size_alone():
    known = KnownHeaders(orientation=True, samples=10)
    assert known.find(IDS, IMAGES) == [None] * 4
    known.keep(IDS, IMAGES, HEADERS)
    assert known.find(IDS, IMAGES) == HEADERS
    assert known.find(IDS[::-1], IMAGES[::-1]) == HEADERS[::-1]
    assert known.find(IDS, [*IMAGES[:2], b"a" * 8, b""]) == [*HEADERS[:2], None, None]
    assert known.find(IDS + 1, IMAGES) == [None] * 4


def test_images_that_are_handed_over_in_part_or_in_another_form_are_not_kept_nor_are_high_ids():
    known = KnownHeaders(orientation=False, samples=6)
    headers = [Header(480, 640, 1, (0, 3)), Header(1, 2, 1, None, "a planar TIFF"), *HEADERS[2:]]
    known.keep(IDS, IMAGES, headers)
    assert known.find(IDS, IMAGES) == [None, None, None, HEADERS[3]]


@pytest.fixture
def inspected(monkeypatch):
    """The sizes of the images whose headers were read."""
    seen = []

    def counted(data, **options):
        seen.append(len(data))
        return inspect(data, **options)

    monkeypatch.setattr(prepare, "inspect", counted)
    return seen


class Swapped(sa.Stage):
    """Other bytes for the same sample id in later epochs, as many as before: a picture of exchanged sides."""

    def run(self, epoch_pass):
        for batch in self.source.run(epoch_pass):
            data = [image if batch.origin.epoch == 0 else turned(bytes(image)) for image in batch.data]
            yield dataclasses.replace(batch, data=data)


def turned(jpeg):
    """The JPEG with height and width exchanged in its header, and nothing else."""
    at = jpeg.index(b"\xff\xc0") + 5
    return jpeg[:at] + jpeg[at + 2 : at + 4] + jpeg[at : at + 2] + jpeg[at + 4 :]


def test_a_later_epoch_reads_no_header_again(uneven, inspected):
    with train(uneven[0], read_ahead=False) as chain:
        first = [batch.origin.sample_ids for batch in chain]
        read = len(inspected)
        assert read == len(np.unique(np.concatenate(first)))
        later = np.concatenate([batch.origin.sample_ids for batch in chain])
    assert len(inspected) == read + len(np.setdiff1d(later, np.concatenate(first)))


def test_a_stage_of_ones_own_may_change_the_images(uneven, inspected):
    recipe = recipes.imagenet_train(size=16)
    with plain(uneven[0]).pipe(Swapped).augment(recipe, device="cpu", num_threads=2) as chain:
        assert len([batch for _ in range(2) for batch in chain]) == 2 * STEPS
    assert len(inspected) == 2 * STEPS * 64
