"""The same labels have the same measurements in nucbatch, scikit-image and cp_measure (CellProfiler's).

docs/reference/outputs.md states what is compared and the tolerance.
"""

import warnings

import numpy as np
import pytest
from skimage.measure import regionprops_table

from nucbatch.features import measure
from nucbatch.synthetic import make_field

TOLERANCE = 1e-9  # relative
SKIMAGE = {
    "Nuclei_AreaShape_Area": "area",
    "Metadata_Nuclei_Location_Center_X": "centroid-1",
    "Metadata_Nuclei_Location_Center_Y": "centroid-0",
    "Nuclei_AreaShape_MajorAxisLength": "axis_major_length",
    "Nuclei_AreaShape_MinorAxisLength": "axis_minor_length",
    "Nuclei_AreaShape_Eccentricity": "eccentricity",
    "Nuclei_AreaShape_Perimeter": "perimeter",
    "Nuclei_AreaShape_EquivalentDiameter": "equivalent_diameter_area",
    "Nuclei_AreaShape_Extent": "extent",
    "Nuclei_AreaShape_Solidity": "solidity",
    "Nuclei_AreaShape_ConvexArea": "area_convex",
    "Nuclei_Intensity_MeanIntensity_DNA": "intensity_mean",
    "Nuclei_Intensity_StdIntensity_DNA": "intensity_std",
    "Nuclei_Intensity_MinIntensity_DNA": "intensity_min",
    "Nuclei_Intensity_MaxIntensity_DNA": "intensity_max",
    "Nuclei_Intensity_MedianIntensity_DNA": "intensity_median",
    "Metadata_Nuclei_Location_CenterMassIntensity_X_DNA": "centroid_weighted-1",
    "Metadata_Nuclei_Location_CenterMassIntensity_Y_DNA": "centroid_weighted-0",
}


@pytest.fixture(scope="module")
def scene():
    """Labels (Y, X), image (2, Y, X) uint16, and the measurements."""
    images, labels = make_field(400, np.random.default_rng(3), nuclei=60, channels=2)
    image = np.stack(images).astype(np.uint16)
    return labels, image, measure(labels, image, ("DNA", "GFP"))


def compare(ours, name, theirs):
    np.testing.assert_allclose(ours[name], theirs, rtol=TOLERANCE, atol=1e-9, err_msg=name)


def test_scikit_image(scene):
    labels, image, ours = scene
    assert labels.max() > 50
    properties = tuple(dict.fromkeys(name.split("-")[0] for name in SKIMAGE.values()))
    theirs = regionprops_table(labels, image[0].astype(float), properties=properties)
    for name, its_name in SKIMAGE.items():
        compare(ours, name, theirs[its_name])


@pytest.mark.slow
def test_cellprofiler_s_port(scene):
    from cp_measure.bulk import get_core_measurements, get_correlation_measurements
    from cp_measure.multimask.measureobjectneighbors import measureobjectneighbors

    labels, image, ours = scene
    one, other = image.astype(float)
    functions = get_core_measurements()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = {f"Nuclei_{name}_DNA": got for name, got in functions["intensity"](labels, one).items()}
        for function in ("sizeshape", "feret"):
            found = functions[function](labels, None)
            theirs |= {f"Nuclei_AreaShape_{name}": values for name, values in found.items()}
        near = measureobjectneighbors(labels, labels, "Within a specified distance", 10)
        pearson = get_correlation_measurements()["pearson"](one, other, labels)["Correlation_Pearson"]
    theirs |= {f"Nuclei_{name}": values for name, values in near.items()}
    theirs |= {f"Metadata_{name}": values for name, values in theirs.items()}
    for axis in "XY":
        theirs[f"Metadata_Nuclei_Location_Center_{axis}"] = theirs[f"Nuclei_AreaShape_Center_{axis}"]
    theirs["Nuclei_Correlation_Correlation_DNA_GFP"] = pearson
    both = sorted(ours.keys() & theirs.keys())
    assert len(both) == 36
    for name in both:
        compare(ours, name, theirs[name])
