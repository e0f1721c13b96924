"""Measurements of nuclei, and quality figures of fields."""

from nucbatch.features.contract import Columns, Family
from nucbatch.features.measure import installed_families, measure
from nucbatch.features.measured_objects import Objects, objects_of
from nucbatch.features.quality import field_quality

__all__ = ["Columns", "Family", "Objects", "field_quality", "installed_families", "measure", "objects_of"]
