"""Finds the folder of a Yokogawa plate below the input, and reads its side files.

CellVoyager and CQ3K write one set of side files beside the images or above them. A side file that is damaged
or contradicts the names is quarantined, and the names are read instead, where they tell enough.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import TypeVar

from nucbatch.core.errors import ImageUnavailable, UnreadableImage
from nucbatch.core.plate import Channel
from nucbatch.object_store import path_in
from nucbatch.readers.layouts.one_plate import several_plates
from nucbatch.readers.layouts.yokogawa.measurement_detail import Detail, read_detail, read_plate_size
from nucbatch.readers.layouts.yokogawa.measurement_protocol import MeasurementProtocol, read_protocol
from nucbatch.readers.layouts.yokogawa.measurement_records import Records, Shot, located, read_records
from nucbatch.readers.listing import FoundFile, Listing
from nucbatch.readers.names import plural

_RECORDS = "MeasurementData.mlf"

T = TypeVar("T")


@dataclass(slots=True)
class SideFiles:
    """Side files of one plate.

    Attributes:
        folder: folder of the plate, relative to the input.
        records: contents of the .mlf file; None if it is absent or cannot be used.
        records_path: path of the .mlf file; empty if absent.
        detail: contents of the .mrf file.
        protocol: contents of the .mes file.
        channels: by number, of the .mes file or another.
        faults: reason by path for each file that cannot be used.
        remarks: sentences for the user.
    """

    folder: str
    records: Records | None = None
    records_path: str = ""
    detail: Detail = field(default_factory=Detail)
    protocol: MeasurementProtocol = field(default_factory=MeasurementProtocol)
    channels: Mapping[int, Channel] = field(default_factory=dict)
    faults: dict[str, str] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)

    def reject_records(self, reason: str) -> None:
        """Quarantines the .mlf file, so that names are read instead."""
        self.records = None
        self.faults[self.records_path] = reason
        name = PurePosixPath(self.records_path).name
        self.remarks.append(
            f"{name} is not used ({reason}): wells, fields and channels are those of the file names. Stage "
            "positions are unknown, and fields that the microscope lost are not listed"
        )


def lies_below(path: str, folders: set[str]) -> bool:
    """Returns whether a file lies in one of the folders, or anywhere below one."""
    return bool(folders) and _home(path, "/", folders) != "/"


def plate_folder(listing: Listing, images: Iterable[tuple[str, str]], side_names: Iterable[str] = ()) -> str:
    """Returns the folder of the only plate.

    Args:
        listing: the input.
        images: (path, folder by its own names) of each image.
        side_names: names of further side files, in lower case.

    Raises:
        InputError: there are several plates.
    """
    wanted = frozenset(side_names)
    with_sides = {
        _parent(file.path)
        for file in listing.others()
        if PurePosixPath(file.path).suffix.lower() in (".mlf", ".mrf")
        or PurePosixPath(file.path).name.lower() in wanted
    }
    homes = {_home(path, folder, with_sides) for path, folder in images}
    if len(homes) > 1:
        raise several_plates(listing, sorted(homes))
    if len(with_sides) == 1 and not homes & with_sides:
        return next(iter(with_sides))  # side files in a folder of their own
    return next(iter(homes), "")


def require_one_folder(listing: Listing, folders: Iterable[str]) -> None:
    """Checks that images known by names alone lie in one folder.

    Raises:
        InputError: they lie in several, which may be several plates.
    """
    found = sorted(set(folders))
    if len(found) > 1:
        raise several_plates(listing, found)


def read_side_files(listing: Listing, folder: str) -> SideFiles:
    """Reads the side files in the plate's folder."""
    sides = SideFiles(folder)
    here = [file.path for file in listing.others() if _parent(file.path) == folder]
    sides.records_path = _only(here, ".mlf", _RECORDS.lower(), sides)
    detail = _only(here, ".mrf", "measurementdetail.mrf", sides)
    if detail:
        read = _attempt(sides, detail, lambda: read_detail(listing, detail))
        sides.detail = read or Detail()
    product = _only(here, ".wpp", "", sides)
    if product and not sides.detail.rows:
        size = _attempt(sides, product, lambda: read_plate_size(listing, product))
        rows, columns = size or (0, 0)
        sides.detail = replace(sides.detail, rows=rows, columns=columns)
    wanted = PurePosixPath(sides.detail.protocol.replace("\\", "/")).name.lower()
    protocols = [path for path in here if not wanted or PurePosixPath(path).name.lower() == wanted]
    protocol = _only(protocols, ".mes", wanted, sides)
    if protocol:
        plan = _attempt(sides, protocol, lambda: read_protocol(listing, protocol))
        sides.protocol = plan or MeasurementProtocol()
        sides.channels = sides.protocol.channels
    if sides.records_path:
        path = sides.records_path
        try:
            sides.records = read_records(listing, path)
        except ImageUnavailable:
            raise
        except UnreadableImage as error:
            sides.reject_records(str(error))
    elif not folder and path_in(listing.root).parent.joinpath(_RECORDS).is_file():
        sides.remarks.append(
            f"{_RECORDS} lies in the folder above the input and is not read: give that folder to have stage "
            "positions, pixel size, and the fields that the microscope lost"
        )
    return sides


