"""The command line: `python -m cae_lib fetch · import · train · sweep`; the flags of `train` are `Config`'s fields.

A mistake of the user's is one message and exit code 2, a run in other hands 75, an interrupt 128 + the signal.
"""

import argparse
import dataclasses
import itertools
import signal
import sys
from contextlib import nullcontext

from cae_lib import data, imports, subject, training
from cae_lib.config import FAMILY, Config, ConfigError, check_names, count_of, read_parameters
from cae_lib.files import WINDOWS, FileError, UserError, project_path, speak
from cae_lib.run import Run, RunBusy, code_sha256
from cae_lib.sweeps.cluster import CERTIFICATE, make_certificate
from cae_lib.sweeps.driver import run_sweep
from cae_lib.sweeps.grid import read_sweep

INTERRUPTED, BUSY, MISTAKE = 130, 75, 2  # exit codes


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m cae_lib", description=__doc__.splitlines()[0])
    verbs = parser.add_subparsers(dest="verb", required=True)
    fetched = verbs.add_parser("fetch", help="get the dataset and verify it")
    fetched.add_argument("--dataset", default=FAMILY[0], choices=FAMILY, help=f"which one ({FAMILY[0]})")
    made = verbs.add_parser("import", help="make a report's dataset of one's own images", allow_abbrev=False)
    made.add_argument("source", help="a folder of pictures (CLASS/*, or train/CLASS/* and test/CLASS/*), CSV, NPZ, …")
    made.add_argument("target", help="the folder to make, such as data/mine")
    made.add_argument("--size", help="pixels across, 8 to 64 (the images' own where they are squares, else 28)")
    made.add_argument("--fit", help="pad: the whole image on its border's colour; crop: the middle square (pad)")
    made.add_argument("--invert", action="store_true", help="turn dark on bright into bright on dark")
    made.add_argument("--transpose", action="store_true", help="exchange rows and columns, for EMNIST's own files")
    made.add_argument("--limit", help="at most so many images of each class and part (all)")
    made.add_argument("--test-share", help="of each class, where there are no test images (0.2)")
    made.add_argument("--seed", help="of what is drawn and mixed (42)")
    made.add_argument(
        "--labels", help="the labels' column (or first, last) or entry; or the names: a,b,c, or a text file"
    )
    made.add_argument("--drop-duplicates", action="store_true", help="leave out training images that are test images")
    made.add_argument("--dry-run", action="store_true", help="read and check everything, write nothing")
    train = verbs.add_parser("train", help="train one model into a run directory", allow_abbrev=False)
    train.add_argument("--params", help="a YAML file of parameters, such as notebooks/params/full.yml")
    train.add_argument("--run", help="the run directory")
    train.add_argument("--claims", help="a file of claims, which the run keeps as it stands when the training begins")
    train.add_argument("--archive-stale", action="store_true", help="move a run that was made differently aside")
    for f in dataclasses.fields(Config):
        train.add_argument(f"--{f.name.replace('_', '-')}", dest=f.name, help=f"{f.metadata['why']} ({f.default})")
    points = verbs.add_parser("sweep", help="run what is missing of a sweep of notebooks/sweeps/", allow_abbrev=False)
    points.add_argument("name", help="the sweep: NAME of notebooks/sweeps/NAME.yml")
    points.add_argument(
        "--profile", default="full", help="NAME of notebooks/params/NAME.yml, the parameters that do not vary (full)"
    )
    points.add_argument(
        "--scheduler", help="the address of a Dask scheduler, such as tcp://host:8786 (a cluster of its own)"
    )
    points.add_argument("--workers", help="trainings side by side on this machine (as many as it has cores)")
    verbs.add_parser("sweep-tls", help=f"make {CERTIFICATE}, with which a cluster lets in nobody else")
    options, unknown = parser.parse_known_args(arguments)
    options = vars(options)
    try:
        verb = options.pop("verb")
        check_names([word.lstrip("-").replace("-", "_") for word in unknown], tuple(options))
        verbs = {"fetch": fetch, "import": import_run, "train": train_run, "sweep": sweep_run, "sweep-tls": sweep_tls}
        return verbs[verb](options)
    except training.Interrupted as stop:
        print(stop, file=sys.stderr)
        return 128 + stop.number
    except UserError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return BUSY if isinstance(error, RunBusy) else MISTAKE
    except KeyboardInterrupt:
        print("\nstopped before anything was written", file=sys.stderr)
        return INTERRUPTED


