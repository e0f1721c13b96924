"""The summary, the failures and the settings, as words."""

import json
import re

import pytest

from nucbatch.report import failures, settings, summary
from nucbatch.report.run_data import RunData


def words(html):
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", str(html))).strip()


def test_a_clean_run_says_done_and_its_figures(make_run):
    field = make_run.field
    text = words(
        summary.render(RunData(make_run([field("B02", 1, 1200), field("B03", 1, 0), field("B04", 1, 40)])))
    )
    assert text.startswith("Done. Every field was counted.")
    assert "Nuclei 1 240" in text
    assert "Median per field 40 from 0 to 1 200" in text
    assert "Fields with no nucleus 1" in text
    assert "Fields failed 0" in text
    assert "Duration 3 min 20 s 0.9 fields/min" in text


def test_the_nuclei_s_diameter_and_rescaled_fields_are_reported(make_run):
    def summary_of(*seen):
        fields = [
            make_run.field(f"B{n:02d}", 1, 9, QC_NuclearDiameter=diameter, QC_Zoom=zoom)
            for n, (diameter, zoom) in enumerate(seen, start=1)
        ]
        return words(summary.render(RunData(make_run(fields))))

    assert "Nuclear diameter 98 px 2 fields rescaled for the model" in summary_of(
        (98.2, 0.2), (97.9, 0.2), (0.0, 1.0)
    )
    assert "Nuclear diameter 24 px seen at the images' own scale" in summary_of((24.0, 1.0)).replace(
        "&#39;", "'"
    )
    assert "Nuclear diameter" not in summary_of((0.0, 1.0))


def test_the_duration_is_of_the_last_session_and_says_so(make_run):
    fields = [make_run.field(f"B{column:02d}", 1, 9) for column in range(1, 6)]
    session = {"timings": {"wall_s": 60.0, "wall_fields": 2}}
    assert "Duration 1 min 00 s the last session: 2 fields, 2.0 fields/min" in words(
        summary.render(RunData(make_run(fields, run=session)))
    )
    nothing_left_to_do = {"timings": {"wall_s": 1.0, "wall_fields": 0}}
    assert "Duration" not in words(summary.render(RunData(make_run(fields, run=nothing_left_to_do))))


def test_gaps_are_named_with_their_numbers(make_run):
    fields = [make_run.field("B02", 1, 3), make_run.field("B03", 1, None)]
    files = [make_run.file("a.tif"), make_run.file("b.tif", "quarantined", "cut short")]
    text = words(summary.render(RunData(make_run(fields, files))))
    assert text.startswith("Done, with gaps. 1 field failed, 1 file was quarantined;")
    assert "1 without a count" in text


def test_fields_that_lack_a_channel_are_named_by_it(make_run):
    fields = [make_run.field("B02", 1, 3, Flags="missing-channel GFP"), make_run.field("B03", 1, 4)]
    data = RunData(make_run(fields))
    assert words(summary.render(data)).startswith("Done, with gaps. 1 field lacks a channel;")
    text = words(failures.render(data))
    assert "missing-channel GFP : this channel has no usable image" in text
    assert "P1_B02_s1" in text
    assert "Nothing failed" not in text


def test_flagged_fields_are_counted_and_listed(make_run):
    fields = [make_run.field("B02", 1, 3), make_run.field("B03", 1, 9, Flags="absent-pixels")]
    data = RunData(make_run(fields))
    text = words(summary.render(data))
    assert text.startswith("Done, with doubts. Every field was counted, 1 field is flagged.")
    assert "Fields flagged 1" in text
    listed = words(failures.render(data))
    assert "absent-pixels : a part of the picture was never written" in listed
    assert "P1_B03_s1" in listed
    assert "P1_B02_s1" not in listed


