import json

import pandas as pd
import pytest

from stroke_tf.audits.run_audits import run_audits
from stroke_tf.audits.settings import AuditConfig
from stroke_tf.audits.tested_runs import check_records, runs_of
from stroke_tf.manifest import manifest_sha256


@pytest.fixture
def cross_validation(tmp_path):
    """Returns a function that writes the folder of a cross-validation of rows cnn and vgg16."""

    def write(sha256):
        lines = [("a", row, "clean", 0, 1, 0.5, True) for row in ("cnn", "vgg16")]
        names = ["id", "row", "protocol", "part", "truth", "score", "called"]
        frame = pd.DataFrame(lines, columns=names)
        frame.to_csv(tmp_path / "predictions.csv", index=False)
        trained = "cnn-clean-part0-without-rules"
        for name in ("cnn-clean-part0", "cnn-clean-part1", trained, "vgg16-clean-part0"):
            (tmp_path / f"{name}-s0").mkdir()
            known = sha256 if name.startswith("cnn") else "ab" * 32
            (tmp_path / f"{name}-s0/config.json").write_text("{}")
            (tmp_path / f"{name}-s0/env.json").write_text(
                json.dumps({"data_manifest_sha256": known})
            )
        return tmp_path

    return write


def test_the_runs_of_a_row_are_its_parts(cross_validation):
    folder = cross_validation("")
    assert [run.name for run in runs_of(folder, row="cnn")] == [
        *("cnn-clean-part0-s0", "cnn-clean-part1-s0"),
    ]
    assert runs_of(folder) == ()
    (folder / "metrics.json").write_text("{}")
    assert runs_of(folder) == (folder,)


def test_a_cross_validation_of_other_records_is_refused(cross_validation, phantom_records):
    folder = cross_validation(manifest_sha256(phantom_records[0]))
    check_records(phantom_records[0], folder, row="cnn")
    with pytest.raises(ValueError, match="vgg16-clean-part0-s0 was made of, with the manifest aba"):
        check_records(phantom_records[0], folder, row="vgg16")


def test_other_records_are_refused_before_any_audit(cross_validation, phantom_records, tmp_path):
    config = AuditConfig(
        cross_validation("cd" * 32),
        records=phantom_records[0],
        only=("failures",),
        row="cnn",
        out=tmp_path / "out",
    )
    with pytest.raises(ValueError, match="must be the records that"):
        run_audits(config)
    assert not (tmp_path / "out").exists()
