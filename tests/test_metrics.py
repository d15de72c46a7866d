"""`metrics` against oracles: scikit-image, scikit-learn, numpy by brute force, and closed forms."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage, optimize, special, stats
from scipy.spatial import distance
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from sklearn import covariance, manifold
from sklearn.metrics import average_precision_score, roc_auc_score, silhouette_score
from sklearn.neighbors import KNeighborsClassifier

from cae_lib import metrics

PER_IMAGE = (metrics.mse_per_image, metrics.ssim_per_image, metrics.edge_energy_kept, metrics.shape_iou)


def noisy_pair(count=6, size=28, noise=0.1, seed=0):
    """Smooth images in [0, 1] and a copy that overshoots, as a PCA's reconstruction does."""
    rng = np.random.default_rng(seed)
    x = ndimage.gaussian_filter(rng.random((count, size, size)), (0, 2, 2))
    x = (x - x.min()) / (x.max() - x.min())
    return x, x + rng.normal(0, noise, x.shape)


def points(count=60, width=5, classes=4, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, count)
    return rng.normal(size=(count, width)) + 1.5 * labels[:, None], labels


def by_distance(reference, query):
    """Indices of reference, nearest first, for each query: the definition, nothing clever."""
    return np.argsort([[np.sqrt(((q - r) ** 2).sum()) for r in reference] for q in query], axis=1, kind="stable")


# --- images ----------------------------------------------------------------------------------------------


def test_mse_is_the_mean_over_each_image():
    x, x_hat = noisy_pair()
    expected = [
        np.mean([(a - b) ** 2 for a, b in zip(p.flat, q.flat, strict=True)]) for p, q in zip(x, x_hat, strict=True)
    ]
    np.testing.assert_allclose(metrics.mse_per_image(x, x_hat), expected, rtol=1e-12)
    np.testing.assert_allclose(metrics.mse_per_image(x[:, None], x_hat[:, None]), expected, rtol=1e-12)
    assert metrics.mse_per_image(np.zeros((1, 3, 3)), np.full((1, 3, 3), 0.5)) == 0.25


def test_psnr_is_scikit_images():
    x, x_hat = noisy_pair()
    expected = [peak_signal_noise_ratio(a, b, data_range=1) for a, b in zip(x, x_hat, strict=True)]
    np.testing.assert_allclose(metrics.psnr(metrics.mse_per_image(x, x_hat)), expected, rtol=1e-12)
    assert metrics.psnr(0.01) == 20 and metrics.psnr(0) == np.inf


@pytest.mark.parametrize("size", [11, 12, 28, 33])
def test_ssim_is_scikit_images(size):
    x, x_hat = noisy_pair(size=size)
    options = dict(gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=1)
    expected = [structural_similarity(a, b, **options) for a, b in zip(x, x_hat, strict=True)]
    np.testing.assert_allclose(metrics.ssim_per_image(x, x_hat), expected, atol=1e-12)


def test_ssim_does_not_depend_on_how_many_images_there_are():
    x, x_hat = noisy_pair(count=4)
    many = metrics.ssim_per_image(np.tile(x, (501, 1, 1)), np.tile(x_hat, (501, 1, 1)))  # more than two chunks
    np.testing.assert_allclose(many, np.tile(metrics.ssim_per_image(x, x_hat), 501), atol=1e-12)


