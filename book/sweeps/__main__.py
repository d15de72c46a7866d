"""The command line: `python -m sweeps run latent_dim`, which `make sweep` calls, and `python -m sweeps tls`."""

import argparse
import signal
import sys

from cae_lib.config import check_names, count_of
from cae_lib.files import UserError, command, speak
from sweeps.cluster import CERTIFICATE, make_certificate
from sweeps.driver import run_sweep
from sweeps.grid import read_sweep


@command
def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m sweeps", description="Run parameter sweeps of the notebooks.")
    verbs = parser.add_subparsers(dest="verb", required=True)
    points = verbs.add_parser("run", help="run what is missing of a sweep of notebooks/sweeps/", allow_abbrev=False)
    points.add_argument("name", help="the sweep: NAME of notebooks/sweeps/NAME.yml")
    points.add_argument(
        "--profile", default="full", help="NAME of notebooks/params/NAME.yml, the parameters that do not vary (full)"
    )
    points.add_argument(
        "--scheduler", help="the address of a Dask scheduler, such as tcp://host:8786 (a cluster of its own)"
    )
    points.add_argument("--workers", help="trainings side by side on this machine (as many as it has cores)")
    verbs.add_parser("tls", help=f"make {CERTIFICATE}, with which a cluster lets in nobody else")
    options, unknown = parser.parse_known_args(argv)
    options = vars(options)
    verb = options.pop("verb")
    check_names([word.lstrip("-").replace("-", "_") for word in unknown], tuple(options))
    return {"run": run, "tls": tls}[verb](**options)


def run(name: str, profile: str, scheduler: str | None, workers: str | None) -> int:
    plan = read_sweep(name, profile)
    if workers is not None and (count_of(workers) or 0) < 1:
        raise UserError(f"WORKERS: found {workers!r}, allowed is a whole number, at least 1")
    for number in (signal.SIGINT, signal.SIGTERM):  # SIGINT too: a shell's background job is begun deaf to it
        signal.signal(number, signal.default_int_handler)
    try:
        failures = run_sweep(plan, scheduler, workers and count_of(workers))
    except KeyboardInterrupt:
        print("\nstopped; finished points are kept, the others go on with the same command", file=sys.stderr)
        return 130
    done = len(plan.points) - len(failures)
    print(f"sweep {plan.name}: {done} of {len(plan.points)} points finished: {plan.directory / 'results.csv'}")
    for point, reason in failures.items():
        print(f"failed: {point.name}\n{reason}", file=sys.stderr)
    return 1 if failures else 0


def tls() -> int:
    path = make_certificate()
    print(f"{path} is certificate and key: copy it to {CERTIFICATE} on each machine, and keep it secret")
    return 0


if __name__ == "__main__":
    speak()
    sys.exit(main())
