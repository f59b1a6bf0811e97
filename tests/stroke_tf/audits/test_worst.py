from types import SimpleNamespace

import numpy as np
import pandas as pd

from stroke_tf.audits import worst
from stroke_tf.files import write_json
from stroke_tf.manifest import read_folds


def test_a_slice_with_copies_is_drawn_once(clean_records, tmp_path, monkeypatch):
    first, second, *_ = (row.source_id for row in read_folds(clean_records))
    seen = [second, first, first, second]
    pictures = np.zeros((4, 8, 8), np.uint8)
    drawn = SimpleNamespace(ids=seen, images=pictures, truth=pictures, predicted=pictures)
    for name in ("slices_tested", "Predictor", "read_mask_rule", "drawing_of"):
        answer = {} if name == "drawing_of" else None
        monkeypatch.setattr(worst, name, lambda *_, answer=answer, **__: answer)
    monkeypatch.setattr(worst.keras.models, "load_model", lambda *_, **__: None)
    monkeypatch.setattr(worst, "segment_slices", lambda *_, **__: drawn)
    monkeypatch.setattr(worst, "figure_segmentation", lambda *panels: panels[-1])
    settings = {"image_size": 8, "lesions_only": True, "mirror_test": False}
    write_json(tmp_path / "config.json", settings)
    frame = pd.DataFrame({"id": [first, second], "tp": [1, 0], "fp": 0, "fn": [1, 2]})
    titles = worst.draw_worst_masks(frame.assign(truth=True), tmp_path, clean_records)
    assert titles == [f"{second}: Dice 0.00", f"{first}: Dice 0.67"]