@pytest.mark.parametrize(("size", "side"), [(8, 7), (9, 9), (10, 9)])
def test_ssim_of_small_images_by_the_formula(size, side):
    (x,), (x_hat,) = noisy_pair(count=1, size=size)
    reach = side // 2
    i, j = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    weights = np.exp(-(i**2 + j**2) / (2 * 1.5**2))
    weights /= weights.sum()
    values = []
    for top in range(size - side + 1):
        for left in range(size - side + 1):
            a, b = (image[top : top + side, left : left + side] for image in (x, x_hat))
            mean_a, mean_b = (weights * a).sum(), (weights * b).sum()
            var_a, var_b = (weights * (a - mean_a) ** 2).sum(), (weights * (b - mean_b) ** 2).sum()
            cov = (weights * (a - mean_a) * (b - mean_b)).sum()
            top_line = (2 * mean_a * mean_b + 0.01**2) * (2 * cov + 0.03**2)
            values.append(top_line / ((mean_a**2 + mean_b**2 + 0.01**2) * (var_a + var_b + 0.03**2)))
    np.testing.assert_allclose(metrics.ssim_per_image(x[None], x_hat[None]), np.mean(values), atol=1e-12)


def test_edge_energy_is_the_r2_of_sobel_gradients():
    x, x_hat = noisy_pair(noise=0.05)

    def gradients(image):
        return np.stack([ndimage.sobel(image, axis=0), ndimage.sobel(image, axis=1)])

    expected = [
        max(0, 1 - np.square(gradients(a) - gradients(b)).sum() / np.square(gradients(a)).sum())
        for a, b in zip(x, x_hat, strict=True)
    ]
    assert 0.05 < min(expected) < 0.95, "the case would not tell a wrong formula from a right one"
    np.testing.assert_allclose(metrics.edge_energy_kept(x, x_hat), expected, atol=1e-9)


def test_edge_energy_of_toys():
    x, _ = noisy_pair(count=1)
    flat = np.full_like(x, 0.3)
    assert metrics.edge_energy_kept(x, x / 2) == pytest.approx(0.75)
    assert metrics.edge_energy_kept(x, flat) == pytest.approx(0)
    assert metrics.edge_energy_kept(x, x + 0.2) == pytest.approx(1), "brightness is no edge"
    assert metrics.edge_energy_kept(flat, flat) == 1
    assert metrics.edge_energy_kept(flat, x) == 0, "an invented edge is not kept"


def test_shape_iou_of_toys():
    x = np.zeros((3, 4, 4))
    x_hat = x.copy()
    x[0, :2], x_hat[0, 1:3] = 1, 1  # 4 of 12 pixels in common
    x[1, 0], x_hat[1, 3] = 1, 1  # none
    np.testing.assert_allclose(metrics.shape_iou(x, x_hat), [1 / 3, 0, 1])
    quarter = np.full((1, 2, 2), 0.25)
    assert metrics.shape_iou(quarter, 0 * quarter, threshold=0.25) == 1, "at the threshold is not above it"
    assert metrics.shape_iou(quarter, 0 * quarter, threshold=0.24) == 0


@pytest.mark.parametrize("frequencies", [(1, 8, 16, 24), (7, 15, 23, 31)])  # the rings' lower and upper ends
def test_spectrum_kept_finds_the_band_that_was_lost(frequencies):
    size, bands = 32, 4
    n = np.arange(size)
    waves = [np.cos(np.pi * (n + 0.5) * k / size) for k in frequencies]  # k / size of the highest frequency
    x = 0.5 + 0.1 * sum(wave[:, None] * np.ones(size) for wave in waves)[None]
    for band, wave in enumerate(waves):
        kept = metrics.spectrum_kept(x, x - 0.1 * (wave[:, None] * np.ones(size))[None], bands)
        expected = np.ones(bands)
        if band == 0:  # the mean is there too: (.5 n)² against .01 n² / 2
            expected[0] = 1 - 0.005 / (0.25 + 0.005)
        else:
            expected[band] = 0
        np.testing.assert_allclose(kept, expected, atol=1e-9)


def test_spectrum_kept_in_one_band_is_the_energy_explained():  # Parseval: the transform is orthonormal
    x, x_hat = noisy_pair()
    expected = 1 - np.square(x - x_hat).sum() / np.square(x).sum()
    np.testing.assert_allclose(metrics.spectrum_kept(x, x_hat, bands=1), [expected], rtol=1e-9)


pixels = arrays(np.float64, (2, 8, 9), elements=st.floats(0, 1))


