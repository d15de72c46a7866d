"""The command line: `python -m cae_lib fetch · train`; the flags of `train` are `Config`'s fields.

A mistake of the user's is one message and exit code 2, a run in other hands 75, an interrupt 128 + the signal.
"""

import argparse
import dataclasses
import itertools
import sys
from contextlib import nullcontext

from cae_lib import data, subject, training
from cae_lib.config import FAMILY, Config, ConfigError, check_names, read_parameters
from cae_lib.files import WINDOWS, FileError, command, project_path, speak
from cae_lib.run import Run, RunBusy, code_sha256


@command
def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m cae_lib", description=__doc__.splitlines()[0])
    verbs = parser.add_subparsers(dest="verb", required=True)
    fetched = verbs.add_parser("fetch", help="get the dataset and verify it")
    fetched.add_argument("--dataset", default=FAMILY[0], choices=FAMILY, help=f"which one ({FAMILY[0]})")
    train = verbs.add_parser("train", help="train one model into a run directory", allow_abbrev=False)
    train.add_argument("--params", help="a YAML file of parameters, such as notebooks/params/full.yml")
    train.add_argument("--run", help="the run directory")
    train.add_argument("--claims", help="a file of claims, which the run keeps as it stands when the training begins")
    train.add_argument("--archive-stale", action="store_true", help="move a run that was made differently aside")
    for f in dataclasses.fields(Config):
        train.add_argument(f"--{f.name.replace('_', '-')}", dest=f.name, help=f"{f.metadata['why']} ({f.default})")
    options, unknown = parser.parse_known_args(argv)
    options = vars(options)
    verb = options.pop("verb")
    check_names([word.lstrip("-").replace("-", "_") for word in unknown], tuple(options))
    return {"fetch": fetch, "train": train_run}[verb](options)


def fetch(options: dict) -> int:
    folder, source = data.find(dataset=options["dataset"])
    name = subject.find(options["dataset"]).name["en"]
    print(f"{name} is whole: {folder} (source: {source}; SHA-256 of all four files verified)")
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
