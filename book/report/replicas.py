"""The runs that differ from one in nothing but the seed: how far a finding depends on chance."""

from contextlib import suppress

from cae_lib.files import UserError
from cae_lib.run import Run


def seed_replicas(run: Run, *names: str) -> list[Run]:
    """`run` first, then one finished run for each other seed: all else is the same, and metrics hold `names`.

    Looked for in the folder that `run` lies in, and as deep below it as the points of a sweep lie. Raises `RunError`
    where `run` itself is not finished.
    """
    runs, home, own = {run.config.seed: run}, run.path.parent, _made_from(run)
    for depth in ("*", "*/*", "*/*/*"):
        for path in sorted(home.glob(f"{depth}/provenance.json")):
            other = Run(path.parent)
            with suppress(UserError, KeyError):  # a damaged or unfinished one is nobody's replica
                measured = _made_from(other) == own and other.metrics.keys() >= {*names}
                if measured and ".stale-" not in str(path.relative_to(home)):
                    runs.setdefault(other.config.seed, other)
    return list(runs.values())


def _made_from(run: Run) -> tuple:
    """All that decides a finished run's weights, but for the seed."""
    facts = run.provenance
    return run.config.to_dict() | {"seed": None}, facts["code_sha256"], facts["data_sha256"]
