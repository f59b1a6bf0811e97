"""The page: slices, a DICOM series or a zip in; scores, masks, volumes and downloads out.

    stroke-tf serve [--model results/unet/mobilenetv2-s0] [--port 7860]

Where no model is named, the package's own answers and says what it is not for.
Answers on this machine alone unless `--host` says otherwise: there is no password, and what is
handed in are pictures of patients. Uploads are deleted as soon as they are read, results when their
visitor leaves, and everything when the page stops. Research software, not a medical device.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stroke_tf import command
from stroke_tf.config import PointName
from stroke_tf.records import Pixels
from stroke_tf.zoo.shipped import or_shipped

if TYPE_CHECKING:
    from stroke_tf.deploy.model import StrokeModel

_LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True)
class ServeConfig:
    """Settings of the page.

    Attributes:
        model: Names of shipped models, runs, folders by `save-model` or .keras files; several
            answer together; none: ct-ich-haemorrhage.
        operating_point: Which of the model's thresholds calls a slice positive: its own, or that of
            0.9 sensitivity or 0.9 specificity where it has them.
        pixels: What the model was trained on, where it does not say so itself: 8-bit grey or HU.
        host: Address to answer on; 0.0.0.0 lets in whoever reaches this machine.
        port: Port to answer on.
        max_files: Most files of one upload.
        max_megabytes: Most megabytes of one upload.
        keep_minutes: How long results stay after their last use.
    """

    model: tuple[Path, ...] = ()
    operating_point: PointName = "default"
    pixels: Pixels | None = None
    host: str = "127.0.0.1"
    port: int = 7860
    max_files: int = 2000
    max_megabytes: int = 1000
    keep_minutes: int = 60

    def __post_init__(self) -> None:
        for name in ("max_files", "max_megabytes", "keep_minutes"):
            if getattr(self, name) < 1:
                raise ValueError(f"`{name}` must be >= 1. Received: {getattr(self, name)}")


def main(config: ServeConfig) -> int:
    """Answers until it is stopped; returns the exit code."""
    signal.signal(signal.SIGTERM, _stop)
    command.quieten()
    from stroke_tf.deploy.load import load_model

    stated: dict[str, Any] = {"pixels": config.pixels} if config.pixels else {}
    model = load_model(or_shipped(config.model), operating_point=config.operating_point, **stated)
    if config.host not in _LOOPBACK:
        print(f"Whoever reaches {config.host} can use this page: it asks for no password")
    with tempfile.TemporaryDirectory(prefix="stroke-tf-") as folder:
        page = open_page(config, model, Path(folder))
        print(f"Open {page.local_url} - Ctrl-C stops it", flush=True)
        page.block_thread()
    return 0


def _stop(*_: object) -> None:
    """Ends the process so that the uploads are deleted; a second signal cannot interrupt this."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(0)


def open_page(config: ServeConfig, model: StrokeModel, folder: Path) -> Any:
    """Starts to answer and returns the Gradio page, which can be closed.

    Args:
        config: The settings.
        model: What answers.
        folder: Folder of all that is handed in and made of it; not to be seen by others.

    Raises:
        ImportError: If Gradio is not installed.
        OSError: If the port is in use.
    """
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["GRADIO_TEMP_DIR"] = str(folder / "uploads")
    try:
        import gradio  # noqa: F401
    except ImportError as error:
        raise ImportError("The page needs Gradio: pip install 'stroke_tf[page]'") from error
    from stroke_tf.deploy.browser_page import build_page, launch
    from stroke_tf.deploy.visit import Limits

    limits = Limits(config.max_files, config.max_megabytes * 10**6)
    page = build_page(model, folder, limits=limits, keep_minutes=config.keep_minutes)
    return launch(page, host=config.host, port=config.port, limits=limits)


if __name__ == "__main__":
    command.run(main, ServeConfig, doc=__doc__)
