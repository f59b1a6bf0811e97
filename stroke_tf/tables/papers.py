"""Every number the two papers print, the counts behind them, and what does not add up.

SAUCIS: the paper of the Sakarya University Journal of Computer and Information Sciences that
compares five classifiers and an improved U-Net. USTH: the report "Segmentation Classification of
Stroke Regions". `docs/explanation/papers.md` tells the same in prose. Knows nothing of how models
are trained.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from stroke_tf.evaluation.intervals import UNDEFINED
from stroke_tf.page import markdown_table
from stroke_tf.tables.published import PublishedCounts, PublishedRow, PublishedTable, compare

if TYPE_CHECKING:
    from stroke_tf.run_folder import RunMetrics

SAUCIS, USTH = "SAUCIS", "USTH"


def _slices(**sizes: int) -> tuple[PublishedRow, ...]:
    return tuple(PublishedRow(name, {"slices": size}) for name, size in sizes.items())


def _rows(columns: str, **rows: tuple[float, ...]) -> tuple[PublishedRow, ...]:
    return tuple(
        PublishedRow(name, dict(zip(columns.split(), values, strict=True)))
        for name, values in rows.items()
    )


def _decoded(
    name: str, columns: str, values: tuple[float, ...], cells: tuple[int, ...], note: str = ""
) -> PublishedRow:
    """Returns a row with its counts: TP, FN, FP and, where it is known, TN."""
    printed = dict(zip(columns.split(), values, strict=True))
    return PublishedRow(name, printed, PublishedCounts(*cells), note)


_MACRO, _TYPE = "precision_macro recall_macro f1_macro", "precision sensitivity f1"

TABLES: dict[str, PublishedTable] = {
    "saucis-t1": PublishedTable(
        "Dataset size after augmentation, 5-fold of original dataset",
        (SAUCIS, "Table 1"),
        _slices(positive=8892, negative=8854),
        (
            "8892 = 4 x 2223 lesion slices and 8854 = 2 x 4427 slices without stroke of the "
            "TEKNOFEST training set: neither is five-fold, as the title says.",
            "The text names a Kaggle set 'Brain MRI dataset' and hospitals as the source of its CT "
            "slices; the sizes are those of the TEKNOFEST set.",
        ),
    ),
    "saucis-t2": PublishedTable(
        "Training, validation, and test data size for comparison",
        (SAUCIS, "Table 2"),
        _slices(train=12422, test=3550, val=1774),
        (
            "The sum is 17746, that of Table 1: the split counts augmented slices. If it was drawn "
            "after augmenting, copies of most test slices were trained on.",
            "The shares are 70, 20 and 10 % for training, test and validation.",
        ),
    ),
    "saucis-t3": PublishedTable(
        "The segmentation model data size for ischemia and hemorrhage",
        (SAUCIS, "Table 3"),
        _slices(ischemia=6780, hemorrhage=6558),
        (
            "6 x 1130 and 6 x 1093 slices of the TEKNOFEST training set.",
            "The text sends the reader to a Figure 11; the last figure is 5.",
        ),
    ),
    "saucis-t4": PublishedTable(
        "Classification model training results for stroke detection",
        (SAUCIS, "Table 4"),
        _rows(
            "train_accuracy val_accuracy train_loss val_loss",
            vgg16=(0.9189, 0.9336, 0.193, 0.227),
            inceptionv3=(0.8793, 0.9152, 0.277, 0.266),
            densenet121=(0.8025, 0.8863, 0.454, 0.399),
            xception=(0.9235, 0.9256, 0.190, 0.198),
            inceptionresnetv2=(0.9052, 0.9262, 0.211, 0.234),
        ),
        (
            "Training and validation only: the 3550 test slices of Table 2 are not scored here.",
            "Every model is better on validation than in training, as with dropout and "
            "augmentation while training, or with copies of the validation slices among those "
            "trained on; for three of the five the validation loss is nevertheless the higher one.",
            "The paper says DenseNet without its depth; densenet121 is our reading.",
        ),
    ),
    "saucis-t5": PublishedTable(
        "Classification result parameters for detecting the stroke",
        (SAUCIS, "Table 5"),
        _rows(
            "accuracy_negative precision_recall_negative f1_negative "
            "accuracy_positive precision_recall_positive f1",
            vgg16=(0.92, 0.96, 0.94, 0.95, 0.94, 0.92),
            inceptionv3=(0.81, 0.92, 0.87, 0.97, 0.83, 0.85),
            densenet121=(0.72, 0.93, 0.86, 0.98, 0.72, 0.80),
            xception=(0.91, 0.91, 0.90, 0.96, 0.90, 0.92),
            inceptionresnetv2=(0.92, 0.92, 0.95, 0.94, 0.88, 0.94),
        ),
        (
            "Three columns for accuracy, precision, recall and F1: 'Precision-Recall' is one of "
            "them. Each line is its class alone; f1 is that of the positive class.",
            "Read as precision and recall, in either order, the first two columns contradict the "
            "F1 beside them in six of ten cells, rounding allowed: both of DenseNet and "
            "InceptionResNetV2, the positive class of VGG16 and InceptionV3.",
            "Nor do the four ratios of any model fit one confusion matrix, in either order and "
            "for any share of stroke slices. The table is quoted, no more.",
            "Which of the three parts of Table 2 was scored is not said.",
        ),
    ),
    "saucis-t6": PublishedTable(
        "Improved UNet segmentation results for IOU metric to detect ischemia and hemorrhage",
        (SAUCIS, "Table 6"),
        _rows(
            "train_accuracy val_accuracy lesion_iou train_loss val_loss",
            **{"improved-unet": (0.8825, 0.8125, 0.6505, 0.2125, 0.2397)},
        ),
        (
            "IoU = D / (2 - D) and Dice loss = 1 - D: the training loss 0.2125 gives an IoU of "
            "0.649, the validation loss 0.2397 one of 0.613. The printed 0.6505 is therefore of "
            "training, the abstract's 60 % rather of validation.",
            "Whether the background counts, and how classes and slices are averaged, is not said.",
            "Accuracy can hardly be that of all pixels: an empty mask would score higher.",
        ),
    ),
    "saucis-text": PublishedTable(
        "Results named in the abstract and introduction",
        (SAUCIS, "abstract"),
        (
            PublishedRow("vgg16", {"accuracy": 0.94}),
            PublishedRow("improved-unet", {"lesion_iou": 0.60}),
        ),
        ("VGG16's 94 % is not the validation accuracy of Table 4, 0.9336, which rounds to 93 %.",),
    ),
    "usth-data": PublishedTable(
        "Dataset exploration",
        (USTH, "II-A"),
        _slices(all=6951, none=4557, stroke=2394, **{"phase 1 test": 100}, **{"phase 2 test": 100}),
        (
            "6951 is the training set of 6650 slices (4427 none, 2223 stroke) with both test "
            "sessions, 301 slices (130 none, 171 stroke). The report calls all of it training set.",
            "Table I scores 200 slices, not 100, and its 130 negatives are as many as both test "
            "sessions have. If 6951 slices were trained on, the test slices were among them.",
        ),
    ),
    "usth-t1": PublishedTable(
        "Comparison of Model Performance Metrics (Phase 1 Detection)",
        (USTH, "Table I"),
        (
            _decoded(
                "efficientnetv2b0",
                _MACRO,
                (0.9815, 0.9643, 0.9720),
                (65, 5, 0, 130),
                "The text: 5 strokes missed, no false alarm. That fixes 70 strokes among 200.",
            ),
            _decoded(
                "resnet50",
                _MACRO,
                (0.9435, 0.9242, 0.9327),
                (61, 9, 3, 127),
                "The text says ResNet-18.",
            ),
            _decoded("cnn-detect", _MACRO, (0.9490, 0.9104, 0.9256), (58, 12, 1, 129)),
            _decoded("efficientnetb0", _MACRO, (0.9322, 0.9027, 0.9149), (58, 12, 3, 127)),
            _decoded(
                "mobilenetv2",
                "precision_weighted recall_weighted f1_weighted",
                (0.9117, 0.9100, 0.9082),
                (56, 14, 4, 126),
                "Weighted averages, unlike the other rows; the recall is the accuracy.",
            ),
        ),
        (
            "Precision, recall and F1 are averages over both classes, stroke and no stroke: the "
            "best model's 'recall 96.43' is a stroke sensitivity of 92.86 %.",
            "Of the five only EfficientNetV2B0 reaches a stroke recall of 88 %, the goal of III-A; "
            "the averages of all five do.",
            "Among 70 strokes and 130 negatives each row has one confusion matrix, and for one "
            "kind of average only.",
        ),
    ),
    "usth-t2": PublishedTable(
        "Comparison of Model Performance Metrics (Phase 2 Classification)",
        (USTH, "Table II"),
        (
            _decoded("cnn-type", _TYPE, (0.9860, 0.9635, 0.9746), (211, 8, 3)),
            _decoded("efficientnetv2b0", _TYPE, (0.9720, 0.9498, 0.9607), (208, 11, 6)),
            _decoded(
                "resnet18",
                _TYPE,
                (0.9845, 0.9052, 0.9432),
                (191, 20, 3),
                "Pretrained. 211 haemorrhages instead of 219: scored on another split.",
            ),
        ),
        (
            "Haemorrhage is the positive class and alone counted, unlike in Table I.",
            "219 is 20 % of 1093 haemorrhages (twice the counts would print the same). Ischaemias "
            "rightly named are in no printed ratio.",
            "Scored on the validation slices that training was watched on.",
        ),
    ),
    "usth-t3": PublishedTable(
        "Comparison of Model Performance Metrics (Phase 2 Segmentation)",
        (USTH, "Table III"),
        _rows("sm_f1 sm_iou", resnet50=(0.6554, 0.55), efficientnetb3=(0.52, 0.43)),
        (
            "0.6554 is the training value; validation peaked at 0.6503.",
            "Scores of segmentation_models: means over three classes, background included, over "
            "batches of 2, of probabilities that are not thresholded. What a class scores that a "
            "batch lacks depends on smoothing, so they say little about lesions.",
            "Each IoU is above F1 / (2 - F1), as means over classes and batches can be and one "
            "overlap cannot.",
        ),
    ),
    "usth-text": PublishedTable(
        "Results named in the abstract",
        (USTH, "abstract"),
        (
            PublishedRow("efficientnetv2b0", {"recall_macro": 0.9643}, note="Task: detection."),
            PublishedRow("cnn-type", {"sensitivity": 0.9635}, note="Task: type."),
            PublishedRow("resnet50", {"sm_f1": 0.6503}, note="Task: segmentation, validation."),
        ),
        (
            "A macro average, the recall of one class and a mean with background are set side by "
            "side as if they were one kind of number.",
        ),
    ),
}
"""The printed numbers, by paper and table."""


def comparison_table(
    table_key: str, results: Mapping[str, RunMetrics], *, metrics: Sequence[str] | None = None
) -> str:
    """Returns a Markdown table of a paper's numbers and ours, and the notes on the paper's.

    Args:
        table_key: A key of TABLES.
        results: Our runs by row name, those of rows the paper does not have last. All of one
            protocol: make one table for each.
        metrics: Names of the columns; those the paper prints if None. A number the paper does
            not print is taken from its decoded counts where they give it.

    Raises:
        ValueError: If the key is unknown or the runs are of different protocols.
    """
    if table_key not in TABLES:
        raise ValueError(f"`table_key` must be one of {list(TABLES)}. Received: {table_key!r}")
    protocols = sorted({run.protocol for run in results.values()})
    if len(protocols) > 1:
        raise ValueError(f"`results` must be of one protocol. Received: {protocols}")
    table = TABLES[table_key]
    rows = {row.name: row for row in table.rows}
    columns = metrics or list(dict.fromkeys(name for row in rows.values() for name in row.values))
    lines = [
        _line(rows.get(name, PublishedRow(name, {})), results.get(name), columns)
        for name in dict.fromkeys((*rows, *results))
    ]
    notes = [*table.notes, *(f"{row.name}: {row.note}" for row in table.rows if row.note)]
    cells = (
        f"Cells: {' '.join(table.source)} / ours (ours - paper) [95 % interval]; † from counts "
        "decoded from what the paper prints; – not given."
    )
    shown = markdown_table(("row", "protocol", "seed", "n", *columns), lines)
    return f"{shown}\n\n{cells}\n" + "".join(f"\n- {note}" for note in notes)


def _line(row: PublishedRow, run: RunMetrics | None, columns: Sequence[str]) -> list[str]:
    decoded = row.counts.metrics() if row.counts else {}
    cells = [
        compare(
            row.values.get(name, decoded.get(name)),
            run.metrics.get(name, UNDEFINED) if run else UNDEFINED,
            decoded=name not in row.values,
        )
        for name in columns
    ]
    about = (run.protocol, str(run.seed), str(run.n)) if run else ("–", "–", "–")
    return [row.name, *about, *cells]