@settings(max_examples=60, deadline=None)
@given(pixels, arrays(np.float64, (2, 8, 9), elements=st.floats(-0.5, 1.5)))
def test_image_measures_stay_in_their_range_and_know_a_perfect_copy(x, x_hat):
    assert (metrics.mse_per_image(x, x_hat) >= 0).all()
    assert (np.abs(metrics.ssim_per_image(x, x_hat)) <= 1 + 1e-9).all()
    for measure in (metrics.edge_energy_kept, metrics.shape_iou, metrics.spectrum_kept):
        found = measure(x, x_hat)
        assert ((found >= 0) & (found <= 1)).all(), measure.__name__
        np.testing.assert_array_equal(measure(x, x), 1, measure.__name__)
    np.testing.assert_allclose(metrics.ssim_per_image(x, x), 1)
    np.testing.assert_array_equal(metrics.mse_per_image(x, x), 0)


# --- points ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [1, 4, 5])
def test_knn_accuracy_is_the_majority_vote_and_scikit_learns(k):
    (train, labels), (test, test_labels) = points(70, classes=3), points(40, classes=3, seed=1)
    votes = [np.bincount(labels[near]) for near in by_distance(train, test)[:, :k]]
    expected = np.mean([np.argmax(v) == truth for v, truth in zip(votes, test_labels, strict=True)])
    oracle = KNeighborsClassifier(k, algorithm="kd_tree").fit(train, labels).score(test, test_labels)
    assert 0.5 < expected < 1
    assert metrics.knn_accuracy(train, labels, test, test_labels, k) == pytest.approx(expected) == oracle
    images = (p.reshape(-1, 5, 1) for p in (train, test))  # as pixels come
    assert metrics.knn_accuracy(next(images), labels, next(images), test_labels, k) == oracle


def test_a_tied_vote_goes_to_the_smallest_label():
    train, labels = np.array([[1.0], [-1.1]]), np.array([7, 3])
    assert metrics.knn_accuracy(train, labels, np.zeros((1, 1)), np.array([3]), k=2) == 1


@pytest.mark.parametrize("strength", [0.03, 3.0])
def test_the_probe_minimises_its_formula(strength):
    (train, labels), (query, _) = points(80, width=3, classes=3), points(300, width=3, classes=3, seed=1)
    centred, truth = train - train.mean(axis=0), np.eye(3)[labels]

    def cost(v):
        w, b = v[:9].reshape(3, 3), v[9:]
        p = special.softmax(centred @ w + b, axis=1)
        slope = strength * (p - truth)
        value = (w**2).sum() / 2 - strength * np.log((p * truth).sum(axis=1)).sum()
        return value, np.concatenate([(w + centred.T @ slope).ravel(), slope.sum(axis=0)])

    v = optimize.minimize(cost, np.zeros(12), jac=True, options=dict(gtol=1e-9)).x
    expected = np.argmax((query - train.mean(axis=0)) @ v[:9].reshape(3, 3) + v[9:], axis=1)
    found = metrics.probe_predictions(train, labels, query, strength)
    assert len(set(expected)) == 3 and np.mean(found == expected) > 0.99
    truth = points(300, width=3, classes=3, seed=1)[1]
    assert metrics.probe_accuracy(train, labels, query, truth, strength) == np.mean(found == truth)
    np.testing.assert_array_equal(metrics.probe_predictions(train + 100, labels, query + 100, strength), found)


@pytest.mark.parametrize("count", [4, 5, 6])
def test_clustering_accuracy_is_the_best_of_all_permutations(count):
    labels = points(80, classes=5)[1]
    clusters = np.where(
        np.random.default_rng(2).random(80) < 0.5, (labels + 2) % count, points(80, classes=count, seed=1)[1]
    )
    names = [np.array(p) for p in itertools.permutations(range(max(count, 5)))]
    expected = max(np.mean(p[clusters] == labels) for p in names)
    assert metrics.clustering_accuracy(clusters, labels) == pytest.approx(expected) != np.mean(clusters == labels)
    matched = metrics.match_clusters(clusters, labels)
    assert np.mean(matched == labels) == pytest.approx(expected)
    assert len(set(zip(clusters, matched, strict=True))) == len(set(clusters)) == len(set(matched)), "one to one"


