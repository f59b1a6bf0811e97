from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from trees import write_tree

from data_tools.conversion import build_tfrecords
from data_tools.options import Conversion
from experiments import saucis_f1_f2_f3_samples
from experiments.saucis_f1_f2_f3_samples import Samples
from stroke_tf.labels import StrokeType, Task
from stroke_tf.manifest import read_folds
from stroke_tf.reading.mask_pictures import MASK_COLOURS
from stroke_tf.reporting.samples import pick_samples

FOLDS = tuple(range(10))
ALWAYS = {"saucis-1-usth-1-classes", "saucis-2-augmentations"}


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """Records of 44 small slices with the copies of the SAUCIS paper."""
    folder = tmp_path_factory.mktemp("samples")
    tree = write_tree(folder / "tree", none=20, ischemia=12, hemorrhage=12)
    build_tfrecords(
        Conversion(
            data=tree,
            out=folder / "records",
            size=64,
            jobs=1,
            protocol="as-published",
            augment_before_folding=True,
        )
    )
    return folder / "records"


def figures(folder):
    return {path.stem.removesuffix("-s0") for path in (folder / "samples" / "figures").iterdir()}


def test_every_figure_is_drawn_of_records_that_have_all_of_it(phantom_records, tmp_path, capsys):
    config = Samples(records=phantom_records[:1], out=tmp_path, columns=3, image_size=64)
    assert saucis_f1_f2_f3_samples.main(config) == 0
    assert figures(tmp_path) == ALWAYS | {"saucis-3-usth-3-lesions", "usth-2-test-session"}
    assert "samples/figures/saucis-2-augmentations-s0.png" in capsys.readouterr().out


def test_lesions_are_outlined_in_the_colours_of_their_masks(published, tmp_path):
    config = Samples(records=(published,), out=tmp_path, columns=2, image_size=64)
    assert saucis_f1_f2_f3_samples.main(config) == 0
    assert figures(tmp_path) == ALWAYS | {"saucis-3-usth-3-lesions"}
    path = tmp_path / "samples" / "figures" / "saucis-3-usth-3-lesions-s0.png"
    colours = {tuple(map(int, colour)) for colour in _pixels(path)}
    for kind in (StrokeType.ISCHEMIA, StrokeType.HEMORRHAGE):
        assert MASK_COLOURS[kind] in colours, kind


def _pixels(path):
    return np.unique(np.asarray(Image.open(path).convert("RGB")).reshape(-1, 3), axis=0)


def test_samples_are_of_as_many_patients_as_there_are(phantom_records):
    records = phantom_records[0]
    options = {"most": 5, "image_size": 16, "seed": 1}
    samples = pick_samples(records, FOLDS, Task.DETECT, **options)
    assert list(samples) == [StrokeType.NONE, StrokeType.ISCHEMIA, StrokeType.HEMORRHAGE]
    for kind, chosen in samples.items():
        assert [label.item() for _, label in chosen] == [float(kind != StrokeType.NONE)] * 5
        assert all(image.shape == (16, 16, 3) for image, _ in chosen)
    again = pick_samples(records, FOLDS, Task.DETECT, **options)
    for kind, chosen in samples.items():
        for (image, _), (other, _) in zip(chosen, again[kind], strict=True):
            np.testing.assert_array_equal(image, other)


def test_a_patient_comes_twice_only_when_there_is_no_other():
    from stroke_tf.reporting.samples import _choose

    class Row:
        copy, stroke_type = 0, "NONE"

        def __init__(self, group_id):
            self.group_id = group_id

    rows = [Row(group) for group in ("a", "a", "a", "b", "c")]
    for seed in range(10):
        chosen = [rows[place].group_id for place in _choose(rows, most=4, seed=seed)]
        assert sorted(chosen[:3]) == ["a", "b", "c"]
        assert chosen[3] == "a"


def test_lesion_samples_have_masks_of_their_own_class(published):
    samples = pick_samples(published, FOLDS, Task.SEGMENT, most=4, image_size=64, seed=0)
    assert list(samples) == [StrokeType.ISCHEMIA, StrokeType.HEMORRHAGE]
    for kind, chosen in samples.items():
        assert len(chosen) == 4
        assert all(np.unique(mask).tolist() == [0, kind] for _, mask in chosen)


def test_copies_made_before_folding_are_no_samples(published):
    rows = [row for row in read_folds(published) if row.stroke_type == "ISCHEMIA"]
    samples = pick_samples(published, FOLDS, Task.DETECT, most=99, image_size=64, seed=0)
    assert len(samples[StrokeType.ISCHEMIA]) == sum(not row.copy for row in rows) == len(rows) / 4


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"records": (Path("nowhere"),)}, "nowhere/manifest.json must exist.*stroke-tf convert"),
        ({"columns": 0}, "`columns` must be >= 1. Received: 0"),
        ({"rows": ("figure 1",)}, r"--rows must be of \['saucis-1-.*Received: \['figure 1'\]"),
    ],
)
def test_wrong_settings_are_said(tmp_path, phantom_records, wrong, message):
    config = Samples(**{"records": phantom_records[:1], "out": tmp_path} | wrong)
    with pytest.raises((ValueError, OSError), match=message):
        saucis_f1_f2_f3_samples.main(config)


def test_rows_and_seeds_choose_what_is_drawn(tmp_path, phantom_records):
    row = "saucis-1-usth-1-classes"
    config = Samples(phantom_records[:1], tmp_path, (row,), (0, 3), smoke=True)
    assert saucis_f1_f2_f3_samples.main(config) == 0
    assert figures(tmp_path) == {row, f"{row}-s3"}
