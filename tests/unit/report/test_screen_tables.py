"""The joint tables of a screen's runs, and its page of plates side by side, by workflows/gather.py."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pandas as pd
import pytest

from nucbatch.report.screen import tables

SCRIPT = Path(__file__).parents[3] / "workflows" / "gather.py"
HEAD = "Metadata_Plate,Metadata_Well,Metadata_Time,Count_Nuclei,Fields_Total,Fields_Failed"
HOSTILE = "=<script>alert(1)</script>&'\""


def gather(*runs: Path, page: bool = False, options: tuple[str, ...] = ()) -> str:
    """Runs the script without any installed package; its tables go beside the first run."""
    to = runs[0].parent
    where = ["--wells", to / "wells.csv", "--plates", to / "plates.csv"]
    where += ["--page", to / "overview.html"] if page else []
    command = [sys.executable, "-S", SCRIPT, *runs, *where, *options]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    assert done.stderr == "", done.stderr
    return (to / "overview.html").read_text(encoding="utf-8") if page else done.stdout


def run_folder(path: Path, head: str, rows: str, files: str = "x.tif,used,\n") -> Path:
    """A folder with the tables of a run that the script reads."""
    path.mkdir()
    (path / "wells.csv").write_text(f"{head}\n{rows}", encoding="utf-8")
    (path / "files.csv").write_text(f"path,status,reason\n{files}", encoding="utf-8")
    return path


def assay_run(path: Path, gain: float, z_prime: float) -> Path:
    """A plate with two controls and two samples; its signal is multiplied by ``gain``."""
    head = f"{HEAD},Count_Nuclei_PerField_Mean,Metadata_AssayControl,Mean_Signal"
    controls = ("A01", 4, 1, 0, "positive"), ("A02", 6, 1, 0, "negative")
    wells = (*controls, ("B01", 5, 2, 1, ""), ("B02", "", 1, 1, ""))
    rows = ""
    for at, (well, count, total, failed, control) in enumerate(wells):
        value = "" if count == "" else gain * (10 - at)
        rows += f"p,{well},0,{count},{total},{failed},{count},{control},{value}\n"
        rows += f"p,{well},1,99,{total},0,99,{control},1e6\n"
    run_folder(path, head, rows, "x.tif,used,\nshort.tif,quarantined,is cut short\n")
    card = {"experiment": {"best_measure": "Mean_Signal"}}
    (path / "run.json").write_text(json.dumps(card), encoding="utf-8")
    table = "Metadata_Plate,Metadata_Time,Series,Measure,ZPrime\n"
    table += f"p,0,,Mean_Signal,{z_prime}\np,1,,Mean_Signal,-9\np,0,,Mean_Other,0.99\n"
    (path / "assay.csv").write_text(table, encoding="utf-8")
    return path


def test_wells_of_plates_with_other_channels_keep_every_column(tmp_path: Path) -> None:
    columns = {"a": "Mean_DAPI", "b": "Mean_GFP"}
    runs = [
        run_folder(tmp_path / name, f"{HEAD},{column}", "p,A01,0,4,1,0,7.5\n")
        for name, column in columns.items()
    ]
    gather(*runs)
    wells = pd.read_csv(tmp_path / "wells.csv", index_col="Metadata_Run")
    assert wells.loc["a", "Mean_DAPI"] == wells.loc["b", "Mean_GFP"] == 7.5
    assert wells.loc[["a", "b"], ["Mean_GFP", "Mean_DAPI"]].isna().sum().sum() == 2
    assert list(pd.read_csv(tmp_path / "plates.csv")["Status"]) == ["complete", "complete"]
    assert not (tmp_path / "assay.csv").exists()


def test_the_name_of_a_plates_folder_is_not_run_by_a_spreadsheet(tmp_path: Path) -> None:
    gather(run_folder(tmp_path / "=cmd();=x", f"{HEAD},Mean_A", "'=p,A01,0,4,1,0,-7.5\n"))
    (well,) = pd.read_csv(tmp_path / "wells.csv").to_dict("records")
    assert (well["Metadata_Run"], well["Metadata_Plate"], well["Mean_A"]) == ("'=cmd();'=x", "'=p", -7.5)
    (plate,) = pd.read_csv(tmp_path / "plates.csv").to_dict("records")
    assert plate["Run"] == "'=cmd();'=x"


def test_the_table_of_plates_counts_wells_once_and_nuclei_of_one_time_point(tmp_path: Path) -> None:
    gather(run_folder(tmp_path / "run", HEAD, "p,A01,0,4,1,0\np,A01,1,6,1,0\np,A02,0,,1,1\np,A02,1,9,1,0\n"))
    (plate,) = pd.read_csv(tmp_path / "plates.csv").to_dict("records")
    assert (plate["Wells"], plate["Time_Points"], plate["Fields"], plate["Fields_Failed"]) == (2, 2, 4, 1)
    assert plate["Count_Nuclei"] == 4
    assert len(pd.read_csv(tmp_path / "wells.csv")) == 4


def test_controls_of_all_plates_are_joined_and_each_plate_has_its_z_prime(tmp_path: Path) -> None:
    gather(assay_run(tmp_path / "one", 1, 0.8), assay_run(tmp_path / "two", 2, 0.25))
    plates = pd.read_csv(tmp_path / "plates.csv", index_col="Run")
    assert plates["ZPrime"].to_dict() == {"one": 0.8, "two": 0.25}
    assert set(plates["Measure"]) == {"Mean_Signal"}
    assay = pd.read_csv(tmp_path / "assay.csv")
    assert list(assay["Metadata_Run"].value_counts()) == [3, 3]


class _Marks(HTMLParser):
    """Tags, classes and texts of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.titles: list[str] = []
        self.shades: list[str] = []
        self._in_title = False
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self._in_title = tag == "title"
        kind = dict(attributes).get("class") or ""
        self.shades += [kind] if tag == "rect" and dict(attributes).get("height") != "12" else []

    def handle_data(self, text: str) -> None:
        self.titles += [text] if self._in_title else []
        self._in_title = False


