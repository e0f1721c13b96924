"""Layout of containers: files such as ND2, LIF and CZI that hold several images with their metadata.

- A container whose images all have wells in its metadata is a plate. Images of one well are its fields, in
  the file's order.
- Containers whose names tell a well (``WellB03`` or ``B03`` in each) are the wells of a plate together.
- Other containers are collections: each image is one, named by its file and its own name.

A file that can't be used is a record with the reason, and never a smaller file.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from nucbatch.core.errors import InputError, UnreadableImage
from nucbatch.core.escape import printable
from nucbatch.core.plate import Channel, FileRecord, Plate, file_rows
from nucbatch.readers.assemble import FieldFacts, FieldKey, Sighting, assemble
from nucbatch.readers.contract import Example, ReadOptions
from nucbatch.readers.formats.contract import ContainerFormat, MissingLibrary, Series
from nucbatch.readers.formats.damage import damaged_header
from nucbatch.readers.formats.installed import container_formats, format_of
from nucbatch.readers.formats.well_names import wells_in_names
from nucbatch.readers.layouts.one_plate import several_plates
from nucbatch.readers.listing import FoundFile, Listing
from nucbatch.readers.names import GREY, plural, safe_name, unique_names
from nucbatch.readers.rules import no_image, quarantined

_MOST_NAMED = 3
_BESIDE = "an image beside containers (files of several images), which are read: put it into another folder"


@dataclass(frozen=True, slots=True)
class _Container:
    """File with its images, or the reason why it cannot be used."""

    file: FoundFile
    series: Sequence[Series] = ()
    problem: str = ""

    @property
    def stem(self) -> str:
        return PurePosixPath(self.file.path).stem

    @property
    def channels(self) -> set[str]:
        return {channel.name for one in self.series for channel in one.channels}


class ContainersReader:
    """Reads containers: one, or a folder of them."""

    name = "containers"
    priority = 28
    example = Example(
        {"a.scn": None, "sub/b.scn": None, "c.scn": b"<html>", "d.tif": None, "notes.txt": b"x"}
    )

    def recognise(self, listing: Listing) -> bool:
        """Returns whether the file is a container, or at least half of the folder's images are."""
        images = listing.images()
        found = [file for file in images if _suffix(file.path) in container_formats()]
        return bool(found) and 2 * len(found) >= len(images)

    def read(self, listing: Listing, options: ReadOptions) -> Plate:
        """Returns the plate or collection of the containers' images.

        Raises:
            InputError: there is no container, the library that reads one is not installed, or several plates.
        """
        if not self.recognise(listing):
            endings = ", ".join(sorted(container_formats()))
            raise InputError(
                f"{printable(listing.name)} holds no containers ({endings}), or mostly other images."
            )
        records: list[FileRecord] = [no_image(file.path) for file in listing.others()]
        found: list[_Container] = []
        for file in listing.images():
            if _suffix(file.path) in container_formats():
                found.append(_opened(listing, file))
            else:
                records.append(quarantined(file.path, _BESIDE))
        records += [quarantined(one.file.path, one.problem) for one in found if one.problem]
        wells = _wells(listing, found)
        fields = _Fields(unnamed=not wells and _differ_in_name(found))
        for one in found:
            fields.add(one, wells.get(one.file.path) if wells else None)
        fields.drop_unlike_positions()
        plate = assemble(
            listing,
            name=safe_name(PurePosixPath(listing.name).stem if listing.single else listing.name),
            layout=self.name,
            sightings=fields.sightings,
            records=records,
            channels=list(fields.channels.values()) or [GREY],
            gaps=fields.gaps,
            acquired=fields.acquired,
            labels=None if wells else fields.names(),
            facts=fields.facts,
            evidence=_evidence(found) if wells else "",
            remarks=fields.remarks(),
        )
        used = {path for field in plate.fields for path in (plane.path for plane in field.planes)}
        lost = [
            quarantined(one.file.path, _summed(series.problem for series in one.series))
            for one in found
            if not one.problem and one.file.path not in used
        ]
        known = {record.path: record for record in (*plate.files, *lost)}
        return replace(plate, files=file_rows(known[path] for path in sorted(known)))


def _suffix(path: str) -> str:
    return PurePosixPath(path).suffix.lower()


def _evidence(found: Sequence[_Container]) -> str:
    return "side file" if any(_inside(one) for one in found) else "names"


def _differ_in_name(found: Sequence[_Container]) -> bool:
    """Returns whether each image has one channel, under several names, which may mean the same."""
    channels = [series.channels for one in found for series in one.series]
    return all(len(one) == 1 for one in channels) and len({one[0].name for one in channels}) > 1


def _opened(listing: Listing, file: FoundFile) -> _Container:
    """Lists the images of a container, or gives the reason why it cannot be used.

    Raises:
        InputError: the library that reads it is not installed.
    """
    kind = container_formats()[_suffix(file.path)]

    def look(path: Path) -> Sequence[Series]:
        with damaged_header():
            with path.open("rb") as opened:
                found = format_of(opened)
            if not isinstance(found, ContainerFormat):
                raise UnreadableImage(
                    f"no {kind.name} file, though named like one: it is a {found.name} file"
                )
            return found.series(path)

    try:
        return _Container(file, listing.read(file.path, look))
    except MissingLibrary as error:
        raise InputError(f"{printable(file.path)}: {error}") from error
    except UnreadableImage as error:
        return _Container(file, problem=str(error).removeprefix(f"{file.path}: "))


