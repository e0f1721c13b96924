import pytest

from nucbatch.core.errors import InputError
from nucbatch.networks.layer_table import Layer, as_text, summarise

CONFIG = {"in_channels": 3, "outputs": 1, "width": 64, "depth": 4}


def test_layers_come_in_the_order_they_run_with_shapes_and_numbers() -> None:
    layers = summarise("unet", CONFIG).layers
    assert layers[0] == Layer("encoder.0.0", "Conv2d", (64, 256, 256), 3 * 3 * 3 * 64 + 64)
    assert layers[1] == Layer("encoder.0.1", "BatchNorm2d", (64, 256, 256), 4 * 64)
    assert layers[-1] == Layer("head", "Conv2d", (1, 256, 256), 65)
    assert [layer.output for layer in layers if layer.kind == "MaxPool2d"] == [
        (64, 128, 128),
        (128, 64, 64),
        (256, 32, 32),
        (512, 16, 16),
    ]


def test_the_rows_add_up_to_the_totals() -> None:
    summary = summarise("unet", CONFIG)
    assert sum(layer.parameters for layer in summary.layers) == summary.parameters == 31_055_297
    assert summary.trainable == 31_043_521


def test_the_table_ends_with_the_totals() -> None:
    lines = as_text(summarise("unet", CONFIG)).splitlines()
    assert lines[0].split() == ["layer", "kind", "output", "(C", "×", "Y", "×", "X)", "parameters"]
    assert [line.split()[-1] for line in lines[-3:]] == ["31,055,297", "31,043,521", "11,776"]
    assert len({len(line) for line in lines[:-3]}) == 1


def test_a_size_that_does_not_fit_is_refused() -> None:
    with pytest.raises(InputError, match="multiples of 16"):
        summarise("unet", CONFIG, side_px=100)
