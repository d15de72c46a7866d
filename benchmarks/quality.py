"""How good the trained models are on the test images: MSE and k-NN accuracy, mean ± standard deviation over seeds.

    python -m cae_lib train --params notebooks/params/full.yml --seed 43 --run runs/full-43
    python benchmarks/quality.py full runs/full runs/full-43 runs/full-44
reads finished runs of one profile that differ in nothing but seed and threads. Their rows in benchmarks/quality.csv are
exchanged, those of other profiles stay.
"""

import argparse
import csv
import dataclasses
import statistics
import sys
from pathlib import Path

import torch

from cae_lib import data, metrics, training
from cae_lib.files import UserError
from cae_lib.run import Run

TABLE = Path(__file__).with_name("quality.csv")


def measure(profile: str, run: Run) -> dict:
    """One row: the run's test MSE and its k-NN accuracy (k = 5, codes of the whole training file → test images)."""
    config, model = run.config, run.model()
    dataset = data.load(config)
    file = torch.cat([dataset.train_images, dataset.validation_images])
    labels = torch.cat([dataset.train_labels, dataset.validation_labels])
    codes = [metrics.encode(model, images) for images in (file, dataset.test_images)]
    knn = metrics.knn_accuracy(codes[0], labels.numpy(), codes[1], dataset.test_labels.numpy())
    test_mse = training.mse(model, dataset.test_images)
    row = dict(profile=profile, seed=config.seed, epochs=config.epochs, parameters=run.provenance["parameters"])
    row |= dict(threads=run.provenance["threads"], training_s=round(sum(run.provenance["epoch_seconds"])))
    return row | dict(test_mse=round(test_mse, 6), knn_accuracy=round(float(knn), 4))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("profile", help="its name in notebooks/params, full or best")
    parser.add_argument("runs", nargs="+", type=Run)
    profile, runs = vars(parser.parse_args()).values()
    try:
        if len({dataclasses.replace(run.config, seed=0, threads=0) for run in runs}) > 1:
            sys.exit("runs: they differ in more than seed and threads; give runs of one configuration")
        rows = [measure(profile, run) for run in runs]
    except UserError as error:
        sys.exit(f"{type(error).__name__}: {error}")
    others = list(csv.DictReader(TABLE.open(encoding="utf-8"))) if TABLE.exists() else []
    with TABLE.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows([row for row in others if row["profile"] != profile] + rows)
    for row in rows:
        print("  ".join(f"{name} {value}" for name, value in row.items()))
    for name in ("test_mse", "knn_accuracy"):
        values = [row[name] for row in rows]
        spread = f" ± {statistics.stdev(values):.5f}" if len(values) > 1 else ""
        print(f"{name}: {statistics.mean(values):.5f}{spread} over {len(values)} seed(s)")
    print(f"written to {TABLE}")


if __name__ == "__main__":
    main()
