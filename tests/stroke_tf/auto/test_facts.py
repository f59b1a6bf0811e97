from dataclasses import replace

import pytest
from trees import write_tree

from data_tools.conversion import build_tfrecords
from data_tools.options import Conversion
from stroke_tf.auto.facts import lesion_areas, read_facts
from stroke_tf.manifest import read_folds
from stroke_tf.runs.settings import ClassifierRun, UnetRun

LESION = 14 * 25  # pixels of each lesion of `write_tree`


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    folder = tmp_path_factory.mktemp("auto")
    tree = write_tree(folder / "tree", none=20, ischemia=10, hemorrhage=10, side=80)
    build_tfrecords(Conversion(data=tree, out=folder / "records", size=80, jobs=1))
    return folder / "records"


def counted(records, folds, *, lesions):
    rows = [row for row in read_folds(records) if int(row.fold) in folds]
    return len([row for row in rows if (row.stroke_type != "NONE") == lesions])


def test_the_facts_of_a_segmentation(records):
    facts = read_facts(UnetRun(records=records))
    lesions, others = (
        counted(records, range(8), lesions=with_lesion) for with_lesion in (True, False)
    )
    assert (facts.side, facts.bytes_per_px, facts.kept) == (80, 2, 40)
    assert facts.training == lesions + others
    assert facts.validation == sum(
        counted(records, [8], lesions=with_lesion) for with_lesion in (True, False)
    )
    assert facts.tested == sum(
        counted(records, [9], lesions=with_lesion) for with_lesion in (True, False)
    )
    assert facts.patients == facts.training  # no two slices are alike
    assert facts.lesion_px == (LESION,) * counted(records, range(9), lesions=True)


def test_an_epoch_holds_the_slices_that_are_drawn(records):
    run = UnetRun(records=records, negatives_per_positive=0.5)
    lesions = counted(records, range(8), lesions=True)
    assert read_facts(run).training == lesions + -(-lesions // 2)
    only = replace(run, negatives_per_positive=None, lesions_only=True)
    assert read_facts(only).training == lesions


def test_a_classifier_keeps_no_masks_and_its_types_no_healthy_slices(records):
    facts = read_facts(ClassifierRun(records=records, task="type"))
    assert (facts.bytes_per_px, facts.kept) == (1, 20)
    assert facts.lesion_px  # of the masks beside


def test_each_connected_region_of_a_class_is_a_lesion(phantom_records):
    from stroke_tf.data.memory import load_slices
    from stroke_tf.evaluation.lesions import count_lesions
    from stroke_tf.labels import Task

    clean, _ = phantom_records
    folds = tuple(range(10))
    masks = load_slices(clean, folds, task=Task.SEGMENT, image_size=96, lesions_only=True).masks
    counted = count_lesions(masks, masks).per_slice[:, :2, 0].sum()  # ischaemia, haemorrhage
    areas = lesion_areas(clean, folds)
    assert (len(areas), sum(areas)) == (counted, (masks > 0).sum())
