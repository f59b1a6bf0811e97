"""The file of ImageNet weights that each network starts from; so the names of all networks, too.

Imports nothing heavy: names are checked by it before TensorFlow is loaded.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from stroke_tf.config import WEIGHTS_FOLDER, Architecture, LibraryArchitecture
from stroke_tf.machine import keras_folder


@dataclass(frozen=True)
class ImagenetFile:
    """One file, as its library names it.

    Attributes:
        name: Its name, for an input of 224 pixels where there are several.
        checksum: MD5 or SHA-256 in hex; empty where the library states none.
        of_index: Whether it is made of a package of the Python package index; others come from the
            site of a library.
    """

    name: str
    checksum: str = ""
    of_index: bool = False


_DIM = "weights_tf_dim_ordering_tf_kernels"
_SMALL = ImagenetFile(f"mobilenet_v2_{_DIM}_1.0_224_no_top.h5")
_VGG16 = ImagenetFile(f"vgg16_{_DIM}_notop.h5", "6d6bbae143d832006294945121d1f1fc")
_INCEPTION = ImagenetFile(f"inception_v3_{_DIM}_notop.h5", "bcbd6486424b2319ff4ef7d526e38f63")
_INCEPTION_RESNET = ImagenetFile(
    f"inception_resnet_v2_{_DIM}_notop.h5", "d19885ff4a710c122648d3b5c3b684e4"
)
_RESNET18 = ImagenetFile("resnet18_imagenet_1000_no_top.h5", "318e3ac0cd98d51e917526c9f62f0b50")


def _efficient(number: int, sha256: str) -> ImagenetFile:
    return ImagenetFile(f"efficientnet-b{number}_{_DIM}_autoaugment_notop.h5", sha256)


def _classification(name: str, md5: str) -> ImagenetFile:
    return ImagenetFile(f"{name}_imagenet_1000_no_top.h5", md5)


_EFFICIENT = (
    "c1421ad80a9fc67c2cc4000f666aa50789ce39eedb4e06d531b0c593890ccff3",
    "75de265d03ac52fa74f2f510455ba64f9c7c5fd96dc923cd4bfefa3d680c4b68",
    "433b60584fafba1ea3de07443b74cfd32ce004a012020b07ef69e22ba8669333",
    "c5d42eb6cfae8567b418ad3845cfd63aa48b87f1bd5df8658a49375a9f3135c7",
    "7942c1407ff1feb34113995864970cd4d9d91ea64877e8d9c38b6c1e0767c411",
    "9d197bc2bfe29165c10a2af8c2ebc67507f5d70456f09e584c71b822941b1952",
    "1d0923bb038f2f8060faaf0a0449db4b96549a881747b7c7678724ac79f427ed",
    "60b56ff3a8daccc8d96edfd40b204c113e51748da657afd58034d54d3cec2bac",
)
"""SHA-256 of the EfficientNets by their number."""

BACKBONE_FILES: dict[str, ImagenetFile] = {
    "mobilenet025": ImagenetFile("mobilenet_2_5_224_tf_no_top.h5"),
    "mobilenetv2": _SMALL,
    "mobilenetv3small": ImagenetFile(
        "weights_mobilenet_v3_small_224_1.0_float_no_top_v2.h5", "d3e8ec802a04aa4fc771ee12a9a9b836"
    ),
    "efficientnetb0": ImagenetFile("efficientnetb0_notop.h5", "50bc09e76180e00e4465e1a485ddc09d"),
    "efficientnetv2b0": ImagenetFile(
        "efficientnetv2-b0_notop.h5", "893217f2bb855e2983157299931e43ff"
    ),
    "efficientnetv2s": ImagenetFile(
        "efficientnetv2-s_notop.h5", "af0682fb74e8c54910f2d4393339c070"
    ),
    **{
        f"efficientnetlite{number}": ImagenetFile(
            f"efficientnet_lite{number}_no_top.weights.h5", of_index=True
        )
        for number in range(3)
    },
    "convnexttiny": ImagenetFile(
        "convnext_tiny_notop.h5", "d547c096cabd03329d7be5562c5e14798aa39ed24b474157cef5e85ab9e49ef1"
    ),
    "resnet18": _RESNET18,
    "resnet50": ImagenetFile(f"resnet50_{_DIM}_notop.h5", "4d473c1dd8becc155b73f8504c6f6626"),
    "vgg16": _VGG16,
    "densenet121": ImagenetFile(f"densenet121_{_DIM}_notop.h5", "30ee3e1110167f948a6b9946edeeb738"),
    "inceptionv3": _INCEPTION,
    "xception": ImagenetFile(f"xception_{_DIM}_notop.h5", "b0042744bf5b25fce3cb969f33bebb97"),
    "inceptionresnetv2": _INCEPTION_RESNET,
}
"""The file of each key of BACKBONES."""

ENCODER_FILES: dict[str, ImagenetFile] = {
    "mobilenet": ImagenetFile("mobilenet_1_0_224_tf_no_top.h5"),
    "mobilenetv2": _SMALL,
    **{f"efficientnetb{size}": _efficient(size, sha256) for size, sha256 in enumerate(_EFFICIENT)},
    "resnet18": _RESNET18,
    "resnet34": _classification("resnet34", "8caaa0ad39d927cb8ba5385bf945d582"),
    "resnet50": _classification("resnet50", "db3b217156506944570ac220086f09b6"),
    "resnet101": _classification("resnet101", "1016e7663980d5597a4e224d915c342d"),
    "resnet152": _classification("resnet152", "5867b94098df4640918941115db93734"),
    "seresnet18": _classification("seresnet18", "a46e5cd4114ac946ecdc58741e8d92ea"),
    "seresnet34": _classification("seresnet34", "3348fd049f1f9ad307c070ff2b6ec4cb"),
    "resnext50": _classification("resnext50", "7ade5c8aac9194af79b1724229bdaa50"),
    "resnext101": _classification("resnext101", "91fe0126320e49f6ee607a0719828c7e"),
    "seresnet50": _classification("seresnet50", "043777781b0d5ca756474d60bf115ef1"),
    "seresnet101": _classification("seresnet101", "1c373b0c196918713da86951d1239007"),
    "seresnet152": _classification("seresnet152", "f58d4c1a511c7445ab9a2c2b83ee4e7b"),
    "seresnext50": _classification("seresnext50", "b0f23d2e1cd406d67335fb92d85cc279"),
    "seresnext101": _classification("seresnext101", "e48708cbe40071cc3356016c37f6c9c7"),
    "senet154": _classification("senet154", "d854ff2cd7e6a87b05a8124cd283e0f2"),
    "vgg16": _VGG16,
    "vgg19": ImagenetFile(f"vgg19_{_DIM}_notop.h5", "253f8cb515780f3b799900260a226db6"),
    "inceptionv3": _INCEPTION,
    "inceptionresnetv2": _INCEPTION_RESNET,
}
"""The file of each key of ENCODERS."""


def check_encoder(encoder: str, *, architecture: Architecture) -> None:
    """Checks that an architecture can stand on an encoder.

    Raises:
        ValueError: If it cannot; names the architectures that can, or else the encoders.
    """
    composed, library = ("composed", "joint"), get_args(LibraryArchitecture)
    known, others, elsewhere = ENCODER_FILES, BACKBONE_FILES, composed
    if architecture in composed:
        known, others, elsewhere = BACKBONE_FILES, ENCODER_FILES, library
    if encoder in known:
        return
    if encoder in others:
        raise ValueError(
            f"`encoder` {encoder} needs `architecture` {', '.join(elsewhere[:-1])} or "
            f"{elsewhere[-1]}. Received: {architecture}"
        )
    raise ValueError(f"`encoder` must be one of {sorted(known)}. Received: {encoder!r}")


def places() -> list[Path]:
    """Returns the folders where files are looked for: that of STROKE_TF_WEIGHTS, then Keras'."""
    folder = os.environ.get(WEIGHTS_FOLDER)
    return [*([Path(folder)] if folder else []), keras_folder()]


def found(file: ImagenetFile) -> list[Path]:
    """Returns where a file is."""
    return [path for folder in places() if (path := folder / file.name).is_file()]
