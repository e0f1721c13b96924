"""The interface of a panel of the report: a title, an order, and a function from a run's data to HTML.

Panels are registered in the entry point group ``nucbatch.panels``; other packages can add their own.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from numpy.typing import NDArray

from nucbatch.core.extensions import registered
from nucbatch.report.run_data import RunData

GROUP = "nucbatch.panels"


@dataclass(frozen=True, slots=True)
class Panel:
    """One section of the page.

    ``render`` returns the section's HTML below the heading, with names escaped; an empty result leaves the
    section out. Panels are shown by ascending ``order``. A panel must not load anything from outside the page
    and has no scripts: the page forbids both. What the page's own script draws comes from
    :func:`json_block`.
    """

    title: str
    order: int
    render: Callable[[RunData], Markup]


def load_panels() -> dict[str, Panel]:
    """All registered panels by entry point name, in the order of the page.

    Raises:
        TypeError: an entry point does not hold a Panel, which is a defect of the package that registered it.
    """
    panels: dict[str, Panel] = {}
    for entry in registered(GROUP):
        panel = entry.load()
        if not isinstance(panel, Panel):
            raise TypeError(f"{entry.value} in {GROUP} is a {type(panel).__name__}: it must be a Panel.")
        panels[entry.name] = panel
    return dict(sorted(panels.items(), key=lambda item: (item[1].order, item[0])))


def fill(template: str, **values: object) -> Markup:
    """Fills a template of ``nucbatch/report/templates`` with values, escaped unless they are Markup."""
    text = _environment().get_template(template).render(**values)
    return Markup(text)  # noqa: S704  # nosec B704  # the environment below has escaped every value


def json_block(name: str, values: object) -> Markup:
    """Values for the page's script, as JSON in ``<template id="NAME-data">``, which browsers don't show.

    Characters with a meaning in HTML are written as JSON escapes, so no value can end the element.
    """
    text = json.dumps(values, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "&<>":
        text = text.replace(character, f"\\u{ord(character):04x}")
    escaped = Markup(text)  # noqa: S704  # nosec B704  # no character above is left in it
    return Markup('<template id="{}-data">{}</template>').format(name, escaped)


def packed(values: NDArray[Any], dtype: str) -> str:
    """Base64 of an array's items, little-endian: ``packed(counts, "u2")``, ``packed(means, "f4")``."""
    return base64.b64encode(values.astype(np.dtype(dtype).newbyteorder("<")).tobytes()).decode("ascii")


def compile_templates() -> None:
    """Compiles all templates, which :func:`fill` would do at their first use."""
    environment = _environment()
    for name in environment.list_templates(extensions=["html"]):
        environment.get_template(name)


@cache
def _environment() -> Environment:
    """The templates; they are compiled once in a process, because that takes longer than filling them."""
    environment = Environment(
        loader=PackageLoader("nucbatch.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = number
    return environment


def number(value: float | int | None, digits: int = 0) -> str:
    """A number as text: thin spaces between thousands, a dash for a missing value."""
    if value is None or value != value:
        return "–"
    return f"{value:,.{digits}f}".replace(",", "\u202f")
