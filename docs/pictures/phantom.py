"""The picture of the front page: phantom slices, their lesions, what the demo drew, a Grad-CAM.

    stroke-tf demo
    python docs/pictures/phantom.py results

Shown are the test slices of the demo's U-Net with the median Dice of each kind of stroke. The
Grad-CAM is of the same network: what made it draw the lesion.
"""

import sys
from pathlib import Path

import cv2
import pandas as pd
from matplotlib.figure import Figure

from stroke_tf import load_model, predict_masks
from stroke_tf.deploy.visit import explain
from stroke_tf.labels import LESION_CLASSES, StrokeType
from stroke_tf.reading.inputs import find_inputs

COLOURS = {StrokeType.ISCHEMIA: "#55a8ff", StrokeType.HEMORRHAGE: "#3ee06f"}
NAMES = {StrokeType.ISCHEMIA: "ischaemia", StrokeType.HEMORRHAGE: "haemorrhage"}


def median_slice(run: Path, kind: StrokeType) -> str:
    """Returns the id of the test slice of a kind with the median Dice."""
    frame = pd.read_csv(run / "predictions.csv", dtype={"id": str})
    tp, fp, fn = (frame[f"{kind.name.lower()}_{cell}"] for cell in ("tp", "fp", "fn"))
    dice = (2 * tp / (2 * tp + fp + fn))[tp + fn > 0].sort_values(kind="stable")
    return str(frame["id"][dice.index[len(dice) // 2]])


def main(results: Path) -> None:
    """Writes phantom.png beside this file."""
    run = results / "demo" / "unet-s0"
    (phantoms,) = (results / "demo-data").glob("phantom-*")
    model = load_model(run)
    figure = Figure(figsize=(9, 4.9), layout="constrained", facecolor="white")
    for row, kind in zip(figure.subplots(2, 4), LESION_CLASSES, strict=True):
        (path,) = (phantoms / "TRAINING").glob(f"*/DICOM/{median_slice(run, kind)}.dcm")
        (truth,) = (phantoms / "TRAINING").glob(f"*/MASK/{path.stem}.png")
        hounsfield = find_inputs([path]).series[0].slices[0].read().pixels
        lesion = cv2.imread(str(truth)).any(axis=-1)
        predicted = predict_masks(model, hounsfield)
        for axes in row:
            axes.imshow(hounsfield, cmap="gray", vmin=0, vmax=80)
            axes.set_axis_off()
        row[0].set_title(f"phantom, {NAMES[kind]}", fontsize=10)
        row[1].contour(lesion, levels=[0.5], colors=COLOURS[kind], linewidths=1.4)
        row[1].set_title("truth", fontsize=10)
        for drawn, colour in COLOURS.items():
            if (predicted == drawn).any():
                row[2].contour(predicted == drawn, levels=[0.5], colors=colour, linewidths=1.4)
        row[2].set_title("prediction", fontsize=10)
        heat = explain(model, hounsfield)
        row[3].imshow(heat, cmap="inferno", alpha=0.75 * heat)
        row[3].set_title("Grad-CAM", fontsize=10)
    figure.savefig(Path(__file__).with_suffix(".png"), dpi=80)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
