import hashlib
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter

import cv2
import numpy as np
import pytest
import tensorflow as tf
from trees import SIDE, head, write_png, write_slice, write_tree

from data_tools.build_tfrecords import main
from data_tools.conversion import BadInputError, build_tfrecords
from data_tools.inspection import inspect_folder
from data_tools.options import Conversion, Inspection
from data_tools.sources import find_slices
from stroke_tf.manifest import read_folds, read_manifest
from stroke_tf.records import decode_record


def convert(tree, out, **settings):
    return build_tfrecords(
        Conversion(**{"data": tree, "out": out, "size": 64, "jobs": 1, **settings})
    )


def contents(folder):
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.iterdir()
        if path.name != "conversion.json"  # it holds the times of the input files
    }


def records_of(folder):
    manifest = read_manifest(folder)
    kind = "ZLIB" if manifest.compression == "zlib" else ""
    names = [str(folder / shard.name) for fold in manifest.folds for shard in fold.shards]
    dataset = tf.data.TFRecordDataset(names, compression_type=kind)
    return [decode_record(record) for record in dataset.as_numpy_iterator()]


def decode(png):
    return cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED)


def command(tree, out, *flags):
    return [
        *(sys.executable, "-m", "data_tools.build_tfrecords"),
        *("--data", str(tree), "--out", str(out), *flags),
    ]


def test_every_slice_becomes_one_record(tree, tmp_path):
    manifest = convert(tree, tmp_path / "out")
    records = records_of(tmp_path / "out")
    assert sorted(record.source_id for record in records) == [str(10000 + i) for i in range(40)]
    assert manifest.classes == {"NONE": 20, "ISCHEMIA": 10, "HEMORRHAGE": 10}
    assert Counter(record.stroke_type for record in records) == {0: 20, 1: 10, 2: 10}
    assert [fold.fold for fold in manifest.folds] == list(range(10))
    assert {fold.records for fold in manifest.folds} == {4}


def test_image_and_mask_are_stored_without_loss(tree, tmp_path):
    convert(tree, tmp_path / "out", size=SIDE)
    record = next(
        candidate for candidate in records_of(tmp_path / "out") if candidate.source_id == "10035"
    )
    source = cv2.imread(str(tree / "TRAINING/KANAMA/PNG/10035.png"), cv2.IMREAD_UNCHANGED)
    assert (decode(record.image) == source[..., 0]).all()
    mask = decode(record.mask)
    assert mask[30:44, 25:50].min() == 2
    assert (mask > 0).sum() == 14 * 25


def test_a_mask_is_taken_from_the_overlay_where_there_is_no_mask(tree, tmp_path):
    for path in (tree / "TRAINING/KANAMA/MASK").iterdir():
        path.unlink()
    (tree / "TRAINING/KANAMA/MASK").rmdir()
    convert(tree, tmp_path / "out", size=SIDE)
    record = next(
        candidate for candidate in records_of(tmp_path / "out") if candidate.source_id == "10035"
    )
    assert (decode(record.mask) > 0).sum() == 14 * 25


def test_folds_csv_describes_every_record(tree, tmp_path):
    convert(tree, tmp_path / "out")
    rows = {row.source_id: row for row in read_folds(tmp_path / "out")}
    for record in records_of(tmp_path / "out"):
        row = rows[record.source_id]
        assert (row.group_id, row.fold) == (record.group_id, str(record.fold))
        assert row.has_mask == bool(record.mask)
        assert (row.width, row.height, row.copy) == (record.width, record.height, 0)
        assert (tree / row.file).is_file()


def test_shards_are_as_the_manifest_says(tree, tmp_path):
    manifest = convert(tree, tmp_path / "out", shards=2)
    for fold in manifest.folds:
        assert [shard.name for shard in fold.shards] == [
            f"fold-{fold.fold:02d}-0000{number}-of-00002.tfrecord" for number in (0, 1)
        ]
        assert sum(shard.records for shard in fold.shards) == fold.records
        for shard in fold.shards:
            data = (tmp_path / "out" / shard.name).read_bytes()
            assert (len(data), hashlib.sha256(data).hexdigest()) == (shard.bytes, shard.sha256)


