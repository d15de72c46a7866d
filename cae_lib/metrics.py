"""The measurements behind the report's numbers: numpy arrays in, numbers or arrays out.

Images x (originals, in [0, 1]) and x_hat (reconstructions, which may overshoot as PCA's do) are (N, H, W) or
(N, 1, H, W). Points are (N, ...), flattened to rows. Distances are Euclidean. Bad input raises ValueError.
"""

import numpy as np
from scipy.fft import dctn
from scipy.linalg import convolution_matrix
from scipy.ndimage import correlate1d
from scipy.optimize import linear_sum_assignment
from scipy.stats import rankdata
from sklearn.covariance import LedoitWolf
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, euclidean_distances, pairwise_distances_argmin, silhouette_score
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors


def mse_per_image(x, x_hat):
    """Mean of (x - x_hat)² over each image's pixels: (N,), from 0 up; 0 = identical."""
    x, x_hat = _images(x, x_hat)
    return np.square(x - x_hat).mean(axis=(1, 2))


def psnr(mse):
    """Peak signal-to-noise ratio for peak 1, -10 log10(mse), in dB and in the shape of mse; inf for an mse of 0."""
    mse = np.asarray(mse, dtype=np.float64)
    _require((mse >= 0).all(), "mse", "a value that is negative or not a number", "0 and up")
    with np.errstate(divide="ignore"):
        return -10 * np.log10(mse)


def ssim_per_image(x, x_hat):
    """Structural similarity (Wang et al. 2004, IEEE TIP 13:600-612): (N,), in [-1, 1]; 1 = identical.

    (2 μ μ' + .01²)(2 cov + .03²) / ((μ² + μ'² + .01²)(σ² + σ'² + .03²)) in an 11×11 Gaussian window (σ 1.5), averaged
    over where it fits whole. Images of 8 to 10 pixels get the largest odd window that fits; smaller ones are refused.
    """
    x, x_hat = _images(x, x_hat)
    side = min(x.shape[1:])
    _require(side >= 8, "x", f"images of shape {x.shape[1:]}", "8×8 pixels and larger")
    reach = min(11, side) - 1 >> 1
    window = np.exp(-0.5 * (np.arange(-reach, reach + 1) / 1.5) ** 2)
    rows, columns = (convolution_matrix(window / window.sum(), n, mode="valid") for n in x.shape[1:])

    def ssim(a, b):
        # A separable filter is two matrix products: (B, H, W) -> (B, H - 2 reach, W - 2 reach).
        mean_a, mean_b, aa, bb, ab = (rows @ images @ columns.T for images in (a, b, a * a, b * b, a * b))
        mean_ab, squares = mean_a * mean_b, mean_a**2 + mean_b**2
        luminance = (2 * mean_ab + 0.01**2) / (squares + 0.01**2)
        structure = (2 * (ab - mean_ab) + 0.03**2) / (aa + bb - squares + 0.03**2)
        return (luminance * structure).mean(axis=(1, 2))

    return np.concatenate([ssim(x[chunk], x_hat[chunk]) for chunk in _chunks(len(x), 1000)])


def edge_energy_kept(x, x_hat):
    """Share of each original's edge energy reproduced in the right place: (N,), in [0, 1]; 1 = every edge.

    max(0, 1 - ‖g - g_hat‖² / ‖g‖²), g the Sobel gradient field: the R² of the gradients. A missing, displaced or
    invented edge is error, so noise can only lower it; all edges at half strength give .75. An original
    without any edge gives 1 if x_hat has none either, else 0.
    """
    x, x_hat = _images(x, x_hat)

    def energy(images):  # (N, H, W) -> (N,)
        # Not scipy.ndimage.sobel: on a stack it would smooth from one image into the next.
        fields = (correlate1d(correlate1d(images, (1, 2, 1), a), (-1, 0, 1), b) for a, b in ((1, 2), (2, 1)))
        return sum(np.square(g).sum(axis=(1, 2)) for g in fields)

    return _share_explained(energy(x - x_hat), energy(x))


