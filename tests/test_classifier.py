"""The classifier as its users see it: few examples in, calibrated labels out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bottega.core.errors import ModelError, UsageError
from bottega.models.adapters import Adapter
from bottega.models.classifier import Classifier, words_of
from bottega.models.heads import minimise, platt, sigmoid, temperature

EXAMPLES = {
    "billing": [
        "Why was I charged twice this month?",
        "Send me the invoice for March",
        "The amount on my bill is wrong",
        "I want my money back",
        "Which payment methods do you take?",
    ],
    "delivery": [
        "Where is my parcel?",
        "The package has not arrived yet",
        "Can you ship it to another address?",
        "How long does shipping take?",
        "The courier never came",
    ],
    "account": [
        "I forgot my password",
        "Change the email address of my login",
        "Please delete my profile",
        "I cannot sign in any more",
        "How do I turn on two-factor login?",
    ],
}
NEW = {
    "Refund the payment from last week, please": "billing",
    "My order is three days late": "delivery",
    "The login page says my user name is unknown": "account",
}


@pytest.fixture(scope="module")
def model() -> Classifier:
    texts = [text for group in EXAMPLES.values() for text in group]
    labels = [label for label, group in EXAMPLES.items() for _ in group]
    return Classifier.fit(texts, labels)


def test_five_examples_a_label_are_enough_for_new_sentences(model: Classifier) -> None:
    assert {text: model.classify([text])[0][0][0] for text in NEW} == NEW


def test_every_label_has_a_probability_and_the_likeliest_comes_first(model: Classifier) -> None:
    for scores in model.classify(list(NEW)):
        values = [score for _, score in scores]
        assert {label for label, _ in scores} == set(EXAMPLES)
        assert values == sorted(values, reverse=True)
        assert sum(values) == pytest.approx(1, abs=1e-5)


def test_energy_is_lower_for_what_is_about_none_of_the_labels(model: Classifier) -> None:
    inside = model.energy(list(NEW))
    outside = model.energy(["Bake the bread for forty minutes", "The moon landing was in 1969"])
    assert inside.min() > outside.max()


def test_nothing_to_classify_gives_nothing(model: Classifier) -> None:
    assert model.classify([]) == []
    assert len(model.energy([])) == 0


def test_a_saved_classifier_answers_the_same(model: Classifier, tmp_path: Path) -> None:
    model.save(tmp_path / "topics.safetensors")
    again = Classifier.load(tmp_path / "topics.safetensors")
    assert again.classify(list(NEW)) == model.classify(list(NEW))


def test_training_twice_gives_the_same_model(model: Classifier) -> None:
    texts = [text for group in EXAMPLES.values() for text in group]
    again = Classifier.fit(texts, [label for label, group in EXAMPLES.items() for _ in group])
    assert again.adapter.settings == model.adapter.settings
    np.testing.assert_array_equal(again.adapter.heads["weight"], model.adapter.heads["weight"])


def test_a_label_can_be_learned_from_its_description_alone() -> None:
    descriptions = {"weather": "rain, sun, temperature and storms", "sports": "football, tennis and who won the match"}
    model = Classifier.fit([], [], descriptions)
    assert model.classify(["Will it be cloudy tomorrow?"])[0][0][0] == "weather"


@pytest.mark.parametrize(
    ("texts", "labels", "says"),
    [
        (["a", "b"], ["x"], "2 texts but 1 labels"),
        (["a", "b"], ["x", "x"], "two labels"),
        (["a", " "], ["x", "y"], "example 2 has an empty text"),
        (["a", "b"], ["x", ""], "example 2 has an empty label"),
    ],
)
def test_examples_that_cannot_be_learned_from_are_refused(texts: list[str], labels: list[str], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        Classifier.fit(texts, labels)


def test_an_adapter_of_another_task_is_no_classifier() -> None:
    with pytest.raises(ModelError, match="no classifier"):
        Classifier(Adapter("slots"))


def test_a_head_that_does_not_fit_its_labels_is_refused() -> None:
    heads = {"weight": np.zeros((384, 3), np.float32), "bias": np.zeros(2, np.float32)}
    with pytest.raises(ModelError, match="does not fit"):
        Classifier(Adapter("torn", {}, heads, {"labels": ["a", "b"]}))


def test_a_label_is_read_as_words() -> None:
    assert words_of("card_arrival") == "card arrival"
    assert words_of("why_verify?", "about identity") == "why verify: about identity"


def test_the_optimiser_finds_the_minimum_of_a_narrow_valley() -> None:
    curvature = np.array([1.0, 10.0, 100.0])
    goal = np.array([3.0, -2.0, 0.5])
    found = minimise(lambda x: (float((curvature * (x - goal) ** 2).sum()), 2 * curvature * (x - goal)), np.zeros(3))
    np.testing.assert_allclose(found, goal, atol=0.1)


def test_a_temperature_turns_overconfident_logits_into_true_probabilities() -> None:
    random = np.random.default_rng(0)
    logits = random.normal(size=(4000, 4))
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    gold = np.array([random.choice(4, p=row) for row in p])
    assert temperature(5 * logits, gold) == pytest.approx(5, rel=0.15)


def test_platt_scaling_gives_even_odds_where_right_and_wrong_meet() -> None:
    random = np.random.default_rng(0)
    scores = np.concatenate([random.normal(4, 1, 20), random.normal(0, 1, 2000)])
    scale, shift = platt(scores, np.arange(len(scores)) < 20)
    assert scale > 0
    assert float(sigmoid(np.array(2 * scale + shift))) == pytest.approx(0.5, abs=0.15)
