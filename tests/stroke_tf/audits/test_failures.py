import numpy as np
import pandas as pd
import pytest
from finished_runs import tiny_network, write_run

from stroke_tf.audits.audit import Subject
from stroke_tf.audits.failures import audit
from stroke_tf.runs.settings import ClassifierRun, UnetRun

LARGE = 7  # radius in pixels of a disc that the hand-made run finds


def subject(planted, run, **options):
    return Subject(planted.records, run, "mobilenetv2", None, 64, resamples=400, **options)


def column(audited, title, name):
    """Returns a column of a table by kind."""
    return audited.tables[title].set_index("kind")[name]


@pytest.fixture(scope="module")
def scored(planted, tmp_path_factory):
    """The audit of a classifier that finds large discs alone, with a table of what is known."""
    slices = [slice_ for slice_ in planted.slices.values() if slice_.id not in planted.labels]
    said = pd.DataFrame({"id": [slice_.id for slice_ in slices]})
    said["truth"] = [int(slice_.disc is not None) for slice_ in slices]
    found = [slice_.disc is not None and slice_.disc[2] >= LARGE for slice_ in slices]
    said["score"] = np.where(found, 0.9, 0.2)
    folder = tmp_path_factory.mktemp("scored")
    point = {"threshold": 0.5, "temperature": 2.0}
    config = ClassifierRun(out=folder)
    files = {"operating_point.json": point}
    options = {"predictions": said, "threshold": 0.5, "files": files}
    run = write_run(config, tiny_network("score"), **options)
    lines = [
        f"p{slice_.patient},{slice_.number},{'AB'[slice_.patient % 2]},{slice_.number % 2}"
        for slice_ in slices
    ]
    table = folder / "table.csv"
    table.write_text("\n".join(["patient,slice,hospital,odd", *lines]))
    return audit(subject(planted, run, table=table)), slices


def test_small_lesions_are_told_to_be_missed(scored):
    audited, _ = scored
    by_size = column(audited, "By size of the lesion on the slice", "sensitivity")
    assert by_size.iloc[0].value == 0
    assert by_size.iloc[-1].value == 1
    assert any(
        finding.level == "warning" and "% of the slice: sensitivity 0.000" in finding.text
        for finding in audited.findings
    )


def test_sensitivity_is_that_of_all_lesions(scored):
    audited, slices = scored
    lesions = [slice_.disc[2] >= LARGE for slice_ in slices if slice_.disc]
    (row,) = audited.tables["All test slices"].to_dict("records")
    assert row["sensitivity"].value == pytest.approx(np.mean(lesions))
    assert row["specificity"].value == 1
    assert (row["slices"], row["lesions"]) == (len(slices), len(lesions))


def test_kinds_of_the_table_are_counted(scored):
    audited, slices = scored
    hospitals = column(audited, "By hospital of the table", "slices")
    assert hospitals.to_dict() == {
        name: sum("AB"[slice_.patient % 2] == name for slice_ in slices) for name in "AB"
    }
    odd = column(audited, "By what the table says", "lesions")
    assert odd["odd"] == sum(slice_.number % 2 for slice_ in slices if slice_.disc)


def test_slices_are_of_thirds_of_their_series_and_of_sides_of_the_head(scored):
    audited, slices = scored
    assert column(audited, "By height in the series", "slices").sum() == len(slices)
    sides = column(audited, "By place of the lesion in the head", "lesions")
    assert sides.sum() == sum(slice_.disc is not None for slice_ in slices)


def test_patients_and_calibration_have_their_tables_and_sentences(scored):
    audited, slices = scored
    patients = audited.tables["Patients"]
    assert set(patients["patients"]) == {len({slice_.patient for slice_ in slices})}
    assert list(audited.tables["Calibration"]["scores"]) == [
        *("as they are", "by a temperature from slices of no test"),
    ]
    assert list(audited.figures) == [
        *("reliability", "reliability-after-the-temperature"),
        "lesions-missed-with-their-true-outlines",
    ]


def test_the_classes_of_types_are_named(planted, tmp_path):
    slices = [
        slice_
        for slice_ in planted.slices.values()
        if slice_.disc and slice_.id not in planted.labels
    ]
    said = pd.DataFrame({"id": [slice_.id for slice_ in slices]})
    said["truth"] = [int(slice_.number < 4) for slice_ in slices]
    said["score"] = [0.9 if slice_.number < 2 or slice_.number > 5 else 0.2 for slice_ in slices]
    config = ClassifierRun(out=tmp_path, task="type")
    run = write_run(config, tiny_network("score"), predictions=said, threshold=0.5)
    audited = audit(subject(planted, run))
    assert audited.tables["All test slices"]["haemorrhages"].tolist() == [said["truth"].sum()]
    assert "with a haemorrhage" in audited.tables["Patients"]
    assert "are positive (haemorrhage;" in audited.findings[0].text
    assert list(audited.figures)[2:] == [
        *("haemorrhages-called-ischaemia-with-true-outlines", "ischaemia-called-haemorrhage"),
    ]


def test_a_segmentation_is_scored_by_pixels_and_its_worst_masks_are_drawn(planted, tmp_path):
    slices = [
        slice_
        for slice_ in planted.slices.values()
        if slice_.disc and slice_.id not in planted.labels
    ]
    cells = {"tp": 10, "fp": 0, "fn": 30, "lesions": 1, "found": 1}
    said = pd.DataFrame(
        {f"any_lesion_{name}": [value] * len(slices) for name, value in cells.items()}
    )
    said.insert(0, "id", [slice_.id for slice_ in slices])
    said.loc[0, ["any_lesion_tp", "any_lesion_found"]] = 0
    config = UnetRun(out=tmp_path, image_size=32, lesions_only=True)
    audited = audit(subject(planted, write_run(config, tiny_network("mask"), predictions=said)))
    (row,) = audited.tables["All test slices"].to_dict("records")
    n = len(slices)
    assert row["dice"].value == pytest.approx(2 * 10 * (n - 1) / (2 * 10 * (n - 1) + 30 * n))
    assert row["lesion-wise recall"].value == pytest.approx((n - 1) / n)
    assert "Calibration" not in audited.tables
    assert list(audited.figures) == [
        *("lesions-missed-with-their-true-outlines", "masks-of-least-Dice"),
    ]


def test_slices_of_other_records_are_refused(planted, tmp_path):
    said = pd.DataFrame({"id": ["p00-0", "q-1"], "truth": [0, 1], "score": [0.1, 0.9]})
    run = write_run(
        ClassifierRun(out=tmp_path), tiny_network("score"), threshold=0.5, predictions=said
    )
    with pytest.raises(
        ValueError, match="of slices of the records. Received: 1 others, such as q-1"
    ):
        audit(subject(planted, run))
