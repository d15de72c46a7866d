"""`python -m cae_lib` as a shell meets it: exit codes, one-line messages, nothing trained twice, nothing lost."""

import dataclasses
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from cae_lib import __main__ as cli
from cae_lib import data, fetch
from cae_lib.config import Config
from cae_lib.run import Run
from tests.conftest import ROOT, TINY

PARAMS = "\n".join(f"{k}: {list(v) if isinstance(v, tuple) else v}" for k, v in (TINY | {"epochs": 2}).items()) + "\n"


@pytest.fixture
def params(tmp_path) -> Path:
    path = tmp_path / "tiny.yml"
    path.write_text(f"run: {tmp_path / 'run'}\nlearning_rate: 1e-3\n{PARAMS}", encoding="utf-8")
    return path


def shell(*words) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "cae_lib", *map(str, words)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)


def told(capsys, *words) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of the command line, in this process because that is quicker."""
    capsys.readouterr()
    code = cli.main([str(word) for word in words])
    return code, *capsys.readouterr()


def files(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


# --- in a shell ------------------------------------------------------------------------------------------


def test_train_says_what_it_made_and_the_second_time_that_nothing_changed(params, tmp_path):
    first = shell("train", "--params", params)
    assert first.returncode == 0, first.stderr
    assert first.stdout.startswith(f"trained {tmp_path / 'run'}: best validation MSE 0.")
    config = Run(tmp_path / "run").config
    assert (config.learning_rate, config.epochs, config.channels) == (1e-3, 2, (4, 8))
    before = files(tmp_path / "run")
    second = shell("train", "--params", params)
    assert second.returncode == 0 and files(tmp_path / "run") == before
    assert (
        second.stdout == f"{tmp_path / 'run'} is finished and nothing it was made from has changed; not trained again\n"
    )


def test_a_mistake_is_one_line_without_a_traceback_and_code_2(params):
    done = shell("train", "--params", params, "--epochs", "many")
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr == "ConfigError: epochs: found 'many', allowed is a whole number\n"


def test_help_tells_every_parameter_with_its_default(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "500")  # no word is broken
    with pytest.raises(SystemExit) as caught:
        cli.main(["train", "--help"])
    assert caught.value.code == 0
    shown = " ".join(capsys.readouterr().out.split())
    for name, default in Config().to_dict().items():
        assert f"--{name.replace('_', '-')} " in shown, name
        assert f"({tuple(default) if isinstance(default, list) else default})" in shown, name


# --- mistakes --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--epcohs", "3"], "epcohs: there is no such parameter; did you mean epochs?"),
        (["--epcohs=3"], "epcohs=3: there is no such parameter; did you mean epochs?"),
        (["--latent", "3"], "latent: there is no such parameter; did you mean latent_dim?"),
        (["epochs=3"], "epochs=3: there is no such parameter; did you mean epochs?"),
        (["--learning-rate", "0"], "learning_rate: found 0.0, allowed is more than 0"),
        (["--channels=-8"], "channels: found '-8', allowed is a list of whole numbers, like [32, 64]"),
        (["--dataset", "emnist"], "dataset: found 'emnist', allowed are fashion-mnist, mnist, kmnist, synthetic or a"),
        (
            ["--train-size", "55.000"],
            "train_size: found '55.000', allowed is a whole number, in digits alone: w",
        ),
        (["--run", ""], "run: found '', allowed is a directory; add --run runs/NAME"),
        (["--run", "book"], "run: found 'book', but "),
        (["--channels", "4,4,4,4,4,4,4"], "channels: layer conv5 "),
    ],
)
def test_a_wrong_flag_is_named(params, tmp_path, capsys, words, message):
    code, out, err = told(capsys, "train", "--params", params, *words)
    assert (
        (code, out) == (2, "") and re.match(rf"(Config|Run)Error: {re.escape(message)}", err) and err.count("\n") == 1
    )
    assert not (tmp_path / "run" / "config.json").exists(), "the directory is not claimed"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"epochs: [1\nlatent_dim: 3\n", "is not YAML: while parsing a flow sequence .* line 2, column 11"),
        (b"epochs: 1\n\tlatent_dim: 3\n", "is not YAML: .*line 2"),
        (b"name: \xff\xfe\n", "is not YAML: "),
        (b"epochs: 1\nepochs: 3\n", "is not YAML: found the key 'epochs' twice in .* line 2, column 1"),
        (b"- epochs\n- 3\n", "holds list, allowed are lines of `name: value`"),
        (b"just words\n", "holds str, allowed are lines of `name: value`"),
        (b"epoch: 3\n", "ConfigError: epoch: there is no such parameter; did you mean epochs?"),
        (b"epochs: 3\n", "run: found None, allowed is a directory; add --run runs/NAME"),
        (b"", "run: found None, allowed is a directory; add --run runs/NAME"),
        (
            b"train_size: 55.000\n",
            "train_size: found '55.000', allowed is a whole number, in digits alone: w",
        ),
        (b"seed: 017\n", "seed: found '017', allowed is a whole number, in decimal digits, without a leading 0"),
        (b"run: 7\n", "run: found 7, allowed is a directory; add --run runs/NAME"),
        (None, "cannot be read \\(No such file or directory\\)"),
    ],
)
def test_a_bad_parameter_file_is_named(tmp_path, capsys, content, message):
    path = tmp_path / "bad.yml"
    if content is not None:
        path.write_bytes(content)
    code, out, err = told(capsys, "train", "--params", path)
    assert (code, out) == (2, "") and err.startswith("ConfigError: ") and err.count("\n") == 1
    assert re.search(message, err), err
    assert "YAML" not in message or str(path) in err


@pytest.mark.parametrize("words", [[], ["bake"], ["train", "--epochs"]])
def test_what_is_no_command_has_code_2_too(capsys, words):
    with pytest.raises(SystemExit) as caught:
        cli.main(words)
    assert caught.value.code == 2 and "usage: python -m cae_lib" in capsys.readouterr().err


# --- runs ------------------------------------------------------------------------------------------------


def test_flags_overrule_the_file(params, tmp_path, capsys):
    other = tmp_path / "other"
    code, out, _ = told(capsys, "train", "--params", params, "--epochs", 1, "--latent-dim", 3, "--run", other)
    assert code == 0 and out.startswith(f"trained {other}") and not (tmp_path / "run").exists()
    assert (Run(other).config.epochs, Run(other).config.latent_dim) == (1, 3)


def test_a_different_run_is_refused_and_left_as_it_is(params, tmp_path, capsys):
    assert told(capsys, "train", "--params", params)[0] == 0
    before = files(tmp_path / "run")
    code, out, err = told(capsys, "train", "--params", params, "--epochs", 3)
    assert (code, out) == (2, "") and "epochs: the run has 2, asked is 3" in err
    assert "has changed; not trained again" not in err and files(tmp_path / "run") == before


def test_a_different_run_is_moved_aside_on_request_and_nothing_is_lost(params, tmp_path, capsys):
    assert told(capsys, "train", "--params", params)[0] == 0
    (tmp_path / "run" / "notes.txt").write_text("mine", encoding="utf-8")
    before = files(tmp_path / "run")
    before.pop("lock.holder")  # says who held it last
    for epochs in (3, 2):  # twice in a row, and back again
        code, out, _ = told(capsys, "train", "--params", params, "--epochs", epochs, "--archive-stale")
        assert code == 0 and f"epochs: the run has {5 - epochs}, asked is {epochs}" in out
        assert Run(tmp_path / "run").config.epochs == epochs
    assert {p.name for p in tmp_path.glob("run.stale-*")} == {"run.stale-1", "run.stale-2"}
    assert before.items() <= files(tmp_path / "run.stale-1").items()


def test_the_same_run_is_not_moved(params, tmp_path, capsys):
    assert told(capsys, "train", "--params", params)[0] == 0
    code, out, _ = told(capsys, "train", "--params", params, "--archive-stale")
    assert code == 0 and "not trained again" in out and not list(tmp_path.glob("run.stale-*"))


def test_a_run_in_other_hands_is_not_moved_from_under_them(params, tmp_path, capsys):
    assert told(capsys, "train", "--params", params)[0] == 0
    with Run(tmp_path / "run").lock():
        code, _, err = told(capsys, "train", "--params", params, "--epochs", 3, "--archive-stale")
    assert code == 75 and str(os.getpid()) in err
    assert Run(tmp_path / "run").config.epochs == 2 and not list(tmp_path.glob("run.stale-*"))


# --- fetch -----------------------------------------------------------------------------------------------


def test_fetch_says_where_the_whole_dataset_is(monkeypatch, capsys):
    monkeypatch.setattr(data, "find", lambda dataset: (Path("/here", dataset), "cache"))
    code, out, err = told(capsys, "fetch")
    assert (code, err) == (0, "") and out.startswith("Fashion-MNIST is whole: /here/fashion-mnist (source: cache;")
    assert told(capsys, "fetch", "--dataset", "kmnist")[1].startswith("KMNIST is whole: /here/kmnist")


def test_fetch_in_vain_lists_the_ways_out_with_code_2(tmp_path, monkeypatch, capsys):
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # a proxy that is not there: nothing leaves this machine
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CAE_DATA_DIR", raising=False)
    elsewhere = dataclasses.replace(fetch.PUBLISHED["fashion-mnist"], folder=tmp_path / "nowhere")
    monkeypatch.setitem(fetch.PUBLISHED, "fashion-mnist", elsewhere)
    monkeypatch.chdir(tmp_path)
    code, out, err = told(capsys, "fetch")
    assert code == 2 and "is whole" not in out and err.startswith("DataError: ")
    assert "  - cache: " in err and "  - download from " in err and "Ways out: " in err
    assert not (tmp_path / "data").exists()