def shape_iou(x, x_hat, threshold=0.1):
    """Intersection over union of the silhouettes, the pixels above threshold: (N,), in [0, 1]; 1 = the same shape.

    Two images without any such pixel agree: 1. The Jaccard index (Jaccard 1912).
    """
    _require(0 < threshold < 1, "threshold", threshold, "between 0 and 1")
    a, b = (images > threshold for images in _images(x, x_hat))
    both, either = (a & b).sum(axis=(1, 2)), (a | b).sum(axis=(1, 2))
    return np.where(either, both / np.maximum(either, 1), 1.0)


def spectrum_kept(x, x_hat, bands=4):
    """Share of the originals' energy that is explained in each frequency band: (bands,), in [0, 1]; 1 = all of it.

    max(0, 1 - Σ (F - F_hat)² / Σ F²), sums over the whole set; F is the orthonormal 2-D DCT-II: its mirrored borders
    keep a shape cut by the frame from passing for texture, as it would in a Fourier transform. Bands are rings of
    equal width in radial frequency, from 0 to .5 cycles per pixel; the last one, the texture, takes the corners too.
    """
    x, x_hat = _images(x, x_hat)
    height, width = x.shape[1:]
    _check_count("bands", bands, min(height, width))
    radius = np.hypot(np.arange(height)[:, None] / height, np.arange(width) / width)  # (H, W); 1 = .5 cycles per pixel
    ring = np.minimum(radius * bands, bands - 1).astype(int).ravel()

    def energy(images):
        power = np.square(dctn(images, axes=(1, 2), norm="ortho")).sum(axis=0)
        return np.bincount(ring, weights=power.ravel(), minlength=bands)

    return _share_explained(energy(x - x_hat), energy(x))


def code_length(train, symbols, levels):
    """Bits of each row of symbols (N, D) where column d is coded by its frequencies in train (M, D): (N,), from 0 up.

    -Σ log2 p_d with p_d = (count + 1/2) / (M + levels_d / 2), so that no symbol is impossible (Krichevsky & Trofimov
    1981). The mean is the columns' cross-entropy, their entropy where the sets are alike (Shannon 1948); an arithmetic
    coder needs at most two bits more. Symbols run from 0 to levels - 1, a number for all columns or one for each.
    """
    train, symbols = np.asarray(train), np.asarray(symbols)
    for name, s in (("train", train), ("symbols", symbols)):
        ok = s.ndim == 2 and s.size and s.dtype.kind in "iu" and s.shape[1] == train.shape[1]
        ok = ok and (s.min(axis=0) >= 0).all() and (s.max(axis=0) < levels).all()
        _require(ok, name, f"{s.dtype} of shape {s.shape}", "whole numbers (N, D) from 0 to levels - 1")
    bits = np.zeros(len(symbols))
    for seen, column, count in zip(train.T, symbols.T, np.broadcast_to(levels, len(train.T)), strict=True):
        frequency = np.bincount(seen, minlength=count) + 0.5
        bits -= np.log2(frequency / frequency.sum())[column]
    return bits


def rate_distortion(x, received, keep=0):
    """What images x (N, H, W) cost and how they arrive, in K settings: bpp (K, W), mse (K,) and ssim (K,), the means.

    `received` yields (x_hat (N, H, W), bits (W, N)) for each setting, W being the ways to count the bits. Of the first
    `keep` images it also gives x_hat (K, keep, H, W) and bits (K, W, keep).
    """
    rows = []
    for x_hat, bits in received:
        bits = np.asarray(bits)
        measured = bits.mean(axis=1) / x[0].size, mse_per_image(x, x_hat).mean(), ssim_per_image(x, x_hat).mean()
        rows.append((*measured, x_hat[:keep], bits[:, :keep]))
    return dict(zip(("bpp", "mse", "ssim", "x_hat", "bits"), map(np.array, zip(*rows, strict=True)), strict=True))


