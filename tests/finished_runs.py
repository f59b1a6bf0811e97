"""Folders as finished runs leave them, of tiny networks that learned nothing."""

import keras
import pandas as pd

from stroke_tf.deploy.sources import file_of
from stroke_tf.evaluation.intervals import Metric
from stroke_tf.run_folder import DATA_NAME, RunMetrics
from stroke_tf.runs.keep_or_run import folder_of, settings_of

SIZE = 32
SPLIT = {"train": (0, 1, 2, 3, 4, 5, 6, 7), "val": (8,), "test": (9,)}


def tiny_network(answers, *, seed=0, size=SIZE):
    """Returns a network that gives a "score", a "mask", or "both" as a joint network does."""
    keras.utils.set_random_seed(seed)
    images = keras.Input((size, size, 3), name="image")
    x = keras.layers.Rescaling(1 / 255)(images)
    x = keras.layers.Conv2D(4, 5, padding="same", activation="relu")(x)
    mask = keras.layers.Conv2D(3, 5, padding="same", activation="softmax", name="mask")(x)
    if answers == "mask":
        return keras.Model(images, mask)
    pooled = keras.layers.Flatten()(keras.layers.AveragePooling2D(8)(x))
    if answers == "score":
        return keras.Model(images, keras.layers.Dense(1, activation="sigmoid")(pooled))
    named = keras.layers.Dense(3, activation="softmax", name="slice")(pooled)
    return keras.Model(images, {"mask": mask, "slice": named})


def write_run(config, network, *, pixels="gray8", threshold=None, files=None, predictions=None):
    """Writes the folder of a finished run and returns its path.

    Args:
        config: A ClassifierRun or UnetRun.
        network: The network to save.
        pixels: Kind of pixels in the records.
        threshold: As in metrics.json.
        files: Values by the name of their JSON file, such as operating_point.json.
        predictions: Answers on the test slices, id first; None writes one made-up answer.
    """
    folder, sha256 = folder_of(config), "ab" * 32
    data = {"layout": "phantom", "pixels": pixels, "size": 64, "grouping": "patient"}
    data |= {"augmented": "none", "records": 96, "classes": {"NONE": 64, "ISCHEMIA": 32}}
    with folder.opened(settings_of(config), data_manifest_sha256=sha256):
        network.save(folder.model)
        assert file_of(folder.model).bytes > 1000
        metrics = RunMetrics(
            experiment=folder.experiment,
            row=folder.row,
            seed=folder.seed,
            protocol="clean",
            split=SPLIT,
            n=48,
            threshold=threshold,
            metrics={
                "roc_auc": Metric(0.75, 0.625, 0.875),
                "sensitivity": Metric(float("nan"), float("nan"), float("nan")),
            },
            wall_seconds=12.0,
            data_manifest_sha256=sha256,
        )
        if predictions is None:
            predictions = pd.DataFrame({"id": ["7"], "truth": [1], "score": [0.5]})
        folder.finish(metrics, predictions, figures={}, files={**(files or {}), DATA_NAME: data})
    return folder.path
