"""A model without a network, for tests of what stands around it. Needs no TensorFlow."""

import itertools
import time
from types import SimpleNamespace

import numpy as np

from stroke_tf.deploy.description import ModelDescription, NetworkFile
from stroke_tf.evaluation.mask_rule import MaskRule


class ScriptedModel:
    """Takes what is brighter than 200 (above 100 HU) for haemorrhage; counts what it sees.

    Its score is the share of such pixels in the slice, times ten; above 0.5 a slice is positive.
    """

    mirror = False

    def __init__(self, *, seconds=0.0, name="a", **described):
        given = {
            "task": "joint",
            "image_size": 64,
            "pixels": "gray8",
            "windows": ((40, 80),),
            "threshold": 0.5,
            "mask_rule": MaskRule(0.5, 4),
            "networks": (NetworkFile(f"{name}.keras", name * 64, 100),),
        }
        self.description = ModelDescription(**(given | described))
        self.seconds, self.seen = seconds, 0

    def predict(self, images, *, series=False, batch_size=8):
        images = iter(images)
        while batch := list(itertools.islice(images, batch_size)):
            time.sleep(self.seconds)
            yield from map(self._answer, batch)

    def notes_for(self, pixels, *, series=True):
        return ("HU were made 8-bit grey",) if pixels == "hu16" else ()

    def _answer(self, image):
        self.seen += 1
        bright = image > (100 if image.dtype == np.int16 else 200)
        score = min(1.0, 10 * float(bright.mean()))
        draws = self.description.draws_masks
        return SimpleNamespace(
            scores={"no stroke": 1 - score, "ischaemia": 0.0, "haemorrhage": score}
            if draws
            else {"stroke": score},
            spread={},
            positive=score >= 0.5,
            mask=(2 * bright).astype(np.uint8) if draws else None,
            lesion_prob=None,
        )
