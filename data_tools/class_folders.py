"""Layouts with a folder for each class: finds the folders by words in their names and reads them.

Owns how such folders are arranged. The words themselves are in `sources.py`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from data_tools.names import (
    DICOM_SUFFIXES,
    PICTURE_SUFFIXES,
    fold_name,
    is_dicom,
    is_picture,
    join,
    key_of,
    readable,
    split_name,
)
from data_tools.scan import Group, Kind, Labels, Scan, Stage
from stroke_tf.label_file import is_stage1, stage1_lines
from stroke_tf.labels import StrokeType
from stroke_tf.reading.folders import is_mask_name
from stroke_tf.text_tables import read_text

WRAPPING_FOLDERS = 3
_UNUSED = "must be part of the layout"
_LABEL_SUFFIXES = {".txt", ".csv", ".tsv"}


@dataclass(frozen=True)
class Words:
    """The words of folder names, in the spelling of `key_of`.

    Attributes:
        classes: Words for a class.
        kinds: Words for a kind of file; a folder of that very name holds files of that kind.
        sessions: Names of the test sessions, without the words of `aside`.
        only_none: Words that may stand beside a class of no stroke, and beside no other.
        only_stroke: Words that may stand beside a class of a stroke, and beside no other.
        held_out: Words for a set to test with, which is no part of training.
        aside: Words that say nothing of the class.
    """

    classes: Mapping[str, StrokeType]
    kinds: Mapping[str, Kind]
    sessions: Mapping[str, Stage]
    only_none: tuple[str, ...]
    only_stroke: tuple[str, ...]
    held_out: tuple[str, ...]
    aside: tuple[str, ...]

    def split(self, name: str) -> list[str]:
        """Returns the words of a folder's name; none where one of them is unknown."""
        key = key_of(name)
        if key not in self._done:
            self._done[key] = self._split(key) or []
        return self._done[key]

    def classes_of(self, name: str) -> set[StrokeType]:
        """Returns the classes that a folder's name states: none, one or several."""
        words = self.split(name)
        found = {self.classes[word] for word in words if word in self.classes}
        if found and not {*self.only_none}.isdisjoint(words):
            found.add(StrokeType.NONE)
        if found and not {*self.only_stroke}.isdisjoint(words):
            found |= {StrokeType.UNSPECIFIED} if StrokeType.NONE in found else set()
        return found

    def says_stroke_alone(self, name: str) -> bool:
        """Returns whether a folder's name says stroke and nothing else."""
        words = [word for word in self.split(name) if not word.isdigit()]
        return bool(words) and {*words} <= {*self.only_stroke}

    def kinds_of(self, name: str) -> set[Kind]:
        """Returns the kinds of files that a class folder's name states, without pictures."""
        kinds = {self.kinds[word] for word in self.split(name) if word in self.kinds}
        return kinds - {"picture"}

    def session_of(self, name: str) -> Stage | None:
        """Returns the test session of that name."""
        aside = {*self.aside, *self.only_stroke, *self.held_out}
        return self.sessions.get("".join(word for word in self.split(name) if word not in aside))

    def is_held_out(self, name: str) -> bool:
        """Returns whether a name is that of a set to test with."""
        return not {*self.held_out}.isdisjoint(self.split(name))

    def _split(self, key: str) -> list[str] | None:
        """Returns the words that make up a key, the longest tried first; None if no words do."""
        if not key:
            return []
        number = re.match(r"\d+", key)
        for word in (number[0],) if number and key not in self.sessions else self._longest_first:
            if key.startswith(word) and (rest := self._split(key[len(word) :])) is not None:
                return [word, *rest]
        return None

    @cached_property
    def _done(self) -> dict[str, list[str]]:
        return {}

    @cached_property
    def _longest_first(self) -> list[str]:
        named = {*self.classes, *self.kinds, *self.sessions}
        words = named.union(self.only_none, self.only_stroke, self.held_out, self.aside)
        return sorted(words, key=lambda word: (-len(word), word))


@dataclass(frozen=True, slots=True)
class Home:
    """A folder with the slices of one class or one session.

    Attributes:
        folder: Where it is.
        label: The class, or None in a session.
        stage: The session, or None.
        flat: Whether the files lie in it, and not in a folder for each kind.
        above: The folders, down to it, that may hold the label file of its session.
    """

    folder: str
    label: StrokeType | None
    stage: Stage | None = None
    flat: bool = False
    above: tuple[str, ...] = ()


@dataclass
class Found:
    """The class and session folders below a root.

    Attributes:
        homes: These folders.
        unused: Other folders, each with the rule that it breaks.
        passed: Folders above a home.
    """

    homes: list[Home] = field(default_factory=list)
    unused: dict[str, str] = field(default_factory=dict)
    passed: list[str] = field(default_factory=list)


