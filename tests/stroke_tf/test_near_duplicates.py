import numpy as np
import pytest
from trees import head

from stroke_tf.near_duplicates import (
    dhash,
    near_duplicate_groups,
    stems,
    turned_groups,
    turned_hashes,
)


def flip(packed, bits):
    unpacked = np.unpackbits(packed)
    unpacked[bits] ^= 1
    return np.packbits(unpacked)


def naive_groups(hashes, limit):
    labels = list(range(len(hashes)))
    for i in range(len(hashes)):
        for j in range(i):
            if np.unpackbits(hashes[i] ^ hashes[j]).sum() <= limit:
                old, new = labels[i], labels[j]
                labels = [new if label == old else label for label in labels]
    return np.array(labels)


def test_six_bits_apart_is_a_near_duplicate_and_seven_is_not():
    base = np.arange(32, dtype=np.uint8)
    spread = [0, 40, 80, 120, 160, 200, 240]
    six, seven = flip(base, spread[:6]), flip(base, spread)
    assert len(set(near_duplicate_groups(np.stack([base, six])))) == 1
    assert len(set(near_duplicate_groups(np.stack([base, seven])))) == 2


def test_groups_are_connected_components():
    base = np.zeros(32, np.uint8)
    near, further = flip(base, range(5)), flip(base, range(10))
    assert len(set(near_duplicate_groups(np.stack([base, near, further])))) == 1
    assert len(set(near_duplicate_groups(np.stack([base, further])))) == 2


@pytest.mark.parametrize("seed", range(3))
def test_groups_are_those_of_comparing_all_pairs(seed):
    random = np.random.default_rng(seed)
    share = random.beta(0.3, 0.3, 256)  # many bits nearly constant, as the air around a head
    originals = np.packbits(random.random((60, 256)) < share, axis=1)
    copies = [flip(originals[i], random.choice(256, random.integers(1, 9))) for i in range(40)]
    hashes = np.concatenate([originals, np.stack(copies)])
    found, expected = near_duplicate_groups(hashes), naive_groups(hashes, 6)
    same_found, same_expected = found[:, None] == found, expected[:, None] == expected
    assert (same_found == same_expected).all()
    assert same_expected.sum() > len(hashes)  # there was something to find


def test_equal_hashes_are_one_group():
    assert set(near_duplicate_groups(np.zeros((5000, 32), np.uint8))) == {0}


def test_no_slices_give_no_groups():
    assert near_duplicate_groups(np.zeros((0, 32), np.uint8)).shape == (0,)


def test_another_width_is_refused():
    with pytest.raises(ValueError, match=r"shape \(N, 32\). Received: \(4, 8\)"):
        near_duplicate_groups(np.zeros((4, 8), np.uint8))


def test_dhash_of_a_ramp_is_all_ones_and_of_its_mirror_all_zeros():
    ramp = np.tile(np.arange(170, dtype=np.uint8), (170, 1))
    assert dhash(ramp) == b"\xff" * 32
    assert dhash(ramp[:, ::-1].copy()) == b"\x00" * 32


@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("side", [80, 301, 512])
def test_a_flipped_or_turned_copy_is_in_the_group_of_its_original(turns, mirrored, side):
    random = np.random.default_rng(side)
    pictures = [head(random, side) for _ in range(6)]
    copy = np.rot90(pictures[2].T if mirrored else pictures[2], turns)
    hashes = b"".join(turned_hashes(picture) for picture in (*pictures, copy))
    labels = turned_groups(np.frombuffer(hashes, np.uint8).reshape(-1, 8, 32))
    assert len(set(labels)) == 6
    assert labels[6] == labels[2]


def test_nearly_empty_slices_are_no_copies_of_each_other():
    pictures = np.zeros((2, 80, 80), np.uint8)
    pictures[0, 40:44, 40:44] = pictures[1, 10:14, 10:14] = 200
    hashes = b"".join(turned_hashes(picture) for picture in pictures)
    labels = turned_groups(np.frombuffer(hashes, np.uint8).reshape(-1, 8, 32))
    assert labels[0] != labels[1]


@pytest.mark.parametrize(
    "copy",
    ["7_flip", "7_hflip2", "7-aug3", "7_rot8", "7_rot_-15.5", "7 - Kopya", "7 - Copy (2)", "7 (1)"],
)
def test_names_of_copies_say_what_they_are_copies_of(copy):
    assert stems(["7", copy, "8"]) == ["7", "7", "8"]


@pytest.mark.parametrize(
    "ids", [["normal (1)", "normal (2)"], ["ct_aug1", "ct_aug2"], ["7", "7_2"], ["12", "012"]]
)
def test_numbers_alone_do_not_make_copies(ids):
    assert stems(ids) == ids


def test_copies_whose_original_is_not_there_share_its_name():
    assert stems(["a/7_flip", "a/7_rot8"]) == ["a/7", "a/7"]