def fetch(options: dict) -> int:
    folder, source = data.find(dataset=options["dataset"])
    name = subject.find(options["dataset"]).name["en"]
    print(f"{name} is whole: {folder} (source: {source}; SHA-256 of all four files verified)")
    return 0


def import_run(options: dict) -> int:
    for number in (signal.SIGINT, signal.SIGTERM):  # what was begun is cleared away
        signal.signal(number, signal.default_int_handler)
    source, target = options.pop("source"), options.pop("target")
    imports.import_images(source, target, imports.Options.of(options))
    return 0


def train_run(options: dict) -> int:
    values = read_params(options.pop("params"))
    archive, claims = options.pop("archive_stale"), options.pop("claims")
    values |= {name: value for name, value in options.items() if value is not None}
    config = Config.from_dict(values, extra=("run",))
    if not isinstance(values.get("run"), str) or not values["run"].strip():
        raise ConfigError(f"run: found {values.get('run')!r}, allowed is a directory; add --run runs/NAME")
    run, dataset = Run(values["run"]), data.load(config)
    if archive and (differences := run.differences(config, code_sha256(*training.CODE), dataset.sha256)):
        names = (run.path.with_name(f"{run.path.name}.stale-{n}") for n in itertools.count(1))
        # Not from under the hands of another process. Windows sees to that: it moves no folder in which a file is
        # open, and a lock is one.
        with nullcontext() if WINDOWS else run.lock():
            try:
                aside = run.path.rename(next(path for path in names if not path.exists()))
            except PermissionError as error:
                raise RunBusy(
                    f"run: {run.path} was made differently and cannot be moved aside ({error.strerror}): another "
                    f"program has a file in it open, or the folder around it may not be written to; name another run"
                ) from None
        print(f"{run.path} was made differently and is now {aside}:\n  " + "\n  ".join(differences), flush=True)
    finished = run.state == "finished"
    if claims and run.state == "missing":
        run.keep_claims(project_path(claims))
    training.train(config, dataset, run)
    if finished:
        print(f"{run.path} is finished and nothing it was made from has changed; not trained again")
        return 0
    best = run.history()["validation_loss"].min()
    print(f"trained {run.path}: best validation MSE {best:.5f}, {sum(run.provenance['epoch_seconds']):.0f} s")
    return 0


def sweep_run(options: dict) -> int:
    plan, workers = read_sweep(options["name"], options["profile"]), options["workers"]
    if workers is not None and (count_of(workers) or 0) < 1:
        raise UserError(f"WORKERS: found {workers!r}, allowed is a whole number, at least 1")
    for number in (signal.SIGINT, signal.SIGTERM):  # SIGINT too: a shell's background job is begun deaf to it
        signal.signal(number, signal.default_int_handler)
    try:
        failures = run_sweep(plan, options["scheduler"], workers and count_of(workers))
    except KeyboardInterrupt:
        print("\nstopped; finished points are kept, the others go on with the same command", file=sys.stderr)
        return INTERRUPTED
    done = len(plan.points) - len(failures)
    print(f"sweep {plan.name}: {done} of {len(plan.points)} points finished: {plan.directory / 'results.csv'}")
    for point, reason in failures.items():
        print(f"failed: {point.name}\n{reason}", file=sys.stderr)
    return 1 if failures else 0


def sweep_tls(options: dict) -> int:
    path = make_certificate()
    print(f"{path} is certificate and key: copy it to {CERTIFICATE} on each machine, and keep it secret")
    return 0


def read_params(name: str | None) -> dict:
    """The parameters of a profile as they were typed, for `Config` to check; {} without one."""
    if name is None:
        return {}
    try:
        typed, texts = read_parameters(project_path(name))
    except (FileError, ConfigError) as error:
        raise ConfigError(f"params: {error}") from None
    return texts | {key: value for key, value in typed.items() if key == "run"}


if __name__ == "__main__":
    speak()
    sys.exit(main())
