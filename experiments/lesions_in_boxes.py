r"""Where a model draws haemorrhage, against the boxes of PHE-SICH, whose blood nobody has drawn.

    python -m experiments.lesions_in_boxes --data phe_sich

Whole series are answered. Of the slices that are labelled haemorrhage and boxed, counted are those
on which something is drawn, and those on which the largest drawn lesion has its centre in the box,
which holds the haematoma and the oedema around it. Cost: some minutes on 2 cores.
OUT/lesions-in-boxes/ gets TABLE.md and slices.csv.
"""

from __future__ import annotations

import csv
import shutil
import sys
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from data_tools.smoke import SMOKE_DATA, smoke_records
from stroke_tf import command
from stroke_tf.files import write_text
from stroke_tf.progress import progress_bar
from stroke_tf.zoo.shipped import DEFAULT

NAME, TABLE = "lesions-in-boxes", "manifest.csv"


@dataclass(frozen=True)
class LesionsInBoxes:
    """The model and the slices.

    Attributes:
        data: Folder with `manifest.csv` and `Patients_CT`.
        out: Folder of results.
        model: Folder of a run or of a saved model, or the name of the shipped one.
        smoke: Only see that everything runs, on two series of phantoms; results are under
            lesions-in-boxes-smoke.
    """

    data: Path = Path("phe_sich")
    out: Path = Path("results")
    model: str = DEFAULT
    smoke: bool = False


def main(config: LesionsInBoxes) -> int:
    """Answers all series, writes the table; returns the exit code."""
    folder = config.out / (f"{NAME}-smoke" if config.smoke else NAME)
    data = _phantoms(config.out, folder / "data") if config.smoke else config.data
    with (data / TABLE).open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    series = defaultdict(list)
    for row in rows:
        series[row["id"].partition("/")[0]].append(row)
    command.quieten_tensorflow()
    import pandas as pd

    from stroke_tf import load_model
    from stroke_tf.data.head_mask import head_mask
    from stroke_tf.evaluation.boxes import against_box, box_metrics, parse_box
    from stroke_tf.evaluation.intervals import INTERVALS
    from stroke_tf.page import markdown_table
    from stroke_tf.reading.pictures import decode_grey

    model = load_model(config.model)
    named, counted = [], []
    with progress_bar() as progress:
        for number, patient in enumerate(sorted(series), start=1):
            slices = sorted(series[patient], key=lambda row: int(row["id"].rpartition("/")[2]))
            paths = [_path(data, row["id"]) for row in slices]
            images = [decode_grey(path.read_bytes(), name=str(path)) for path in paths]
            answers = model.predict(images, series=True)
            for row, image, answer in zip(slices, images, answers, strict=True):
                if answer.mask is None:
                    raise ValueError(f"--model must draw masks. Received: {config.model}")
                if row["label_derived"] == "haemorrhage" and row["boxes_xyxy"]:
                    box = parse_box(row["boxes_xyxy"])
                    counted.append(against_box(answer.mask > 0, head_mask(image) > 0, box))
                    named.append({"id": row["id"], "patient": row["patient"]})
            progress("series", number, len(series))
    frame = pd.concat([pd.DataFrame(named), pd.DataFrame(counted)], axis=1)
    metrics = box_metrics(counted, frame["patient"])
    note = (
        f"{config.model}: {len(frame):,} boxed slices of {frame['patient'].nunique()} patients, "
        f"95 % intervals over patients ({INTERVALS}). drawn: something is drawn; pointed: the "
        "centre of the largest drawn lesion lies in the box; inside: share of drawn pixels in "
        "boxes; chance: share of the head that the box takes."
    )
    table = markdown_table([*metrics], [[metric.text() for metric in metrics.values()]])
    write_text(folder / "TABLE.md", f"{table}\n\n{note}\n")
    write_text(folder / "slices.csv", frame.to_csv(index=False))
    sys.stdout.write(f"{table}\n\n{note}\n")
    return 0


def _path(data: Path, name: str) -> Path:
    patient, _, number = name.partition("/")
    return data / "Patients_CT" / patient / "brain" / f"{number}.png"


def _phantoms(out: Path, data: Path) -> Path:
    """Returns a folder like that of the data set, with phantoms, whose boxes are made up."""
    smoke_records((data,), out=out, copies=())
    lines = ["id,patient,label_derived,boxes_xyxy"]
    pictures = sorted((out / SMOKE_DATA / "slices").rglob("PNG/*.png"))[:8]
    for number, picture in enumerate(pictures):
        name = f"{number // 4}/{number % 4}"
        _path(data, name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(picture, _path(data, name))
        lines.append(f"{name},{number // 4},haemorrhage,24 24 72 72")
    write_text(data / TABLE, "\n".join(lines) + "\n")
    return data


if __name__ == "__main__":
    command.run(main, LesionsInBoxes, doc=__doc__)