def _inside(one: _Container) -> bool:
    """Returns whether a container records the wells of its images."""
    return bool(one.series) and all(series.well for series in one.series)


def _wells(listing: Listing, found: Sequence[_Container]) -> dict[str, str]:
    """Returns the well of each container; "" for those that record wells. Empty if it is no plate.

    Raises:
        InputError: several plates, or one well in several files that hold different channels.
    """
    sound = [one for one in found if not one.problem]
    written = wells_in_names([one.stem for one in found]) or [""] * len(found)
    named = dict(zip((one.file.path for one in found), written, strict=True))
    if sound and all(_inside(one) for one in sound):
        wells = {one.file.path: "" if one.series else named[one.file.path] for one in found}
    elif all(named.values()) and len(found) > 1:
        wells = named
    else:
        return {}
    folders: dict[str, set[str]] = defaultdict(set)
    channels: dict[str, list[set[str]]] = defaultdict(list)
    for one in sound:
        for well in {wells[one.file.path] or series.well for series in one.series}:
            folders[well].add(one.file.path.rpartition("/")[0])
            channels[well].append(one.channels)
    twice = sorted(well for well, places in folders.items() if len(places) > 1)
    if twice:
        tops = sorted({path.partition("/")[0] for well in twice for path in folders[well] if path})
        raise several_plates(listing, tops, f"several plates (well {twice[0]} in several folders)")
    for well, sets in channels.items():
        if any(one != sets[0] for one in sets):
            raise InputError(
                f"{printable(listing.name)}: several files of well {well} hold different channels, and "
                "nothing says whether they show the same fields. Give the files of one channel, or one file."
            )
    return wells


class _Fields:
    """Planes and facts of fields, as :func:`~nucbatch.readers.assemble.assemble` takes them."""

    def __init__(self, unnamed: bool) -> None:
        self._unnamed = unnamed
        self.sightings: list[Sighting] = []
        self.channels: dict[str, Channel] = {}
        self.gaps: dict[FieldKey, str] = {}
        self.acquired: dict[FieldKey, set[str]] = {}
        self.facts: dict[FieldKey, FieldFacts] = {}
        self._titles: dict[int, str] = {}
        self._last: Counter[str] = Counter()
        self._unused = 0
        self._lost: list[str] = []
        self._places: dict[str, list[tuple[str, tuple[float, float]]]] = defaultdict(list)

    def add(self, one: _Container, well: str | None) -> None:
        """Adds the images of a container; ``well`` is None outside a plate, and empty for recorded wells."""
        if one.problem and well == "":
            self._lost.append(one.file.path)
        elif one.problem:
            self._add_gap(one, well or "", one.stem, one.problem)
        for number, series in enumerate(one.series, start=1):
            name = series.name.replace("/", "_") or str(number)
            title = one.stem if len(one.series) == 1 else f"{one.stem}_{name}"
            place = "" if well is None else well or series.well
            if series.problem:
                self._add_gap(one, place, title, series.problem)
            else:
                self._add(one.file, series, place, self._site(one, place, title))

    def _add_gap(self, one: _Container, well: str, title: str, problem: str) -> None:
        self.gaps[well, self._site(one, well, title), 0] = problem

    def _site(self, one: _Container, well: str, title: str) -> int:
        self._last[well] += 1
        site = self._last[well]
        if not well:
            self._titles[site] = f"{one.file.path}/{site}/{title}.image"
        return site

    def _add(self, file: FoundFile, series: Series, well: str, site: int) -> None:
        names = [GREY if self._unnamed else channel.name or GREY for channel in series.channels]
        for name, channel in zip(names, series.channels, strict=True):
            self.channels.setdefault(name, replace(channel, name=name))
        self._unused += series.unused_position
        if series.position_um:
            self._places[well].append((file.path, series.position_um))
        for t in range(series.times):
            key = well, site, t
            self.acquired[key] = set(names)
            self.facts[key] = FieldFacts(
                series.position_um,
                series.pixel_size_um,
                oblong_um=series.oblong_um,
                stage_um=series.stage_um,
            )
            self.sightings += [
                Sighting(file, name, well, site, t, z, series.page(t, c, z))
                for c, name in enumerate(names)
                for z in range(series.depth)
            ]

    def drop_unlike_positions(self) -> None:
        """Drops the positions of wells in which they can't be compared.

        Each file has an origin of its own, and files that were not written by a microscope may give several
        images the same place.
        """
        for well, places in self._places.items():
            if len({path for path, _ in places}) > 1 or len({at for _, at in places}) < len(places):
                self._unused += len(places)
                for key in self.facts:
                    if key[0] == well:
                        self.facts[key] = replace(self.facts[key], position_um=None)

    def names(self) -> dict[int, str]:
        """Returns a unique name for each image of a collection, by its site."""
        found = unique_names(self._titles.values())
        return {site: found[title] for site, title in self._titles.items()}

    def remarks(self) -> list[str]:
        """Returns sentences about stage positions that are not used, and about files whose wells are lost."""
        found = []
        if self._unused:
            found.append(
                f"stage positions of {plural(self._unused, 'image')} are not used: the files do not say how "
                "they lie to each other in the images"
            )
        if self._lost:
            found.append(
                f"{plural(len(self._lost), 'file')} can't be used, and nothing tells which wells are in it: "
                f"{', '.join(map(printable, self._lost[:_MOST_NAMED]))}"
            )
        return found


def _summed(reasons: Iterable[str]) -> str:
    return "; ".join(dict.fromkeys(reason for reason in reasons if reason))
