"""Paths between codes (chapter 04)."""

import numpy as np

from cae_lib.metrics import require


def lerp(z0: np.ndarray, z1: np.ndarray, steps: int) -> np.ndarray:
    """The straight path from z0 to z1, ends included: (steps, D), or (P, steps, D) for P pairs (P, D)."""
    t = np.linspace(0, 1, steps, dtype=np.float32)[:, None]
    return (1 - t) * z0[..., None, :] + t * z1[..., None, :]


def slerp(z0: np.ndarray, z1: np.ndarray, steps: int) -> np.ndarray:
    """The path along the great circle, its length growing evenly from ‖z0‖ to ‖z1‖; shapes as in `lerp`.

    Shoemake 1985, SIGGRAPH 19:245-254. Codes of (nearly) one direction take the straight path, its limit; for
    opposite ones, and from or to zero, no great circle is distinguished, and they take it too.
    """
    t = np.linspace(0, 1, steps, dtype=np.float32)[:, None]
    norms = [np.linalg.norm(z, axis=-1, keepdims=True)[..., None, :] for z in (z0, z1)]
    u0, u1 = (z[..., None, :] / np.maximum(n, 1e-12) for z, n in zip((z0, z1), norms, strict=True))
    angle = np.arccos(np.clip((u0 * u1).sum(axis=-1, keepdims=True), -1, 1))
    sine = np.sin(angle)
    straight = (sine < 1e-4) | (np.minimum(*norms) == 0)
    sine = np.where(straight, 1, sine)
    path = (np.sin((1 - t) * angle) * u0 + np.sin(t * angle) * u1) / sine * ((1 - t) * norms[0] + t * norms[1])
    return np.where(straight, lerp(z0, z1, steps), path)


def bilinear_grid(corners: np.ndarray, side: int) -> np.ndarray:
    """Codes (side, side, D) between four corners (4, D): top left, top right, bottom left, bottom right."""
    left, right = lerp(corners[0], corners[2], side), lerp(corners[1], corners[3], side)  # (side, D)
    return lerp(left, right, side)


def random_pairs(labels: np.ndarray, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of images paired at random, (count, 2) of one class each and (count, 2) of two; the first is in both."""
    rng = np.random.default_rng(seed)
    first = rng.choice(np.flatnonzero(np.bincount(labels)[labels] > 1), count)
    alike, other = labels[first, None] == labels, first[:, None] != np.arange(len(labels))  # (count, N)
    chance = rng.random(alike.shape)
    return tuple(np.stack([first, np.where(m & other, chance, -1).argmax(axis=1)], axis=1) for m in (alike, ~alike))


def step_evenness(path):
    """Mean step / longest step along a path of S points: a float for (S, D), (P,) for P paths (P, S, D).

    In [1 / (S - 1), 1]; 1 = all steps equal, the least = a single jump. A path that never moves is even: 1.
    """
    path = np.asarray(path, dtype=np.float64)
    ok = path.ndim in (2, 3) and path.size and path.shape[-2] > 1 and np.isfinite(path).all()
    require(ok, "path", f"shape {path.shape}", "finite (S, D) or (P, S, D) with S of 2 and more")
    steps = np.linalg.norm(np.diff(path, axis=-2), axis=-1)  # (..., S - 1)
    mean, longest = steps.mean(axis=-1), steps.max(axis=-1)
    evenness = np.divide(mean, longest, out=np.ones_like(mean), where=longest > 0)
    return float(evenness) if path.ndim == 2 else evenness