def test_clustering_accuracy_of_toys():
    labels = np.repeat([0, 1, 2], 4)
    assert metrics.clustering_accuracy((labels + 1) % 3, labels) == 1, "names do not count"
    assert metrics.clustering_accuracy(labels * 0, labels) == pytest.approx(1 / 3), "one cluster has one class only"
    assert metrics.clustering_accuracy(np.arange(12), labels) == 0.25, "a class has one cluster only"


def test_neighbours_by_brute_force():
    reference, query = points(50)[0], points(20, seed=3)[0]
    np.testing.assert_array_equal(metrics.neighbour_indices(reference, query, 7), by_distance(reference, query)[:, :7])


def test_nearest_distance_by_brute_force_and_zero_for_a_copy():
    reference, query = points(50)[0], points(20, seed=3)[0]
    expected = np.min(np.linalg.norm(query[:, None] - reference, axis=-1), axis=1)
    np.testing.assert_allclose(metrics.nearest_distance(query, reference), expected)
    images = np.random.default_rng(0).random((40, 28, 28)).astype(np.float32)
    np.testing.assert_array_equal(metrics.nearest_distance(images[::3], images), 0)


def test_purity_and_overlap_by_brute_force():
    z, labels = points(60)
    near = np.array([[j for j in order if j != i][:6] for i, order in enumerate(by_distance(z, z))])
    assert metrics.knn_purity(z, labels, k=6) == pytest.approx(np.mean(labels[near] == labels[:, None]))
    expected = np.full((5, 5), np.nan)  # class 4 has no points
    for i in range(4):
        expected[i] = [np.mean(labels[near[labels == i]] == j) for j in range(5)]
    np.testing.assert_allclose(metrics.class_overlap(z, labels, k=6, classes=5), expected)


def test_a_duplicate_is_a_neighbour_and_the_point_itself_is_not():
    z, labels = np.array([[0.0], [0.0], [5.0], [5.0]]), np.array([0, 1, 2, 2])
    assert metrics.knn_purity(z, labels, k=1) == 0.5


def test_neighbourhood_overlap_by_sets_of_brute_force_neighbours():
    rng = np.random.default_rng(5)
    views = [rng.normal(size=(50, width)) for width in (7, 2, 2)]
    near = [[set([j for j in order if j != i][:6]) for i, order in enumerate(by_distance(z, z))] for z in views]
    expected = [[np.mean([len(p & q) / 6 for p, q in zip(a, b, strict=True)]) for b in near] for a in near]
    found = metrics.neighbourhood_overlap(views, k=6)
    np.testing.assert_allclose(found, expected)
    np.testing.assert_array_equal(np.diag(found), 1)
    assert 0 < found[0, 1] < 0.4  # of unrelated views: about 6 / 49


def test_neighbourhoods_survive_turning_and_scaling_and_chance_is_k_of_the_others():
    rng = np.random.default_rng(0)
    z = rng.normal(size=(400, 2))
    turned = 3 * z @ np.array([[0.6, -0.8], [0.8, 0.6]]) + 5
    found = metrics.neighbourhood_overlap([z, turned, rng.normal(size=(400, 2))], k=10)
    assert found[0, 1] == 1 and found[0, 2] == pytest.approx(10 / 399, abs=0.01)


