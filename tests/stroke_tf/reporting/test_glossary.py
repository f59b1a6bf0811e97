from pathlib import Path

import pytest

from stroke_tf.evaluation.lesions import LESION_METRICS
from stroke_tf.evaluation.metrics import CLASSIFICATION_METRICS
from stroke_tf.evaluation.segmentation import SEGMENTATION_METRICS
from stroke_tf.reporting.glossary import TERMS, glossary_section, glossary_table, terms_of
from stroke_tf.reporting.report import HEADLINES

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "glossary.md"
OTHERS = ("sm_f1", "sm_iou", "slice_accuracy", "type_roc_auc", "stroke_sensitivity")
OTHERS += ("brier_calibrated", "ece_calibrated", "train_loss", "val_accuracy")


@pytest.mark.parametrize(
    "name",
    sorted({*CLASSIFICATION_METRICS, *SEGMENTATION_METRICS, *LESION_METRICS, *HEADLINES, *OTHERS}),
)
def test_every_number_of_a_run_is_explained(name):
    assert terms_of(name)


def test_a_number_is_explained_by_all_of_its_parts():
    assert terms_of("recall_macro") == ("sensitivity", "…_macro")
    assert terms_of("stroke_roc_auc") == ("stroke_…", "roc_auc")
    assert terms_of("hemorrhage_slice_dice") == ("…_slice_dice",)
    assert terms_of("lesion_dice") == ("…_dice",)
    assert terms_of("of_nobody") == ()


def test_the_page_of_the_docs_prints_every_term():
    assert glossary_table(TERMS) in PAGE.read_text(encoding="utf-8")


def test_a_table_has_each_term_once_in_the_order_of_all():
    lines = glossary_table(["f1", "n", "f1"]).splitlines()
    assert [line.split(" | ")[0].strip("| ") for line in lines[2:]] == ["n", "f1"]


def test_a_key_that_is_no_term_is_named():
    with pytest.raises(KeyError, match="Received: .*'auc'"):
        glossary_table(["n", "auc"])


def test_a_section_explains_the_numbers_it_is_given_and_no_others():
    text = "\n".join(glossary_section(["roc_auc", "sm_f1"]))
    assert text.startswith("## What the numbers mean")
    assert "| roc auc |" in text.replace("\\", "")
    assert "lesionwise" not in text
