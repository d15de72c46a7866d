"""What runs the project elsewhere: the workflows of GitHub Actions, by their published schema, and Binder's files.

They run the README's commands and nothing else.
"""

import re
import shlex

import jsonschema
import pytest
import yaml
from check_jsonschema.builtin_schemas import get_builtin_schema

from tests.conftest import ROOT
from tests.test_rules import PROJECT

FOLDER = ROOT / ".github" / "workflows"
WORKFLOWS = {path.stem: yaml.safe_load(path.read_text(encoding="utf-8")) for path in sorted(FOLDER.glob("*.yml"))}
README = (ROOT / "README.md").read_text(encoding="utf-8")
INSTALLS = ("apt-get install", "brew install")


def faults(workflow: dict) -> list[str]:
    """What the published schema finds; YAML 1.1 reads the key `on` as true."""
    schema = get_builtin_schema("vendor.github-workflows")
    named = {"on" if key is True else key: value for key, value in workflow.items()}
    return [error.message for error in jsonschema.validators.validator_for(schema)(schema).iter_errors(named)]


def steps(name: str) -> list[dict]:
    return [step for job in WORKFLOWS[name]["jobs"].values() for step in job["steps"]]


def commands_of_the_readme() -> set[str]:
    """Each line of a block of commands, and each command within a sentence, without its comment."""
    blocks = re.findall(r"```sh\n(.*?)```", README, flags=re.S)
    lines = [line for block in blocks for line in block.splitlines()] + re.findall(r"`([^`\n]+)`", README)
    return {" ".join(re.sub(r"\s+#\s.*", "", line).split()) for line in lines}


def plain(command: str) -> list[str]:
    """What a step runs, a command each, as the README writes it: without sudo and what answers apt's questions."""
    parts = (part.removeprefix("sudo ").replace(" --yes", "") for part in command.strip().split(" && "))
    return [part for part in parts if part != "apt-get update"]


@pytest.mark.parametrize("name", WORKFLOWS)
def test_a_workflow_keeps_to_the_published_schema(name):
    assert set(WORKFLOWS) == {"test", "pages"} and faults(WORKFLOWS[name]) == []


def test_the_schema_finds_a_mistake():
    job = WORKFLOWS["test"]["jobs"]["test"]
    assert faults(WORKFLOWS["test"] | {"jobs": {"test": {k: v for k, v in job.items() if k != "runs-on"}}})
    assert faults({k: v for k, v in WORKFLOWS["test"].items() if k is not True})


@pytest.mark.parametrize("name", WORKFLOWS)
def test_a_workflow_runs_the_readmes_commands_and_nothing_else(name):
    known = commands_of_the_readme()
    packages = {word for line in known if line.startswith(INSTALLS) for word in line.split()[2:]}
    for command in (part for step in steps(name) if "run" in step for part in plain(step["run"])):
        if command.startswith(INSTALLS):
            assert set(command.split()[2:]) <= packages, command
        else:
            verb = re.sub(r' [A-Z_]+="\$[A-Z_]+"', "", command)  # what is given to it is the next test's
            assert verb in known, f"{name}.yml: README.md does not name `{verb}`"
    assert all(re.fullmatch(r"actions/[a-z-]+@v\d+", step["uses"]) for step in steps(name) if "uses" in step)


def test_the_tests_run_on_each_system_with_the_oldest_and_the_newest_python():
    matrix = WORKFLOWS["test"]["jobs"]["test"]["strategy"]["matrix"]
    assert {system.split("-")[0] for system in matrix["os"]} == {"ubuntu", "macos", "windows"}
    low, high = re.fullmatch(r">=3\.(\d+),<3\.(\d+)", PROJECT["project"]["requires-python"]).groups()
    assert matrix["python"] == [f"3.{low}", f"3.{int(high) - 1}"]
    runs = {step.get("if", ""): step["run"] for step in steps("test") if step.get("run", "").endswith("test")}
    assert runs == {"runner.os != 'Windows'": "make test", "runner.os == 'Windows'": "python environment.py test"}


def test_nbval_compares_the_notebooks_that_the_tests_have_executed():
    runs = [(step.get("run", ""), step.get("if")) for step in steps("test")]
    (nbval,) = (run for run, where in runs if "--nbval" in run.split() and where == "runner.os == 'Linux'")
    assert runs.index(("make test", "runner.os != 'Windows'")) < runs.index((nbval, "runner.os == 'Linux'"))
    lang = nbval.rpartition("/")[2]
    assert nbval.endswith(f" _build/smoke/notebooks/{lang}") and list((ROOT / "notebooks" / lang).glob("*.ipynb"))


@pytest.mark.parametrize("name", WORKFLOWS)
def test_the_environment_and_the_dataset_are_kept(name):
    kept = {step["with"]["path"]: step["with"]["key"] for step in steps(name) if "cache@" in step.get("uses", "")}
    assert set(kept) == {".venv", "data/fashion-mnist"}
    assert all(part in kept[".venv"] for part in ("python-version", "pyproject.toml", "constraints.txt", "runner.os"))
    for file in (file for key in kept.values() for file in re.findall(r"'([\w./]+)'", key)):
        assert (ROOT / file).is_file(), file


def test_the_report_is_published_with_its_addresses():
    (run,) = (step for step in steps("pages") if "run" in step)
    settings = dict(word.split("=") for word in shlex.split(run["run"])[2:])
    assert settings == {name: f"${name}" for name in ("BASE_URL", "REPO_URL")} and set(run["env"]) == set(settings)
    (uploaded,) = (step["with"]["path"] for step in steps("pages") if "upload" in step.get("uses", ""))
    assert uploaded == "_build/html"


def test_binder_installs_the_project_and_nothing_else():
    lines = (ROOT / ".binder" / "requirements.txt").read_text(encoding="utf-8").splitlines()
    index, *others = (line for line in lines if not line.startswith("#"))
    source = (ROOT / "environment.py").read_text(encoding="utf-8")
    assert others == ["-c ../constraints.txt", "-e .[all]"], "the file counts from .binder, the project does not"
    assert index == "--extra-index-url " + re.search(r'CPU_WHEELS = "([^"]+)"', source)[1]
    assert (ROOT / ".binder" / "runtime.txt").read_text(encoding="utf-8") in ("python-3.12\n", "python-3.13\n")