def fit_class_folders(
    scan: Scan, base: str, *, words: Words, names: Iterable[str] = (), flat: bool | None = None
) -> int:
    """Returns a score, about 100 for each class folder; 0 means that the layout does not fit.

    Args:
        scan: What is known of the data set.
        base: The folder; only the root, from which all class folders are found, can fit.
        words: The words of folder names.
        names: The folder names of the layout; an exact spelling scores more. Empty takes any name.
        flat: Whether the pictures lie in the class folders; None takes both.
    """
    keys, spellings = set(map(key_of, names)), set(map(fold_name, names))
    score = 0
    for home in find_homes(scan, words).homes if base == "" else ():
        name = home.folder.rpartition("/")[2]
        if home.stage:
            score += flat is not True
        elif not keys:
            score += 99
        elif key_of(name) in keys and flat in (None, home.flat):
            score += 100 + (fold_name(name) in spellings)
    return score


def read_class_folders(scan: Scan, base: str, *, words: Words) -> None:
    """Adds the slices and faults of all class and session folders to a scan."""
    found = find_homes(scan, words)
    groups: dict[Stage | None, Group] = {None: Group()}
    for home in found.homes:
        group = groups.setdefault(home.stage, Group(stage=home.stage))
        if home.stage == "stage1":
            group.labels = group.labels or {}
            _read_labels(scan, home.above, group.labels)
        for parent, child in zip(home.above[1:], home.above[2:], strict=False):
            _reject_beside(scan, parent, child)
        _read_home(scan, home, group, words)
    for folder, rule in found.unused.items():
        scan.reject_unused(folder, rule)
    for folder in found.passed:
        _reject_pictures(scan, folder, "a picture must be in a class folder")
    for group in groups.values():
        group.finish(scan)


def find_homes(scan: Scan, words: Words) -> Found:
    """Returns the class and session folders below the root, at most three folders deep."""
    found = Found()
    _search(scan, words, found, _Place("", frozenset(), WRAPPING_FOLDERS, held_out=False))
    return found


@dataclass(frozen=True, slots=True)
class _Place:
    """A folder to search, what its path says, and how many wrapping folders may follow."""

    folder: str
    classes: frozenset[StrokeType]
    wrappers: int
    held_out: bool


def _search(scan: Scan, words: Words, found: Found, place: _Place) -> str:
    """Finds the homes below a folder; returns the rule that is broken, or "" if any is found."""
    before = len(found.homes)
    broken = {
        join(place.folder, name): _look(scan, words, found, place, name)
        for name in scan.listing(place.folder)[0]
    }
    if len(found.homes) == before:
        return next((rule for rule in broken.values() if rule != _UNUSED), _UNUSED)
    found.unused |= {folder: rule for folder, rule in broken.items() if rule}
    found.passed.append(place.folder)
    return ""


def _look(scan: Scan, words: Words, found: Found, place: _Place, name: str) -> str:
    """Finds the homes at and below a folder; returns the broken rule, or "" if any is found."""
    folder = join(place.folder, name)
    if stage := words.session_of(name):
        found.homes.append(_session(scan, words, folder, stage))
        return ""
    said = words.classes_of(name)
    flat, nested = _holds(scan, words, folder)
    if (flat or nested) and words.says_stroke_alone(name):  # else a wrapper: `stroke`, `inme`
        beside = [words.classes_of(other) for other in scan.listing(place.folder)[0]]
        said = {StrokeType.UNSPECIFIED} if {StrokeType.NONE} in beside else said
    classes = said | place.classes
    held_out = place.held_out or words.is_held_out(name)
    if not said or not (flat or nested):
        wrappers = place.wrappers - (not said)
        narrowed = frozenset(classes if len(classes) == 1 else ())
        inner = _Place(folder, narrowed, wrappers, held_out)
        broken = _search(scan, words, found, inner) if wrappers >= 0 else _UNUSED
        if not (said and broken and _holds_dicom(scan, folder)):
            return broken
    if len(classes) > 1 or len(words.kinds_of(name)) > 1:
        return f"must have a name of one class. Name: {readable(name)!r}"
    if held_out:
        return "must not be a test set's, which would be trained on: convert it by itself"
    found.homes.append(Home(folder, next(iter(classes)), flat=not nested))
    return ""


def _holds(scan: Scan, words: Words, folder: str) -> tuple[bool, bool]:
    """Returns whether a folder holds pictures itself, and whether it holds folders of kinds."""
    folders, files = scan.listing(folder)
    return any(map(is_picture, files)), any(key_of(name) in words.kinds for name in folders)


def _holds_dicom(scan: Scan, top: str) -> bool:
    walk = scan.walk(top)
    return any(is_dicom(scan.root / join(folder, name)) for folder, names in walk for name in names)