def read_off(x, y, at, left=None):
    """y where x is `at` on the curve through the points (x, y), straight between them on logarithmic axes.

    Beyond its ends the curve goes on level, or is `left` below its least x. All of them positive.
    """
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    ok = x.ndim == 1 and x.shape == y.shape and x.size and x.min() > 0 and y.min() > 0 and at > 0
    _require(ok, "x, y, at", f"shapes {x.shape} and {y.shape}, at {at}", "twice (K,), and all positive")
    order = np.argsort(x)
    return float(np.exp(np.interp(np.log(at), np.log(x[order]), np.log(y[order]), left=left and np.log(left))))


def knn_predictions(train, train_labels, test, k=5):
    """The label that most of each test point's k nearest training points have: (len(test),).

    Cover & Hart 1967. A tied vote goes to the smallest label, as in scikit-learn.
    """
    train = _rows("train", train)
    test = _rows("test", test, like=train)
    train_labels = _labels("train_labels", train_labels, train)
    _check_count("k", k, len(train))
    return KNeighborsClassifier(k, algorithm="brute").fit(train, train_labels).predict(test)


def knn_accuracy(train, train_labels, test, test_labels, k=5):
    """Share of test points that `knn_predictions` labels rightly, in [0, 1]."""
    test_labels = _labels("test_labels", test_labels, test)
    return float((knn_predictions(train, train_labels, test, k) == test_labels).mean())


def probe_predictions(train, train_labels, test, strength=1.0):
    """The label that a linear probe, multinomial logistic regression, gives each test point: (len(test),).

    It minimises ‖W‖² / 2 + strength · Σ cross-entropy over the training points, biases free (Alain & Bengio 2016). The
    penalty feels the points' scale, which is the caller's choice; their mean does not matter.
    """
    train = _rows("train", train)
    test = _rows("test", test, like=train)
    train_labels = _labels("train_labels", train_labels, train)
    found = len(np.unique(train_labels))
    _require(found > 1, "train_labels", f"{found} class", "two and more")
    _require(0 < strength < np.inf, "strength", strength, "more than 0")
    mean = train.mean(axis=0)
    probe = LogisticRegression(C=strength, tol=1e-3, max_iter=2000).fit(train - mean, train_labels)
    return probe.predict(test - mean)


def probe_accuracy(train, train_labels, test, test_labels, strength=1.0):
    """Share of test points that `probe_predictions` labels rightly, in [0, 1]."""
    test_labels = _labels("test_labels", test_labels, test)
    return float((probe_predictions(train, train_labels, test, strength) == test_labels).mean())


def match_clusters(clusters, labels):
    """Clusters (N,) renamed as classes, one to one, so that most points bear their own label: (N,).

    The Hungarian method (Kuhn 1955). A cluster for which no class is left gets a number that is no class.
    """
    clusters, labels = (_labels(n, a, clusters) for n, a in (("clusters", clusters), ("labels", labels)))
    _require(len(labels) and min(clusters.min(), labels.min()) >= 0, "clusters, labels", "a negative one", "0 and up")
    size = 1 + max(clusters.max(), labels.max())
    counts = np.zeros((size, size), dtype=int)
    np.add.at(counts, (clusters, labels), 1)
    return linear_sum_assignment(counts, maximize=True)[1][clusters]


def clustering_accuracy(clusters, labels):
    """Share of points whose cluster is matched with their class by `match_clusters`, in [0, 1]; 1 = the classes."""
    return float((match_clusters(clusters, labels) == np.asarray(labels)).mean())


def neighbour_indices(reference, query, k):
    """Rows of reference that are the k nearest to each query, nearest first: (len(query), k)."""
    reference = _rows("reference", reference)
    query = _rows("query", query, like=reference)
    _check_count("k", k, len(reference))
    return NearestNeighbors(n_neighbors=k, algorithm="brute").fit(reference).kneighbors(query)[1]


