"""``nucbatch models`` as a user meets it."""

import json

import pytest
from click.testing import CliRunner

from nucbatch.cli.models import models
from nucbatch.core.errors import WeightsError
from nucbatch.networks.checkpoint import read_card
from nucbatch.networks.locate import shipped


def shown(*arguments: str) -> str:
    return CliRunner().invoke(models, ["show", *arguments], catch_exceptions=False).output


def test_a_preset_without_weights_shows_its_layers_and_totals() -> None:
    text = shown("paper")
    assert "encoder.0.0" in text
    assert "31,055,297" in text
    assert "sigmoid" in text


def test_a_shipped_model_shows_its_card_or_its_layers() -> None:
    card = read_card(shipped()["default"])
    assert json.loads(shown("default")) == card.model_dump(mode="json")
    assert json.loads(shown(str(shipped()["default"]))) == card.model_dump(mode="json")
    assert "encoder.0.0" in shown("default", "--layers")


def test_json_holds_what_the_table_holds() -> None:
    paper, default = json.loads(shown("paper", "--json")), json.loads(shown("default", "--json"))
    assert paper["recipe"]["epochs"] == 35
    assert (paper["parameters"], paper["trainable"]) == (31_055_297, 31_043_521)
    assert paper["layers"][-1] == {
        "name": "head",
        "kind": "Conv2d",
        "output": [1, 256, 256],
        "parameters": 65,
    }
    assert default["card"]["name"] == "default"


def test_an_unknown_model_is_refused() -> None:
    with pytest.raises(WeightsError, match="neither a shipped model"):
        shown("no-such-model")
