"""Status of the files of failed fields in the tables."""

from dataclasses import replace

from nucbatch.core.plate import Channel, Field, FileRecord, FileStatus, Plane, Plate, file_rows
from nucbatch.execution.unused_files import unused_files, with_lost_originals
from nucbatch.readers.rules import ignored


def field(site: int, *paths: str) -> Field:
    planes = tuple(Plane(path, "DAPI") for path in paths)
    return Field("B03", site, 0, f"B/3/{site}", f"p_{site}", planes, 4, 4, "uint8")


def plate(*fields: Field) -> Plate:
    return Plate("p", "/", "x", (Channel("DAPI", 0),), fields, ())


def test_the_file_that_is_named_is_quarantined_and_the_others_ignored_by_rule():
    one, other = field(1, "a.tif", "b.tif", "c.tif"), field(2, "d.tif")
    fates = unused_files(plate(one, other), {one.key: "b.tif: has vanished"}, {})
    assert fates.pop("b.tif") == (FileStatus.QUARANTINED, "has vanished")
    assert set(fates) == {"a.tif", "c.tif"}
    assert all(
        status is FileStatus.IGNORED and reason.startswith("incomplete-field: ")
        for status, reason in fates.values()
    )


def test_a_field_that_failed_by_itself_ignores_its_files_by_rule():
    one = field(1, "a.tif")
    ((status, reason),) = unused_files(plate(one), {one.key: "its worker died"}, {}).values()
    assert status is FileStatus.IGNORED
    assert reason.startswith("failed-field: ")


def test_a_file_of_which_another_field_was_made_is_used():
    one, other = field(1, "film.tif"), field(2, "film.tif")
    failed = {one.key: "its worker died"}
    assert unused_files(plate(one, other), failed, {}) == {}
    assert unused_files(plate(other, one), failed, {}) == {}


def test_fields_that_are_still_to_come_use_their_files():
    assert unused_files(plate(field(1, "a.tif")), {}, {}) == {}


def test_a_copy_of_an_image_that_the_run_quarantines_names_it():
    records = FileRecord("a.tif", FileStatus.USED), ignored("a.png", "preview"), ignored("b.png", "preview")
    planned = replace(plate(field(1, "a.tif")), files=file_rows(records))
    said = [
        [file.reason for file in with_lost_originals(planned, {"a.tif": (status, "x")}).files]
        for status in (FileStatus.QUARANTINED, FileStatus.IGNORED)
    ]
    assert said[1] == [file.reason for file in records]
    assert said[0][1].startswith("preview: a copy of a.tif, which is quarantined: move a.tif out")
    assert (said[0][0], said[0][2]) == (said[1][0], said[1][2])
