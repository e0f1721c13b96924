"""Synthetic images of nuclei with their truth, for the demo, tests and benchmarks."""

from nucbatch.synthetic.dose_plate import DosePlate, make_dose_plate
from nucbatch.synthetic.field import draw_field, make_field
from nucbatch.synthetic.imagexpress_plate import Truth, TruthRow, make_plate

__all__ = ["DosePlate", "Truth", "TruthRow", "draw_field", "make_dose_plate", "make_field", "make_plate"]
