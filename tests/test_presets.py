"""The presets hold the numbers of paper/PAPER_VS_RELEASED_CODE.md."""

from __future__ import annotations

import math
from dataclasses import FrozenInstanceError, replace

import pytest

from comc_utils.method.presets import (
    PAPER,
    RELEASED,
    SWITCHES,
    switched,
    with_equal_steps,
)


def test_paper_numbers() -> None:
    assert (PAPER.learning_rate, PAPER.batch_size, PAPER.epochs) == (1e-4, 256, 30)
    assert (PAPER.warmup_epochs, PAPER.weight_decay, PAPER.noise_std) == (0, 0.0, 0.0)
    assert (PAPER.schedule, PAPER.bias, PAPER.margin) == ("step", True, 1.0)
    assert not PAPER.templates_in_training_text
    assert not PAPER.renormalise_mapped
    assert PAPER.positional_embedding
    assert PAPER.resize == "plain"


def test_released_numbers() -> None:
    assert (RELEASED.learning_rate, RELEASED.batch_size, RELEASED.epochs) == (1e-3, 512, 20)
    assert (RELEASED.warmup_epochs, RELEASED.warmup_lr) == (1, 1e-5)
    assert (RELEASED.weight_decay, RELEASED.noise_std, RELEASED.max_labels) == (5e-4, 0.1, 5)
    assert (RELEASED.schedule, RELEASED.bias, RELEASED.margin) == ("epoch", False, 1.0)
    assert RELEASED.templates_in_training_text
    assert RELEASED.renormalise_mapped
    assert not RELEASED.positional_embedding
    assert RELEASED.resize == "crop"


def test_presets_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        PAPER.epochs = 1  # type: ignore[misc]


def test_the_switches_lead_from_the_paper_to_the_released_code() -> None:
    preset = PAPER
    for switch in SWITCHES:
        changed = switched(preset, switch, RELEASED)
        assert changed != preset
        assert switch in changed.name
        preset = changed
    assert replace(preset, name="released") == RELEASED


def test_no_setting_belongs_to_two_switches() -> None:
    settings = [name for names in SWITCHES.values() for name in names]
    assert len(settings) == len(set(settings))


@pytest.mark.parametrize("n", [1, 400, 12_345, 40_000, 80_000])
def test_equal_steps_whatever_the_number_of_sentences(n: int) -> None:
    preset = with_equal_steps(RELEASED, n, 40_000)
    steps = math.ceil(n / preset.batch_size) * preset.epochs
    usual = math.ceil(40_000 / RELEASED.batch_size) * RELEASED.epochs
    # A whole number of epochs: off by half of one at most.
    assert abs(steps - usual) <= math.ceil(n / preset.batch_size) / 2
    assert replace(preset, epochs=RELEASED.epochs) == RELEASED


def test_equal_steps_keep_one_epoch_after_the_warm_up() -> None:
    assert with_equal_steps(RELEASED, 10_000_000, 40_000).epochs == 2
