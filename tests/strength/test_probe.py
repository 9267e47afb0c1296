import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax

from tether.errors import InputError
from tether.strength.probe import LinearProbe, sharpness
from tether.strength.ridge import Ridge, grid, unit

Labelled = tuple[np.ndarray, np.ndarray]


def clouds(each: int, classes: int = 4, *, features: int = 12, apart: float = 1.0, seed: int = 0) -> Labelled:
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(classes), each)
    centres = np.random.default_rng(99).normal(size=(classes, features)) * apart
    return centres[labels] + rng.normal(size=(len(labels), features)) + 3.0, labels


def nll(logits: np.ndarray, labels: np.ndarray) -> float:
    return float(-log_softmax(logits, axis=1)[np.arange(len(labels)), labels].mean())


def smoothed(factor: float, outputs: np.ndarray, labels: np.ndarray) -> float:
    n, classes = outputs.shape
    wanted = np.full((n, classes), 1 / (n + 2) / (classes - 1))
    wanted[np.arange(n), labels] = (n + 1) / (n + 2)
    return float(-(wanted * log_softmax(factor * outputs, axis=1)).sum())


@pytest.mark.parametrize("near", [1.0, 1e-3, 1e5])
def test_the_sharpness_is_the_likeliest(near: float) -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 50)
    outputs = 0.2 * np.eye(3)[labels] + 0.1 * rng.normal(size=(50, 3))
    expected = minimize_scalar(lambda at: smoothed(np.exp(at), outputs, labels), bounds=(-5, 8), method="bounded")
    assert sharpness(outputs, labels, near) == pytest.approx(np.exp(expected.x), rel=1e-3)


def test_outputs_that_are_all_right_ask_for_a_finite_sharpness_and_wrong_ones_for_none() -> None:
    labels = np.arange(4)
    right = sharpness(np.eye(4), labels)
    assert np.exp(right) / (np.exp(right) + 3) == pytest.approx(5 / 6)  # (n + 1)/(n + 2)
    assert 0 < sharpness(-np.eye(4), labels) < 1e-5
    assert 0 < sharpness(np.zeros((4, 4)), labels) < np.inf


def test_without_validation_it_is_chosen_by_leaving_one_out() -> None:
    train = clouds(8)
    found = LinearProbe.of(train, 4)
    path = Ridge.of(train[0], np.eye(4)[train[1]])
    tried = []
    for strength, outputs in zip(grid(path), path.left_out(grid(path)), strict=True):
        factor = sharpness(outputs, train[1])
        tried.append((nll(factor * outputs, train[1]), strength, factor, (outputs.argmax(1) == train[1]).mean()))
    least, strength, factor, accuracy = min(tried)
    weight, bias = path.weights(strength)
    np.testing.assert_allclose(found.weight, factor * weight, rtol=1e-4)
    np.testing.assert_allclose(found.bias, factor * bias, rtol=1e-4)
    assert (found.chosen_by, found.count, found.strength) == ("leave-one-out", 32, strength)
    assert [point.accuracy for point in found.path] == [one[3] for one in tried]
    np.testing.assert_allclose([point.nll for point in found.path], [one[0] for one in tried], rtol=1e-4)
    assert min(point.nll for point in found.path) == pytest.approx(least)
    assert accuracy > 0.5


def test_validation_items_are_held_out_beside_them() -> None:
    train, validation = clouds(5), clouds(20, seed=1)
    found = LinearProbe.of(train, 4, validation=validation)
    assert (found.chosen_by, found.count) == ("leave-one-out and validation", 20 + 80)
    path = Ridge.of(train[0], np.eye(4)[train[1]])
    (left,), (said,) = path.left_out([found.strength]), path.predictions(validation[0], [found.strength])
    outputs, truth = np.concatenate([left, said]), np.concatenate([train[1], validation[1]])
    point = next(point for point in found.path if point.strength == found.strength)
    assert point.nll == pytest.approx(nll(found.sharpness * outputs, truth), rel=1e-6)
    assert point.accuracy == (outputs.argmax(1) == truth).mean()
    assert found.weight.shape == LinearProbe.of(train, 4).weight.shape  # the fit itself is to the training items


def test_it_is_right_and_calibrated_on_new_items() -> None:
    found, (features, labels) = LinearProbe.of(clouds(25), 4), clouds(500, seed=2)
    outputs = found.outputs(features)
    assert (outputs.argmax(1) == labels).mean() > 0.9
    best = minimize_scalar(lambda at: nll(np.exp(at) * outputs, labels), bounds=(-3, 3), method="bounded")
    assert nll(outputs, labels) < 1.05 * best.fun


def test_an_item_alone_in_its_class_is_not_counted() -> None:
    features, labels = clouds(6)
    kept = np.arange(len(labels)) < 19  # one of the last class
    found = LinearProbe.of((features[kept], labels[kept]), 4)
    assert found.count == 18
    alone = clouds(1)
    found = LinearProbe.of(alone, 4)
    path = Ridge.of(alone[0], np.eye(4))
    assert (found.chosen_by, found.count, found.path, found.strength) == ("nothing", 0, (), unit(path))
    assert (found.outputs(alone[0]).argmax(1) == alone[1]).all()
    found = LinearProbe.of(alone, 4, validation=clouds(9, seed=1))
    assert (found.chosen_by, found.count) == ("validation", 36)


def test_noise_gets_even_chances() -> None:
    rng = np.random.default_rng(0)
    found = LinearProbe.of((rng.normal(size=(60, 40)), np.repeat([0, 1], 30)), 2)
    logits = found.outputs(rng.normal(size=(50, 40)))
    assert np.abs(logits[:, 0] - logits[:, 1]).max() < 0.5


def test_features_that_are_all_alike_or_not_finite() -> None:
    found = LinearProbe.of((np.ones((6, 3)), np.repeat([0, 1], 3)), 2)
    assert np.isfinite(found.weight).all()
    with pytest.raises(InputError, match="not finite"):
        LinearProbe.of((np.full((6, 3), np.nan), np.repeat([0, 1], 3)), 2)


def test_what_is_told_is_json() -> None:
    told = LinearProbe.of(clouds(4), 4).to_json()
    assert told["held_out"] == 16
    assert len(told["path"]) == 49
    assert set(told["path"][0]) == {"strength", "accuracy", "nll", "sharpness"}
    assert all(type(value) is float for value in told["path"][0].values())
    assert (type(told["strength"]), type(told["sharpness"])) == (float, float)
