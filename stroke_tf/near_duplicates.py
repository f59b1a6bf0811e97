"""Finds slices that are nearly the same picture, and copies of others, without comparing all pairs.

Two slices are near-duplicates when their 256-bit difference hashes (dHash) differ in at most 6
bits; a group is a connected component of that relation. A turned copy is found by the hashes of its
eight orientations.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import cv2
import imagehash
import numpy as np
from PIL import Image

HASH_BITS = 256
MAX_DISTANCE = 6
_ENOUGH = 68  # 4 pixels for each of the 17 columns compared
_BLOCK = 2048  # rows of one bucket compared at a time
_SMALL = 16  # rows of a bucket that is compared together with others
_SQUARE = 34
_ORIENTATIONS = 8
_TURNED_DISTANCE = 4  # bits; copies saved as JPEG differ in so many at most
_TELLING_BITS = 32
_NUMBER = re.compile(r"( ?\(\d+\))+$")
_COPY = re.compile(
    r"([ _.-]+[hv]?(flip(ped|lr|ud)?|mirror(ed)?|rot(at(ed?|ion))?|aug(mented)?|copy|kopya(sı)?"
    r"|zoom|crop|shift|shear|noise|blur|bright(ness)?|contrast|gamma)[ _.-]*[+-]?\d*(\.\d+)?"
    r"| ?\(\d+\))+$",
    re.IGNORECASE,
)


def dhash(picture: np.ndarray) -> bytes:
    """Returns the 256-bit difference hash of a picture: 32 bytes.

    Args:
        picture: uint8 grey, shape (H, W).
    """
    bits = imagehash.dhash(Image.fromarray(_halved(picture)), hash_size=16).hash
    return np.packbits(bits).tobytes()


def turned_hashes(picture: np.ndarray) -> bytes:
    """Returns difference hashes of a picture as it is, flipped and turned: 8 times 32 bytes.

    They are made of a small square, in a tenth of the time of eight calls of `dhash`; the hash of a
    turned copy is exactly one of its original's.

    Args:
        picture: uint8 grey, shape (H, W).
    """
    small = cv2.resize(_halved(picture), (_SQUARE, _SQUARE), interpolation=cv2.INTER_AREA)
    hashes = []
    for flipped in (small, small.T):
        for turned in (flipped, flipped[::-1], flipped[:, ::-1], flipped[::-1, ::-1]):
            grid = cv2.resize(np.ascontiguousarray(turned), (17, 16), interpolation=cv2.INTER_AREA)
            hashes.append(np.packbits(grid[:, 1:] > grid[:, :-1]))
    return np.concatenate(hashes).tobytes()


def _halved(picture: np.ndarray) -> np.ndarray:
    """Returns a picture, halved until a few pixels are left for each bit: most of a hash's time."""
    while min(picture.shape) >= 2 * _ENOUGH:
        half = picture.shape[1] // 2, picture.shape[0] // 2  # a factor would leave a side out
        picture = cv2.resize(picture, half, interpolation=cv2.INTER_AREA)
    return picture


