"""P values of the comparisons of one table, corrected for their number. Knows no audit."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

HOLM = "(Holm)"
"""End of the name of a column of p values; NaN stands where nothing is compared."""
SIGNIFICANT = 0.05
"""A corrected p value below this makes a warning."""


def corrected(table: pd.DataFrame) -> pd.DataFrame:
    """Returns a table whose p values, of all its columns together, are corrected by Holm."""
    from stroke_tf.evaluation.comparisons import holm  # half a second, not needed for a kept page

    columns = [str(name) for name in table if str(name).endswith(HOLM)]
    p_values = table[columns].to_numpy(float)
    adjusted = np.reshape(holm(p_values.ravel().tolist()), p_values.shape)
    return table.assign(**dict(zip(columns, adjusted.T, strict=True)))


def note_of(columns: Sequence[str], rows: Iterable[Sequence[Any]], *, resamples: int) -> str:
    """Returns for how many comparisons a table is corrected; empty where it has no p value.

    Args:
        columns: Names of its columns.
        rows: Its cells; None where nothing is compared.
        resamples: Number of resamples that its p values are of.
    """
    places = [at for at, name in enumerate(columns) if name.endswith(HOLM)]
    n = sum(row[at] is not None for row in rows for at in places)
    if not n:
        return ""
    text = (
        f"p values are two-sided, and corrected by Holm for the {n} comparison{'s' * (n > 1)} of "
        "this table."
    )
    if n * 2 / (resamples + 1) < SIGNIFICANT:
        return text
    needed = round(n * 2 / SIGNIFICANT)
    return (
        f"{text} Of {resamples} resamples none can be below {SIGNIFICANT}: take {needed} or more, "
        "or nothing in it is warned of."
    )
