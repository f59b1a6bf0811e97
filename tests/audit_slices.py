"""Drawn heads for audits: only a lesion tells the classes apart, unless a test plants a cue."""

import cv2
import numpy as np

SIZE = 64
PATIENTS, SLICES = 20, 4


def drawn_head(random, *, lesion):
    """Returns a head of its own shape, place and grain, uint8, shape (64, 64)."""
    image = np.zeros((SIZE, SIZE), np.float32)
    centre = tuple(int(value) for value in 32 + random.integers(-3, 4, 2))
    axes = tuple(int(value) for value in (20, 24) + random.integers(-2, 3, 2))
    angle = float(random.uniform(-15, 15))
    cv2.ellipse(image, centre, axes, angle, 0, 360, 110, -1)
    image += random.normal(0, 6, image.shape) * (image > 0)
    if lesion:
        at = tuple(int(value) for value in np.array(centre) - random.integers(2, 8, 2))
        cv2.circle(image, at, 7, 190, -1)
    cv2.ellipse(image, centre, axes, angle, 0, 360, 250, 2)
    return image.clip(0, 255).astype(np.uint8)


def drawn_slices(seed=0):
    """Returns rows (id, patient, label, image): half the slices of each patient have a lesion."""
    random = np.random.default_rng(seed)
    return [
        (f"{patient}-{number}", f"p{patient}", number % 2, drawn_head(random, lesion=number % 2))
        for patient in range(PATIENTS)
        for number in range(SLICES)
    ]


def warnings_of(audited):
    """Returns the texts of the warnings of an audit."""
    return [finding.text for finding in audited.findings if finding.level == "warning"]
