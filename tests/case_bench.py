"""A case at work: its files among sound slices, commands run on these, and what they wrote.

Knows nothing of single cases.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from stroke_tf.records import Record, decode_record

ROOT = Path(__file__).parents[1]
ENOUGH = 14  # slices for ten folds
SIDE = 96
_NOISE = re.compile(r".*━|[IWE]0000 |WARNING: All log|To enable the foll")  # progress, TensorFlow


@dataclass
class Done:
    """A command that ended: its exit code, what it said, and the records that it wrote by id."""

    code: int
    said: str
    records: dict[str, Record] = field(default_factory=dict)

    def names(self, name: str) -> str:
        """Returns what was said of a file, without its folder; empty where nothing was."""
        lines = [line for line in self.said.splitlines() if name in line]
        return short(lines[0]) if lines else ""

    def __str__(self) -> str:
        if not self.code:
            return f"{len(self.records)} records"
        said = self.said.strip().splitlines() or [""]
        return f"exit {self.code}: {short(said[0])}"


def short(line: str) -> str:
    """Returns a message without the folders of its files."""
    return re.sub(r"(\S*/)+(?=\S)", "", line)[:110]


@dataclass(frozen=True)
class Bench:
    """One case at work: its files, and a folder that is thrown away."""

    case: Path
    scratch: Path

    def tree(
        self, files: Mapping[str, str], *, ids: Iterable[int] = range(50000, 50000 + ENOUGH)
    ) -> Path:
        """Returns a new data set: normal slices of these ids, and files of the case."""
        root = Path(tempfile.mkdtemp(dir=self.scratch))
        for number in ids:
            write_head(root / f"TRAINING/INMEYOK/PNG/{number}.png", number)
        for place, name in files.items():
            (root / place).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(self.case / name, root / place)
        return root

    def unpack(self, name: str) -> Path:
        """Returns the folder that holds what a tar file holds, its names byte by byte."""
        root = Path(tempfile.mkdtemp(dir=self.scratch))
        command = ["tar", "xzf", str(self.case / name), "-C", str(root)]
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
        return root

    def run(self, *command: str | Path) -> Done:
        """Runs a command."""
        env = os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "400"}
        options = {"capture_output": True, "text": True, "errors": "backslashreplace"}
        done = subprocess.run([*map(str, command)], cwd=ROOT, env=env, **options)
        said = (done.stderr + done.stdout).splitlines()
        return Done(done.returncode, "\n".join(line for line in said if not _NOISE.match(line)))

    def convert(
        self, data: Path, *flags: str | Path, size: int = SIDE, out: Path | None = None
    ) -> Done:
        """Converts a data set."""
        out = out or Path(tempfile.mkdtemp(dir=self.scratch)) / "records"
        where = ("--data", data, "--out", out, "--size", str(size), "--jobs", "1")
        done = self.run(sys.executable, "-m", "data_tools.build_tfrecords", *where, *flags)
        if "--folds N" in done.said and "--folds" not in flags:  # too few slices for ten
            return self.convert(data, *flags, "--folds", "5", size=size, out=out)
        if not done.code:
            records = (
                decode_record(example)
                for path in out.glob("*.tfrecord")
                for example in _examples(path)
            )
            done.records = {record.source_id: record for record in records}
        return done


def write_head(path: Path, seed: int) -> None:
    """Writes a disc with a pattern of its own, grey of 8 bits: no two look alike."""
    y, x = np.mgrid[:SIDE, :SIDE] - SIDE / 2
    coarse = np.random.default_rng(seed).integers(40, 220, (12, 12)).astype(np.uint8)
    inside = x**2 + y**2 < (0.45 * SIDE) ** 2
    write(path, np.where(inside, cv2.resize(coarse, (SIDE, SIDE)), 0).astype(np.uint8))


def write(path: Path, picture: np.ndarray) -> None:
    """Writes a picture and the folders it stands in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), picture)


def _examples(path: Path) -> Iterator[bytes]:
    data, start = zlib.decompress(path.read_bytes()), 0
    while start < len(data):
        length = int.from_bytes(data[start : start + 8], "little")
        yield data[start + 12 : start + 12 + length]
        start += length + 16


def decode(png: bytes) -> np.ndarray:
    """Returns the values of a PNG as they are."""
    return np.asarray(cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED))