def test_plates_stand_side_by_side_in_one_range_of_colours(tmp_path: Path) -> None:
    text = gather(assay_run(tmp_path / "one", 1, 0.8), assay_run(tmp_path / "two", 2, 0.25), page=True)
    marks = _Marks(text)
    maps = text.partition("<h2>Mean_Signal</h2>")[2].partition("<h2>")[0]
    assert maps.count("<figure>") == 2
    assert "≤ 8" in maps
    assert "≥ 20" in maps
    assert marks.titles.count("B01: 8, 1 of 2 fields failed") == 1
    assert marks.titles.count("B02: no value, 1 of 1 fields failed") == 4  # two measures of two plates
    signal = _Marks(maps).shades
    coloured = [shade for shade in signal if shade not in ("none", "failed")]
    assert coloured == ["c8", "c4", "c0", "c47", "c39", "c31"]
    assert signal.count("failed") == 2
    assert maps.count('class="partly"') == 2
    assert not any("1,000,000" in title for title in marks.titles)  # the second time point


def test_drift_of_controls_counts_and_z_prime_follows_the_plates(tmp_path: Path) -> None:
    runs = [assay_run(tmp_path / f"plate{number}", number, 0.9 - number / 10) for number in (1, 2, 3)]
    drift = gather(*runs, page=True).partition("<h2>Drift")[2].partition("<h2>")[0]
    signal = drift.partition("Mean_Signal, median of the wells")[2].partition("</figure>")[0]
    for kind, value in (("positive", 10), ("negative", 9), ("all", 9)):
        dots = re.findall(rf'class="dot {kind}".*?<title>(.*?)</title>', signal)
        assert dots == [f"plate{number}: {number * value}" for number in (1, 2, 3)]
    z_prime = drift.partition("<figcaption>Z&#x27;</figcaption>")[2]
    assert re.findall(r"<title>(.*?)</title>", z_prime) == ["plate1: 0.8", "plate2: 0.7", "plate3: 0.6"]
    assert 'class="limit"' in z_prime