def turned_groups(hashes: np.ndarray) -> np.ndarray:
    """Labels slices so that flipped copies, and copies turned by quarters, share their label.

    With eight orientations, slices that are no copies are alike more often by chance. So hashes
    must be closer than those of near-duplicates, and nearly empty slices are left out.

    Args:
        hashes: uint8, shape (N, 8, 32): the `turned_hashes` of each slice.

    Returns:
        int32, shape (N,): equal numbers for slices of one group.
    """
    told = np.flatnonzero(np.bitwise_count(hashes[:, 0]).sum(axis=1) >= _TELLING_BITS)
    alike = near_duplicate_groups(
        hashes[told].reshape(-1, HASH_BITS // 8), max_distance=_TURNED_DISTANCE
    )
    nodes = len(hashes) + int(alike.max(initial=-1)) + 1
    links = np.repeat(told, _ORIENTATIONS), len(hashes) + alike
    return connected(*links, nodes=nodes)[: len(hashes)]


def stems(source_ids: Sequence[str]) -> list[str]:
    """Returns the original of each id, as its name tells; an id that is no copy is its own.

    "7_flip", "7_aug3", "7_rot90", "7 - Kopya" and "7 (1)" are copies of "7"; a number in brackets
    alone says so only where "7" is there too.
    """
    known = set(source_ids)
    return [_stem(source_id, known) for source_id in source_ids]


def _stem(source_id: str, known: set[str]) -> str:
    numbered = _NUMBER.sub("", source_id)
    stem = _COPY.sub("", source_id)
    is_copy = stem != numbered and any(map(str.isdigit, stem))
    return stem if stem in known or is_copy else source_id


def near_duplicate_groups(hashes: np.ndarray, *, max_distance: int = MAX_DISTANCE) -> np.ndarray:
    """Labels slices by near-duplicate group.

    Two hashes that differ in at most d bits agree wholly on at least one of d + 1 bands of bits, so
    only slices that share a band are compared. Bits are dealt to the bands by how evenly they split
    the slices; otherwise the bands of the always dark corners would hold every slice.

    Args:
        hashes: uint8, shape (N, 32): packed 256-bit hashes.
        max_distance: Largest Hamming distance of near-duplicates, in bits.

    Returns:
        int32, shape (N,): equal numbers for slices of one group.

    Raises:
        ValueError: If the shape of `hashes` is another.
    """
    if hashes.ndim != 2 or hashes.shape[1] * 8 != HASH_BITS:
        raise ValueError(f"`hashes` must have shape (N, 32). Received: {hashes.shape}")
    if not len(hashes):
        return np.zeros(0, np.int32)
    unique, inverse = np.unique(hashes, axis=0, return_inverse=True)
    words = unique.view(np.uint64)
    pairs = [_close_pairs(words, band, max_distance) for band in _bands(unique, max_distance + 1)]
    rows, columns = np.concatenate(pairs, axis=1)
    return connected(rows, columns, nodes=len(unique))[inverse.reshape(-1)]


def connected(rows: np.ndarray, columns: np.ndarray, *, nodes: int) -> np.ndarray:
    """Returns the label of the connected component of each node, int32, of a graph of links."""
    from scipy.sparse import coo_array  # workers, which only hash, need not wait for SciPy
    from scipy.sparse.csgraph import connected_components

    graph = coo_array((np.ones(len(rows), bool), (rows, columns)), shape=(nodes, nodes))
    return connected_components(graph, directed=False)[1].astype(np.int32)


def _bands(hashes: np.ndarray, count: int) -> list[np.ndarray]:
    """Returns `count` keys for each hash, each made of its own share of the bits."""
    share = np.zeros(HASH_BITS)
    for start in range(0, len(hashes), 65536):
        share += np.unpackbits(hashes[start : start + 65536], axis=1).sum(axis=0)
    order = np.argsort(np.abs(share / len(hashes) - 0.5), kind="stable")
    return [_band_keys(hashes, np.sort(order[first::count])) for first in range(count)]


def _band_keys(hashes: np.ndarray, bits: np.ndarray) -> np.ndarray:
    keys = np.zeros(len(hashes), np.uint64)
    for bit in bits:
        value = (hashes[:, bit // 8] >> np.uint8(7 - bit % 8)) & np.uint8(1)
        keys = (keys << np.uint64(1)) | value
    return keys


def _close_pairs(words: np.ndarray, keys: np.ndarray, max_distance: int) -> np.ndarray:
    """Returns pairs (2, P) of row numbers with equal keys and close words."""
    order = np.argsort(keys, kind="stable")
    edges = np.flatnonzero(np.diff(keys[order])) + 1
    starts, stops = np.append(0, edges), np.append(edges, len(order))
    none = np.zeros((2, 0), np.int64)
    found = [none, *_close_in_small(words, order, stops - starts, max_distance)]
    for index in np.flatnonzero(stops - starts > _SMALL):
        bucket = order[starts[index] : stops[index]]
        found.extend(_close_in_bucket(words, bucket, max_distance))
    return np.concatenate(found, axis=1)


def _close_in_small(
    words: np.ndarray, order: np.ndarray, sizes: np.ndarray, limit: int
) -> Iterator[np.ndarray]:
    """Yields the close pairs of all small buckets at once: of neighbours, of next but one, ..."""
    bucket = np.repeat(np.arange(len(sizes)), sizes)
    small = np.flatnonzero(np.repeat(sizes, sizes) <= _SMALL)
    bucket, order = bucket[small], order[small]
    for step in range(1, min(_SMALL, len(order))):
        first = np.flatnonzero(bucket[step:] == bucket[: len(bucket) - step])
        left, right = order[first], order[first + step]
        close = np.bitwise_count(words[left] ^ words[right]).sum(axis=1) <= limit
        yield np.stack([left[close], right[close]])


def _close_in_bucket(words: np.ndarray, bucket: np.ndarray, limit: int) -> list[np.ndarray]:
    found = []
    for start in range(0, len(bucket), _BLOCK):
        left, right = bucket[start : start + _BLOCK], bucket[start:]
        distance = np.zeros((len(left), len(right)), np.uint16)
        for word in range(words.shape[1]):
            distance += np.bitwise_count(words[left, None, word] ^ words[None, right, word])
        rows, columns = np.nonzero(distance <= limit)
        later = rows < columns
        found.append(np.stack([left[rows[later]], right[columns[later]]]))
    return found