def nearest_distance(points, reference):
    """Distance from each point to the nearest row of reference: (N,), from 0 up; exactly 0 = a copy of it."""
    reference = _rows("reference", reference)
    points = _rows("points", points, like=reference)
    return np.linalg.norm(points - reference[pairwise_distances_argmin(points, reference)], axis=1)


def neighbour_distance(reference, query, k=5):
    """Mean distance from each query to its k nearest rows of reference: (len(query),), from 0 up."""
    reference = _rows("reference", reference)
    query = _rows("query", query, like=reference)
    _check_count("k", k, len(reference))
    return NearestNeighbors(n_neighbors=k, algorithm="brute").fit(reference).kneighbors(query)[0].mean(axis=1)


def anomaly_scores(train, validation, query, k=5):
    """How unlike the training images each query is, by four scores: name to (N,), higher = more anomalous.

    An argument is a pair: codes (N, D), squared errors (N, H, W). Codes are measured in units of the training codes'
    covariance (Ledoit & Wolf 2004), errors in those of each pixel's usual error, its training mean plus the median of
    all pixels' means. `reconstruction`: mean squared error, in pixels' own units. `mahalanobis`: distance of the code
    from the mean code. `neighbours`: mean distance to the k nearest training codes. `combined`: mean of the logarithms
    of neighbours and of the relative error, each standardised on the validation images.
    """
    codes = _rows("train", train[0]).astype(np.float64)
    covariance = LedoitWolf().fit(codes)
    root = np.linalg.cholesky(covariance.precision_)  # distances between z @ root are Mahalanobis distances
    usual = train[1].mean(axis=0)  # (H, W)
    usual = np.maximum(usual + np.median(usual), 1e-12)  # a pixel that is always black must not decide alone

    def logarithms(z, errors):  # (2, N)
        parts = neighbour_distance(codes @ root, z @ root, k), (errors / usual).mean(axis=(1, 2))
        return np.log(np.maximum(parts, 1e-12))

    known, parts = logarithms(*validation), logarithms(*query)
    z_scores = (parts - known.mean(axis=1, keepdims=True)) / known.std(axis=1, keepdims=True)
    away = np.linalg.norm((query[0] - covariance.location_) @ root, axis=1)
    scores = {"reconstruction": query[1].mean(axis=(1, 2)), "neighbours": np.exp(parts[0]), "mahalanobis": away}
    return scores | {"combined": z_scores.mean(axis=0)}


def auroc(normal, anomalous):
    """Chance that an anomaly scores higher than a normal image, a tie counted half: in [0, 1]; .5 = guessing.

    The area under the ROC curve: U / (n m) of Mann & Whitney 1947, from scores (n,) and (m,).
    """
    ranks = rankdata(np.concatenate([_scores("normal", normal), _scores("anomalous", anomalous)]))[len(normal) :]
    return float((ranks.mean() - (len(anomalous) + 1) / 2) / len(normal))


def average_precision(normal, anomalous):
    """Mean, over the anomalies, of their share among all that score as high: in [0, 1]; 1 = they all come first.

    From scores (n,) and (m,), as scikit-learn's; guessing gives m / (n + m).
    """
    scores = np.concatenate([_scores("normal", normal), _scores("anomalous", anomalous)])
    return float(average_precision_score(np.arange(len(scores)) >= len(normal), scores))


def bootstrap(normal, anomalous, draws=200, seed=0):
    """AUROC and average precision of resampled scores: (2, draws); their quantiles are intervals (Efron 1979).

    Normals (n,) and anomalies (m,) are drawn apart, with replacement. One seed draws the same images whatever the
    score, so two scores may be compared draw by draw. The scores are sorted once; a draw only counts them anew.
    """
    normal, anomalous = _scores("normal", normal), _scores("anomalous", anomalous)
    rng, n, m = np.random.default_rng(seed), len(normal), len(anomalous)
    scores = -np.concatenate([normal, anomalous])
    order = np.argsort(scores)
    is_anomaly = order >= n
    first, last = (np.searchsorted(scores[order], scores[order], side) for side in ("left", "right"))  # of equal ones
    areas = np.empty((2, draws))
    for i in range(draws):
        drawn = [np.bincount(rng.integers(size, size=size), minlength=size) for size in (n, m)]
        count = np.concatenate(drawn)[order]
        found, seen = (np.concatenate([[0], np.cumsum(c)]) for c in (count * is_anomaly, count))  # before each place
        areas[0, i] = (count * ~is_anomaly * (found[first] + found[last])).sum() / (2 * n * m)
        areas[1, i] = (count * is_anomaly * found[last] / np.maximum(seen[last], 1)).sum() / m
    return areas


