import pytest
import torch

from nucbatch.training.recipe import Recipe
from nucbatch.training.schedule import Length, length_of, rate_factor


def test_along_a_cosine_the_rate_rises_then_falls_to_zero() -> None:
    recipe = Recipe(warmup=0.1)
    factors = [rate_factor(step, 100, recipe) for step in range(100)]
    assert factors[0] == 0.1
    assert max(factors) == factors[9] == 1
    assert factors[-1] < 0.001
    assert factors[10:] == sorted(factors[10:], reverse=True)


def test_one_cycle_is_torchs() -> None:
    recipe, steps = Recipe(schedule="onecycle", warmup=0.3), 100
    optimiser = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    torchs = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, max_lr=1.0, total_steps=steps, pct_start=0.3, div_factor=25, final_div_factor=4000
    )
    for step in range(steps):
        # torch counts its phases to the last step, this one to the end: one step of difference at most
        near = [rate_factor(max(0, step + shift), steps, recipe) for shift in (-1, 0, 1)]
        assert min(near) - 1e-9 <= torchs.get_last_lr()[0] <= max(near) + 1e-9
        optimiser.step()
        if step + 1 < steps:
            torchs.step()


def test_a_constant_rate_stays() -> None:
    assert {rate_factor(step, 10, Recipe(schedule="constant")) for step in range(10)} == {1.0}


def test_epochs_decide_the_length_where_they_are_given() -> None:
    assert length_of(Recipe(epochs=3), steps_per_epoch=7) == Length(21, 7)
    assert length_of(Recipe(steps=50, score_every=20), steps_per_epoch=7) == Length(50, 20)


@pytest.mark.parametrize(("done", "due"), [(0, False), (19, False), (20, True), (40, True), (50, True)])
def test_scorings_are_due_at_multiples_and_at_the_end(done: int, due: bool) -> None:
    assert Length(50, 20).is_due(done) is due
