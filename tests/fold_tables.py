"""folds.csv as conversions leave it, without the records."""

from stroke_tf.files import write_text
from stroke_tf.manifest import FOLDS_NAME, FoldRow, folds_text


def fold_row(source_id, fold, stroke_type, *, patient=None, has_mask=None):
    """Returns a row; a lesion has its mask unless it is said otherwise."""
    has_mask = stroke_type != "NONE" if has_mask is None else has_mask
    patient = patient or f"p-{source_id}"
    return FoldRow(source_id, patient, stroke_type, str(fold), int(has_mask), 1, 1, "", 0)


def write_folds(folder, rows):
    """Writes rows as the folds.csv of a folder, which it returns."""
    write_text(folder / FOLDS_NAME, folds_text(rows))
    return folder
