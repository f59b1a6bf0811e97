"""A folder as that of the shipped model, of a tiny network that learned nothing."""

from dataclasses import replace

from finished_runs import write_run

from stroke_tf.zoo.shipped import DEFAULT, ZOO

BACKBONE, SIZE = "mobilenet025", 32
POINTS = {"sensitive": 0.1, "specific": 0.9}


def write_shipped(folder):
    """Writes the folder into another one and returns what ZOO says of it."""
    from stroke_tf.config import FitConfig
    from stroke_tf.deploy.save_model import save_model
    from stroke_tf.models.composed import build_composed
    from stroke_tf.runs.settings import UnetRun

    network = build_composed(
        BACKBONE, image_size=SIZE, decoder_filters=(8, 4), slice_head=True, seed=3
    )
    config = UnetRun(
        out=folder / "runs",
        architecture="joint",
        encoder=BACKBONE,
        image_size=SIZE,
        fit=FitConfig(),
    )
    run = write_run(config, network, files={"mask_rule.json": {"threshold": 0.5, "min_area_px": 4}})
    shipped = replace(ZOO[DEFAULT], folder=folder / "shipped", backbone=BACKBONE)
    save_model(
        [run],
        shipped.folder,
        licence=shipped.licence,
        half=True,
        temperatures=(2.0,),
        operating_points=POINTS,
        limits=shipped.limits,
        sources=shipped.sources,
    )
    return shipped
