import pytest

from genbench.metrics.bounds import impossible
from genbench.registry import metrics


def test_every_metric_declares_which_values_are_possible():
    assert [name for name in metrics if "bounds" not in metrics[name].traits] == []


@pytest.mark.parametrize(
    ("metric", "value", "said"),
    [
        ("w2", -5.0, "w2 is -5, and cannot be below 0"),
        ("w2", -1e-9, ""),  # rounding
        ("fd-digits_cnn", -2e-4, ""),  # of equal images, by rounding
        ("energy_distance", -0.01, ""),  # unbiased
        ("precision_recall.recall", 1.2, "precision_recall.recall is 1.2, and cannot be above 1"),
        ("memorization.ratio", 1.2, ""),
        ("memorization", 1.2, "memorization is 1.2, and cannot be above 1"),
        ("caption_accuracy.classes_above_80", 9.0, ""),
        ("caption_accuracy.look", 9.0, "caption_accuracy.look is 9, and cannot be above 1"),
        ("nll", -300.0, ""),
        ("of-a-package", -5.0, ""),
        ("torchmetrics:PSNR", -5.0, ""),
    ],
)
def test_a_value_beyond_the_bounds_of_its_metric_is_impossible(metric, value, said):
    assert impossible([{"metric": metric, "value": value}]) == said
    of_floor = [{"metric": metric, "value": None, "floor": value}]
    assert impossible(of_floor) == (said and f"the floor of {said}")