def test_silhouette_is_scikit_learns_and_the_definition():
    z, labels = points(40)
    distance = np.linalg.norm(z[:, None] - z, axis=-1)
    values = []
    for i, own in enumerate(labels):
        same = (labels == own) & (np.arange(len(z)) != i)
        a, b = distance[i, same].mean(), min(distance[i, labels == c].mean() for c in set(labels) - {own})
        values.append((b - a) / max(a, b))
    assert metrics.silhouette(z, labels) == pytest.approx(np.mean(values))
    assert metrics.silhouette(z, labels) == pytest.approx(silhouette_score(z, labels))


@pytest.mark.parametrize(("count", "k"), [(30, 3), (30, 14), (250, 10)])  # 250: more than two chunks
def test_trustworthiness_is_scikit_learns(count, k):
    high = points(count, width=8)[0]
    low = high[:, :2] + np.random.default_rng(1).normal(0, 2, (count, 2))
    expected = manifold.trustworthiness(high, low, n_neighbors=k)
    assert expected < 0.95
    assert metrics.trustworthiness(high, low, k) == pytest.approx(expected, abs=1e-12)


def test_trustworthiness_of_the_space_itself_is_one():
    z = points(50)[0]
    assert metrics.trustworthiness(z, z, 5) == 1
    assert metrics.trustworthiness(z.reshape(50, 5, 1), 3 * z + 1, 5) == 1, "a similarity keeps every neighbour"


def test_step_evenness_of_toys():
    line = np.linspace(0, 1, 6)[:, None] * np.array([[3.0, 4.0]])
    assert metrics.step_evenness(line) == pytest.approx(1)
    assert metrics.step_evenness([[0.0], [1.0], [4.0]]) == pytest.approx(2 / 3)  # steps 1 and 3
    assert metrics.step_evenness(np.array([[0.0], [0.0], [0.0], [9.0]])) == pytest.approx(1 / 3), "a single jump"
    assert metrics.step_evenness(np.zeros((4, 2))) == 1
    several = metrics.step_evenness(np.stack([line, line**2]))
    np.testing.assert_allclose(several, [1, metrics.step_evenness(line**2)])


@settings(max_examples=60, deadline=None)
@given(arrays(np.float64, (5, 3), elements=st.floats(-100, 100)))
def test_step_evenness_stays_in_its_range(path):
    assert 0.25 - 1e-9 <= metrics.step_evenness(path) <= 1 + 1e-9


# --- bits ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("levels", [8, np.array([4, 8, 5])])
def test_code_length_is_scipys_cross_entropy(levels):
    rng = np.random.default_rng(0)
    train, symbols = rng.binomial(3, 0.3, (500, 3)), rng.binomial(3, 0.5, (300, 3))
    expected = 0
    for seen, column, count in zip(train.T, symbols.T, np.broadcast_to(levels, 3), strict=True):
        p = [((seen == s).sum() + 0.5) / (500 + count / 2) for s in range(count)]
        q = [(column == s).mean() for s in range(count)]
        expected += stats.entropy(q, base=2) + stats.entropy(q, p, base=2)
    assert metrics.code_length(train, symbols, levels).mean() == pytest.approx(expected)


def test_code_length_of_toys():
    fair = np.array([[0], [1]] * 5000)
    np.testing.assert_allclose(metrics.code_length(fair, fair[:3], 2), 1)  # a fair coin: one bit
    assert metrics.code_length(fair, [[2]], 3) == pytest.approx(np.log2(10_001.5 / 0.5))  # never seen, yet possible
    assert metrics.code_length(np.zeros((9, 2), int), [[0, 0]], 1) == 0  # nothing else is possible


def test_rate_distortion_is_the_means_of_each_setting():
    x, x_hat = noisy_pair(count=4)
    bits = [[784] * 4, [0, 0, 784, 784]]
    found = metrics.rate_distortion(x, iter([(x_hat, bits), (x, np.full((2, 4), 1568))]), keep=3)
    np.testing.assert_allclose(found["bpp"], [[1, 0.5], [2, 2]])
    np.testing.assert_allclose(found["mse"], [np.square(x - x_hat).mean(), 0])
    np.testing.assert_allclose(found["ssim"], [metrics.ssim_per_image(x, x_hat).mean(), 1])
    np.testing.assert_array_equal(found["x_hat"], [x_hat[:3], x[:3]])
    np.testing.assert_array_equal(found["bits"][0], [[784] * 3, [0, 0, 784]])


