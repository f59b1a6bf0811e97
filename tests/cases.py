"""The cases of public bug reports, put through the public commands, and what is right.

Each case is a folder of bad or odd files; its README.md says what they are. They are put among
sound slices and converted, or a training is tried. Records, values, messages and the exit code are
compared with what is right.
"""

import csv
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from case_bench import ENOUGH, SIDE, Bench, Done, decode, short, write, write_head

from stroke_tf.records import HU_OFFSET

ROOT = Path(__file__).parents[1]


class Outcome(NamedTuple):
    """One kind of a case: its name, what happened, and whether that is right."""

    kind: str
    happened: str
    right: bool


_BLEED = {"TRAINING/KANAMA/PNG/99.png": "picture.png", "TRAINING/KANAMA/MASK/99.png": "mask.png"}


def _named(done: Done, *names: str) -> Iterator[Outcome]:
    """Each file must be named in a fault."""
    for name in names:
        said = done.names(name)
        yield Outcome(name, said or f"{done}, silent", bool(said) and done.code == 1)


def _dicom(bench: Bench) -> Iterator[Outcome]:
    done = bench.convert(
        bench.tree({"TRAINING/INMEYOK/DICOM/99.dcm": "slice.dcm"}), "--prefer", "dicom"
    )
    said, expected = done.names("99.dcm"), bench.case / "expected_hu_plus_32768.png"
    if "99" not in done.records:
        yield Outcome("slice.dcm", f"exit {done.code}: {said}", bool(said))
    elif not expected.exists():
        yield Outcome("slice.dcm", f"{done}, silent: taken for a slice", False)
    else:
        hu, right = decode(done.records["99"].image), decode(expected.read_bytes())
        wrong = np.count_nonzero(hu != right)
        air = f", air {int(np.median(hu[right < HU_OFFSET - 900])) - HU_OFFSET} HU" if wrong else ""
        yield Outcome("slice.dcm", f"read, {wrong} of {hu.size} HU wrong{air}", not wrong)


def _mirrored(bench: Bench) -> Iterator[Outcome]:
    files = {"PNG/99.png": "picture.png", "DICOM/99.dcm": "slice.dcm", "MASK/99.png": "mask.png"}
    tree = bench.tree({f"TRAINING/KANAMA/{place}": name for place, name in files.items()})
    yield from _named(bench.convert(tree, "--prefer", "dicom"), "99")


def _of(folder: str, **files: str) -> Callable[[Bench], Iterator[Outcome]]:
    """A slice, 99, in a class folder with files beside its picture, which must be refused."""

    def check(bench: Bench) -> Iterator[Outcome]:
        kinds = {"PNG": "picture.png"} | files
        places = {f"TRAINING/{folder}/{kind}/99.png": name for kind, name in kinds.items()}
        for outcome in _named(bench.convert(bench.tree(places)), "99.png"):
            yield outcome._replace(kind=", ".join(files.values()))

    return check


def _copies(bench: Bench) -> Iterator[Outcome]:
    names = ("10001", "10001_flip", "10001_rot8")
    done = bench.convert(
        bench.tree({f"TRAINING/INMEYOK/PNG/{name}.png": f"{name}.png" for name in names})
    )
    folds = [done.records[name].fold for name in names if name in done.records]
    yield Outcome(
        "flip, rotation", f"{done}, in folds {folds}", len(folds) == 3 and len(set(folds)) == 1
    )


def _times(bench: Bench) -> Iterator[Outcome]:
    tree, out = bench.tree({}), bench.scratch / "records"
    bench.convert(tree, out=out)
    before = {path.name: path.read_bytes() for path in out.glob("*.tfrecord")}
    for path in tree.rglob("*.png"):
        os.utime(path, (1e9, 1e9))
    done = bench.convert(tree, out=out)
    same = before == {path.name: path.read_bytes() for path in out.glob("*.tfrecord")}
    yield Outcome("times", f"{done}, {'same' if same else 'other'} bytes", same and not done.code)