def test_bytes_are_the_same_whatever_the_number_of_jobs(tree, tmp_path):
    convert(tree, tmp_path / "one", jobs=1)
    convert(tree, tmp_path / "two", jobs=2)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_another_seed_deals_other_folds(tree, tmp_path):
    first = convert(tree, tmp_path / "first")
    other = convert(tree, tmp_path / "other", seed=1)
    assert first.source_sha256 == other.source_sha256
    assert contents(tmp_path / "first") != contents(tmp_path / "other")


def test_uncompressed_records_hold_the_same(tree, tmp_path):
    convert(tree, tmp_path / "zlib")
    convert(tree, tmp_path / "none", compression="none")
    assert records_of(tmp_path / "zlib") == records_of(tmp_path / "none")


def test_patients_of_the_groups_file_stay_together(tree, tmp_path):
    groups = tmp_path / "groups.csv"
    lines = [f"{10000 + index},Jane Doe {index % 14}" for index in range(40)]
    groups.write_text("\n".join(["id,patient", *lines]))
    manifest = convert(tree, tmp_path / "out", groups=groups)
    assert manifest.grouping == "patient"
    folds = {}
    for record in records_of(tmp_path / "out"):
        folds.setdefault((int(record.source_id) - 10000) % 14, set()).add(record.fold)
    assert len(folds) == 14
    assert all(len(found) == 1 for found in folds.values())
    assert "Jane" not in (tmp_path / "out" / "folds.csv").read_text()


def test_near_duplicates_stay_together_where_patients_are_unknown(tree, tmp_path):
    picture = cv2.imread(str(tree / "TRAINING/INMEYOK/PNG/10000.png"), cv2.IMREAD_UNCHANGED)
    write_png(tree / "TRAINING/INMEYOK/PNG/20000.png", picture)
    manifest = convert(tree, tmp_path / "out")
    assert manifest.grouping == "near-duplicate"
    twins = [
        record for record in records_of(tmp_path / "out") if record.source_id in ("10000", "20000")
    ]
    assert len(twins) == 2
    assert {record.group_id for record in twins} == {"10000"}
    assert len({record.fold for record in twins}) == 1


def test_copies_stored_beside_their_originals_stay_with_them(tree, tmp_path):
    pictures = tree / "TRAINING/INMEYOK/PNG"
    for number in range(10000, 10014):
        grey = cv2.imread(str(pictures / f"{number}.png"), cv2.IMREAD_GRAYSCALE)
        write_png(pictures / f"{number}_flip.png", grey[:, ::-1])
        write_png(pictures / f"{number + 20000}.png", grey[::-1])  # whose name says nothing
        turn = cv2.getRotationMatrix2D((SIDE / 2, SIDE / 2), 8, 1)
        write_png(pictures / f"{number}_rot8.png", cv2.warpAffine(grey, turn, (SIDE, SIDE)))
    convert(tree, tmp_path / "out")
    folds = {row.source_id: row.fold for row in read_folds(tmp_path / "out")}
    for number in range(10000, 10014):
        copies = (f"{number}_flip", f"{number}_rot8", str(number + 20000))
        assert {folds[copy] for copy in copies} == {folds[str(number)]}


def test_groups_that_match_in_part_are_refused_and_patients_in_two_spellings_are_one(
    tree, tmp_path
):
    def groups(suffix="", spell=str):
        lines = [
            f"{10000 + index}{suffix if index % 2 else ''},{spell(index // 3)}"
            for index in range(40)
        ]
        (tmp_path / "groups.csv").write_text("\n".join(["id,patient", *lines]))
        return tmp_path / "groups.csv"

    with pytest.raises(BadInputError) as caught:
        convert(tree, tmp_path / "out", groups=groups(".png"))
    assert Counter(fault.reason.partition(". ")[0] for fault in caught.value.faults) == {
        "an id must be a slice's": 20,
        "must have a patient in groups.csv, as other slices have": 20,
    }
    spelled = iter(["{}", "{}.0", "{}.00"] * 14)
    convert(
        tree, tmp_path / "out", groups=groups(spell=lambda patient: next(spelled).format(patient))
    )
    assert len({row.group_id for row in read_folds(tmp_path / "out")}) == 14


