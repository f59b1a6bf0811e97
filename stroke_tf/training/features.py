"""The frozen phase: a backbone's features of each slice, computed once and kept on disk.

The features of a fold lie in a file for each augmented copy, so that the splits of a
cross-validation share them. Knows nothing of heads: `split_head` makes the extractor, `fit` trains
the head on what `feature_dataset` gives.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import logging
import zipfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from stroke_tf.config import THREE_WINDOWS, AugmentStrength, View, Window
from stroke_tf.data import augment_batch, count_samples, make_dataset, named_batches
from stroke_tf.data.parallel import parallel_map
from stroke_tf.data.selection import check_not_empty
from stroke_tf.fast.runtimes import inference
from stroke_tf.files import replacing, to_json, write_text
from stroke_tf.labels import Task
from stroke_tf.manifest import FoldName, manifest_sha256

BATCH = 32
"""Slices computed at a time: more gain nothing on a CPU. The augmentations drawn depend on it."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class FeatureSet:
    """The features of some slices and of their augmented copies.

    Attributes:
        features: float32, shape (copies + 1, N, C); the first entry is of the slices as they are.
        labels: float32, shape (N, 1), 0 or 1.
        ids: Source id of each slice.
        groups: Group id of each slice.
    """

    features: np.ndarray
    labels: np.ndarray
    ids: tuple[str, ...]
    groups: tuple[str, ...]


def extract_features(
    extractor: keras.Model,
    records: Path | str,
    folds: tuple[FoldName, ...],
    *,
    task: Task,
    image_size: int,
    key_of_network: str,
    copies: int = 0,
    strength: AugmentStrength | None = None,
    windows: tuple[Window, ...] = THREE_WINDOWS,
    view: View = "windows",
    seed: int = 0,
    cache_dir: Path | None = None,
) -> FeatureSet:
    """Returns the features of the slices of some folds, from disk where they are known.

    On disk a file stands for each fold and copy, `<cache_dir>/<key>/fold-03-copy-0.npz`, beside a
    `key.json` with all that its content depends on: the key is the hash of it. Only copies depend
    on strength and seed. Several processes may share the folder. A damaged file is computed anew.

    What is missing is decoded and the network compiled once for each call: ask for all folds that
    are needed at once, then for those of each split.

    Args:
        extractor: From raw images, shape (B, S, S, 3), in [0, 255], to features, shape (B, C), as
            `split_head` gives it. It computes in inference mode.
        records: Folder of records.
        folds: Folds to read, in the order of the result: 0 to 9, "stage1", "stage2".
        task: DETECT or TYPE.
        image_size: Side S of the images in pixels.
        key_of_network: The network in words, such as "mobilenetv2 avg". Its weights are in the key
            by their values, its layers only by this name and the shape of the output.
        copies: Number of augmented copies of each slice.
        strength: Strength of the augmentations; needed for copies.
        windows: HU windows, as for `make_dataset`.
        view: What the channels show, as for `make_dataset`.
        seed: Seed of the augmentations.
        cache_dir: Folder to keep the features in, made if missing, or None to keep none.

    Raises:
        FileNotFoundError: If the manifest or a shard is missing.
        ValueError: If the task is SEGMENT, `copies` is negative or lacks its strength, no slice is
            left, or `make_dataset` refuses an argument or the records.
    """
    _check(task, copies=copies, strength=strength)
    shown = {"task": task, "image_size": image_size, "windows": windows, "view": view}
    extraction = _Extraction(
        extractor, Path(records), key_of_network, shown, strength, seed, cache_dir
    )
    counts = {fold: count_samples(records, (fold,), task) for fold in folds}
    # A fold may hold no slice for a task as long as another does.
    counts = {fold: count for fold, count in counts.items() if count}
    check_not_empty(len(counts), records=records, folds=folds, task=task)
    of_folds = extraction.of_folds(counts, copies=copies)
    by_fold = [parts[0] for parts in of_folds]
    stacked = [np.concatenate([part.features for part in parts]) for parts in of_folds]
    return FeatureSet(
        features=np.concatenate(stacked, axis=1),
        labels=np.concatenate([part.labels for part in by_fold]),
        ids=tuple(itertools.chain.from_iterable(part.ids for part in by_fold)),
        groups=tuple(itertools.chain.from_iterable(part.groups for part in by_fold)),
    )