def _groups(bench: Bench) -> Iterator[Outcome]:
    ids = (bench.case / "ids.txt").read_text().split()
    for name in ("groups_png_suffix.csv", "groups_float.csv", "groups_numbers.csv"):
        tree = bench.tree({}, ids=map(int, ids))
        done = bench.convert(tree, "--groups", bench.case / name)
        if done.code:
            yield Outcome(name, str(done), "must" in done.said and ".csv" in done.said)
        else:
            groups = {done.records[source_id].group_id for source_id in ids}
            yield Outcome(name, f"{done} in {len(groups)} groups of 6", len(groups) == 6)


def _damaged(bench: Bench) -> Iterator[Outcome]:
    names = ("cut.jpg", "overwritten.jpg", "hole.jpg")
    done = bench.convert(bench.tree({f"TRAINING/INMEYOK/PNG/{name}": name for name in names}))
    yield from _named(done, *names)


def _trailing(bench: Bench) -> Iterator[Outcome]:
    done = bench.convert(bench.tree({"TRAINING/INMEYOK/PNG/99.jpg": "trailing.jpg"}))
    yield Outcome("trailing.jpg", str(done), "99" in done.records)


def _texts(bench: Bench) -> Iterator[Outcome]:
    for name, word in (("text.png", b"MUSTERMANN"), ("trailing.png", b"PatientID=12345")):
        done = bench.convert(bench.tree({"TRAINING/INMEYOK/PNG/99.png": name}))
        found = not done.code and word in done.records["99"].image
        yield Outcome(
            name, f"{done}, name {'in' if found else 'not in'} them", not (done.code or found)
        )


def _make(bench: Bench) -> Iterator[Outcome]:
    for name in ("Ali'nin verisi", "veri$HOME"):
        data = bench.tree({}).rename(bench.scratch / name)
        programs = bench.scratch / "venv/bin"
        programs.mkdir(parents=True, exist_ok=True)
        for program, module in (("python", ""), ("stroke-tf", "-m stroke_tf")):
            (programs / program).write_text(f'#!/bin/sh\nexec "{sys.executable}" {module} "$@"\n')
            (programs / program).chmod(0o755)
        out, venv = Path(tempfile.mkdtemp(dir=bench.scratch)) / "it's $OUT", programs.parent
        flags = (f"DATA={data}", f"OUT={out}", f"VENV={venv}", "JOBS=1", "ARGS=--size 96")
        done = bench.run("make", "-o", venv / ".installed", "tfrecords", *flags)
        written = (out / "manifest.json").exists()
        yield Outcome(name, f"exit {done.code}{', converted' * written}", written and not done.code)


def _shift(bench: Bench) -> Iterator[Outcome]:
    done = bench.convert(bench.tree(_BLEED), size=512)
    record = done.records["99"]
    disc, mask = (decode(png).astype(float) for png in (record.image, record.mask))
    centres = [
        np.array(np.nonzero(picture)) @ picture[picture > 0] / picture.sum()
        for picture in (disc, mask)
    ]
    apart = float(np.abs(centres[0] - centres[1]).max())
    yield Outcome("650 to 512", f"centroids {apart:.3f} px apart", apart < 0.1)


def _ministry(bench: Bench) -> Iterator[Outcome]:
    done = bench.convert(bench.unpack("tree.tar.gz"), size=48)
    kinds = [
        sum(record.stroke_type == kind and record.fold >= 0 for record in done.records.values())
        for kind in range(3)
    ]
    lost = sum(
        record.stroke_type > 0 and record.fold >= 0 and not record.mask
        for record in done.records.values()
    )
    session = sum(record.fold == -1 for record in done.records.values())
    right = kinds == [8, 2, 2] and session == 4 and not lost
    yield Outcome("tree", f"{done}: {kinds}, session {session}", right)


def _spellings(bench: Bench) -> Iterator[Outcome]:
    done = bench.convert(bench.unpack("tree.tar.gz"), size=48)
    masked = [name for name, record in done.records.items() if name.startswith("ç") and record.mask]
    yield Outcome("tree", f"{done}, mask of {masked}", len(masked) == 1)


def _cp1254(bench: Bench) -> Iterator[Outcome]:
    for name in ("tree.tar.gz", "classes.tar.gz"):
        done = bench.convert(bench.unpack(name), size=48)
        yield Outcome(name, str(done), len(done.records) == 12)


