"""The classes and tasks of the package. Knows nothing of files, TensorFlow or models."""

from enum import IntEnum, StrEnum


class StrokeType(IntEnum):
    """The finding on a slice. The first three values are also the class ids of a mask."""

    NONE = 0
    ISCHEMIA = 1
    HEMORRHAGE = 2
    UNSPECIFIED = 3  # a stroke whose type the source does not state (stage-1 label files)


class Task(StrEnum):
    """The question that a model answers. All tasks read the same records."""

    DETECT = "detect"  # stroke no (0) or yes (1), every slice
    TYPE = "type"  # ischaemia (0) or haemorrhage (1), lesion slices only
    SEGMENT = "segment"  # a class id for every pixel, slices whose mask is known


MASK_CLASSES = (StrokeType.NONE, StrokeType.ISCHEMIA, StrokeType.HEMORRHAGE)
LESION_CLASSES = (StrokeType.ISCHEMIA, StrokeType.HEMORRHAGE)

MASK, SLICE = "mask", "slice"
"""Names of the two outputs of a joint network, and keys of the losses, labels and metrics for them:
a class id for every pixel, and one for the slice."""