def feature_dataset(
    features: FeatureSet, *, batch_size: int, training: bool = False, seed: int = 0
) -> tf.data.Dataset:
    """Returns batches of features and labels, to train a head with `fit`.

    Args:
        features: What to draw from.
        batch_size: Slices in a batch; the last one of an epoch may be smaller.
        training: Whether slices are shuffled anew in each epoch, each as one of its copies drawn
            at random (as it is included), as `make_dataset` shuffles. If not, they come in order
            and as they are.
        seed: Seed of order and copies: equal seeds give equal batches, epoch by epoch, counted from
            when the data set was made.

    Returns:
        A data set of known length that yields features, float32, shape (B, C), and labels,
        float32, shape (B, 1).

    Raises:
        ValueError: If `batch_size` is below 1.
    """
    if batch_size < 1:
        raise ValueError(f"`batch_size` must be >= 1. Received: {batch_size}")
    copies, count, _ = features.features.shape
    stored, labels = tf.constant(features.features), tf.constant(features.labels)
    epochs = itertools.count()

    def draw() -> np.ndarray:
        # As in `make_dataset`: the order is drawn first, so that it is the same there and here.
        random = np.random.default_rng((seed, next(epochs)))
        order = random.permutation(count) if training else np.arange(count)
        return np.stack([random.integers(copies if training else 1, size=(count,)), order], axis=1)

    @tf.autograph.experimental.do_not_convert
    def one_epoch(_: tf.Tensor) -> tf.data.Dataset:
        places = tf.ensure_shape(tf.numpy_function(draw, [], tf.int64), (count, 2))
        return tf.data.Dataset.from_tensor_slices(places).batch(batch_size)

    @tf.autograph.experimental.do_not_convert
    def gather(places: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return tf.gather_nd(stored, places), tf.gather(labels, places[:, 1])

    # The outer data set has one element and is run anew, so draws anew, in each epoch.
    batches = tf.data.Dataset.range(1).flat_map(one_epoch)
    batches = batches.apply(tf.data.experimental.assert_cardinality(-(-count // batch_size)))
    return parallel_map(batches, gather)


def _check(task: Task, *, copies: int, strength: AugmentStrength | None) -> None:
    if task == Task.SEGMENT:
        raise ValueError(f"`task` must be {Task.DETECT} or {Task.TYPE}. Received: {task}")
    if copies < 0:
        raise ValueError(f"`copies` must be >= 0. Received: {copies}")
    if copies and strength is None:
        raise ValueError(f"`strength` must be given for copies. Received: None, {copies} copies")


@dataclass(frozen=True)
class _Extraction:
    """One network on one folder of records. `extract_features` explains the fields.

    `shown` holds the settings that images are made with.
    """

    extractor: keras.Model
    records: Path
    network: str
    shown: Mapping[str, Any]
    strength: AugmentStrength | None
    seed: int
    cache_dir: Path | None

    def of_folds(self, counts: Mapping[FoldName, int], *, copies: int) -> list[list[FeatureSet]]:
        """Returns the features of each fold: as it is, then copy by copy.

        Args:
            counts: How many slices each fold has for the task, above 0.
            copies: Number of augmented copies.
        """
        keys = itertools.product(counts, range(copies + 1))
        found = {key: part for key in keys if (part := self._load(*key))}
        missing = defaultdict(list)
        for copy in range(copies + 1):
            missing[tuple(fold for fold in counts if (fold, copy) not in found)].append(copy)
        for folds, needed in missing.items():
            if folds:
                found |= self._compute({fold: counts[fold] for fold in folds}, needed)
        return [[found[fold, copy] for copy in range(copies + 1)] for fold in counts]

    def _compute(
        self, counts: Mapping[FoldName, int], copies: Sequence[int]
    ) -> dict[tuple[FoldName, int], FeatureSet]:
        """Decodes folds once, then computes and saves some of their copies."""
        sizes = {
            fold: [min(BATCH, count - start) for start in range(0, count, BATCH)]
            for fold, count in counts.items()
        }
        # No batch holds slices of two folds: what is drawn for a slice would depend on the call.
        slices = make_dataset(
            self.records, folds=tuple(counts), batch_size=BATCH, with_ids=True, **self.shown
        ).rebatch([*itertools.chain(*sizes.values())])
        computed = {}
        for copy in copies:
            seeds = [self._seeds(fold, copy, batches=len(sizes[fold])) for fold in counts]
            batches = iter(
                _augmented(slices, self.strength, np.concatenate(seeds))
                if copy and self.strength
                else slices
            )
            for fold in counts:
                part = self._features(itertools.islice(batches, len(sizes[fold])))
                self._save(part, fold, copy)
                computed[fold, copy] = part
        return computed

    def _seeds(self, fold: FoldName, copy: int, *, batches: int) -> np.ndarray:
        random = np.random.default_rng([self.seed, copy, *str(fold).encode()])
        return random.integers(2**31, size=(batches, 2), dtype=np.int32)

    def _features(self, slices: Iterable[tuple]) -> FeatureSet:
        features, labels, ids, groups = [], [], [], []
        for batch in named_batches(slices):  # the images of a batch go before the next comes
            features.append(self._compiled(batch.images))
            labels.append(batch.labels)
            ids += batch.ids
            groups += batch.groups
        return FeatureSet(
            features=np.concatenate(features)[None],
            labels=np.concatenate(labels),
            ids=tuple(ids),
            groups=tuple(groups),
        )

    @cached_property
    def _compiled(self) -> Callable[[tf.Tensor], np.ndarray]:
        return inference(self.extractor)

    def _key(self, copy: int) -> dict[str, Any]:
        """Returns all that the features of a copy depend on, in words."""
        return {
            "network": self.network,
            "weights_sha256": self._weights_sha256,
            "output_shape": self.extractor.output_shape[1:],
            "manifest_sha256": manifest_sha256(self.records),
            **self.shown,
            "augmentation": dataclasses.asdict(self.strength) if self.strength and copy else None,
            "seed": self.seed if copy else None,
            "keras": keras.__version__,
        }

    @cached_property
    def _weights_sha256(self) -> str:
        digest = hashlib.sha256()
        for array in (variable.value.numpy() for variable in self.extractor.weights):
            digest.update(f"{array.shape} {array.dtype}".encode())
            digest.update(array.tobytes())
        return digest.hexdigest()

    def _path(self, cache_dir: Path, fold: FoldName, copy: int) -> Path:
        """Returns the file of a fold and copy; sees to its folder and `key.json`."""
        text = to_json(self._key(copy))
        folder = cache_dir / hashlib.sha256(text.encode()).hexdigest()[:16]
        if not (folder / "key.json").exists():
            write_text(folder / "key.json", text)
        name = fold if isinstance(fold, str) else f"fold-{fold:02}"
        return folder / f"{name}-copy-{copy}.npz"

    def _load(self, fold: FoldName, copy: int) -> FeatureSet | None:
        if self.cache_dir is None:
            return None
        path = self._path(self.cache_dir, fold, copy)
        try:
            with np.load(path, allow_pickle=False) as arrays:
                return FeatureSet(
                    features=arrays["features"],
                    labels=arrays["labels"],
                    ids=tuple(arrays["ids"].tolist()),
                    groups=tuple(arrays["groups"].tolist()),
                )
        except FileNotFoundError:
            return None
        except (EOFError, KeyError, OSError, ValueError, zipfile.BadZipFile) as error:
            _logger.warning("%s is damaged and computed anew: %s", path, error)
            return None

    def _save(self, part: FeatureSet, fold: FoldName, copy: int) -> None:
        if self.cache_dir is not None:
            path = self._path(self.cache_dir, fold, copy)
            with replacing(path) as temporary:
                np.savez(temporary, **vars(part))


def _augmented(
    slices: tf.data.Dataset, strength: AugmentStrength, seeds: np.ndarray
) -> tf.data.Dataset:
    @tf.autograph.experimental.do_not_convert
    def augment(batch: tuple, seed: tf.Tensor) -> tuple:
        images, _ = augment_batch(batch[0], None, strength, seed)
        return images, *batch[1:]

    pairs = tf.data.Dataset.zip(slices, tf.data.Dataset.from_tensor_slices(seeds))
    return parallel_map(pairs, augment)
