"""Splits: purity, epochs, distinct draws, stratified cuts."""

import numpy as np
import pytest
import torch
from helpers.image_trees import build, raw, write_images

from genbench.core import Batch
from genbench.data.rows import stratified
from genbench.data.splits import Arrays, Endless, Finite
from genbench.errors import ConfigError, RunFailed, Unsupported
from genbench.space import Pixels, Real


def numbers(n, generator):
    """Independent uniform numbers in three dimensions, each labeled by its row in the draw."""
    return Batch(torch.rand(n, 3, generator=generator), torch.arange(n))


def rows(n, *, size=None):
    """A finite split whose samples are the numbers 100, 101, ..."""
    raw = torch.arange(n).float()[:, None]
    chosen = torch.arange(100, 100 + (size or n - 100))
    return Finite(lambda: Arrays(raw, torch.arange(n), chosen), len(chosen), Real())


@pytest.mark.parametrize("split", [Endless(numbers, "train"), rows(237)], ids=["endless", "finite"])
def test_batches_depend_on_step_size_and_seed_only(split):
    forward = [split.batch(step, 70, 3).x.clone() for step in range(640)]
    for step in (639, 0, 624, 625, 3, 300):
        torch.testing.assert_close(split.batch(step, 70, 3).x, forward[step], rtol=0, atol=0)
    assert not torch.equal(split.batch(5, 70, 4).x, forward[5])
    assert not torch.equal(split.batch(6, 70, 3).x, forward[5])


def test_endless_batches_of_all_blocks_are_fresh():
    split = Endless(numbers, "train")
    x = torch.cat([split.batch(step, 1000, 0).x for step in range(100)])
    assert len(x.unique(dim=0)) == len(x)
    torch.testing.assert_close(x.mean(0), torch.full((3,), 0.5), rtol=0, atol=5 * (1 / 12 / len(x)) ** 0.5)
    assert split.batch(1, 300_000, 0).x.shape == (300_000, 3)  # larger than a block


def test_blocks_of_a_distribution_are_moved_to_the_device():
    split = Endless(numbers, "train")
    there = split.on(torch.device("meta")).batch(3, 70, 0)
    assert (there.x.device.type, there.label.device.type, there.x.shape) == ("meta", "meta", (70, 3))
    assert torch.equal(split.on(torch.device("cpu")).batch(3, 70, 0).x, split.batch(3, 70, 0).x)


def test_parts_of_one_distribution_share_nothing():
    train, test = Endless(numbers, "train"), Endless(numbers, "test")
    drawn = torch.cat([train.batch(0, 100, 0).x, test.batch(0, 100, 0).x, train.take(100, 0).x, test.take(100, 0).x])
    assert len(drawn.unique(dim=0)) == 400


def test_endless_take_is_pure_and_may_be_drawn_otherwise():
    split = Endless(numbers, "test", take=lambda n, generator: Batch(torch.zeros(n, 3), torch.arange(n)))
    assert split.take(5, 0).x.abs().max() == 0
    assert split.batch(0, 5, 0).x.abs().max() > 0
    assert split.stand_in(5, 0).x.abs().max() == 0
    split = Endless(numbers, "test")
    torch.testing.assert_close(split.take(5, 0).x, split.take(5, 0).x, rtol=0, atol=0)
    torch.testing.assert_close(split.take(5, 0).x, split.stand_in(5, 0).x, rtol=0, atol=0)


def test_every_sample_once_per_epoch_across_borders():
    split = rows(200, size=37)
    x = torch.cat([split.batch(step, 10, 0).x for step in range(37)])[:, 0]
    epochs = x.reshape(10, 37)
    for epoch in epochs:
        assert epoch.sort().values.tolist() == list(range(100, 137))
    assert len(epochs.unique(dim=0)) == 10
    x = rows(200, size=7).batch(2, 21, 0).x[:, 0]  # larger than the data
    assert x.sort().values.tolist() == sorted([*range(100, 107)] * 3)


def test_labels_follow_their_samples():
    split = rows(200)
    for batch in (split.batch(3, 30, 0), split.take(30, 0), split.take(100, 0)):
        torch.testing.assert_close(batch.x[:, 0].long(), batch.label)


def test_take_gives_distinct_rows_or_all_or_refuses():
    split = rows(200)
    some = split.take(60, 1).label
    assert len(some.unique()) == 60
    assert not torch.equal(some, split.take(60, 2).label)
    assert split.take(100, 1).label.tolist() == list(range(100, 200))
    with pytest.raises(Unsupported, match="needs 101 samples; this split of the data has 100"):
        split.take(101, 1)
    split = Finite(lambda: Arrays(torch.zeros(3, 1), torch.zeros(3).long(), torch.arange(0)), 0, Real())
    with pytest.raises(Unsupported, match="empty"):
        split.batch(0, 1, 0)
    with pytest.raises(Unsupported, match="has 0"):
        split.take(1, 0)


def test_nothing_is_loaded_before_it_is_needed_and_then_once():
    calls = []

    def load():
        calls.append(1)
        return Arrays(torch.zeros(3, 1), torch.zeros(3).long(), torch.arange(3))

    split = Finite(load, 3, Real())
    assert split.size == 3
    assert not calls
    split.batch(0, 2, 0), split.take(2, 0)
    assert len(calls) == 1
    with pytest.raises(RunFailed, match="should have 4 samples, it has 3"):
        Finite(load, 4, Real()).take(1, 0)