@pytest.mark.parametrize("form", ["csv", "json", "table"])
def test_folds_of_a_file_are_taken_as_they_are(tree, tmp_path, form):
    wanted = {str(10000 + index): (0, 3, 8, 9)[index % 4] for index in range(40)}
    settings = {"folds": tmp_path / f"folds.{form}"}
    if form == "table":
        rows = [
            f"{row.picture},{row.source_id},normal,{wanted[row.source_id]}"
            for row in find_slices(tree).slices
        ]
        (tmp_path / "folds.table").write_text("\n".join(["image,id,label,fold", *rows]))
        settings = {"table": tmp_path / "folds.table"}
    elif form == "csv":
        rows = [f"{source_id},{fold}" for source_id, fold in wanted.items()]
        (tmp_path / "folds.csv").write_text("\n".join(["id,fold", *rows]))
    else:
        lists = {
            fold: [source_id for source_id in wanted if wanted[source_id] == fold]
            for fold in (0, 3, 8, 9)
        }
        (tmp_path / "folds.json").write_text(json.dumps(lists))
    manifest = convert(tree, tmp_path / "out", **settings)
    assert {row.source_id: int(row.fold) for row in read_folds(tmp_path / "out")} == wanted
    assert [fold.records for fold in manifest.folds] == [10, 0, 0, 10, 0, 0, 0, 0, 10, 10]
    assert convert(tree, tmp_path / "out", **settings) == manifest  # kept


def test_folds_that_split_near_duplicates_are_refused_under_clean_alone(tree, tmp_path):
    picture = tree / "TRAINING/INMEYOK/PNG/10000.png"
    shutil.copy(picture, picture.with_name("10040.png"))
    rows = [f"{10000 + index},{index % 9}" for index in range(41)]
    (tmp_path / "folds.csv").write_text("\n".join(["id,fold", *rows]))
    with pytest.raises(ValueError, match="split 1 of 40, such as 10000 in 0, 10040 in 4"):
        convert(tree, tmp_path / "out", folds=tmp_path / "folds.csv")
    assert not (tmp_path / "out").exists()
    published = {"folds": tmp_path / "folds.csv", "protocol": "as-published"}
    assert convert(tree, tmp_path / "out", **published).records == 41


def test_fewer_folds_leave_the_last_ones_empty(tree, tmp_path):
    manifest = convert(tree, tmp_path / "out", folds=5)
    assert [fold.records for fold in manifest.folds] == [8] * 5 + [0] * 5


@pytest.mark.parametrize("folds", [1, 11])
def test_the_number_of_folds_has_bounds(tree, tmp_path, folds):
    with pytest.raises(ValueError, match=f"--folds must be 2 to 10, or a file. Received: {folds}"):
        convert(tree, tmp_path / "out", folds=folds)


def test_names_in_cp1254_and_in_decomposed_letters_convert(tree, tmp_path):
    none, stroke = tree / "TRAINING/INMEYOK/PNG", tree / "TRAINING/ISKEMI"
    (none / "10000.png").rename(none / os.fsdecode(b"hasta\xfd.png"))  # ı in cp1254
    (stroke / "PNG/10020.png").rename(stroke / "PNG/\u00e7.png")
    for kind in ("MASK", "OVERLAY"):
        (stroke / kind / "10020.png").rename(stroke / kind / "c\u0327.png")
    (none / "10001.png").write_bytes(b"")
    (none / "10001.png").rename(none / os.fsdecode(b"bo\xfe.png"))  # ş
    none.parent.rename(tree / "TRAINING" / os.fsdecode(b"\xddnme Yok"))  # İ
    manifest = convert(tree, tmp_path / "out", max_bad=1)
    rows = {row.source_id: row for row in read_folds(tmp_path / "out")}
    assert rows["hastaı"].file == "TRAINING/İnme Yok/PNG/hastaı.png"
    assert rows["ç"].has_mask
    assert [fault.file for fault in manifest.rejected] == ["TRAINING/İnme Yok/PNG/boş.png"]
    with pytest.raises(BadInputError):
        convert(tree, tmp_path / "out")


def test_as_published_copies_are_folded_one_by_one(tree, tmp_path):
    manifest = convert(tree, tmp_path / "out", protocol="as-published", augment_before_folding=True)
    assert manifest.classes == {"NONE": 40, "ISCHEMIA": 40, "HEMORRHAGE": 40}  # x2, x4, x4
    records = records_of(tmp_path / "out")
    copies = [record for record in records if record.source_id == "10035"]
    assert sorted(record.copy for record in copies) == [0, 1, 2, 3]
    assert len({record.image for record in copies}) == 4
    leaking = {record.source_id for record in records if record.copy} & {
        record.source_id for record in records if not record.copy
    }
    assert len(leaking) == 40


