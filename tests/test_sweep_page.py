"""The page of a sweep: made-up tables of every kind, and the verdicts that the notebook must come to."""

import itertools
import json
import subprocess
import sys
from pathlib import Path

import nbformat
import pandas as pd
import pytest

from cae_lib.run import Run
from tests.conftest import ROOT

WHOLE = dict(validation_mse=0.01, test_mse=0.01, pca_clipped_test_mse=0.02, knn_accuracy=0.8, pca_knn_accuracy=0.7)
KINDS = {  # a sweep's points, what they found, and the verdicts that its page must come to
    "latent_dim": (
        [
            dict(latent_dim=d, seed=s, test_mse=0.1 / d, pca_clipped_test_mse=0.2 / d)
            for s in (1, 2)
            for d in (16, 4, 64)
        ],
        dict(sweep_beats_pca=True, sweep_enough=True),
    ),
    "latent_dim_too_small": (
        [dict(latent_dim=d, test_mse=0.3 / d, pca_clipped_test_mse=0.2 / d, knn_accuracy=d / 128) for d in (16, 64)],
        dict(sweep_beats_pca=False, sweep_enough=False),
    ),
    "latent_dim_against_the_stronger_pca": (
        [dict(latent_dim=d, test_mse=0.15 / d, pca_test_mse=0.2 / d, pca_clipped_test_mse=0.1 / d) for d in (16, 64)],
        dict(sweep_beats_pca=False, sweep_enough=True),
    ),
    "seeds": ([dict(seed=s, test_mse=0.01 + s / 10_000) for s in range(4)], dict(sweep_chance=True)),
    "seeds_by_chance": ([dict(seed=s, test_mse=0.01 + s / 100) for s in range(4)], dict(sweep_chance=False)),
    "architecture": (
        [dict(channels=c, validation_mse=v) for c, v in (("8-16", 0.02), ("32-64", 0.01))],
        dict(sweep_setting=False),
    ),
    "crossed": (
        [dict(learning_rate=r, batch_size=b, validation_mse=r * b) for r in (1e-3, 1e-2) for b in (50, 100)],
        dict(sweep_setting=True),
    ),
    "one_class": (
        [dict(normal_class=c, one_class_auroc=0.8 + c / 100, pca_one_class_auroc=0.8) for c in range(10)],
        dict(sweep_one_class=True),
    ),
}


def made_up(name: str, folder: Path) -> Path:
    """The folder of a finished sweep of this kind."""
    points, folder = KINDS[name][0], folder / name
    folder.mkdir()
    rows = [{"point": str(i), **WHOLE, **p, "seconds": 9.0, "training_seconds": 5.0} for i, p in enumerate(points)]
    machines = [dict(host=host, device="cpu", precision="float32", threads=n) for host, n in (("one", 1), ("two", 4))]
    rows = [row | machine for row, machine in zip(rows, itertools.cycle(machines), strict=False)]
    pd.DataFrame(rows).to_csv(folder / "results.csv", index=False)
    measured = [k for k in rows[0] if k in WHOLE or k.startswith("pca_") or k.endswith("auroc")]
    varied = [k for k in points[0] if k not in measured]
    facts = dict(name=name, title={"en": "A title"}, profile="smoke", code="", failed={}, points=len(rows))
    (folder / "sweep.json").write_text(json.dumps(facts | dict(varied=varied, metrics=measured)), encoding="utf-8")
    return folder


@pytest.mark.parametrize("lang", ["id", "en"])
@pytest.mark.parametrize("name", KINDS)
def test_the_page_of_each_kind_of_sweep_judges_what_the_table_says(smoke_build, run_cells, tmp_path, name, lang):
    folder = made_up(name, tmp_path)
    told = run_cells(ROOT / "notebooks" / lang / "10_sweep.ipynb", run="runs/smoke", sweep=str(folder))
    assert {v["key"]: v["holds"] for v in Run(folder).metrics["verdicts"]} == KINDS[name][1]
    assert ("titik" if lang == "id" else "points") in " ".join(told)
    assert "make sweep" in " ".join(told), "the sweep was made by another code"
    where, differ = (
        ("Dihitung di (× titik):", "yang berbeda: utas")
        if lang == "id"
        else ("Computed on (× points):", "differ in: threads")
    )
    assert f"{where} **one** (cpu, float32, " in " ".join(told) and differ in " ".join(told)


def test_papermill_executes_the_page_of_a_sweep_and_nothing_else_is_printed(smoke_build, tmp_path):
    folder = made_up("crossed", tmp_path)
    words = [sys.executable, "-m", "papermill", "notebooks/id/10_sweep.ipynb", folder / "page.ipynb", "-k", "python3"]
    words += ["-p", "run", "runs/smoke", "-p", "sweep", folder, "--no-progress-bar"]
    done = subprocess.run([str(w) for w in words], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    outputs = [o for c in nbformat.read(folder / "page.ipynb", 4).cells for o in c.get("outputs", [])]
    assert outputs and {o.output_type for o in outputs} == {"display_data"}
    assert {v["key"]: v["holds"] for v in Run(folder).metrics["verdicts"]} == KINDS["crossed"][1]
