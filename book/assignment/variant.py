"""The rule: what a student number makes of seed, latent_dim and learning_rate."""

import hashlib
import re

from cae_lib.files import UserError

SEEDS = 2**31 - 1  # the seeds that a Config allows
LATENT_DIMS = (16, 24, 32, 48, 96, 128)
LEARNING_RATES = (5e-4, 1e-3, 2e-3, 4e-3)
NIM = re.compile(r"[0-9A-Z]{5,20}", re.ASCII)


class AssignmentError(UserError):
    """What keeps an assignment from being made, built or graded, told in one message."""


def checked(nim: str | None) -> str:
    """The student number in capitals; `AssignmentError` for what is none."""
    found = (nim or "").strip().upper()
    if not NIM.fullmatch(found):
        raise AssignmentError(
            f"NIM: found {nim!r}, allowed are 5 to 20 digits and letters A to Z, without spaces, points or dashes: "
            f"make assignment NIM=20231234567"
        )
    return found


def variant(nim: str) -> dict:
    """Seed, latent_dim and learning_rate of a student number, as the assignment sheet states the rule.

    seed: the number, modulo 2147483647; one with letters is read to the base 36, as Python's int(NIM, 36) does.
    latent_dim, learning_rate: of the SHA-256 of the number in ASCII, the first byte modulo 6 and the second modulo 4
    are places, counted from 0, in `LATENT_DIMS` and `LEARNING_RATES`.
    """
    nim = checked(nim)
    first, second = hashlib.sha256(nim.encode("ascii")).digest()[:2]
    return {
        "seed": int(nim, 10 if nim.isdigit() else 36) % SEEDS,
        "latent_dim": LATENT_DIMS[first % len(LATENT_DIMS)],
        "learning_rate": LEARNING_RATES[second % len(LEARNING_RATES)],
    }