def test_stage_sessions_are_written_apart(tree, tmp_path):
    random = np.random.default_rng(9)
    first, second = (tree / f"YarismaVeriSeti_{number}_Oturum" for number in (1, 2))
    for number in (1, 2, 3):
        write_png(first / f"PNG/{number}.png", head(random))
        write_png(second / f"PNG/{number + 3}.png", head(random))
        mask = np.zeros((SIDE, SIDE, 3), np.uint8)
        mask[20:30, 20:30] = (0, 255, 0) if number == 1 else (0, 0, 0)
        write_png(second / f"MASK/{number + 3}.png", mask)
    (first / "labels.txt").write_bytes(
        "Image Id\tİnme Var mı?\r\n1\t1\r\n2\t0\r\n3\t0\r\n".encode()
    )
    manifest = convert(tree, tmp_path / "out")
    folds = {fold.fold: fold for fold in manifest.folds}
    assert folds["stage1"].classes == {"NONE": 2, "ISCHEMIA": 0, "HEMORRHAGE": 0, "UNSPECIFIED": 1}
    assert folds["stage2"].classes == {"NONE": 2, "ISCHEMIA": 0, "HEMORRHAGE": 1}
    assert folds["stage1"].shards[0].name == "stage1-00000-of-00001.tfrecord"
    staged = {
        record.source_id: record.fold for record in records_of(tmp_path / "out") if record.fold < 0
    }
    assert staged == {"1": -1, "2": -1, "3": -1, "4": -2, "5": -2, "6": -2}


def test_a_corrected_label_file_is_another_data_set(tree, tmp_path):
    stage = tree / "YarismaVeriSeti_1_Oturum"
    write_png(stage / "PNG/1.png", head(np.random.default_rng(9)))
    table = "Image Id\tİnme Var mı?\r\n1\t{}\r\n"
    (stage / "labels.txt").write_bytes(table.format(1).encode())
    convert(tree, tmp_path / "out")
    (stage / "labels.txt").write_bytes(table.format(0).encode())
    with pytest.raises(ValueError, match=r"different listing_sha256"):
        convert(tree, tmp_path / "out")