def test_read_off_is_exact_on_a_power_law_and_level_beyond_its_ends():
    x = np.array([4.0, 1.0, 16.0])
    assert metrics.read_off(x, 3 * x**-0.5, 8) == pytest.approx(3 * 8**-0.5)
    assert metrics.read_off(x, 3 * x**-0.5, 0.1) == pytest.approx(3)
    assert metrics.read_off(x, 3 * x**-0.5, 100) == pytest.approx(0.75)
    assert np.isnan(metrics.read_off(x, x, 0.1, left=np.nan)) and metrics.read_off(x, x, 1, left=np.nan) == 1


# --- anomalies -------------------------------------------------------------------------------------------


def test_neighbour_distance_by_brute_force():
    a, b = points(seed=1)[0], points(seed=2)[0]
    apart = np.sort(np.sqrt(((b[:, None] - a) ** 2).sum(axis=2)), axis=1)
    np.testing.assert_allclose(metrics.neighbour_distance(a, b, 3), apart[:, :3].mean(axis=1), rtol=1e-10)
    np.testing.assert_allclose(metrics.neighbour_distance(a, b, 1), metrics.nearest_distance(b, a), rtol=1e-10)


def scored(seed=0):
    """Training, validation and queries, a pair each: correlated codes (N, 5) and squared errors (N, 4, 4)."""
    rng = np.random.default_rng(seed)
    mix, scale = rng.normal(size=(5, 5)), rng.uniform(0.1, 1, (4, 4))
    return [(rng.normal(size=(n, 5)) @ mix + 3, scale * rng.random((n, 4, 4))) for n in (200, 80, 50)]