def test_flips_mirror_half_of_the_training_images_and_no_others():
    images = torch.arange(256, dtype=torch.uint8).expand(512, 3, 4, 256).contiguous()
    arrays = Arrays(images, torch.zeros(512).long(), torch.arange(512))
    split = Finite(lambda: arrays, 512, Pixels(256), flip=True)
    raw = Pixels(256).decode(split.batch(0, 512, 0).x)
    mirrored = raw[:, 0, 0, 0] == 255
    torch.testing.assert_close(raw[mirrored], images[mirrored].flip(-1), rtol=0, atol=0)
    torch.testing.assert_close(raw[~mirrored], images[~mirrored], rtol=0, atol=0)
    assert 200 < mirrored.sum() < 312
    assert not torch.equal(mirrored, split.batch(1, 512, 0).x[:, 0, 0, 0] > 0)
    torch.testing.assert_close(Pixels(256).decode(split.take(512, 0).x), images, rtol=0, atol=0)


def test_latents_are_those_of_the_batches_they_stand_for(own_home):
    images = torch.randint(256, (300, 1, 2, 4), dtype=torch.uint8)
    chosen = torch.randperm(300)[:270]
    split = Finite(lambda: Arrays(images, torch.arange(300), chosen), 270, Pixels(256), flip=True)
    calls = []

    def encode(x):
        calls.append(len(x))
        return x.flatten(1)[:, :3] ** 3

    latents = split.encoded(encode, (3,), "cubes")
    for step in (0, 7):
        given, seen = split.batch(step, 100, 1), latents.batch(step, 100, 1)
        torch.testing.assert_close(seen.x, encode(given.x))
        assert torch.equal(seen.label, given.label)
    given, seen = split.take(50, 2), latents.take(50, 2)
    torch.testing.assert_close(seen.x, encode(given.x))
    assert torch.equal(seen.label, given.label)
    calls.clear()
    split.encoded(encode, (3,), "cubes")
    assert not calls
    split.encoded(encode, (3,), "other cubes")
    assert sum(calls) == 540


def test_latents_of_several_sizes_are_kept_side_by_side(own_home):
    """Images of one folder have the same hash at every size, and a pretrained encoder the same weights."""
    calls = []

    def encode(x):
        calls.append(x.shape[-1])
        return x

    for _ in range(2):
        for size in (4, 8):
            images = torch.full((5, 1, size, size), size, dtype=torch.uint8)
            arrays = Arrays(images, torch.zeros(5).long(), torch.arange(5))
            split = Finite(lambda arrays=arrays: arrays, 5, Pixels(256))
            latents = split.encoded(encode, (1, size, size), "key").take(5, 0).x
            torch.testing.assert_close(latents, Pixels(256).encode(images), rtol=0, atol=0)
    assert calls == [4, 8]


@pytest.mark.parametrize(
    ("classes", "counts"),
    [*(((150, 90, 57), counts) for counts in [(10, 40), (0, 7), (100, 0), (1, 296)]), ((29, 34, 2, 20, 24), (47, 57))],
)
def test_stratified_cuts_partition_the_rows_by_class_share(classes, counts):
    n = sum(classes)
    label = torch.arange(len(classes)).repeat_interleave(torch.tensor(classes))[torch.randperm(n)]
    parts, others = (stratified(label, counts, seed=seed) for seed in (0, 1))
    assert [len(part) for part in parts] == [n - sum(counts), *counts]
    assert torch.cat(parts).sort().values.tolist() == list(range(n))
    share = torch.tensor(classes) / n
    for number, (part, other) in enumerate(zip(parts, others, strict=True)):
        found = torch.bincount(label[part], minlength=len(classes))
        assert (found - share * len(part)).abs().max() <= (1 if number == 1 else 2) + 1e-4
        assert torch.equal(torch.bincount(label[other], minlength=len(classes)), found)  # whatever the order of rows
    assert [{*part.tolist()} for part in parts] != [{*part.tolist()} for part in others]


def test_held_out_images_are_disjoint_and_always_the_same(tmp_path, own_home):
    made = write_images(tmp_path / "tree", {"a": 30, "b": 30})
    first, second = (build(tmp_path / "tree", valid=0.2, test=0.3) for _ in range(2))
    parts = [raw(split)[0] for split in (first.train, first.valid, first.test)]
    assert len({item.tobytes() for part in parts for item in part}) == len(made)
    for part, split in zip(parts, (second.train, second.valid, second.test), strict=True):
        np.testing.assert_array_equal(part, raw(split)[0])


def test_too_few_images_to_hold_some_out_are_refused(tmp_path, own_home):
    write_images(tmp_path / "tree", {"a": 30, "b": 3})
    with pytest.raises(ConfigError, match=r"class 'b' has too few samples \(3\), of which none would be in test"):
        build(tmp_path / "tree", test=0.1)
    with pytest.raises(ConfigError, match=r"class 'b' has too few samples \(3\), of which none would be in train"):
        build(tmp_path / "tree", valid=0.2, test=0.7)
    with pytest.raises(ConfigError, match=r"33 of 33 training images would be held out for valid and test"):
        build(tmp_path / "tree", test=0.6, valid=0.4)
