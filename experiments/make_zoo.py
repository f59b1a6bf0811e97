r"""The package's own model, made from the open data.

    stroke-tf convert --data ct_ich --out records/ct-ich --size 256
    python -m experiments.make_zoo --records records/ct-ich --out stroke_tf/zoo/ct_ich_haemorrhage \
        --weights efficientnet_lite0_no_top.weights.h5

Cross-validates a U-Net, whose masks say what a slice shows, on CT-ICH alone (Hssayeni et al. 2020,
CC BY 4.0): it is the row `recipe-smoothed` of `experiments.ct_ich_segment`, and runs of it that are
done are kept. Then one more is trained in the same way on all folds: that is the model. Its scores
are those of the cross-validation. Mask rule, score, temperature and operating points are chosen on
what the five networks say of their test slices. The model is saved in 16 bits with card, licence
and checksums. The runs stay in RESULTS; those that were killed continue.

Cost: six trainings of 18 to 23 minutes of a core each.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from data_tools.smoke import smoke_records
from stroke_tf import command
from stroke_tf.manifest import read_manifest
from stroke_tf.runs.presets import CT_ICH_UNET
from stroke_tf.runs.settings import small
from stroke_tf.zoo.shipped import DEFAULT, ZOO

RUN = replace(
    CT_ICH_UNET,
    experiment="ct-ich-segment",
    row="recipe-smoothed-clean",
    encoder=ZOO[DEFAULT].backbone,
)
"""The row that is cross-validated."""
_SMOKE_PARTS = 2


@dataclass(frozen=True)
class MakeZoo:
    """Settings of the shipped model's training.

    Attributes:
        records: Folder of records of CT-ICH.
        out: The folder of the model; new or empty.
        results: Folder of results: the run is kept there.
        weights: Weights that the encoder begins from: imagenet, a file (looked up in
            $STROKE_TF_WEIGHTS too), or None for random.
        outside: Records of another source; what the model scores there is kept in its run.
        epochs: Epochs of training; None: those of the recipe.
        seed: Seed of the training.
        smoke: Only see that everything runs, in small, on phantoms where there are no records.
    """

    records: Path = Path("records/ct-ich")
    out: Path = Path("zoo") / DEFAULT
    results: Path = Path("results")
    weights: str | None = "imagenet"
    outside: Path | None = None
    epochs: int | None = None
    seed: int = 0
    smoke: bool = False


def main(config: MakeZoo) -> int:
    """Trains, calibrates and saves the model; returns the exit code."""
    fit = replace(RUN.fit, seed=config.seed, epochs=config.epochs or RUN.fit.epochs)
    run = replace(RUN, records=config.records, out=config.results, weights=config.weights, fit=fit)
    if config.smoke:
        run = small(replace(run, records=smoke_records((run.records,), out=run.out)[0]))
    elif (layout := read_manifest(run.records).layout) != "ct-ich":
        raise ValueError(f"{run.records} must hold CT-ICH, an open set. Received: layout {layout}")
    from stroke_tf.deploy.calibrate import calibration
    from stroke_tf.deploy.load import load_model
    from stroke_tf.deploy.save_model import save_model
    from stroke_tf.deploy.sources import read_source
    from stroke_tf.reproduce.outside import score_outside
    from stroke_tf.runs.cross_validation import cross_validate
    from stroke_tf.runs.keep_or_run import folder_of, print_result
    from stroke_tf.runs.on_all import run_on_all
    from stroke_tf.runs.other_parts import answers_of_parts
    from stroke_tf.runs.parts import PARTS, parts_of
    from stroke_tf.runs.unet import run_unet

    count = _SMOKE_PARTS if config.smoke else PARTS
    tested, parts = cross_validate(run, run_unet, parts=count), parts_of(run, count)
    whole = replace(run, row=DEFAULT)
    print_result(run_on_all(whole, tested, partial(answers_of_parts, parts, run_unet)))
    if config.outside is not None:
        score_outside(whole, config.outside)
    trained, shipped = folder_of(whole).path, ZOO[DEFAULT]
    learned = read_source(trained).description
    scored: dict[str, Any] = {"mask_rule": learned.mask_rule, "mask_scores": learned.mask_scores}
    answered = [(load_model(folder_of(part).path, **scored), part.test_folds) for part in parts]
    known = calibration(answered, run.records)
    known |= {"limits": shipped.limits, "sources": shipped.sources}
    save_model([trained], config.out, licence=shipped.licence, half=True, **known)
    print(f"{config.out}: {sum(path.stat().st_size for path in config.out.iterdir()) / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    command.run(main, MakeZoo, doc=__doc__)
