"""What a classifier recognizes in generated images: the balance of their classes, and what their captions say."""

import torch
from jaxtyping import Int
from torch import Tensor

from genbench.core import Captions
from genbench.errors import Unsupported
from genbench.metrics.evaluation import Evaluation, Value, standard_error, wilson
from genbench.metrics.image.classifier import caption_classifier, digit_classifier
from genbench.metrics.image.feature_sets import sample_features
from genbench.registry import metrics
from genbench.settings import Count


@metrics.register("class_balance", version=2, better="higher", bounds=(0, 1), of="samples", halves=True)
def class_balance(evaluation: Evaluation, *, n: Count | None = None) -> list[Value]:
    """1 minus the total variation distance between the classes of samples and of test data, with `accuracy`.

    A classifier predicts the classes of samples; the labels of test data are known. `accuracy` is the share of samples
    recognized as the class they were generated for; its floor is the accuracy on test images. The floor of the balance
    is measured on training images: it includes the fluctuation of counts, but hardly errors of the classifier.

    Args:
        n: number of samples; by default all.
    """
    network = digit_classifier(evaluation.data)
    images = evaluation.decoded(n or len(evaluation.x))
    test, classes = evaluation.data.test, evaluation.data.event.classes
    label = evaluation.reference(test.size or len(images)).label
    features = sample_features(evaluation, network, len(images))
    confidence, predicted = network.logits(features).softmax(1).max(1)
    name = f"seen by {network.name} {network.sha256[:8]}"
    details = {"confidence": float(confidence.mean()), "classifier_accuracy": network.test_accuracy}
    protocol = f"classes {name}, n={len(images)} against {len(label)} test labels"
    values = [Value(balance(predicted, label, classes), len(images), protocol, details=details)]
    if evaluation.label is not None:
        correct = predicted == evaluation.label[: len(images)]
        accuracy = float(correct.double().mean())
        error = standard_error(correct) | wilson(accuracy, len(correct))
        floor = network.test_accuracy
        values.append(Value(accuracy, len(images), f"class {name}", "accuracy", floor, details=error))
    return values


def balance(predicted: Int[Tensor, " n"], label: Int[Tensor, " m"], classes: int) -> float:
    """Return 1 minus the total variation distance between two samples of classes."""
    shares = [torch.bincount(each, minlength=classes).double() / len(each) for each in (predicted, label)]
    return 1 - float((shares[0] - shares[1]).abs().sum()) / 2


@metrics.register(
    "caption_accuracy",
    version=2,
    better="higher",
    bounds={"": (0, 1), "classes_above_80": (0, None)},
    of="samples",
    drops=True,
    halves=True,
)
def caption_accuracy(evaluation: Evaluation, *, n: Count | None = None) -> list[Value]:
    """Share of samples in which a classifier recognizes what their caption says: class, look, both.

    `class`, `look` and `both` are shares; `classes_above_80` is the number of classes with more than 80 % of their
    samples recognized. These count combinations of class and look that occur in training; `held_out_*` count the other
    combinations. The floor is the same number for test images with the same captions.

    Args:
        n: number of samples; by default all. Use at least one for each caption.
    """
    data = evaluation.data
    network = caption_classifier(data)
    captions = data.captions
    assert captions is not None
    if evaluation.label is None:
        raise Unsupported("its samples have no captions")
    images = evaluation.decoded(n or len(evaluation.x))
    label = evaluation.label[: len(images)]
    found = accuracies(network.predict(images), label, captions)

    def of_test_images() -> dict[str, tuple[float, int, dict[str, float]]]:
        test = evaluation.reference(data.test.size or len(images))
        return accuracies(network.predict(data.space.decode(test.x)), test.label, captions)

    floor = evaluation.cached_for_task(("caption_accuracy", data.test.size or len(images)), of_test_images)
    protocol = f"seen by {network.classifier.name} {network.classifier.sha256[:8]}"
    details = {f"classifier_accuracy_{name}": value for name, value in network.accuracy.items()}
    return [
        Value(value, n, protocol, part=part, floor=floor[part][0] if part in floor else None, details=details | error)
        for part, (value, n, error) in found.items()
    ]


def accuracies(
    predicted: dict[str, Tensor], label: Tensor, captions: Captions
) -> dict[str, tuple[float, int, dict[str, float]]]:
    """Return {part: (value, number of images it is over, details of its error)} for the parts that have images."""
    expected = {name: torch.tensor(values)[label] for name, values in captions.values.items()}
    correct = {name: predicted[name] == expected[name] for name in expected}
    correct["both"] = torch.stack(list(correct.values())).all(0)
    held_out = torch.tensor(captions.held_out)[label]
    parts = {}
    for prefix, rows in (("", ~held_out), ("held_out_", held_out)):
        count = int(rows.sum())
        if count:
            for name, c in correct.items():
                share = float(c[rows].double().mean())
                parts[f"{prefix}{name}"] = share, count, standard_error(c[rows]) | wilson(share, count)
    classes = len(captions.attributes["class"])
    total, right = (
        torch.bincount(expected["class"][rows], minlength=classes) for rows in (~held_out, ~held_out & correct["class"])
    )
    parts["classes_above_80"] = (float((right / total > 0.8).sum()), int(total.sum()), {})
    return parts
