"""The table: the results of all parts together, a row for each peer and kind of mask.

Runs in the interpreter of `stroke_tf`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks._peers import scores
from benchmarks._peers.job import RESULT_NAME
from stroke_tf.files import read_json
from stroke_tf.run_folder import json_of_metrics, metrics_of_json

HEADING = (
    *("budget, CPU min", "peer", "masks", "parts", "patients", "slices", "trained, CPU min"),
    *scores.METRICS.values(),
    "ours ahead by",
)
_TOLD = ("part", "trained", "stopped", "predicted", "prepared", "told", "rule", "settings")


def rows_of(folders: Mapping[str, Sequence[Path]], *, seed: int) -> Iterator[dict[str, Any]]:
    """Yields each row as values that JSON can hold, for one budget.

    Args:
        folders: The folders of each peer, one for each part, of the same parts.
        seed: Seed of the intervals.
    """
    for rule in scores.RULES:
        counts = {peer: scores.read_counts(of_peer, rule) for peer, of_peer in folders.items()}
        for peer, frame in counts.items():
            results = [read_json(folder / RESULT_NAME) for folder in folders[peer]]
            row: dict[str, Any] = {
                **{name: results[0][name] for name in ("minutes", "peer", "parts", "seed")},
                "masks": rule,
                "patients": frame["group"].nunique(),
                "n": len(frame),
                "runs": [{name: result[name] for name in _TOLD} for result in results],
                "metrics": json_of_metrics(scores.metrics(frame, seed=seed)),
            }
            if peer != "ours" and "ours" in counts:
                found = scores.gain(counts["ours"], frame, seed=seed)
                p_value = found.p_value if found.p_value == found.p_value else None
                ahead = json_of_metrics({"lesion_dice": found.difference})
                row["ours_ahead"] = ahead | {"p_value": p_value}
            yield row


def cells_of(row: dict[str, Any]) -> tuple[str, ...]:
    """Returns the cells of a row under `HEADING`."""
    found = metrics_of_json(row["metrics"])
    spent = [run["trained"]["cpu_minutes"] for run in row["runs"]]
    ahead = ""
    if "ours_ahead" in row:
        dice = {"it": row["ours_ahead"]["lesion_dice"]}
        ahead = metrics_of_json(dice)["it"].text(sign=True)
    parts = f"{len(row['runs'])} of {row['parts']}"
    known = (row["peer"], row["masks"], parts, row["patients"], row["n"])
    return (
        f"{row['minutes']:g}",
        *map(str, known),
        f"{sum(spent) / len(spent):.1f}",
        *(found[name].text() for name in scores.METRICS),
        ahead,
    )
