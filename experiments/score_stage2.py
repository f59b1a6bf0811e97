r"""Draws stage-2 masks by a trained U-Net and scores them by the rule of the competition.

    stroke-tf score-stage2 --predicted masks --truth TRAINING/ISKEMI/MASK \
        --run results/unet/mobilenetv2-s0 --pictures TRAINING/ISKEMI/PNG

Masks are PNG files named by the id of their slice. Without --run those in PREDICTED are scored;
without --truth masks are drawn and not scored. A mask missing from PREDICTED counts as empty.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from data_tools.smoke import smoke_records
from stroke_tf import command
from stroke_tf.runs.settings import UnetRun, small

if TYPE_CHECKING:
    from stroke_tf.evaluation.teknofest import Stage2Score

EXPERIMENT = "score-stage2"


@dataclass(frozen=True)
class Stage2:
    """Settings of the stage-2 masks and their score.

    Attributes:
        predicted: Folder of predicted masks; with --smoke a folder of results.
        truth: Folder of true masks.
        run: Folder of a finished U-Net run that draws the masks of PICTURES into PREDICTED.
        pictures: Folder of the pictures of the slices, PNG.
        kernel: Odd side of the square that the truth is dilated and eroded with, pixels; the
            organisers do not give it.
        smoke: Only see that everything runs: a small U-Net draws phantoms.
    """

    predicted: Path | None = None
    truth: Path | None = None
    run: Path | None = None
    pictures: Path | None = None
    kernel: int = 3
    smoke: bool = False


def draw_masks(run: Path, pictures: Path, predicted: Path) -> int:
    """Draws a mask for each picture of a folder; returns their number.

    The run is a finished one of a U-Net, whose mask rule and test-time mirroring are used.

    Raises:
        FileNotFoundError: If there is no such run or there are no pictures.
        ValueError: If a picture is no whole grey picture, or the run is not finished, draws no
            masks, or learned from HU.
    """
    from stroke_tf.deploy.load import load_model
    from stroke_tf.deploy.sources import read_source
    from stroke_tf.reading.mask_pictures import files_by_id, write_mask
    from stroke_tf.reading.pictures import decode_grey

    model = load_model(run, mirror=read_source(run).description.mirror)
    files = files_by_id(pictures)
    images = (decode_grey(path.read_bytes(), name=path.name) for path in files.values())
    for source_id, said in zip(files, model.predict(images), strict=True):
        if said.mask is None:
            raise ValueError(f"{run} must draw masks. Received: a {model.description.task} run")
        write_mask(predicted / f"{source_id}.png", said.mask)
    return len(files)


def score_folders(
    truth: Path, predicted: Path, *, kernel: int = 3
) -> tuple[Stage2Score, list[str]]:
    """Scores a folder of masks; returns the score and the ids without a predicted mask.

    A missing mask counts as empty; for the kernel see `score_stage2`.

    Raises:
        FileNotFoundError: If a folder holds no PNG.
        ValueError: If a mask is predicted for an id that the truth does not have, two masks
            differ in shape, a file is no mask, or `kernel` is not odd.
    """
    import numpy as np

    from stroke_tf.evaluation.teknofest import score_stage2
    from stroke_tf.reading.mask_pictures import files_by_id, read_mask

    true_files, drawn_files = files_by_id(truth), files_by_id(predicted)
    if strangers := [source_id for source_id in drawn_files if source_id not in true_files]:
        raise ValueError(f"masks must be of ids of the truth. Received: {strangers[:5]}")

    def drawn(source_id: str) -> np.ndarray:
        if source_id in drawn_files:
            return read_mask(drawn_files[source_id])
        return np.zeros_like(read_mask(true_files[source_id]))

    truths = (read_mask(path) for path in true_files.values())
    score = score_stage2(truths, map(drawn, true_files), kernel=kernel)
    return score, [source_id for source_id in true_files if source_id not in drawn_files]


def main(config: Stage2) -> int:
    """Draws and scores what is asked for; returns the exit code."""
    if config.smoke:
        config = _smoke(config)
    if (config.run is None) != (config.pictures is None):
        raise ValueError("--run and --pictures must be given together")
    if config.predicted is None:
        raise ValueError("--predicted must name the folder of predicted masks. Received: none")
    if config.run and config.pictures:
        count = draw_masks(config.run, config.pictures, config.predicted)
        print(f"{count} masks are in {config.predicted}")
    if config.truth:
        _print(*score_folders(config.truth, config.predicted, kernel=config.kernel), config)
    return 0


def _smoke(config: Stage2) -> Stage2:
    """Trains a small U-Net on phantoms and asks for its masks of the second test session."""
    from stroke_tf.runs.keep_or_run import folder_of
    from stroke_tf.runs.unet import run_unet

    out = config.predicted or Path("results")
    (records, *_) = smoke_records((), out=out)
    run = small(UnetRun(records, out, EXPERIMENT))
    run_unet(run)
    folder = folder_of(run).path
    session = records.parent / "slices" / "YarismaVeriSeti_2_Oturum"
    return replace(
        config,
        run=folder,
        predicted=folder / "masks",
        pictures=session / "PNG",
        truth=session / "MASK",
    )


def _print(score: Stage2Score, missing: list[str], config: Stage2) -> None:
    counts = score.counts
    print(f"Stage-2 score {score.score:.4f}, kernel {config.kernel}")
    print(f"Pixels: TP {counts.tp}, FP {counts.fp}, FN {counts.fn}")
    if missing:
        print(f"Missing, counted as empty: {len(missing)}, first {missing[:5]}")


if __name__ == "__main__":
    command.run(main, Stage2, doc=__doc__)
