"""Anomaly scores against their definitions, AUROC and average precision against scikit-learn."""

import dataclasses

import numpy as np
import pytest
from scipy import stats
from scipy.spatial import distance
from sklearn import covariance
from sklearn.metrics import average_precision_score, roc_auc_score

from cae_lib import metrics
from report.measures import anomalies


def scored(seed=0):
    """Training, validation and queries, a pair each: correlated codes (N, 5) and squared errors (N, 4, 4)."""
    rng = np.random.default_rng(seed)
    mix, scale = rng.normal(size=(5, 5)), rng.uniform(0.1, 1, (4, 4))
    return [(rng.normal(size=(n, 5)) @ mix + 3, scale * rng.random((n, 4, 4))) for n in (200, 80, 50)]


def test_anomaly_scores_are_their_definitions():
    (train, errors), (held, held_errors), (query, query_errors) = pairs = scored()
    found = anomalies.anomaly_scores(*pairs, k=3)
    precision = covariance.LedoitWolf().fit(train).precision_
    to_mean = distance.cdist(query, train.mean(axis=0)[None], "mahalanobis", VI=precision)[:, 0]
    near, near_held = (
        np.sort(distance.cdist(z, train, "mahalanobis", VI=precision), axis=1)[:, :3].mean(axis=1)
        for z in (query, held)
    )
    usual = errors.mean(axis=0) + np.median(errors.mean(axis=0))
    relative, relative_held = ((e / usual).mean(axis=(1, 2)) for e in (query_errors, held_errors))
    z = [(np.log(a) - np.log(b).mean()) / np.log(b).std() for a, b in ((near, near_held), (relative, relative_held))]
    np.testing.assert_allclose(found["reconstruction"], query_errors.mean(axis=(1, 2)))
    np.testing.assert_allclose(found["mahalanobis"], to_mean, rtol=1e-6)
    np.testing.assert_allclose(found["neighbours"], near, rtol=1e-6)
    np.testing.assert_allclose(found["combined"], np.mean(z, axis=0), rtol=1e-5, atol=1e-8)


def test_anomaly_scores_do_not_depend_on_the_units():
    pairs = scored(seed=1)
    turned = np.linalg.qr(np.random.default_rng(2).normal(size=(5, 5)))[0]
    once = anomalies.anomaly_scores(*pairs)
    again = anomalies.anomaly_scores(*((7 * z @ turned + 1, 9 * errors) for z, errors in pairs))
    for name in ("neighbours", "mahalanobis", "combined"):
        np.testing.assert_allclose(again[name], once[name], rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(again["reconstruction"], 9 * once["reconstruction"])


@pytest.mark.parametrize("decimals", [0, 8], ids=["with ties", "without ties"])
def test_auroc_is_mann_whitneys_and_both_measures_are_scikit_learns(decimals):
    rng = np.random.default_rng(3)
    normal, anomalous = rng.normal(size=70).round(decimals), rng.normal(1, 2, size=40).round(decimals)
    truth, scores = np.repeat([0, 1], [70, 40]), np.concatenate([normal, anomalous])
    assert anomalies.auroc(normal, anomalous) == pytest.approx(roc_auc_score(truth, scores))
    u = stats.mannwhitneyu(anomalous, normal).statistic
    assert anomalies.auroc(normal, anomalous) == pytest.approx(u / (70 * 40))
    assert anomalies.average_precision(normal, anomalous) == pytest.approx(average_precision_score(truth, scores))


def test_detection_of_toys():
    assert anomalies.auroc([1, 2], [3, 4]) == anomalies.average_precision([1, 2], [3, 4]) == 1
    assert anomalies.auroc([3, 4], [1, 2]) == 0 and anomalies.auroc([1, 1], [1, 1, 1]) == 0.5
    assert anomalies.average_precision([1, 1], [1, 1, 1]) == 0.6  # guessing: the share of anomalies
    assert anomalies.average_precision([2], [3, 1]) == pytest.approx((1 + 2 / 3) / 2)


@pytest.mark.parametrize("decimals", [0, 8], ids=["with ties", "without ties"])
def test_bootstrap_is_scikit_learns_measures_of_the_images_drawn(decimals):
    rng = np.random.default_rng(4)
    normal, anomalous = rng.normal(size=30).round(decimals), rng.normal(1, size=50).round(decimals)
    areas, again = anomalies.bootstrap(normal, anomalous, draws=20, seed=1), np.random.default_rng(1)
    assert areas.shape == (2, 20)
    for auroc, precision in areas.T:
        drawn = [scores[again.integers(len(scores), size=len(scores))] for scores in (normal, anomalous)]
        assert auroc == pytest.approx(anomalies.auroc(*drawn))
        assert precision == pytest.approx(anomalies.average_precision(*drawn))
    np.testing.assert_array_equal(areas, anomalies.bootstrap(2 * normal, 2 * anomalous, draws=20, seed=1))


def test_bootstrap_spreads_as_the_closed_form_says():
    """For equal distributions the variance of AUROC is (n + m + 1) / (12 n m), Mann & Whitney 1947."""
    scores = np.random.default_rng(5).normal(size=(30, 2, 100))
    repeats = [anomalies.bootstrap(*pair, draws=100)[0].std() for pair in scores]
    assert np.mean(repeats) == pytest.approx(np.sqrt(201 / (12 * 100 * 100)), rel=0.05)


def test_errors_are_of_the_reconstructions_by_either_model(model, dataset):
    x, pca = metrics.pixels(dataset.test_images), metrics.fit_pca(dataset, 6)
    for judge, x_hat in ((model, None), (pca, metrics.pca_reconstruct(pca, dataset.test_images))):
        z, errors = anomalies.codes_and_errors(judge, dataset.test_images)
        x_hat = metrics.decode(model, z) if x_hat is None else x_hat
        assert z.shape == (len(x), 6)
        np.testing.assert_allclose(errors.mean(axis=(1, 2)), metrics.mse_per_image(x, x_hat), rtol=1e-4)
        np.testing.assert_array_equal(anomalies.codes_and_errors(judge, x)[1], errors)


def test_noise_is_an_anomaly_and_the_reference_may_be_shortened(model, dataset):
    x, names = metrics.pixels(dataset.test_images), ["reconstruction", "neighbours", "mahalanobis", "combined"]
    noise = np.random.default_rng(0).random(x.shape, dtype=np.float32)
    pca = metrics.fit_pca(dataset, 6)
    usual, odd = (anomalies.score_images(pca, dataset, images) for images in (x, noise))
    assert anomalies.auroc(usual["combined"], odd["combined"]) > 0.99
    shorter = dataclasses.replace(dataset, train_images=dataset.train_images[:20])
    for judge in (pca, model):
        few, expected = (
            anomalies.score_images(judge, dataset, x, reference=20),
            anomalies.score_images(judge, shorter, x),
        )
        assert list(few) == names
        for name in names:
            np.testing.assert_array_equal(few[name], expected[name])


@pytest.mark.parametrize(
    ("named", "call"),
    [
        ("normal", lambda: anomalies.auroc([], [1.0])),
        ("anomalous", lambda: anomalies.average_precision([1.0], [np.nan])),
    ],
)
def test_a_bad_argument_is_named(named, call):
    with pytest.raises(ValueError, match=f"^{named}: found .*; allowed: "):
        call()
