"""Golden trees of IN Cell Analyzer: the .xdce as IN Cell 2000 writes it."""

from collections.abc import Iterable
from pathlib import Path

from golden import Expected, GoldenTree, every, write_images

WAVES = (("UV", "350", "DAPI", "455"), ("390", "390", "Blue", "432"))


def stem(row: str, column: int, field: int, wave: int, z: int | None = None) -> str:
    """Returns the name of an image; z from 0."""
    excitation, _, emission, _ = WAVES[wave]
    step = "" if z is None else f" z {z + 1:02d}"
    return f"{row} - {column}(fld {field} wv {excitation} - {emission}{step}).tif"


def listed(row: str, column: int, field: int, wave: int, z: int | None = None, file: str = "") -> str:
    """Returns the record of an image; field from 1, z from 0."""
    excitation, _, emission, _ = WAVES[wave]
    return (
        f'<Image acquisition_time_ms="1250" filename="{file or stem(row, column, field, wave, z)}" '
        f'thumbnail="thumbs\\{row}{column}.jpg"><Well label="{row} - {column}">'
        f'<Row number="{ord(row) - 64}"/><Column number="{column}"/></Well><FocusPosition unit="µm" z="2"/>'
        f'<EmissionFilter name="{emission}"/><ExcitationFilter name="{excitation}"/>'
        f'<Identifier field_index="{field - 1}" time_index="0" wave_index="{wave}" z_index="{z or 0}"/>'
        "</Image>"
    )


def xdce(images: Iterable[str], *, binning: str = "2 X 2", waves: int = 2) -> bytes:
    """Returns an .xdce in ISO-8859-1 of a plate with 4 × 6 wells and 0.325 µm per pixel without binning."""
    filters = "".join(
        f'<Wavelength fusion_wave="false" imaging_mode="2-D" index="{index}">'
        f'<ExcitationFilter name="{excitation}" unit="nm" wavelength="{excitation_nm}"/>'
        f'<EmissionFilter name="{emission}" unit="nm" wavelength="{emission_nm}"/></Wavelength>'
        for index, (excitation, excitation_nm, emission, emission_nm) in enumerate(WAVES[:waves])
    )
    text = (
        '<?xml version="1.0" encoding="ISO-8859-1" standalone="no"?><ImageStack><AutoLeadAcquisitionProtocol '
        'name="Prüfung" use_subfolders="true"><ObjectiveCalibration magnification="20.0" unit="µm" '
        f'pixel_height="0.3250" pixel_width="0.3250"/><Camera><Binning value="{binning}"/></Camera>'
        '<Plate columns="6" rows="4" name="24"/><PlateMap><offset_point index="0" x="0" y="0"/>'
        '<offset_point index="1" x="650.5" y="-300"/></PlateMap>'
        f"<Wavelengths>{filters}</Wavelengths></AutoLeadAcquisitionProtocol><Images>{''.join(images)}</Images>"
        "</ImageStack>"
    )
    return text.encode("iso-8859-1")


def _with_xdce(folder: Path) -> Path:
    places = [("A", c, f, w, z) for c in (1, 2) for f in (1, 2) for w in (0, 1) for z in (0, 1)]
    write_images(folder, (f"{row} - {c}/{stem(row, c, f, w, z)}" for row, c, f, w, z in places[:-4]))
    write_images(folder / "thumbs", ["A1.jpg"])
    (folder / "plate 7.xdce").write_bytes(xdce(listed(*place) for place in places))
    return folder


def _names_alone(folder: Path) -> Path:
    write_images(
        folder, every("{r} - {c}(fld 0{f} wv FITC - FITC).tif", r=("A", "H"), c=("01", "12"), f=(1, 2))
    )
    return folder


TREES = (
    GoldenTree(
        "IN Cell with .xdce",
        "quoted",
        _with_xdce,
        Expected(
            "incell",
            "side file",
            ("A01", "A02"),
            3,
            ("UV - DAPI", "390 - Blue"),
            z=2,
            pixel_size_um=0.65,
            gaps=1,
            files=(12, 2, 0),
        ),
    ),
    GoldenTree(
        "IN Cell, names alone",
        "quoted",
        _names_alone,
        Expected("incell", "names", ("A01", "A12", "H01", "H12"), 8, ("FITC - FITC",), files=(8, 0, 0)),
    ),
)
