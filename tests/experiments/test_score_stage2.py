import numpy as np
import pytest

from experiments.score_stage2 import Stage2, main, score_folders
from stroke_tf.reading.mask_pictures import write_mask

LESION = np.zeros((12, 12), np.uint8)
LESION[2:8, 2:8] = 1


@pytest.fixture
def folders(tmp_path):
    """Two slices, each with a lesion of 6 x 6; the first is drawn one pixel to the right."""
    for source_id in ("10001", "10002"):
        write_mask(tmp_path / "truth" / f"{source_id}.png", LESION)
    write_mask(tmp_path / "predicted" / "10001.png", np.roll(LESION, 1, axis=1))
    return tmp_path


def test_a_missing_mask_counts_as_empty(folders):
    score, missing = score_folders(folders / "truth", folders / "predicted")
    assert missing == ["10002"]
    # Dilated truth holds all 36 drawn pixels; of the eroded 4 x 4 all are drawn in the first slice
    # and none in the second.
    assert (score.counts.tp, score.counts.fp, score.counts.fn) == (36, 0, 16)
    assert score.score == 36 / 52


def test_the_kernel_decides_how_lenient_the_border_is(folders):
    write_mask(folders / "predicted" / "10002.png", LESION)
    score, missing = score_folders(folders / "truth", folders / "predicted", kernel=1)
    assert missing == []
    assert (score.counts.tp, score.counts.fp, score.counts.fn) == (30 + 36, 6, 6)


def test_the_command_prints_score_counts_and_what_is_missing(folders, capsys):
    config = Stage2(predicted=folders / "predicted", truth=folders / "truth")
    assert main(config) == 0
    printed = capsys.readouterr().out
    assert "Stage-2 score 0.6923, kernel 3" in printed
    assert "TP 36, FP 0, FN 16" in printed
    assert "Missing, counted as empty: 1, first ['10002']" in printed


def test_masks_of_unknown_ids_are_refused(folders):
    write_mask(folders / "predicted" / "99.png", LESION)
    with pytest.raises(ValueError, match=r"ids of the truth. Received: \['99'\]"):
        main(Stage2(predicted=folders / "predicted", truth=folders / "truth"))


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"truth": "nowhere"}, "nowhere must be a folder of PNG files"),
        ({"run": ""}, "--run and --pictures must be given together"),
        ({"run": "", "pictures": ""}, "must be a finished run, with metrics.json"),
        ({"predicted": None}, "--predicted must name the folder"),
    ],
)
def test_faults_end_with_a_message(folders, asked, message):
    paths = {name: value if value is None else folders / value for name, value in asked.items()}
    with pytest.raises((ValueError, OSError), match=message):
        main(Stage2(**{"predicted": folders / "predicted"} | paths))