def test_images_that_lack_chunks_are_listed(make_run):
    files = [
        make_run.file("p.zarr/A/1/0/", reason="3 of 64 chunks or tiles absent"),
        make_run.file("p.zarr/A/1/1/"),
    ]
    listed = words(failures.render(RunData(make_run([make_run.field("A01", 1, 3)], files))))
    assert "Images used though some of their chunks are not stored" in listed
    assert "3 of 64 chunks or tiles absent 1 p.zarr/A/1/0/" in listed
    assert "no reason was recorded" not in listed
    assert "p.zarr/A/1/1/" not in listed


def test_an_unfinished_run_says_so_and_fails_nothing(make_run):
    fields = [make_run.field("B02", 1, 3), make_run.field("B03", 1, None, Status="pending")]
    text = words(summary.render(RunData(make_run(fields))))
    assert text.startswith("Not finished. 1 field not processed yet.")
    assert "Fields failed 0" in text


def test_a_run_that_counted_nothing_has_no_median(make_run):
    text = words(summary.render(RunData(make_run([make_run.field("B02", 1, None)]))))
    assert text.startswith("Nothing was counted.")
    assert "Median per field –" in text


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(4.24, "4.2 s"), (42.4, "42 s"), (200, "3 min 20 s"), (59.7, "1 min 00 s"), (7500, "2 h 05 min")],
)
def test_durations_are_words(seconds, expected):
    assert summary.duration(seconds) == expected


def test_failures_balance_and_group_by_reason(make_run):
    file = make_run.file
    files = [file("a.tif"), file("q.tif", "quarantined", "it is: cut short")]
    files += [file(f"{n}_thumb.tif", "ignored", "thumbnail: a small preview") for n in range(3)]
    fields = [make_run.field("B02", 1, 3), make_run.field("B03", 2, None, reason="no plane can be read")]
    text = words(failures.render(RunData(make_run(fields, files))))
    assert "5 files found = 1 used + 3 ignored by a rule + 1 quarantined." in text
    assert "B03, site 2 P1_B03_s2 no plane can be read" in text
    assert "it is: cut short 1 q.tif" in text
    assert "thumbnail : a small preview 3" in text


def test_long_lists_are_cut_and_say_so(make_run):
    files = [
        make_run.file(f"{n:04}.tmp", "ignored", "not-an-image: its name does not have the ending of an image")
        for n in range(1250)
    ]
    html = str(failures.render(RunData(make_run([make_run.field("B02", 1, 3)], files))))
    assert html.count("<li") == failures.SHOWN
    assert "and 1 050 more: see files.csv" in words(html)


def test_warnings_of_all_sessions_are_listed_once_and_escaped(make_run):
    run = make_run([make_run.field("B02", 1, 3)])
    said = ["No file says its pixel size.", "<b>bold</b>.tif is done again", "No file says its pixel size."]
    lines = [json.dumps({"time": 1, "text": text}) for text in said]
    run.warnings.write_text("\n".join([*lines, '{"time": 1, "te']))  # the last one cut short by a kill
    html = str(failures.render(RunData(run)))
    assert "Warnings of this run No file says its pixel size. in 2 sessions" in words(html)
    assert html.count("<li>") == 2
    assert "&lt;b&gt;bold&lt;/b&gt;.tif is done again" in html


def test_a_run_without_warnings_has_no_list_of_them(make_run):
    run = make_run([make_run.field("B02", 1, 3)])
    assert "Warnings" not in str(failures.render(RunData(run)))


def test_settings_show_every_value_of_run_json(make_run):
    run = make_run.run | {"added_later": {"deep": {"er": [1, 2]}}}
    text = words(settings.render(RunData(make_run([make_run.field("B02", 1, 3)], run=run))))
    for expected in (
        "nucbatch 0.1.0",
        "channel DAPI",
        "objects.foreground 0.5",
        "pixel_size_um –",
        "scores.val pixel F1 0.931",
        "sha256 " + "9f" * 32,
        "deep.er 1, 2",
        "segment 3 min 15 s",
    ):
        assert expected in text
