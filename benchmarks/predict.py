"""From PNG slices to mask PNGs: ours beside segmentation_models.pytorch, in one run.

    pip install 'stroke_tf[bench]'
    python -m benchmarks.predict [--encoder mobilenetv2] [--slices 200] [--rounds 3] [--quick]

- ours: `predict_inputs`, as `stroke-tf predict --no-overlays` has it, with OpenVINO: a slice is
  padded and resized as in training, and the probabilities go the way back before pixels become
  classes. It also writes the pictures of the page, the page and the tables.
- torch: `segmentation_models_pytorch.Unet` the plain way, with channels last, the faster layout on
  a CPU: a slice is resized, batches of the same size, softmax and argmax, the mask is resized by
  its nearest neighbour.

Same encoder, decoder widths, size, batch, files and cores, random weights. Each way has a process
of its own; they take turns, each with all slices, the model ready before; medians count. The slices
are those of STROKE_TF_OPEN_DATA/ct_ich as PNGs, else head phantoms. The ratio depends on the
processor (with AVX2 alone both are slower), on the encoder, as the network takes most of the time,
and on the size of the slices, whose reading and writing take the rest.
"""

from __future__ import annotations

import itertools
import json
import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from typing import Literal

import cv2
import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

from stroke_tf.machine import processor, usable_cores

_TORCH_NAMES = {"resnet50": "resnet50", "mobilenetv2": "mobilenet_v2"}
_CLASSES = 3
_COLOURS = np.array([(0, 0, 0), (0, 0, 255), (0, 255, 0)], np.uint8)  # the organisers', in RGB

Turn = Callable[[Sequence[Path], Path], object]
"""Predicts some files and writes masks of the same names into a folder."""


@dataclass(frozen=True)
class Settings:
    """Settings of the benchmark.

    Attributes:
        encoder: Encoder of the U-Net.
        slices: Number of slices.
        size: Side of the network's input in pixels.
        batch: Slices in a batch.
        rounds: Turns of each way.
        cores: Cores that each way may use.
        quick: Take 8 slices of phantoms, 64 pixels, MobileNetV2 and one round.
    """

    encoder: Literal["resnet50", "mobilenetv2"] = "resnet50"
    slices: int = 200
    size: int = 256
    batch: int = 8
    rounds: int = 3
    cores: int = usable_cores()
    quick: bool = False


def main(settings: Settings) -> None:
    """Measures both ways and prints a table and a line of JSON."""
    if settings.quick:
        settings = replace(settings, encoder="mobilenetv2", slices=8, size=64, rounds=1)
    with tempfile.TemporaryDirectory() as folder:
        found = make_slices(Path(folder) / "slices", settings.slices, real=not settings.quick)
        sides = {
            name: _Side(way, settings, Path(folder)) for name, way in WAYS.items() if _can(name)
        }
        for _ in range(settings.rounds):
            for side in sides.values():
                side.take_turn()
        seconds = {name: side.end() for name, side in sides.items()}
    table = Table("", "ms/slice", "s to be ready", title=f"{found}; {processor()}")
    for name, (turn, ready) in seconds.items():
        table.add_row(name, f"{1000 * turn / settings.slices:.1f}", f"{ready:.1f}")
    Console().print(table)
    figures = {f"{name} ms": 1000 * turn / settings.slices for name, (turn, _) in seconds.items()}
    if len(seconds) == len(WAYS):
        figures["ours/torch"] = seconds["ours"][0] / seconds["torch"][0]
    summary = {"name": "predict", "encoder": settings.encoder, "processor": processor()}
    print(json.dumps(summary | {name: float(f"{figure:.3g}") for name, figure in figures.items()}))
    if len(seconds) < len(WAYS):
        print("the other side needs PyTorch: pip install 'stroke_tf[bench]'", file=sys.stderr)


def make_slices(folder: Path, count: int, *, real: bool = True) -> str:
    """Writes PNG slices and returns what they are."""
    folder.mkdir()
    root = Path(os.environ.get("STROKE_TF_OPEN_DATA", "")) / "ct_ich"
    if real and root.is_dir():
        pictures: Iterator[np.ndarray] = _ct_ich(root)
        kind = "slices of CT-ICH"
    else:
        pictures, kind = _phantoms(count), "phantoms"
    for number, picture in enumerate(itertools.islice(pictures, count)):
        cv2.imwrite(str(folder / f"{number:04}.png"), picture)
    written = len(list(folder.iterdir()))
    if written < count:
        raise ValueError(f"{root} must hold {count} slices. Received: {written}")
    return f"{count} {kind}"


