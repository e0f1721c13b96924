"""The card of a model: the description inside a weight file, parsed as strict JSON within limits."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from nucbatch.core.calibration import Calibration
from nucbatch.core.errors import InputError, WeightsError
from nucbatch.core.extensions import registered
from nucbatch.core.numeric_kind import FLOAT32
from nucbatch.core.settings import MAPS, NormaliseSettings, ObjectSettings
from nucbatch.core.validation import validation_problems

PACKAGE = "package"
"""Architecture in the card of a network from a package of bioimage.io, which no weight file holds."""
_LARGEST_CARD = 1_000_000  # characters; a card has a few thousand


class Card(BaseModel):
    """The description inside a weight file.

    ``config`` are the architecture's keyword arguments. ``outputs`` names the maps in order.
    ``pixel_size_um`` and ``nucleus_diameter_px`` describe the training images, None if they are mixed.
    ``data_sets`` maps the name of each training data set to its SHA-256. ``normalise`` is a run's default;
    cards of earlier versions name percentiles alone. ``scores`` refer to the split named in each key, such as
    ``"val pixel F1"``. ``kinds`` has, for each numeric kind that was measured, scores of the same images, by
    which a run chooses its kind (:mod:`nucbatch.core.numeric_kind`). ``calibration`` gives confidences and
    intervals; None if it was never fitted. ``sha256`` covers the tensors.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str = Field(max_length=200)
    architecture: str
    config: dict[str, Annotated[int, Field(ge=0, le=65_536)]]
    outputs: tuple[str, ...] = ("foreground", "interior")
    normalise: NormaliseSettings = NormaliseSettings()
    objects: ObjectSettings = ObjectSettings()
    pixel_size_um: float | None = Field(default=None, gt=0, le=10_000)
    nucleus_diameter_px: float | None = Field(default=None, ge=1, le=2000)
    data: str = ""
    data_sha256: str = ""
    data_sets: dict[str, str] = Field(default_factory=dict)
    training: dict[str, str | int | float] = Field(default_factory=dict)
    scores: dict[str, float] = Field(default_factory=dict)
    kinds: dict[str, dict[str, float]] = Field(default_factory=dict)
    calibration: Calibration | None = None
    sha256: str = ""

    @field_validator("outputs")
    @classmethod
    def _known_maps(cls, outputs: tuple[str, ...]) -> tuple[str, ...]:
        if len(outputs) not in (1, 2, 4) or outputs != MAPS[: len(outputs)]:
            raise ValueError(f"must be the first 1, 2 or 4 of {', '.join(MAPS)}")
        return outputs

    @model_validator(mode="after")
    def _as_many_maps_as_outputs(self) -> Card:
        count = self.config.get("outputs", len(self.outputs))
        if count != len(self.outputs):
            raise ValueError(f"config.outputs is {count}, but {len(self.outputs)} outputs are named")
        return self

    @field_validator("normalise", mode="before")
    @classmethod
    def _of_earlier_versions(cls, value: Any) -> Any:
        """Adds the method to cards from before there were several: percentiles."""
        if isinstance(value, Mapping) and "method" not in value:
            return {"method": "percentiles", **value}
        return value

    @property
    def differences(self) -> dict[str, float]:
        """The largest difference of any score of each numeric kind from that of float32.

        Only kinds that were measured on the images of float32 are listed.
        """
        plain = self.kinds.get(FLOAT32, {})
        return {
            kind: max(abs(score - plain[name]) for name, score in scores.items())
            for kind, scores in self.kinds.items()
            if plain and scores.keys() == plain.keys()
        }

    @property
    def has_weights(self) -> bool:
        """Whether the model has weights; classical methods have none."""
        return self.architecture not in {point.name for point in registered("nucbatch.methods")}

    def zoom(self, diameter_px: float) -> float:
        """Returns the scale factor for images whose nuclei have this diameter.

        Raises:
            InputError: the card doesn't know the nuclei it was trained on.
        """
        if self.nucleus_diameter_px is None:
            raise InputError(
                f"model {self.name} doesn't say how large the nuclei were that it was trained on, so a "
                f"diameter of {diameter_px:g} px means nothing to it. Scale the images, or leave it out."
            )
        return self.nucleus_diameter_px / diameter_px


def parse_card(path: Path, text: str) -> Card:
    """Parses the card's text of a weight file.

    Raises:
        WeightsError: it is not a card; the message lists each wrong value with its limits.
    """
    if len(text) > _LARGEST_CARD:
        raise WeightsError(
            f"the card inside {path} has {len(text):,} characters; a card has at most {_LARGEST_CARD:,}."
        )
    try:
        return Card.model_validate(json.loads(text, parse_constant=_refuse_constant))
    except ValidationError as error:
        raise WeightsError(f"the card inside {path} can't be used: {validation_problems(error)}.") from error
    except RecursionError as error:
        raise WeightsError(f"the card inside {path} is not valid: it is nested too deeply.") from error
    except ValueError as error:
        raise WeightsError(f"the card inside {path} is not JSON: {error}.") from error


def _refuse_constant(name: str) -> float:
    raise ValueError(f"it contains {name}, which is not a number in JSON")
