"""Pictures of nuclei that never lived, with their truth: for the demo, the tests and the benchmarks."""

from nucbatch.synthetic.field import draw_field, make_field
from nucbatch.synthetic.plate import Truth, TruthRow, make_plate

__all__ = ["Truth", "TruthRow", "draw_field", "make_field", "make_plate"]
