import torch

from genbench.metrics.classifiers.captions_cnn import caption_classifier, marginal_argmax
from genbench.registry import datasets


def test_the_classifier_is_accurate(captioned):
    assert caption_classifier(captioned).accuracy["class"] > 0.97
    assert caption_classifier(captioned).accuracy["look"] > 0.99
    assert caption_classifier(captioned).accuracy["both"] > 0.96


def test_it_does_not_depend_on_the_held_out_combinations(captioned):
    """Otherwise numbers could not be compared between choices, nor held-out combinations be recognized."""
    other = datasets["digits-captions"].build(held_out=("thick one", "inverted eight"))
    assert caption_classifier(other).classifier.sha256 == caption_classifier(captioned).classifier.sha256


def test_an_attribute_is_predicted_from_its_marginal():
    probability = torch.tensor([[0.3, 0.0, 0.0], [0.2, 0.25, 0.25]]).flatten()[None].double()
    found = marginal_argmax(probability, {"class": 2, "look": 3})
    assert found["class"].tolist() == [1]
    assert found["look"].tolist() == [0]