def _ct_ich(root: Path) -> Iterator[np.ndarray]:
    for path in sorted(root.glob("Patients_CT/*/brain/*.jpg")):
        if "_HGE_Seg" not in path.name:
            yield cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)


def _phantoms(count: int) -> Iterator[np.ndarray]:
    from data_tools.options import PhantomConfig
    from data_tools.phantom.data_set import make_phantom

    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "phantoms"
        make_phantom(PhantomConfig(out=out, patients=max(4, count // 4), size=512))
        for path in sorted(out.rglob("PNG/*.png")):
            yield cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)


def our_turn(settings: Settings) -> Turn:
    """Returns a prediction of files as this package makes it."""
    from stroke_tf import load_model
    from stroke_tf.deploy.predict import Prediction, predict_inputs
    from stroke_tf.models.unet import build_unet

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.keras"
        build_unet(settings.encoder, classes=_CLASSES, image_size=settings.size).save(path)
        model = load_model(path, pixels="gray8")

    def turn(paths: Sequence[Path], out: Path) -> None:
        options = {"overlays": False, "batch_size": settings.batch}
        predict_inputs(Prediction(inputs=tuple(paths), model=(), out=out, **options), model=model)

    return turn


def torch_turn(settings: Settings) -> Turn:
    """Returns a prediction of files by segmentation_models.pytorch, the plain way."""
    import segmentation_models_pytorch as smp
    import torch

    torch.set_num_threads(settings.cores)
    encoder = _TORCH_NAMES[settings.encoder]
    model = smp.Unet(encoder, encoder_weights=None, classes=_CLASSES).eval()
    model = model.to(memory_format=torch.channels_last)
    side = (settings.size, settings.size)

    @torch.inference_mode()
    def turn(paths: Sequence[Path], out: Path) -> None:
        for names in _batched(paths, settings.batch):
            slices = [cv2.imread(str(name)) for name in names]
            small = [cv2.resize(slice_, side, interpolation=cv2.INTER_AREA) for slice_ in slices]
            images = torch.from_numpy(np.stack(small)).permute(0, 3, 1, 2).float() / 255
            probs = torch.softmax(model(images.to(memory_format=torch.channels_last)), dim=1)
            for name, one, mask in zip(names, slices, probs.argmax(dim=1).numpy(), strict=True):
                height, width = one.shape[:2]
                mask = mask.astype(np.uint8)
                whole = cv2.resize(mask, (width, height), interpolation=cv2.INTER_NEAREST)
                cv2.imwrite(str(out / name.name), _COLOURS[whole][..., ::-1])

    return turn


WAYS: dict[str, Callable[[Settings], Turn]] = {"ours": our_turn, "torch": torch_turn}


def _batched(paths: Sequence[Path], count: int) -> Iterator[Sequence[Path]]:
    return (paths[start : start + count] for start in range(0, len(paths), count))


def _can(name: str) -> bool:
    from importlib.util import find_spec

    return name != "torch" or find_spec("segmentation_models_pytorch") is not None


class _Side:
    """One way in a process of its own, which takes a turn when it is told to."""

    def __init__(self, way: Callable[[Settings], Turn], settings: Settings, folder: Path) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, way, settings, folder))
        self._process.start()
        theirs.close()
        self._ready, self._turns = self._pipe.recv(), list[float]()

    def take_turn(self) -> None:
        self._pipe.send("turn")
        self._turns.append(self._pipe.recv())

    def end(self) -> tuple[float, float]:
        self._pipe.send("end")
        self._process.join()
        return median(self._turns), self._ready


def _serve(
    pipe: Connection, way: Callable[[Settings], Turn], settings: Settings, folder: Path
) -> None:
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: settings.cores])
    paths = sorted((folder / "slices").iterdir())
    started = time.perf_counter()
    turn = way(settings)
    with tempfile.TemporaryDirectory(dir=folder) as out:
        turn(paths[: settings.batch], Path(out))
    pipe.send(time.perf_counter() - started)
    while pipe.recv() == "turn":
        with tempfile.TemporaryDirectory(dir=folder) as out:
            started = time.perf_counter()
            turn(paths, Path(out))
            pipe.send(time.perf_counter() - started)
            written = [path for path in Path(out).rglob("*.png") if path.parent.name != "overlays"]
            if len(written) != len(paths):
                raise RuntimeError(f"{len(paths)} masks must be written. Received: {len(written)}")


if __name__ == "__main__":
    main(tyro.cli(Settings, prog="python -m benchmarks.predict", description=__doc__))