def break_tree(tree):
    """Faults of every kind; returns the files that must be named."""
    none, bleeding = tree / "TRAINING/INMEYOK/PNG", tree / "TRAINING/KANAMA"
    whole = (none / "10000.png").read_bytes()
    (none / "10000.png").write_bytes(whole[: len(whole) // 2])
    (none / "10001.png").write_bytes(b"")
    (none / "10002.png").write_text("a text")
    cv2.imwrite(str(none / "10003.png"), np.full((SIDE, SIDE), 4000, np.uint16))
    cv2.imwrite(str(none / "10004.png"), np.full((SIDE, SIDE, 3), (9, 200, 9), np.uint8))
    (none / "10005.png").unlink()
    (none / "10005.png").symlink_to("nowhere.png")
    (bleeding / "MASK/10030.png").write_bytes((bleeding / "MASK/10030.png").read_bytes()[:60])
    strange = np.zeros((SIDE, SIDE, 3), np.uint8)
    strange[:5, :5] = (10, 20, 30)
    write_png(bleeding / "MASK/10031.png", strange)
    write_png(bleeding / "MASK/10032.png", np.zeros((20, 20, 3), np.uint8))
    (bleeding / "PNG/10033.png").unlink()
    write_png(tree / "TRAINING/ISKEMI/PNG/10034.png", np.zeros((SIDE, SIDE), np.uint8))
    return {
        *(f"TRAINING/INMEYOK/PNG/{number}.png" for number in range(10000, 10006)),
        *(f"TRAINING/KANAMA/MASK/{number}.png" for number in range(10030, 10034)),
        "TRAINING/KANAMA/PNG/10034.png",
        "TRAINING/ISKEMI/PNG/10034.png",
    }


def test_one_run_names_every_fault_and_writes_nothing(tree, tmp_path, capsys):
    expected = break_tree(tree)
    status = main(Conversion(data=tree, out=tmp_path / "out", size=64, jobs=1))
    printed = capsys.readouterr().err
    assert status == 1
    for file in expected:
        assert file in printed, file
    assert "Nothing was written but" in printed
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["faults.csv"]
    listed = (tmp_path / "out/faults.csv").read_text().splitlines()
    assert listed[0] == "file,fault"
    assert len(listed) == 1 + 15


def test_many_equal_faults_are_one_line(tree, tmp_path, capsys):
    for path in (tree / "TRAINING/INMEYOK/PNG").iterdir():
        path.write_bytes(b"")
    assert main(Conversion(data=tree, out=tmp_path / "out", size=64, jobs=1)) == 1
    (line,) = (text for text in capsys.readouterr().err.splitlines() if "WebP" in text)
    names = ", ".join(f"TRAINING/INMEYOK/PNG/1000{number}.png" for number in range(5))
    assert line == (
        "20 faults: must be a PNG, JPEG, BMP, TIFF or WebP file. First received: an empty file. "
        f"In {names} and 15 more"
    )


def test_nothing_stays_behind_where_a_folder_has_no_labels(tmp_path):
    write_png(tmp_path / "a/1.png", head(np.random.default_rng(0)))
    with pytest.raises(ValueError, match="a cannot be converted: no labels; give a table"):
        convert(tmp_path / "a", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_finished_records_stand_when_only_times_have_changed(tree, tmp_path, caplog):
    manifest = convert(tree, tmp_path / "out")
    before = contents(tmp_path / "out")
    for path in tree.rglob("*.png"):
        os.utime(path, (1, 1))
    assert convert(tree, tmp_path / "out") == manifest
    assert contents(tmp_path / "out") == before
    assert "times have changed, their bytes not: the records stand" in caplog.text
    caplog.clear()
    convert(tree, tmp_path / "out")
    assert "times" not in caplog.text


def test_files_of_the_same_size_and_other_bytes_are_another_data_set(tree, tmp_path):
    path = tree / "TRAINING/INMEYOK/PNG/10000.bmp"
    path.with_suffix(".png").unlink()
    write_png(path, head(np.random.default_rng(0)))
    convert(tree, tmp_path / "out")
    before = contents(tmp_path / "out")
    write_png(path, head(np.random.default_rng(1)))
    with pytest.raises(ValueError, match="different bytes of files"):
        convert(tree, tmp_path / "out")
    assert contents(tmp_path / "out") == before


@pytest.mark.parametrize("protocol", ["clean", "as-published"])
def test_unknown_patients_are_warned_of_under_clean(tree, tmp_path, caplog, protocol):
    (tree / "hasta.csv").write_text("id;patient\n10000;A\n")
    convert(tree, tmp_path / "out", protocol=protocol)
    said = "No patient is known" in caplog.text and "hasta.csv names them: --groups" in caplog.text
    assert said == (protocol == "clean")


def test_max_bad_leaves_faults_out_and_lists_them(tree, tmp_path):
    expected = break_tree(tree)
    manifest = convert(tree, tmp_path / "out", max_bad=30)
    assert expected <= {fault.file for fault in manifest.rejected}
    assert manifest.records == 40 - 6 - 5  # 10034 is in two classes, 10033 has no picture
    with pytest.raises(BadInputError, match="at most 1 faults are allowed"):
        convert(tree, tmp_path / "out", max_bad=1)


def test_a_mended_input_starts_anew_in_the_same_folder(tree, tmp_path):
    broken = tree / "TRAINING/INMEYOK/PNG/10000.png"
    whole = broken.read_bytes()
    broken.write_bytes(whole[:100])
    with pytest.raises(BadInputError):
        convert(tree, tmp_path / "out")
    broken.write_bytes(whole)
    assert convert(tree, tmp_path / "out").records == 40


def test_a_finished_conversion_says_so(tree, tmp_path, caplog):
    caplog.set_level("INFO")
    convert(tree, tmp_path / "out")
    assert "already" not in caplog.text
    convert(tree, tmp_path / "out")
    assert "out holds the records of these slices already: kept" in caplog.text


def test_a_finished_folder_is_kept_as_it_is(tree, tmp_path):
    convert(tree, tmp_path / "out")
    before = contents(tmp_path / "out")
    times = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*.tfrecord")}
    convert(tree, tmp_path / "out")
    assert contents(tmp_path / "out") == before
    assert times == {
        path.name: path.stat().st_mtime_ns for path in (tmp_path / "out").glob("*.tfrecord")
    }


@pytest.mark.parametrize("change", [{"seed": 3}, {"size": 32}, {"protocol": "as-published"}])
def test_a_folder_of_other_settings_is_refused(tree, tmp_path, change):
    convert(tree, tmp_path / "out")
    with pytest.raises(
        ValueError, match=f"other settings.*Received: different {next(iter(change))}"
    ):
        convert(tree, tmp_path / "out", **change)


def test_a_folder_of_another_data_set_is_refused(tree, tmp_path):
    convert(tree, tmp_path / "out")
    write_slice(tree, "INMEYOK", "30000", np.random.default_rng(5))
    with pytest.raises(ValueError, match="holds another data set"):
        convert(tree, tmp_path / "out")


def test_a_folder_of_other_files_is_refused(tree, tmp_path):
    (tmp_path / "thesis.doc").write_text("mine")
    with pytest.raises(ValueError, match=r"new or empty. Received: \['thesis.doc'"):
        convert(tree, tmp_path)
    assert (tmp_path / "thesis.doc").read_text() == "mine"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": 8}, "--size must be >= 16. Received: 8"),
        ({"jobs": 0}, "--jobs must be >= 1. Received: 0"),
        ({"augment_before_folding": True}, "must come with --protocol as-published"),
    ],
)
def test_settings_that_make_no_sense_are_refused(tree, tmp_path, settings, message):
    with pytest.raises(ValueError, match=message):
        convert(tree, tmp_path / "out", **settings)


def test_copies_of_hu_slices_are_refused(tree, tmp_path):
    settings = {"augment_before_folding": True, "protocol": "as-published", "prefer": "dicom"}
    with pytest.raises(ValueError, match="must have 8-bit pictures"):
        convert(tree, tmp_path / "out", **settings)


def test_a_killed_conversion_continues_and_gives_the_same_bytes(tmp_path):
    tree = write_tree(tmp_path / "tree", none=100, ischemia=30, hemorrhage=30, side=400)
    out = tmp_path / "killed"
    process = subprocess.Popen(command(tree, out, "--jobs", "1", "--size", "400"))
    deadline = time.monotonic() + 60
    while not list(out.glob(".partial/chunk-*.spool")):
        assert time.monotonic() < deadline
        assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (out / "manifest.json").exists()
    convert(tree, out, size=400)
    convert(tree, tmp_path / "whole", size=400)
    assert contents(out) == contents(tmp_path / "whole")


def test_two_conversions_at_once_into_one_folder_are_refused(tree, tmp_path):
    out = tmp_path / "out"
    holder = subprocess.Popen(
        [
            *(sys.executable, "-c"),
            "import fcntl, pathlib, sys\n"
            "folder = pathlib.Path(sys.argv[1]) / '.partial'\n"
            "folder.mkdir(parents=True)\n"
            "lock = (folder / '.lock').open('w')\n"
            "fcntl.flock(lock, fcntl.LOCK_EX)\n"
            "print('held', flush=True)\n"
            "sys.stdin.read()\n",
            str(out),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    holder.stdout.readline()
    with pytest.raises(RuntimeError, match="must not be open in another process"):
        convert(tree, out)
    holder.communicate(b"")
    assert convert(tree, out).records == 40


def _small_files():
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)


def test_a_full_disk_is_a_clear_error_and_work_continues_later(tree, tmp_path):
    done = subprocess.run(
        command(tree, tmp_path / "out", "--jobs", "1", "--size", "64"),
        preexec_fn=_small_files,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "Finished work is kept: run again to continue" in done.stderr
    assert re.search(r"out/\S+(spool|json|tfrecord)", done.stderr)  # the file that did not fit
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out" / "manifest.json").exists()
    assert convert(tree, tmp_path / "out").records == 40


def test_a_dicom_sourced_record_keeps_hu_and_names_nobody(open_data, tmp_path):
    tree = write_tree(tmp_path / "tree")
    for index, path in enumerate(sorted((open_data / "dicom_ge_head").glob("*.dcm"))[:12]):
        target = tree / f"TRAINING/INMEYOK/DICOM/{40000 + index}.dcm"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    manifest = convert(tree, tmp_path / "out", size=128)
    assert manifest.pixels == "mixed"
    records = [record for record in records_of(tmp_path / "out") if record.pixels == "hu16"]
    assert len(records) == 12
    hu = decode(records[0].image).astype(np.int32) - 32768
    assert hu.shape == (128, 128)
    assert hu[0, 0] == -1000
    assert 20 < np.median(hu[44:84, 44:84]) < 60  # brain
    assert len({record.group_id for record in records}) == 1  # one patient, by the header
    assert not (tmp_path / "out" / ".partial").exists()  # and the key of the hashes is gone


def test_the_command_says_what_it_wrote(tree, tmp_path, capsys):
    assert main(Conversion(data=tree, out=tmp_path / "out", size=64, jobs=1)) == 0
    printed = capsys.readouterr().out
    assert "40 records (10 HEMORRHAGE, 10 ISCHEMIA, 20 NONE), protocol clean" in printed
    out = tmp_path / "out"
    assert printed.endswith(
        f"\nNext: stroke-tf train-classifier --records {out}, or stroke-tf audit {out}\n"
    )


def test_the_command_names_an_unknown_layout(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"Received: folders \[\], files \[\]"):
        main(Conversion(data=tmp_path / "empty", out=tmp_path / "out"))


def test_the_manifest_has_the_keys_others_rely_on(tree, tmp_path):
    convert(tree, tmp_path / "out")
    values = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert values.keys() >= {
        *("schema_version", "protocol", "seed", "size", "layout", "compression", "rejected"),
        *("source_sha256", "records", "classes", "folds"),
    }
    assert values["folds"][0].keys() == {"fold", "records", "classes", "shards"}
    assert values["folds"][0]["shards"][0].keys() == {"name", "records", "bytes", "sha256"}


def test_real_slices_convert_in_both_collections(open_data, tmp_path):
    source = open_data / "open_stroke_ct"
    manifest = convert(source, tmp_path / "a", size=64, jobs=2, groups=source / "manifest.csv")
    assert manifest.classes == {"NONE": 120, "ISCHEMIA": 24, "HEMORRHAGE": 48}
    manifest = convert(open_data / "ct_ich", tmp_path / "b", size=64, jobs=2)
    assert manifest.classes == {"NONE": 2183, "ISCHEMIA": 0, "HEMORRHAGE": 318}
    rows = read_folds(tmp_path / "b")
    assert sum(row.has_mask for row in rows) == 318
    assert len({row.group_id for row in rows}) == 82
    folds = {}
    for row in rows:
        folds.setdefault(row.source_id.split("-")[0], set()).add(row.fold)
    assert all(len(found) == 1 for found in folds.values())


@pytest.mark.parametrize("corner", [(30, 40), (31, 41), (33, 35)])
def test_a_lesion_smaller_than_a_pixel_of_the_records_is_in_them(tree, tmp_path, corner):
    mask = np.zeros((SIDE, SIDE, 3), np.uint8)
    mask[corner[0] : corner[0] + 2, corner[1] : corner[1] + 2] = (0, 255, 0)  # haemorrhage
    write_png(tree / "TRAINING/KANAMA/MASK/10035.png", mask)
    (tree / "TRAINING/KANAMA/OVERLAY/10035.png").unlink(missing_ok=True)
    convert(tree, tmp_path / "out", size=16)
    for record in records_of(tmp_path / "out"):
        if record.mask:
            assert (decode(record.mask) == record.stroke_type).any()


def test_records_of_an_earlier_geometry_are_not_taken_for_finished(tree, tmp_path):
    convert(tree, tmp_path / "out")
    plan = json.loads((tmp_path / "out" / "conversion.json").read_text())
    del plan["encoding_version"]
    (tmp_path / "out" / "conversion.json").write_text(json.dumps(plan))
    with pytest.raises(ValueError, match="different encoding_version"):
        convert(tree, tmp_path / "out")


def test_a_picture_in_two_classes_is_a_fault_of_both_its_slices(tree, tmp_path):
    training = tree / "TRAINING"
    shutil.copy(training / "KANAMA/PNG/10035.png", training / "INMEYOK/PNG/90001.png")
    shutil.copy(training / "INMEYOK/PNG/10000.png", training / "INMEYOK/PNG/90002.png")
    files = {"TRAINING/INMEYOK/PNG/90001.png", "TRAINING/KANAMA/PNG/10035.png"}
    with pytest.raises(BadInputError) as error:
        convert(tree, tmp_path / "out")
    found = inspect_folder(Inspection(data=tree, jobs=1))
    for faults in (error.value.faults, found.faults):
        assert {fault.file for fault in faults} == files
        assert all("must be in one class" in fault.reason for fault in faults)
        assert all("90001.png (NONE)" in fault.reason for fault in faults)
    manifest = convert(tree, tmp_path / "out", max_bad=2)
    assert manifest.records == 40
    assert {record.source_id for record in records_of(tmp_path / "out")}.isdisjoint(
        {"90001", "10035"}
    )
