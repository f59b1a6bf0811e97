"""Where initial weights come from: nowhere, a download, or a file. Builds no network."""

from __future__ import annotations

import contextlib
import os
import textwrap
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from stroke_tf.config import WEIGHTS_FOLDER

Weights = Literal["imagenet"] | str | Path | None
"""None for random weights, "imagenet" for a download, or a file."""


def resolve_weights(weights: Weights) -> Path | str | None:
    """Returns None and "imagenet" as they are, and the path of an existing file otherwise.

    A bare file name that is not in the current folder is looked up in the folder that the
    environment variable STROKE_TF_WEIGHTS names.

    Raises:
        FileNotFoundError: If there is no such file.
    """
    if weights is None or weights == "imagenet":
        return weights
    path = Path(weights).expanduser()
    folder = os.environ.get(WEIGHTS_FOLDER)
    places = [path]
    if folder and path.name == str(path):
        places.append(Path(folder) / path)
    for place in places:
        if place.is_file():
            return place
    raise FileNotFoundError(
        '`weights` must be None, "imagenet" or an existing file (a bare name is also looked up in '
        f"the folder named by {WEIGHTS_FOLDER}, now {folder or 'unset'}). "
        f"Received: {str(weights)!r}; looked at: {', '.join(str(place) for place in places)}"
    )


@contextlib.contextmanager
def weight_errors(weights: Path | str | None, *, network: str) -> Iterator[None]:
    """Context that turns whatever goes wrong while weights are loaded into one short error.

    That a part of the file has no layer, which Keras only warns of, is an error too.

    Args:
        weights: What `resolve_weights` gave.
        network: Name of the network they are for.

    Raises:
        OSError: If the ImageNet weights cannot be downloaded.
        ValueError: If the file does not hold weights of this network.
    """
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("error", message="Skipping nested container")
            yield
    except Exception as error:  # Keras raises a bare Exception when a download fails
        if weights is None:
            raise
        if weights == "imagenet":
            raise OSError(
                f"The ImageNet weights of {network} must be downloaded, which failed. Choices: "
                f'weights=None (random), weights="imagenet" (needs a network) or weights=<file>. '
                f"Received: {error}"
            ) from error
        raise ValueError(
            f"{weights}: must hold weights of {network} without its top. Received: another file or "
            f"those of another network ({first_sentence(error)})"
        ) from error


def first_sentence(error: Exception) -> str:
    """Returns how an error begins; Keras goes on with a list of all layers."""
    return textwrap.shorten(str(error).partition("\n")[0].split(". ")[0], 160)
