"""Finished runs as one folder that can be shared: networks, model.json, card, licence, checksums.

Shape of the folder:

    network.keras, or network-1.keras and so on of an ensemble
    model.json       what stands before and after the networks, and what they were trained on
    MODEL_CARD.md    the same for people, with what the model is for and what it is not for
    LICENSE          the model's licence
    SHA256SUMS       of each file: `sha256sum -c SHA256SUMS`

With --half the weights are stored in 16 bits, and the networks half as large.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro

from stroke_tf import command
from stroke_tf.checksums import write_sums
from stroke_tf.files import replacing_folder, write_json, write_text
from stroke_tf.records import Pixels

if TYPE_CHECKING:
    import keras

    from stroke_tf.deploy.description import ModelDescription

CARD_NAME = "MODEL_CARD.md"
LICENCE_NAME = "LICENSE"
NOT_STATED = """The licence of this model is not stated.

Until whoever trained it states one, nobody else has the right to use, change or pass it on. The
licence of the code that made it covers the code, not the weights; and the data and the initial
weights that it learned from have terms of their own, which a licence must respect.
"""


@dataclass(frozen=True)
class SaveConfig:
    """Settings of one folder to share.

    Attributes:
        runs: Folders of finished runs, folders saved before, or .keras files; several become an
            ensemble.
        out: The folder to write; new or empty.
        pixels: What the models were trained on, where they do not say so: 8-bit grey or HU.
        licence: Text file of the model's licence. Without it the folder says that none is stated:
            nobody but who trained a model, and knows the terms of its data, can choose one.
        half: Store the weights as float16; they are float32 again once they are loaded.
    """

    runs: tyro.conf.Positional[tuple[Path, ...]]
    out: Path
    pixels: Pixels | None = None
    licence: Path | None = None
    half: bool = False


def main(settings: SaveConfig) -> int:
    """Saves the model and prints what it is; returns the exit code of success."""
    stated: dict[str, Any] = {"pixels": settings.pixels} if settings.pixels else {}
    saved = save_model(
        settings.runs, settings.out, licence=settings.licence, half=settings.half, **stated
    )
    print(
        f"{settings.out}: task {saved.task}, networks {len(saved.networks)}, pixels {saved.pixels}"
    )
    if settings.licence is None:
        print("Its licence is not stated: nobody else may use it until --licence FILE states one")
    return 0


def save_model(
    paths: Sequence[Path | str],
    out: Path,
    *,
    licence: Path | None = None,
    half: bool = False,
    **known: Any,
) -> ModelDescription:
    """Writes models as one folder, whole or not at all; `load_model` reads it.

    The networks are saved whole and uncompiled, without what only training needs.

    Args:
        paths: As for `load_model`.
        out: The folder; new or empty.
        licence: Text file of the model's licence; None: the folder says that it is not stated.
        half: Whether weights are stored as float16, see `save_network`.
        known: Fields of the description, as for `load_model`.

    Returns:
        What model.json says.

    Raises:
        FileNotFoundError: If a model or the licence is not there.
        OSError: If the folder cannot be written.
        ValueError: If a model cannot be loaded, several do not fit together, or `out` holds
            something.
    """
    # Here, so that --help answers at once.
    from stroke_tf.deploy.card import model_card
    from stroke_tf.deploy.load import read_model
    from stroke_tf.deploy.sources import DESCRIPTION_NAME, file_of

    terms = NOT_STATED if licence is None else licence.read_text(encoding="utf-8")
    with replacing_folder(out) as folder:
        description, networks = read_model(paths, **known)
        files = tuple(file_of(path) for path in _save_networks(networks, folder, half=half))
        description = dataclasses.replace(description, networks=files)
        write_json(folder / DESCRIPTION_NAME, description.to_json())
        write_text(folder / CARD_NAME, model_card(description, is_licensed=licence is not None))
        write_text(folder / LICENCE_NAME, terms)
        write_sums(folder)
    return description


def _save_networks(networks: Sequence[keras.Model], folder: Path, *, half: bool) -> list[Path]:
    from stroke_tf.deploy.network_file import save_network

    names = ["network"]
    if len(networks) > 1:
        names = [f"network-{number}" for number in range(1, len(networks) + 1)]
    paths = [folder / f"{name}.keras" for name in names]
    for network, path in zip(networks, paths, strict=True):
        save_network(network, path, half=half)
    return paths


if __name__ == "__main__":
    command.run(main, SaveConfig, doc=__doc__)