def _shifted_overlay(bench: Bench) -> Iterator[Outcome]:
    yield from _of("KANAMA", OVERLAY="overlay.png")(bench)
    yield from _of("KANAMA", MASK="mask.png", OVERLAY="overlay_shifted.png")(bench)


def _jpeg_overlays(bench: Bench) -> Iterator[Outcome]:
    for number, name in enumerate(
        ("KANAMA_overlay.jpg", "ISKEMI_overlay.jpg", "ISKEMI_overlay_from_jpeg.png")
    ):
        folder, suffix = f"TRAINING/{name[:6]}", Path(name).suffix
        files = {f"{folder}/PNG/9{number}.png": f"{name[:6]}_picture.png"}
        done = bench.convert(bench.tree(files | {f"{folder}/OVERLAY/9{number}{suffix}": name}))
        for outcome in _named(done, f"9{number}{suffix}"):
            yield outcome._replace(kind=name)


def _two_classes(bench: Bench) -> Iterator[Outcome]:
    files = {
        "KANAMA/PNG/20008": "picture",
        "KANAMA/MASK/20008": "mask",
        "INMEYOK/PNG/90001": "picture",
    }
    tree = bench.tree({f"TRAINING/{place}.png": f"{name}.png" for place, name in files.items()})
    yield from _named(bench.convert(tree), "90001")


def _tables(bench: Bench) -> Iterator[Outcome]:
    for kind in ("cp1254", "utf16", "semicolon"):
        groups = bench.case / f"groups_{kind}.csv"
        ids = [*map(int, re.findall(rb"2\d{4}", groups.read_bytes().replace(b"\0", b"")))]
        done = bench.convert(bench.tree({}, ids=ids), "--groups", groups)
        yield Outcome(groups.name, str(done), len(done.records) == len(ids))
    for kind in ("cp1254", "utf16", "semicolon"):
        session, name = "YarismaVeriSeti_1_Oturum", f"labels_{kind}.txt"
        tree = bench.tree({f"{session}/{name}": name})
        for number in (20104, 20110, 20111, 20112):
            write_head(tree / session / f"PNG/{number}.png", number)
        done = bench.convert(tree)
        yield Outcome(name, str(done), len(done.records) == ENOUGH + 4)
    tree, name = Path(tempfile.mkdtemp(dir=bench.scratch)), "hemorrhage_utf16.csv"
    rows = list(csv.reader((bench.case / name).read_text("utf-16").splitlines()))
    rows += [[str(patient), *rows[1][1:]] for patient in range(50, 50 + ENOUGH)]
    for patient, number, *_ in rows[1:]:
        write_head(tree / f"Patients_CT/{int(patient):03d}/brain/{number}.jpg", int(patient))
    (tree / "hemorrhage_diagnosis.csv").write_text("\r\n".join(map(",".join, rows)), "utf-16")
    done = bench.convert(tree)
    yield Outcome(name, str(done), len(done.records) == ENOUGH + 1)


def _tiny(bench: Bench) -> Iterator[Outcome]:
    done = bench.convert(bench.tree(_BLEED), size=128)
    pixels = np.count_nonzero(decode(done.records["99"].mask)) if "99" in done.records else 0
    yield Outcome("2 x 2 pixels to 128", f"{done}, {pixels} lesion pixels", bool(pixels > 0))


def _train(bench: Bench, name: str, *flags: str | Path) -> tuple[Done, str]:
    where = ("--records", bench.scratch / "records", "--out", bench.scratch / "results")
    flags = (*where, *flags, "--image-size", "64", "--fit.epochs", "1")
    done = bench.run(sys.executable, "-m", f"experiments.{name}", *flags)
    last = short((done.said.strip().splitlines() or [""])[-1])
    return done, f"exit {done.code}, {len(done.said)} characters: {last}"


def _unet(bench: Bench) -> Iterator[Outcome]:
    bench.convert(bench.tree({}), out=bench.scratch / "records")
    done, said = _train(bench, "train_unet", "--weights", "None", "--encoder", "mobilenetv2")
    yield Outcome("train-unet", said, done.code != 0 and "lesion" in done.said)