def knn_purity(z, labels, k=10):
    """Mean share of the k nearest other points that have a point's own label, in [0, 1]; chance = Σ (class share)²."""
    near, labels = _other_neighbours("z", z, k), _labels("labels", labels, z)
    return float((labels[near] == labels[:, None]).mean())


def class_overlap(z, labels, k=10, classes=10):
    """Share of class j among the k nearest other points of class i's points, at [i, j]: (classes, classes).

    Rows sum to 1; the diagonal is each class's purity. A class without points has a row of NaN.
    """
    near, labels = _other_neighbours("z", z, k), _labels("labels", labels, z)
    found = f"{labels.min()} to {labels.max()}"
    _require(labels.min() >= 0 and labels.max() < classes, "labels", found, f"0 to {classes - 1}")
    pairs = classes * labels[:, None] + labels[near]
    counts = np.bincount(pairs.ravel(), minlength=classes**2).reshape(classes, classes)
    with np.errstate(invalid="ignore"):
        return counts / counts.sum(axis=1, keepdims=True)


def neighbourhood_overlap(views, k=10):
    """Mean share of a point's k nearest others in view i that are among its k nearest in view j, at [i, j]: (V, V).

    In [0, 1], symmetric; 1 = the same neighbourhoods, by chance k / (N - 1). Q_NX(k) of Lee & Verleysen 2009. The V
    views are of the same N points, each in as many dimensions as it likes.
    """
    near = [_other_neighbours("views", view, k) for view in views]
    found = sorted({len(rows) for rows in near})
    _require(len(found) == 1, "views", f"sets of {found} points", "the same points, seen once and more")
    return np.array([[(a[:, :, None] == b[:, None]).sum() / a.size for b in near] for a in near])


def silhouette(z, labels):
    """Mean of (b - a) / max(a, b), in [-1, 1]; 1 = tight classes far apart, 0 = they touch (Rousseeuw 1987).

    a is a point's mean distance to its own class, b to the nearest other class.
    """
    z, labels = _rows("z", z), _labels("labels", labels, z)
    found, most = len(np.unique(labels)), len(z) - 1
    _require(2 <= found <= most, "labels", f"{found} classes", f"2 to {most} for {len(z)} points")
    return float(silhouette_score(z, labels))