def shots_of_records(
    sides: SideFiles, files: Sequence[FoundFile], parse: Callable[[str], Shot | None]
) -> list[Shot]:
    """Returns the images that the .mlf file lists, with their files; rejects it if the names contradict it.

    Args:
        sides: the side files; without records there are no images.
        files: all images that are no corrections.
        parse: what a path says by its name; None for other names.
    """
    if sides.records is None:
        return []
    sides.remarks += [
        f"{plural(count, 'record')} of type {kind!r} in {PurePosixPath(sides.records_path).name} not read"
        for kind, count in sides.records.others
    ]
    shots = located(sides.records.shots, files, sides.folder)
    sides.records = replace(sides.records, shots=())  # a plate has up to a million
    if files and not any(shot.file for shot in shots):
        sides.reject_records("none of the images that it lists is here")
        return []
    recorded: dict[str, int] = {}
    written: dict[str, int] = {}
    timed, mistimed = False, ""
    for index, shot in enumerate(shots):
        name = parse(shot.path) if shot.file else None
        shots[index] = shot = _completed(shot, name)
        if name is None:
            continue
        said = _contradiction(shot, name)
        if said:
            sides.reject_records(f"it contradicts the name of {shot.path}: {said}")
            return []
        timed = timed or recorded.setdefault(shot.well, shot.time_point) != shot.time_point
        timed = timed or written.setdefault(shot.well, name.time_point) != name.time_point
        if shot.time_point != name.time_point:
            mistimed = mistimed or f"it contradicts the name of {shot.path}: time point {shot.time_point}"
    if timed and mistimed:
        sides.reject_records(mistimed)
        return []
    return shots


def _parent(path: str) -> str:
    return path.rpartition("/")[0]


def _home(path: str, folder: str, with_sides: set[str]) -> str:
    """Returns the innermost folder around an image that has side files; else ``folder``."""
    above = _parent(path)
    while above and above not in with_sides:
        above = _parent(above)
    return above if above in with_sides else folder


def _only(paths: list[str], suffix: str, wanted: str, sides: SideFiles) -> str:
    """Returns the side file with this suffix: the one of the wanted name, else the only one."""
    found = [path for path in paths if path.lower().endswith(suffix)]
    chosen = [path for path in found if PurePosixPath(path).name.lower() == wanted] or found
    if len(chosen) == 1:
        sides.faults.update(
            {path: f"not used: {PurePosixPath(chosen[0]).name} is" for path in found if path != chosen[0]}
        )
        return chosen[0]
    sides.faults.update(dict.fromkeys(found, f"not used: there are {len(found)} {suffix} files"))
    return ""


def _attempt(sides: SideFiles, path: str, read: Callable[[], T]) -> T | None:
    try:
        return read()
    except ImageUnavailable:
        raise
    except UnreadableImage as error:
        sides.faults[path] = str(error)
        sides.remarks.append(f"{PurePosixPath(path).name} is not used: {error}")
        return None


def _completed(shot: Shot, name: Shot | None) -> Shot:
    """Returns an image with what only its name tells: the running number of a tile, and an absent z-step."""
    if shot.tile and name:
        shot = replace(shot, site=name.site)
    if not shot.z_step and not shot.projection:
        shot = (
            replace(shot, z_step=name.z_step, projection=name.projection) if name else replace(shot, z_step=1)
        )
    return shot


def _contradiction(shot: Shot, name: Shot) -> str:
    """Returns what differs between a record and its file's name; empty if nothing does."""
    for what, recorded, written in (
        ("well", shot.well, name.well or shot.well),
        ("field", shot.site, name.site),
        ("channel", shot.channel, name.channel),
        ("z-step", shot.z_step, shot.z_step if shot.projection else name.z_step),
    ):
        if recorded != written:
            return f"{what} {recorded}"
    return ""
