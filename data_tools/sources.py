"""Finds the slices of a data set: the files of each slice, its label, and the faults.

Owns the folder layouts and their names. Looks at names, label files and tables only; no picture is
opened. Paths are POSIX strings relative to the data set's root, spelled as on the disk.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from data_tools.class_folders import WRAPPING_FOLDERS, Words, fit_class_folders, read_class_folders
from data_tools.ct_ich import CT_ICH_SHAPE, fit_ct_ich, read_ct_ich
from data_tools.names import readable, whole_number
from data_tools.nnunet import NNUNET_SHAPE, fit_nnunet, read_nnunet
from data_tools.plain_folders import PLAIN_SHAPE, fit_plain, read_plain
from data_tools.scan import MaskValues, Scan, SliceFiles
from data_tools.slice_table import TableTerms, parse_pairs, read_slice_table
from stroke_tf.labels import StrokeType
from stroke_tf.manifest import Rejected


@dataclass(frozen=True)
class Source:
    """A data set.

    Attributes:
        root: Its folder.
        layout: A key of `LAYOUTS`.
        slices: Its slices by stage (training first), then id.
        faults: The files left out, with reasons, by file.
        folds: The fold of each slice for training, by id; empty where they are yet to be dealt.
    """

    root: Path
    layout: str
    slices: tuple[SliceFiles, ...]
    faults: tuple[Rejected, ...]
    folds: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Layout:
    """One way to arrange a data set in folders.

    Attributes:
        shape: Description of its folders, for messages.
        fit: Returns how well a folder under the root fits; 0 means not at all.
        read: Adds the slices and faults of that folder to the scan.
    """

    shape: str
    fit: Callable[[Scan, str], int]
    read: Callable[[Scan, str], None]


def find_slices(
    root: Path, *, layout: str = "auto", labels: Mapping[str, StrokeType] | None = None
) -> Source:
    """Returns the slices of a data set that stands at `root` or at most three folders below.

    Args:
        root: The folder.
        layout: A key of `LAYOUTS`, or "auto" for the one that fits best.
        labels: The class of each label of a dataset.json, beside those that `class_named` knows.

    Raises:
        ValueError: If the folder or the layout is unknown, the folder is not of that layout, or a
            table lacks a column. Whatever is wrong with single files is among the faults instead.
    """
    if not root.is_dir():
        received = "a file" if root.exists() else "no such file or folder"
        raise ValueError(f"{root}: must be a folder. Received: {received}")
    if layout not in ("auto", *LAYOUTS):
        raise ValueError(f"`layout` must be auto or one of {list(LAYOUTS)}. Received: {layout!r}")
    scan = Scan(root, labels or {})
    choices = list(LAYOUTS) if layout == "auto" else [layout]
    fits = (
        (LAYOUTS[name].fit(scan, base), name, base)
        for base in scan.folders(WRAPPING_FOLDERS)
        for name in choices
    )
    score, name, base = max(fits, key=lambda fit: fit[0])
    if score == 0:
        shapes = "".join(f"\n  {name}: {LAYOUTS[name].shape}" for name in choices)
        folders, files = ([readable(name) for name in names[:8]] for names in scan.listing(""))
        seen = f"Received: folders {folders}, files {files}"
        raise ValueError(f"{root}: must have this layout:{shapes}\n{seen}\n{_ANY_OTHER}")
    LAYOUTS[name].read(scan, base)
    scan.reject_beside(base)
    return _source(scan, name)


def read_table_source(
    table: Path,
    *,
    root: Path | None = None,
    columns: Mapping[str, str] | None = None,
    labels: Mapping[str, StrokeType] | None = None,
    mask_values: MaskValues = (),
) -> tuple[Source, dict[str, str]]:
    """Returns the slices that a table names, and the names of their folds; see `TableTerms`.

    Its paths start from `root`, or from its own folder; `labels` are the classes of labels beside
    those that `class_named` knows.

    Raises:
        ValueError: If the table cannot be read or its columns are not known; single rows that are
            wrong are among the faults instead.
    """
    stated = labels or {}
    scan = Scan(root or table.parent, stated)
    terms = TableTerms(
        columns or {}, lambda text: stated.get(whole_number(text), class_named(text)), mask_values
    )
    folds = read_slice_table(scan, table, terms)
    return _source(scan, "table"), folds


def class_named(name: str) -> StrokeType | None:
    """Returns the class that a label says in words; None where it says none or several."""
    said = _WORDS.classes_of(name)
    if not said and not {*_WORDS.only_stroke}.isdisjoint(_WORDS.split(name)):
        return StrokeType.UNSPECIFIED
    return said.pop() if len(said) == 1 else None


def parse_classes(flag: str, pairs: Sequence[str]) -> dict[str, StrokeType]:
    """Returns the classes that a flag states as `label=class` pairs.

    Raises:
        ValueError: If a pair is not `label=class`, or its class is unknown.
    """
    stated = parse_pairs(flag, pairs)
    classes = {whole_number(label): class_named(name) for label, name in stated.items()}
    if unknown := [name for name in stated.values() if class_named(name) is None]:
        raise ValueError(
            f"{flag} must name classes: normal, ischemia, hemorrhage, stroke. Received: {unknown}"
        )
    return {label: kind for label, kind in classes.items() if kind is not None}


def _source(scan: Scan, layout: str) -> Source:
    return Source(
        root=scan.root,
        layout=layout,
        slices=tuple(sorted(scan.slices, key=lambda item: (item.stage or "", item.source_id))),
        faults=tuple(sorted(scan.faults, key=lambda fault: (fault.file, fault.reason))),
    )


_WORDS = Words(
    classes={
        **dict.fromkeys(
            ("inmeyok", "inmesiz", "normal", "none", "nostroke", "nonstroke", "healthy"),
            StrokeType.NONE,
        ),
        **dict.fromkeys(
            ("iskemi", "iskemik", "ischemia", "ischemic", "ischaemia", "ischaemic")
            + ("infarct", "infarction", "infarkt", "enfarkt"),
            StrokeType.ISCHEMIA,
        ),
        **dict.fromkeys(
            ("kanama", "kanamali", "hemoraji", "hemorajik", "bleeding", "bleed")
            + ("hemorrhage", "hemorrhagic", "haemorrhage", "haemorrhagic"),
            StrokeType.HEMORRHAGE,
        ),
        **dict.fromkeys(("inmevar", "inmeli", "withstroke"), StrokeType.UNSPECIFIED),
    },
    kinds={
        **dict.fromkeys(("png", "jpg", "jpeg"), "picture"),
        "dicom": "dicom",
        **dict.fromkeys(("mask", "masks"), "mask"),
        **dict.fromkeys(("overlay", "overlays"), "overlay"),
    },
    sessions={
        **dict.fromkeys(("1oturum", "oturum1"), "stage1"),
        **dict.fromkeys(("2oturum", "oturum2", "externaltest"), "stage2"),
    },
    only_none=("kroniksurec", "diger"),
    only_stroke=("inme", "stroke"),
    held_out=("test", "testing", "val", "valid", "validation", "dogrulama"),
    aside=(
        *("veriseti", "verisetleri", "veriset", "veri", "dataset", "data", "set"),
        *("egitim", "training", "train", "yarisma", "beyin", "brain", "bt", "ct"),
        *("akut", "acute", "goruntu", "goruntuler", "goruntuleri", "image", "images", "slices"),
        *("ve", "veya", "and", "or"),
    ),
)


def _classes(shape: str, *names: str, flat: bool | None = False) -> Layout:
    fit = partial(fit_class_folders, words=_WORDS, names=names, flat=flat)
    return Layout(shape, fit, partial(read_class_folders, words=_WORDS))


_ANY_OTHER = "any other set: --table, see docs/howto/your_data.md"

LAYOUTS: dict[str, Layout] = {
    "teknofest": _classes(
        "TRAINING/{INMEYOK,ISKEMI,KANAMA}/{DICOM,PNG,OVERLAY,MASK}", "INMEYOK", "ISKEMI", "KANAMA"
    ),
    "ministry": _classes(
        "…_İskemi/İskemi Veri Seti, …_Kanama/Kanama Veri Seti, each with {DICOM,PNG,OVERLAY}, "
        "…/İnme Yok_kronik süreç_diğer Veri Set_PNG/*.png, YarısmaVeriSeti_1.Oturum/…/PNG",
        "İskemi Veri Seti",
        "Kanama Veri Seti",
        "İnme Yok_kronik süreç_diğer Veri Set_PNG",
        flat=None,
    ),
    "orvile": _classes(
        "İNME VERİSETİ/{İnme Yok,İskemi,Kanama,YarısmaVeriSeti_1_Oturum,YarısmaVeriSeti_2_Oturum}"
        "/{DICOM,PNG,MASKS,OVERLAY}",
        *("İnme Yok", "İskemi", "Kanama"),
    ),
    "ozguraslank": _classes(
        "Brain_Stroke_CT_Dataset/{Bleeding,Ischemia,Normal,External_Test}/{DICOM,PNG,MASKS,OVERLAY}",
        *("Normal", "Ischemia", "Bleeding"),
    ),
    "hf-mirror": _classes(
        "<class>/{<id>.png,<class>_dcm_<id>.png}",
        *("Normal", "İnme Yok", "No Stroke", "Ischemia", "Ischemic", "İskemi"),
        *("Bleeding", "Hemorrhage", "Hemorrhagic", "Kanama"),
        flat=True,
    ),
    "class-folders": _classes(
        "a folder for each class, named by words such as İnme Yok, Normal; İskemi, Ischemia; "
        "Kanama, Hemorrhage, Bleeding; at most three folders deep; its pictures in it or in "
        "{PNG,DICOM,MASK,OVERLAY}",
        flat=None,
    ),
    "nnunet": Layout(NNUNET_SHAPE, fit_nnunet, partial(read_nnunet, class_of=class_named)),
    "ct-ich": Layout(CT_ICH_SHAPE, fit_ct_ich, read_ct_ich),
    "plain": Layout(PLAIN_SHAPE, fit_plain, read_plain),
}
"""The layouts by name; of those that fit equally well, the first is taken."""