def _weights(bench: Bench) -> Iterator[Outcome]:
    from stroke_tf.models.classifier import build_classifier

    given = bench.scratch / "other.weights.h5"
    build_classifier("mobilenet025", image_size=64, weights=None).save_weights(given)
    tree, mask = bench.tree({}), np.zeros((SIDE, SIDE, 3), np.uint8)
    mask[40:50, 40:50, 1] = 255
    for number in range(90, 99):
        write_head(tree / f"TRAINING/KANAMA/PNG/{number}.png", number)
        write(tree / f"TRAINING/KANAMA/MASK/{number}.png", mask)
    bench.convert(tree, out=bench.scratch / "records")
    flags = ("--backbone", "mobilenetv2", "--weights", given)
    done, said = _train(bench, "train_classifier", *flags)
    yield Outcome("train-classifier", said, done.code != 0 and len(done.said) < 1000)


def _keras(bench: Bench) -> Iterator[Outcome]:
    said = re.search(r"Keras 3\.\d+ and later", (ROOT / "docs/howto/from_python.md").read_text())
    yield Outcome("from_python.md", said[0] if said else "says nothing", bool(said))


class Case(NamedTuple):
    """One case: the right result in a phrase, and the function that checks it."""

    expected: str
    check: Callable[[Bench], Iterator[Outcome]]


_NO_SLICE, _HU = "named as no CT slice", "the expected HU, or a fault"
CASES: dict[str, Case] = {
    "augmented_copies_leak_under_clean": Case("one fold", _copies),
    "dicom_coronal_reformat": Case(_NO_SLICE, _dicom),
    "dicom_enhanced_rescale_in_functional_group": Case(_HU, _dicom),
    "dicom_high_bit_15": Case(_HU, _dicom),
    "dicom_hu_modulo_4096_unsigned": Case(_HU, _dicom),
    "dicom_localizer": Case(_NO_SLICE, _dicom),
    "dicom_mirrored_beside_png": Case("a fault", _mirrored),
    "dicom_modality_lut_sequence": Case(_HU, _dicom),
    "dicom_no_intercept": Case(_HU, _dicom),
    "dicom_no_rescale_tags": Case(_HU, _dicom),
    "dicom_overlay_plane_in_group_6002": Case("the expected HU", _dicom),
    "dicom_padding_unsigned_undeclared": Case(_HU, _dicom),
    "dicom_palette_colour": Case(_NO_SLICE, _dicom),
    "dicom_secondary_capture_grey8": Case(_NO_SLICE, _dicom),
    "dicom_signed_declared_unsigned": Case(_HU, _dicom),
    "finished_records_after_the_files_times_changed": Case("the records stand", _times),
    "groups_ids_that_match_in_part": Case("6 groups, or a fault", _groups),
    "jpeg_damaged_but_ends_with_eoi": Case("each a fault", _damaged),
    "jpeg_sound_with_trailing_bytes": Case("read", _trailing),
    "make_with_apostrophe_or_dollar": Case("converted", _make),
    "mask_of_another_class_than_its_folder": Case("a fault", _of("ISKEMI", MASK="mask.png")),
    "mask_shifted_against_picture_650_to_512": Case("within 0.1 px", _shift),
    "ministry_portal_layout": Case("8 + 2 + 2 and 4 of the session", _ministry),
    "model_file_in_an_older_keras": Case("the guide says which Keras", _keras),
    "names_composed_and_decomposed": Case("one slice with its mask", _spellings),
    "names_in_cp1254": Case("12 records", _cp1254),
    "overlay_of_another_slice": Case("each a fault", _shifted_overlay),
    "overlay_saved_as_jpeg": Case("each a fault", _jpeg_overlays),
    "png_text_chunks_reach_the_records": Case("pixels alone", _texts),
    "same_picture_in_two_classes": Case("a fault", _two_classes),
    "tables_in_other_encodings": Case("read", _tables),
    "tiny_lesion_lost_by_size": Case("a lesion pixel", _tiny),
    "unet_on_records_without_a_lesion": Case("refused", _unet),
    "weights_of_another_backbone": Case("one sentence", _weights),
}
