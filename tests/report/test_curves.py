import math
import re

from presel.report.curves import loss_curve


def steps(losses: list[float | None]) -> list[dict[str, float | int | None]]:
    return [{"step": i, "epoch": 0.0, "loss": loss, "learning_rate": 1e-4} for i, loss in enumerate(losses)]


def test_the_ends_of_the_curve_are_means_of_a_tenth() -> None:
    found = loss_curve(steps([3.0, 2.0, *[1.5] * 16, 1.0, 0.5]))
    assert found is not None
    assert (found["first"], found["last"], found["steps"]) == (2.5, 0.75, 20)
    assert "from 2.50 to 0.75" in found["svg"]


def test_losses_that_are_no_numbers_are_left_out() -> None:
    found = loss_curve(steps([2.0, math.nan, None, 1.0]))
    assert found is not None
    assert found["steps"] == 2
    assert "nan" not in found["svg"]
    assert loss_curve(steps([1.0, math.nan])) is None
    assert loss_curve([]) is None


def test_a_long_training_is_thinned_and_keeps_its_mean() -> None:
    found = loss_curve(steps([2.0 if i % 2 else 1.0 for i in range(100_000)]))
    assert found is not None
    assert len(found["svg"]) < 20_000
    assert len(re.findall(r"[\d.]+,[\d.]+", found["svg"])) <= 2 * 400
    assert (found["first"], found["last"]) == (1.5, 1.5)