def trustworthiness(high, low, k=10):
    """How far the k neighbours in the map low are neighbours in the space high too, in [0, 1]; 1 = all of them.

    1 - 2 / (n k (2n - 3k - 1)) Σ max(0, rank - k) over every point's k neighbours in the map, rank = their place by
    distance in the space (Venna & Kaski 2001). In chunks: scikit-learn's takes 2 GB for 10,000 points.
    """
    high, low = _rows("high", high).astype(np.float64), _rows("low", low)
    n = len(high)
    _require(len(low) == n, "low", f"{len(low)} points", f"as many as in high, {n}")
    _check_count("k", k, (n - 1) // 2)
    near, excess = _other_neighbours("low", low, k), 0
    for chunk in _chunks(n, 100):
        distance = euclidean_distances(high[chunk], high, squared=True)  # (100, n)
        np.put_along_axis(distance, np.arange(n)[chunk, None], np.inf, axis=1)  # nobody is their own neighbour
        for d in np.take_along_axis(distance, near[chunk], axis=1).T:
            rank = 1 + np.count_nonzero(distance < d[:, None], axis=1)
            excess += int(np.maximum(rank - k, 0).sum())
    return 1 - 2 * excess / (n * k * (2 * n - 3 * k - 1))


def step_evenness(path):
    """Mean step / longest step along a path of S points: a float for (S, D), (P,) for P paths (P, S, D).

    In [1 / (S - 1), 1]; 1 = all steps equal, the least = a single jump. A path that never moves is even: 1.
    """
    path = np.asarray(path, dtype=np.float64)
    ok = path.ndim in (2, 3) and path.size and path.shape[-2] > 1 and np.isfinite(path).all()
    _require(ok, "path", f"shape {path.shape}", "finite (S, D) or (P, S, D) with S of 2 and more")
    steps = np.linalg.norm(np.diff(path, axis=-2), axis=-1)  # (..., S - 1)
    mean, longest = steps.mean(axis=-1), steps.max(axis=-1)
    evenness = np.divide(mean, longest, out=np.ones_like(mean), where=longest > 0)
    return float(evenness) if path.ndim == 2 else evenness


def _chunks(n, size):
    return [slice(start, start + size) for start in range(0, n, size)]


def _share_explained(error, energy):
    # Where there is nothing to explain all of it is explained, unless something was invented.
    missed = np.divide(error, energy, out=(error > 0).astype(np.float64), where=energy > 0)
    return np.clip(1 - missed, 0, 1)


def _other_neighbours(name, z, k):  # (N, k), nearest first: never the point itself, but a duplicate of it
    z = _rows(name, z)
    _check_count("k", k, len(z) - 1)
    return NearestNeighbors(n_neighbors=k, algorithm="brute").fit(z).kneighbors()[1]


def _images(x, x_hat):  # -> float64 (N, H, W), twice
    a, b = np.asarray(x, dtype=np.float64), np.asarray(x_hat, dtype=np.float64)
    found, allowed = f"shapes {a.shape} and {b.shape}", "twice the same (N, H, W) or (N, 1, H, W), N > 0"
    a, b = (images[:, 0] if images.ndim == 4 and images.shape[1] == 1 else images for images in (a, b))
    _require(a.ndim == 3 and a.shape == b.shape and a.size, "x, x_hat", found, allowed)
    low, high = a.min(), a.max()  # NaN, if there is one
    _require(low >= -1e-6 and high <= 1 + 1e-6, "x", f"pixels from {low:g} to {high:g}", "0 to 1")
    _require(np.isfinite(b).all(), "x_hat", "pixels that are not finite", "finite numbers")
    return a, b


def _rows(name, points, like=None):  # -> (N, D), float32 or float64
    points = np.asarray(points)
    _require(points.ndim > 1 and points.size, name, f"shape {points.shape}", "(N, ...) with N > 0")
    rows = points.reshape(len(points), -1)
    _require(np.isfinite(rows).all(), name, "values that are not finite", "finite numbers")
    if like is not None:
        found, wanted = rows.shape[1], like.shape[1]
        _require(found == wanted, name, f"points of {found} numbers", f"{wanted}, as in the other set")
    return rows.astype(np.result_type(rows, np.float32), copy=False)


def _scores(name, scores):
    scores = np.asarray(scores, dtype=np.float64)
    ok = scores.ndim == 1 and scores.size and np.isfinite(scores).all()
    _require(ok, name, f"scores of shape {scores.shape}", "finite ones (N,), N > 0")
    return scores


def _labels(name, labels, points):
    labels = np.asarray(labels)
    ok = labels.shape == (len(points),) and labels.dtype.kind in "iu"
    _require(ok, name, f"{labels.dtype} of shape {labels.shape}", f"integers of shape ({len(points)},)")
    return labels.astype(np.int64)


def _check_count(name, value, most):
    ok = isinstance(value, int | np.integer) and 1 <= value <= most
    _require(ok, name, repr(value), f"a whole number from 1 to {most}")


def _require(ok, name, found, allowed):
    if not ok:
        raise ValueError(f"{name}: found {found}; allowed: {allowed}")