def test_names_are_text_and_the_page_can_load_and_run_nothing(tmp_path: Path) -> None:
    run = run_folder(
        tmp_path / HOSTILE.replace("/", "_"),
        f"{HEAD},Count_Nuclei_PerField_Mean,{HOSTILE.replace(chr(34), '')},Reason",
        f"p,{HOSTILE.replace(chr(34), '')},0,4,1,1,4,2,<b>why</b>\n",
        "<img src=x>,quarantined,<i>no</i>\n",
    )
    (run / "report.html").touch()
    text = gather(run, page=True, options=(f"--measure={HOSTILE.replace(chr(34), '')}",))
    tags = _Marks(text).tags
    assert tags.isdisjoint({"script", "img", "b", "i", "link", "iframe"})
    assert "&lt;img src=x&gt;" in text
    assert "style=" not in text
    (address,) = re.findall(r'href="([^"]*)"', text)
    assert unquote(address) == f"./{run.name}/report.html"
    assert re.fullmatch(r"[\w./%-]+", address)
    style = text.partition("<style>")[2].partition("</style>")[0]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"default-src 'none'; base-uri 'none'; form-action 'none'; style-src 'sha256-{digest}'" in text


@pytest.mark.parametrize("content", ["{", "[]", '{"experiment": 7}', '{"experiment": {"best_measure": [1]}}'])
def test_a_damaged_description_of_a_run_gives_a_page_without_a_measure(tmp_path: Path, content: str) -> None:
    run = run_folder(tmp_path / "run", f"{HEAD},Count_Nuclei_PerField_Mean", "p,A01,0,4,1,0,nan\n")
    (run / "run.json").write_text(content, encoding="utf-8")
    assert "A01: no value" in gather(run, page=True)


def test_failures_are_listed_by_reason(tmp_path: Path) -> None:
    rows = "".join(f"p,A{number:02d},0,,1,1,cut short\n" for number in range(1, 11)) + "p,B01,0,,1,1,gone\n"
    files = "a.tif,quarantined,cut short\nb.tif,quarantined,cut short\nc.txt,ignored,no image\n"
    text = gather(run_folder(tmp_path / "run", f"{HEAD},Reason", rows, files), page=True)
    failures = re.findall(r'<td class="text">(.*?)</td>', text)
    assert [failures[at : at + 3] for at in range(0, len(failures), 3)] == [
        ["run", "files a.tif, b.tif", "cut short"],
        ["run", "wells A01, A02, A03, A04, A05, A06, A07, A08 and 2 more", "cut short"],
        ["run", "well B01", "gone"],
    ]


def test_an_unknown_measure_is_refused(tmp_path: Path) -> None:
    run = run_folder(tmp_path / "run", HEAD, "p,A01,0,4,1,0\n")
    command = [sys.executable, SCRIPT, run, "--wells", tmp_path / "w.csv", "--plates", tmp_path / "p.csv"]
    done = subprocess.run([*command, "--measure", "Mean_X"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "--measure Mean_X: no wells.csv of these runs has such a column" in done.stderr
    done = subprocess.run([sys.executable, SCRIPT, run], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "give --wells and --plates" in done.stderr


def test_a_plate_without_tables_has_a_row_with_its_reason(tmp_path: Path) -> None:
    done, lost = run_folder(tmp_path / "done", HEAD, "p,A01,0,4,1,0\n"), tmp_path / "lost"
    to = {name: tmp_path / f"{name}.csv" for name in ("wells", "plates")}
    page = tmp_path / "overview.html"
    tables.gather([done, lost], to["wells"], to["plates"], page, undone={lost: ("failed", "=no <b>image")})
    plates = pd.read_csv(to["plates"], index_col="Run", keep_default_na=False)
    assert plates["Status"].to_dict() == {"done": "complete", "lost": "failed"}
    assert plates.loc["lost", ["Fields", "Reason"]].to_list() == ["", "'=no <b>image"]
    assert len(pd.read_csv(to["wells"])) == 1
    assert "<td>lost</td>" in page.read_text(encoding="utf-8")
    assert "=no &lt;b&gt;image" in page.read_text(encoding="utf-8")
    assert tables.sentences(to["plates"]) == ["lost: failed: '=no <b>image"]