def test_anomaly_scores_are_their_definitions():
    (train, errors), (held, held_errors), (query, query_errors) = pairs = scored()
    found = metrics.anomaly_scores(*pairs, k=3)
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
    once = metrics.anomaly_scores(*pairs)
    again = metrics.anomaly_scores(*((7 * z @ turned + 1, 9 * errors) for z, errors in pairs))
    for name in ("neighbours", "mahalanobis", "combined"):
        np.testing.assert_allclose(again[name], once[name], rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(again["reconstruction"], 9 * once["reconstruction"])


@pytest.mark.parametrize("decimals", [0, 8], ids=["with ties", "without ties"])
def test_auroc_is_mann_whitneys_and_both_measures_are_scikit_learns(decimals):
    rng = np.random.default_rng(3)
    normal, anomalous = rng.normal(size=70).round(decimals), rng.normal(1, 2, size=40).round(decimals)
    truth, scores = np.repeat([0, 1], [70, 40]), np.concatenate([normal, anomalous])
    assert metrics.auroc(normal, anomalous) == pytest.approx(roc_auc_score(truth, scores))
    u = stats.mannwhitneyu(anomalous, normal).statistic
    assert metrics.auroc(normal, anomalous) == pytest.approx(u / (70 * 40))
    assert metrics.average_precision(normal, anomalous) == pytest.approx(average_precision_score(truth, scores))


def test_detection_of_toys():
    assert metrics.auroc([1, 2], [3, 4]) == metrics.average_precision([1, 2], [3, 4]) == 1
    assert metrics.auroc([3, 4], [1, 2]) == 0 and metrics.auroc([1, 1], [1, 1, 1]) == 0.5
    assert metrics.average_precision([1, 1], [1, 1, 1]) == 0.6  # guessing: the share of anomalies
    assert metrics.average_precision([2], [3, 1]) == pytest.approx((1 + 2 / 3) / 2)


@pytest.mark.parametrize("decimals", [0, 8], ids=["with ties", "without ties"])
def test_bootstrap_is_scikit_learns_measures_of_the_images_drawn(decimals):
    rng = np.random.default_rng(4)
    normal, anomalous = rng.normal(size=30).round(decimals), rng.normal(1, size=50).round(decimals)
    areas, again = metrics.bootstrap(normal, anomalous, draws=20, seed=1), np.random.default_rng(1)
    assert areas.shape == (2, 20)
    for auroc, precision in areas.T:
        drawn = [scores[again.integers(len(scores), size=len(scores))] for scores in (normal, anomalous)]
        assert auroc == pytest.approx(metrics.auroc(*drawn))
        assert precision == pytest.approx(metrics.average_precision(*drawn))
    np.testing.assert_array_equal(areas, metrics.bootstrap(2 * normal, 2 * anomalous, draws=20, seed=1))


def test_bootstrap_spreads_as_the_closed_form_says():
    """For equal distributions the variance of AUROC is (n + m + 1) / (12 n m), Mann & Whitney 1947."""
    scores = np.random.default_rng(5).normal(size=(30, 2, 100))
    repeats = [metrics.bootstrap(*pair, draws=100)[0].std() for pair in scores]
    assert np.mean(repeats) == pytest.approx(np.sqrt(201 / (12 * 100 * 100)), rel=0.05)


# --- faults: a bad argument is named ---------------------------------------------------------------------


@pytest.mark.parametrize("measure", (*PER_IMAGE, metrics.spectrum_kept))
@pytest.mark.parametrize(
    ("x", "x_hat", "named"),
    [
        (np.zeros((2, 9, 9)), np.zeros((3, 9, 9)), "x, x_hat"),
        (np.zeros((2, 3, 9, 9)), np.zeros((2, 3, 9, 9)), "x, x_hat"),
        (np.zeros((0, 9, 9)), np.zeros((0, 9, 9)), "x, x_hat"),
        (np.zeros((9, 9)), np.zeros((9, 9)), "x, x_hat"),
        (np.full((1, 9, 9), 255), np.zeros((1, 9, 9)), "x"),
        (np.full((1, 9, 9), np.nan), np.zeros((1, 9, 9)), "x"),
        (np.zeros((1, 9, 9)), np.full((1, 9, 9), np.inf), "x_hat"),
    ],
)
def test_images_that_cannot_be_compared_are_refused(measure, x, x_hat, named):
    with pytest.raises(ValueError, match=f"^{named}: found .*; allowed: "):
        measure(x, x_hat)


Z, L = np.arange(12.0).reshape(6, 2), np.array([0, 0, 1, 1, 2, 2])


@pytest.mark.parametrize(
    ("named", "call"),
    [
        ("x", lambda: metrics.ssim_per_image(np.zeros((1, 7, 9)), np.zeros((1, 7, 9)))),
        ("mse", lambda: metrics.psnr([0.1, -0.1])),
        ("mse", lambda: metrics.psnr(np.nan)),
        ("threshold", lambda: metrics.shape_iou(np.zeros((1, 2, 2)), np.zeros((1, 2, 2)), threshold=1)),
        ("bands", lambda: metrics.spectrum_kept(np.zeros((1, 3, 4)), np.zeros((1, 3, 4)), bands=4)),
        ("bands", lambda: metrics.spectrum_kept(np.zeros((1, 3, 4)), np.zeros((1, 3, 4)), bands=1.5)),
        ("train", lambda: metrics.knn_accuracy(L, L, Z, L)),
        ("test", lambda: metrics.knn_accuracy(Z, L, Z[:, :1], L)),
        ("train_labels", lambda: metrics.knn_accuracy(Z, L[:5], Z, L)),
        ("test_labels", lambda: metrics.knn_accuracy(Z, L, Z, L / 2)),
        ("k", lambda: metrics.knn_accuracy(Z, L, Z, L, k=7)),
        ("test", lambda: metrics.knn_predictions(Z, L, Z[:, :1])),
        ("test", lambda: metrics.probe_predictions(Z, L, Z * np.nan)),
        ("train_labels", lambda: metrics.probe_predictions(Z, L * 0, Z)),
        ("strength", lambda: metrics.probe_predictions(Z, L, Z, 0)),
        ("test_labels", lambda: metrics.probe_accuracy(Z, L, Z, L[:5])),
        ("labels", lambda: metrics.match_clusters(L, L[:5])),
        ("clusters", lambda: metrics.clustering_accuracy(L / 2, L)),
        ("clusters, labels", lambda: metrics.clustering_accuracy(L - 1, L)),
        ("reference", lambda: metrics.neighbour_indices(Z[:0], Z, 1)),
        ("query", lambda: metrics.neighbour_indices(Z, Z * np.nan, 1)),
        ("k", lambda: metrics.neighbour_indices(Z, Z, 0)),
        ("points", lambda: metrics.nearest_distance(Z[:, :1], Z)),
        ("reference", lambda: metrics.nearest_distance(Z, Z + np.inf)),
        ("query", lambda: metrics.neighbour_distance(Z, Z[:, :1])),
        ("k", lambda: metrics.neighbour_distance(Z, Z, 7)),
        ("normal", lambda: metrics.auroc([], [1.0])),
        ("anomalous", lambda: metrics.average_precision([1.0], [np.nan])),
        ("z", lambda: metrics.knn_purity(L, L)),
        ("k", lambda: metrics.knn_purity(Z, L, k=6)),
        ("labels", lambda: metrics.knn_purity(Z, L[None], k=2)),
        ("labels", lambda: metrics.class_overlap(Z, L, k=2, classes=2)),
        ("labels", lambda: metrics.class_overlap(Z, L - 1, k=2)),
        ("views", lambda: metrics.neighbourhood_overlap([Z, Z[:5]], k=2)),
        ("views", lambda: metrics.neighbourhood_overlap([], k=2)),
        ("k", lambda: metrics.neighbourhood_overlap([Z, Z], k=6)),
        ("labels", lambda: metrics.silhouette(Z, L * 0)),
        ("labels", lambda: metrics.silhouette(Z, np.arange(6))),
        ("low", lambda: metrics.trustworthiness(Z, Z[:5], k=2)),
        ("high", lambda: metrics.trustworthiness(Z * np.nan, Z, k=2)),
        ("k", lambda: metrics.trustworthiness(Z, Z, k=3)),
        ("path", lambda: metrics.step_evenness([[1.0, 2.0]])),
        ("train", lambda: metrics.code_length(L[:, None] / 2, L[:, None], 3)),
        ("symbols", lambda: metrics.code_length(L[:, None] % 2, L[:, None], np.array([2]))),
        ("symbols", lambda: metrics.code_length(L[:, None], L[:, None] - 1, 3)),
        ("x, y, at", lambda: metrics.read_off([1.0, 2.0], [1.0, 0.0], 1)),
        ("path", lambda: metrics.step_evenness([1.0, 2.0])),
        ("path", lambda: metrics.step_evenness([[0.0], [np.nan]])),
    ],
)
def test_a_bad_argument_is_named(named, call):
    with pytest.raises(ValueError, match=f"^{named}: found .*; allowed: "):
        call()


def test_the_caller_keeps_his_arrays():
    x, x_hat = noisy_pair(count=2)
    z, labels = points(30)
    copies = [a.copy() for a in (x, x_hat, z, labels)]
    for measure in (*PER_IMAGE, metrics.spectrum_kept):
        measure(x, x_hat)
    for measure in (metrics.knn_purity, metrics.class_overlap, metrics.silhouette):
        measure(z, labels)
    metrics.trustworthiness(z, z[:, :2], 5)
    for before, after in zip(copies, (x, x_hat, z, labels), strict=True):
        np.testing.assert_array_equal(before, after)