def _session(scan: Scan, words: Words, folder: str, stage: Stage) -> Home:
    """Returns the home of a session: its folder, or one below that holds the folders of kinds."""
    inner = (below for below in scan.folders(2, folder) if _holds(scan, words, below)[1])
    home = next(inner, folder)
    parts = home.split("/")
    depth = folder.count("/")
    above = tuple("/".join(parts[:end]) for end in range(depth, len(parts) + 1))
    return Home(home, None, stage=stage, above=above)


def _read_home(scan: Scan, home: Home, group: Group, words: Words) -> None:
    """Reads a class or session folder: pictures if it is flat, else a folder for each kind."""
    parent, _, name = home.folder.rpartition("/")
    if home.flat:
        kind = next(iter(words.kinds_of(name)), None)
        beside = join(parent, home.label.name) if home.label is not None else home.folder
        return _read_kind(scan, home.folder, group, kind=kind, home=beside, label=home.label)
    rule = f"a picture must be in a folder such as {list(words.kinds)}"
    _reject_pictures(scan, home.folder, rule)
    for name in scan.listing(home.folder)[0]:
        kind, folder = words.kinds.get(key_of(name)), join(home.folder, name)
        if kind is None:
            scan.reject_unused(folder)
        else:
            _read_kind(scan, folder, group, kind=kind, home=home.folder, label=home.label)


def _reject_pictures(scan: Scan, folder: str, rule: str) -> None:
    for name in filter(is_picture, scan.listing(folder)[1]):
        scan.reject(join(folder, name), rule)


def _reject_beside(scan: Scan, parent: str, child: str) -> None:
    """Rejects pictures and folders beside `child`, which leads to the folders of kinds."""
    _reject_pictures(scan, parent, "a picture must be in a folder of a kind, such as PNG")
    for name in scan.listing(parent)[0]:
        if join(parent, name) != child:
            scan.reject_unused(join(parent, name))


def _read_kind(
    scan: Scan, folder: str, group: Group, *, kind: Kind | None, home: str, label: StrokeType | None
) -> None:
    """Reads the files of one kind; None takes pictures and DICOM files by their endings."""
    if kind in ("mask", "overlay") and group.stage != "stage1":
        group.paired.add(home)
    folders, files = scan.listing(folder)
    for name in folders:
        if kind == "dicom" or (kind is None and _holds_dicom(scan, join(folder, name))):
            _read_series(scan, join(folder, name), group, home=home, label=label)
        else:
            scan.reject_unused(join(folder, name))
    for name in files:
        stem, suffix = split_name(name)
        path = join(folder, name)
        this: Kind = kind or ("dicom" if is_dicom(scan.root / path) else "picture")
        suffixes = DICOM_SUFFIXES if this == "dicom" else PICTURE_SUFFIXES
        if suffix not in suffixes:
            scan.reject(path, f"a {this} must end in one of {sorted(suffixes)}")
        elif this == "picture" and is_mask_name(stem):
            scan.reject(path, "a mask must be in a folder MASK or in a table, not with pictures")
        else:
            group.add(stem, path, kind=this, home=home, label=label)


def _read_series(
    scan: Scan, top: str, group: Group, *, home: str, label: StrokeType | None
) -> None:
    """Reads the DICOM files at and below a folder or zip; their ids begin with its name."""
    above = top.rpartition("/")[0]
    for folder, names in scan.walk(top):
        for name in names:
            path = join(folder, name)
            if is_dicom(scan.root / path):
                stem = join(folder, split_name(name)[0]).removeprefix(f"{above}/")
                group.add(stem, path, kind="dicom", home=home, label=label)
            elif is_picture(name):
                scan.reject(path, "a picture must be in a folder of a kind, such as PNG")


def _read_labels(scan: Scan, folders: Iterable[str], labels: Labels) -> None:
    """Adds the labels of all label files in the folders; other text files are left alone."""
    for file in [join(folder, name) for folder in folders for name in scan.listing(folder)[1]]:
        text = _read_text(scan, file) if split_name(file)[1] in _LABEL_SUFFIXES else ""
        if not is_stage1(text):
            continue
        for line in stage1_lines(text):
            label = StrokeType.UNSPECIFIED if line.stroke else StrokeType.NONE
            if line.stroke is not None:
                known, _ = labels.setdefault(line.image_id, (label, file))
                if known == label:
                    continue
            rule = f"line {line.number} must be an id, a tab and its only label, 0 or 1"
            scan.reject(file, f"{rule}. Received: {line.text!r}")


def _read_text(scan: Scan, file: str) -> str:
    try:
        return read_text(scan.root / file, name=readable(file)).text
    except OSError as error:
        scan.reject(file, f"a label file must be readable. Received: {error.strerror}")
    except ValueError as error:
        scan.reject(file, f"a label file {str(error).removeprefix(readable(file)).strip()}")
    return ""
