"""Axes of drawings: round numbers for ticks, and a linear or logarithmic scale onto units of the drawing."""

from __future__ import annotations

import math
from dataclasses import dataclass

_MOST_TICKS = 6


def ticks(low: float, high: float) -> list[float]:
    """At most six round numbers from ``low`` to ``high``, in order.

    >>> ticks(0.3, 6.1)
    [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    >>> ticks(0, 1), ticks(5, 5)
    ([0.0, 0.2, 0.4, 0.6, 0.8, 1.0], [5.0])
    """
    if not high > low:
        return [float(low)]
    size = 10.0 ** math.floor(math.log10((high - low) / _MOST_TICKS))
    step = next(
        size * many
        for many in (1, 2, 5, 10, 20)
        if math.floor(high / (size * many) + 1e-9) - math.ceil(low / (size * many) - 1e-9) < _MOST_TICKS
    )
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(number * step, 12) for number in range(first, last + 1)]


def tick_text(value: float) -> str:
    """A tick's label: ``0.5``, ``200``, ``1.5e6``.

    >>> tick_text(0.2), tick_text(1500.0), tick_text(2e6), tick_text(1e-4)
    ('0.2', '1500', '2e6', '1e-4')
    """
    if value and not 1e-3 <= abs(value) < 1e5:
        mantissa, _, power = f"{value:.3g}".partition("e")
        if not power:
            mantissa, _, power = f"{value:.2e}".partition("e")
            mantissa = mantissa.rstrip("0").rstrip(".")
        return f"{mantissa}e{int(power)}"
    return f"{value:g}"


@dataclass(frozen=True, slots=True)
class Scale:
    """Maps values from ``low`` to ``high`` onto ``begin`` to ``end`` of a drawing."""

    low: float
    high: float
    begin: float
    end: float

    def __call__(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low) if self.high != self.low else 0.5
        return round(self.begin + share * (self.end - self.begin), 1)

    def ticks(self) -> list[tuple[float, str]]:
        """Place and label of each tick."""
        return [(self(value), tick_text(value)) for value in ticks(self.low, self.high)]
