"""The layers of napari that show a field: its channels, its nuclei, and outlines of the selected nuclei."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from napari import Viewer
from napari.utils.colormaps import DirectLabelColormap
from numpy.typing import NDArray

from nucbatch.review.field_review import FieldReview
from nucbatch.review.reviewed_run import Image

_SELECTED = "#ffd400"
_WHITE_PERCENT = 99.8
_BRUSH_PX = 8


class FieldLayers:
    """The layers of one field.

    Attributes:
        nuclei: the labels; its pixels are those of the review.
        outlined: 1 in the selected nuclei.
    """

    def __init__(
        self,
        viewer: Viewer,
        review: FieldReview,
        *,
        on_click: Callable[[Any, Any], None],
        on_change: Callable[[], None],
    ) -> None:
        """Shows a field instead of the one before.

        Args:
            viewer: the window.
            review: the field.
            on_click: called with the layer and napari's event of the mouse.
            on_change: called after each stroke of the brush, and after undoing one.
        """
        self._viewer, self._labels = viewer, review.labels
        channels = review.channels  # if they can't be read, the field before stays
        viewer.layers.clear()
        self._add_channels(channels, review.run.settings.channel)
        self.nuclei: Any = viewer.add_labels(review.labels, name="nuclei", opacity=0.45)
        self.outlined: Any = viewer.add_labels(
            np.zeros(review.labels.shape, np.uint8),
            name="selected",
            opacity=1.0,
            colormap=DirectLabelColormap(color_dict={None: "transparent", 1: _SELECTED}),
        )
        self.outlined.contour = 2
        self.outlined.editable = False
        viewer.layers.selection.active = self.nuclei
        self.nuclei.mouse_drag_callbacks.append(on_click)
        for event in (self.nuclei.events.paint, self.nuclei.events.labels_update):
            event.connect(lambda _event: on_change())
        viewer.reset_view()

    def _add_channels(self, channels: dict[str, Image], segmented: str) -> None:
        if segmented not in channels and len(channels) == 3:
            self._viewer.add_image(_shown_colours(list(channels.values())), rgb=True, name="image")
            return
        for name, pixels in channels.items():
            low, high = np.percentile(pixels.astype(np.float64), (1, _WHITE_PERCENT)).tolist()
            self._viewer.add_image(
                pixels,
                name=name,
                contrast_limits=(low, max(high, low + 1)),
                visible=name == segmented or segmented not in channels,
                blending="additive",
            )

    def show_labels(self, labels: NDArray[np.uint32]) -> None:
        """Shows other nuclei of the same field."""
        self._labels = labels
        self.nuclei.data = labels

    def outline(self, numbers: Sequence[int]) -> None:
        """Outlines nuclei."""
        self.outlined.data = np.isin(self._labels, numbers).astype(np.uint8)

    def number_at(self, event: Any) -> int | None:
        """Returns the nucleus under the mouse, 0 for none; None while the mouse paints."""
        if self.nuclei.mode not in ("pan_zoom", "pick"):
            return None
        value = self.nuclei.get_value(event.position, view_direction=event.view_direction, world=True)
        return int(value or 0)

    def replace(self, numbers: Sequence[int], number: int) -> None:
        """Gives the pixels of nuclei another number by napari's own way, which can be undone with Ctrl-Z."""
        where = np.isin(self._labels, numbers)
        if where.any():
            self.nuclei.data_setitem(np.nonzero(where), number)

    def paint(self, number: int) -> None:
        """Takes the brush, for a nucleus of this number."""
        self.nuclei.selected_label = number
        self.nuclei.brush_size = _BRUSH_PX
        self.nuclei.mode = "paint"
        self._viewer.layers.selection.active = self.nuclei


def _shown_colours(planes: list[NDArray[np.generic]]) -> NDArray[np.generic]:
    """Returns red, green and blue as napari shows them: (Y, X, 3) uint8, or floats from 0 to 1."""
    pixels = np.stack(planes, axis=-1)
    return pixels if pixels.dtype == np.uint8 else pixels / max(float(pixels.max()), 1e-6)
