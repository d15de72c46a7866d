"""`Config`: every field's bounds and types, messages that name the field, and the parameter files."""

import dataclasses
import json
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from cae_lib.config import FAMILY, Config, ConfigError, check_parameters, notebook_config, read_parameters
from cae_lib.files import read_yaml

ROOT = Path(__file__).resolve().parents[1]
FREE = dict(dataset="synthetic")  # the dataset whose sizes are free
FIELDS = {f.name: f for f in dataclasses.fields(Config)}
NUMBERS = [name for name, f in FIELDS.items() if f.type in (int, float)]
COUNTS = [name for name in NUMBERS if FIELDS[name].type is int]
WORDS = [name for name, f in FIELDS.items() if f.type is str]


def refused(values: dict) -> str:
    with pytest.raises(ConfigError) as caught:
        Config.from_dict(values)
    message = str(caught.value)
    assert "\n" not in message
    return message


# --- the bounds ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NUMBERS)
def test_each_bound_is_allowed_and_what_lies_beyond_it_refused(name):
    rule, step = FIELDS[name].metadata, 1 if FIELDS[name].type is int else 1e-9
    assert rule["low"] is not None or rule["above"] is not None
    if rule["low"] is not None:
        assert getattr(Config.from_dict(FREE | {name: rule["low"]}), name) == rule["low"]
        beyond = rule["low"] - step
        assert refused(FREE | {name: beyond}) == f"{name}: found {beyond}, allowed is at least {rule['low']}"
    else:
        assert getattr(Config.from_dict(FREE | {name: rule["above"] + step}), name) == rule["above"] + step
        assert refused(FREE | {name: rule["above"]}).startswith(f"{name}: found {rule['above']}, allowed is more than")
    if rule["high"] is not None:
        assert getattr(Config.from_dict(FREE | {name: rule["high"]}), name) == rule["high"]
        beyond = rule["high"] + 1
        assert refused(FREE | {name: beyond}) == f"{name}: found {beyond}, allowed is at most {rule['high']}"


def test_the_fields_are_all_tested():
    assert {*NUMBERS, *WORDS, "channels"} == set(FIELDS)
    assert all(f.metadata["why"] for f in FIELDS.values())


@pytest.mark.parametrize("name", WORDS)
def test_a_word_is_one_of_its_choices(name):
    choices = FIELDS[name].metadata["choices"]
    for choice in choices:
        assert getattr(Config(**{name: choice}), name) == choice
    path = " or a folder's path, such as ./mine" if name == "dataset" else ""
    for wrong in (choices[0].upper(), "", None, 1, [choices[0]]):
        assert refused({name: wrong}) == f"{name}: found {wrong!r}, allowed are {', '.join(choices)}{path}"


@pytest.mark.parametrize("wrong", [0, 1025])
def test_each_width_is_bounded_and_named(wrong):
    assert refused({"channels": [32, wrong]}).startswith(f"channels[1]: found {wrong}, allowed is at ")


def test_a_dataset_may_be_a_folders_path_and_nothing_else_may():
    for path in ("data/mine", "./mine", "/somewhere/else/"):
        assert Config(dataset=path, image_size=16).dataset == path
    assert "./mine" in refused({"dataset": "mine"}) and refused({"schedule": "./mine"})


@pytest.mark.parametrize("dataset", FAMILY)
def test_the_family_has_28_pixels_60000_training_and_10000_test_images(dataset):
    assert refused({"dataset": dataset, "image_size": 32}) == f"image_size: found 32, but {dataset} is 28 pixels wide"
    assert f"the training file of {dataset} holds 60000 images" in refused({"dataset": dataset, "train_size": 55_001})
    assert refused({"dataset": dataset, "test_size": 10_001}).startswith("test_size: found 10001, allowed is at most")


def test_fashion_mnist_has_28_pixels_and_60000_training_images():
    assert "28" in refused({"image_size": 32}) and refused({"image_size": 32}).startswith("image_size: found 32")
    assert Config(train_size=55_000, validation_size=5_000)
    message = refused({"train_size": 55_000, "validation_size": 5_001})
    assert all(part in message for part in ("train_size + validation_size", "55000 + 5001", "60000"))
    assert Config(dataset="synthetic", train_size=55_000, validation_size=5_001, image_size=32)


# --- the types -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize(
    "wrong",
    [
        None,
        "",
        "many",
        True,
        False,
        [3],
        {"a": 1},
        float("nan"),
        float("inf"),
        "nan",
        "1e999",
        pytest.param("9" * 400, id="400 digits"),
    ],
)
def test_what_is_no_number_is_refused(name, wrong):
    kind = "a whole number" if FIELDS[name].type is int else "a number"
    assert refused({name: wrong}).startswith(f"{name}: found {wrong!r}, allowed is {kind}")


@pytest.mark.parametrize("name", COUNTS)
@pytest.mark.parametrize("wrong", [12.5, "12.5"])
def test_half_an_image_is_refused(name, wrong):
    assert refused({name: wrong}).startswith(f"{name}: found {wrong!r}, allowed is a whole number")


def test_an_integer_too_large_for_a_float_is_refused():
    assert refused({"learning_rate": 10**400}).startswith("learning_rate: found 1000")


def test_yaml_1_1_reads_1e_3_as_a_string_and_config_as_a_number():
    values = yaml.safe_load("learning_rate: 1e-3\nweight_decay: 1E-5\nepochs: '10'\nlatent_dim: 16\n")
    assert values["learning_rate"] == "1e-3"
    config = Config.from_dict(values)
    assert (config.learning_rate, config.weight_decay, config.epochs, config.latent_dim) == (1e-3, 1e-5, 10, 16)
    assert [type(v) for v in (config.learning_rate, config.epochs, config.latent_dim)] == [float, int, int]
    assert type(Config(learning_rate=1).learning_rate) is float


DIGITS = "in decimal digits, without a leading 0 or anything between them"
FALSE_COUNTS = {  # what is typed where a count is asked, and how the message says it is written
    "55.000": "in digits alone: write 55000",
    "55,000": "in digits alone: write 55000",
    "1_000": "in digits alone: write 1000",
    "1.000.000": "in digits alone: write 1000000",
    "10.0": "in digits alone: write 10 (and 55000, not 55.000, for thousands)",
    "1e3": "in digits alone: write 1000 (and 55000, not 55.000, for thousands)",
    "017": DIGITS,
    "0o17": DIGITS,
    "0x10": DIGITS,
    "1:30": DIGITS,
    "12.5": DIGITS,
    "yes": "",
    "off": "",
    "~": "",
    "": "",
}


@pytest.mark.parametrize("name", COUNTS)
@pytest.mark.parametrize("typed", FALSE_COUNTS)
def test_a_count_is_written_in_plain_digits_and_the_message_shows_what_was_typed(tmp_path, name, typed):
    """YAML takes 55.000 for 55, 017 for 15, 1:30 for 90 and yes for 1: another number than a person meant."""
    (tmp_path / "profile.yml").write_text(f"{name}: {typed}\n", encoding="utf-8")
    how = FALSE_COUNTS[typed]
    for texts in (read_parameters(tmp_path / "profile.yml")[1], {name: typed}):  # in a profile, on the command line
        assert refused(texts) == f"{name}: found {typed!r}, allowed is a whole number" + (f", {how}" if how else "")


@pytest.mark.parametrize("name", COUNTS)
def test_a_float_is_no_count(name):
    """As papermill injects what was typed as 55.000."""
    told = f"{name}: found 55.0, allowed is a whole number, in digits alone: write 55 (and 55000, not 55.000, for"
    assert refused({name: 55.0}).startswith(told)
    with pytest.raises(ConfigError, match=r"found 55\.0"):
        notebook_config(cells("# Parameters: mine\nseed = 7", f"# Parameters\n{name} = 55.000"))


@pytest.mark.parametrize(
    ("typed", "number"),
    [(".5", 0.5), ("0.5", 0.5), ("5.", 5), ("5e-1", 0.5), ("+1E-1", 0.1), ("2", 2), ("1.5e+0", 1.5), (" 8e-3 ", 8e-3)],
)
def test_a_number_in_every_form_that_means_one_thing(tmp_path, typed, number):
    (tmp_path / "profile.yml").write_text(f"noise_std: {typed}\n", encoding="utf-8")
    assert Config.from_dict(read_parameters(tmp_path / "profile.yml")[1]).noise_std == number
    assert Config(noise_std=typed).noise_std == number


@pytest.mark.parametrize("typed", ["017", "0x10", "1:30", "1_0.5", "0,5", "1,000", ".inf", ".nan", "on", "1e", "."])
def test_a_number_that_is_read_in_two_ways_is_refused(tmp_path, typed):
    (tmp_path / "profile.yml").write_text(f"noise_std: {typed}\n", encoding="utf-8")
    said = refused(read_parameters(tmp_path / "profile.yml")[1])
    assert said.startswith(f"noise_std: found {typed!r}, allowed is a number")
    assert ("write 0.5" in said) == (typed == "0,5")


@pytest.mark.parametrize("value", [[8, 16], (8, 16), "8,16", "8-16", "[8, 16]", "(8, 16)", " 8 , 16 ", ["8", "16"]])
def test_widths_in_every_form_a_shell_or_yaml_can_pass(value):
    assert Config(channels=value).channels == (8, 16)


def test_a_single_width():
    assert Config(channels=8).channels == Config(channels="8").channels == (8,)


@pytest.mark.parametrize(
    "wrong",
    [
        *["", [], (), None, True, -8, "-8", "8,", "8,,16", "8;16", [8.5], [8.0], [True], 8.0, {8: 1}, [None], "1e2"],
        *["032", ["32", "064"], "0x20,64", ["1_000"], ["1:30"], "32.000"],
    ],
)
def test_what_is_no_list_of_widths_is_refused(wrong):
    assert refused({"channels": wrong}).startswith(("channels: found ", "channels[0]: found -8"))


# --- the names -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "meant"), [("epoch", "epochs"), ("latent_dims", "latent_dim"), ("learningrate", "learning_rate")]
)
def test_a_mistyped_name_gets_a_suggestion(wrong, meant):
    assert refused({wrong: 1}) == f"{wrong}: there is no such parameter; did you mean {meant}?"


def test_an_unknown_name_gets_the_list_and_extra_names_are_let_through():
    message = refused({"zzz": 1})
    assert message.startswith("zzz: there is no such parameter; allowed are ")
    assert all(name in message for name in FIELDS)
    assert Config.from_dict({"run": "runs/x", "epochs": 3}, extra=("run",)) == Config(epochs=3)
    assert refused({1: 2}).startswith("1: there is no such parameter")


# --- the value -------------------------------------------------------------------------------------------


def test_it_is_frozen_and_comparable():
    config = Config()
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.epochs = 3
    assert config == Config(epochs=40) != Config(epochs=41)
    assert len({config, Config(channels=[32, 64]), Config(channels="32,64")}) == 1


numbers = {
    name: (st.integers if f.type is int else st.floats)(
        1e-9 if f.metadata["low"] is None else f.metadata["low"], f.metadata["high"] or 1e6
    )
    for name, f in FIELDS.items()
    if name in NUMBERS
}
words = {name: st.sampled_from(FIELDS[name].metadata["choices"]) for name in WORDS}
channels = st.lists(st.integers(1, 1024), min_size=1, max_size=5)


@settings(deadline=None)
@given(st.fixed_dictionaries({**numbers, **words, "channels": channels} | {"dataset": st.just("synthetic")}))
def test_there_and_back_through_json(values):
    config = Config.from_dict(values)
    assert Config.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    assert config.to_dict() == values, "nothing is changed on the way"


# --- parameter files and notebooks -----------------------------------------------------------------------

PARAMS = sorted((ROOT / "notebooks" / "params").glob("*.yml"))


@pytest.mark.parametrize("path", PARAMS, ids=lambda path: path.name)
def test_each_parameter_file_is_valid_and_names_its_run(path):
    values = read_yaml(path)
    assert Config.from_dict(values, extra=("run",))
    assert values["run"] == f"runs/{path.stem}"


def test_the_three_profiles():
    full, quick, smoke = (
        Config.from_dict(read_yaml(ROOT / f"notebooks/params/{name}.yml"), extra=("run",))
        for name in ("full", "quick", "smoke")
    )
    assert full == Config(), "full.yml says what the defaults are"
    assert (full.epochs, full.train_size, full.validation_size, full.test_size) == (40, 55_000, 5_000, 10_000)
    assert (quick.epochs, quick.train_size, quick.dataset) == (8, 3000, "fashion-mnist")
    assert smoke.dataset == "synthetic"


def cells(*sources: str) -> dict:
    """What a notebook's `globals()` hold after these cells: their names, and IPython's history in `In`."""
    namespace = {"In": ["", *sources]}
    for source in sources:
        exec(source, namespace)
    return namespace


def test_a_notebooks_parameters_become_a_config():
    namespace = cells("# Parameters: set by papermill\nrun = 'r'\nepochs = 3", "# Parameters\nepochs = '10'")
    assert notebook_config(namespace) == Config(epochs=10)


def test_a_notebook_refuses_an_injected_parameter_that_nobody_reads():
    namespace = cells("# Parameters: the run\nrun = 'r'", "# Parameters\nepoch = 3")
    with pytest.raises(ConfigError, match=r"^epoch: there is no such parameter; did you mean epochs"):
        notebook_config(namespace)
    with pytest.raises(ConfigError, match=r"^epoch: there is no such parameter; allowed are run$"):
        check_parameters(namespace, "run")


def test_a_corrected_parameter_counts_as_it_was_executed_last():
    """What a student does first: mistype a name, be told, correct it, and run the cell again."""
    typed, corrected = "# Parameters: mine\nlatent_dmi = 16\nseed = 7", "# Parameters: mine\nlatent_dim = 16"
    with pytest.raises(ConfigError, match=r"^latent_dmi: there is no such parameter; did you mean latent_dim\?"):
        notebook_config(cells(typed))
    assert notebook_config(cells(typed, corrected)) == Config(latent_dim=16), "the line that went counts no more"
    injected = "# Parameters\nepochs = 3"
    assert notebook_config(cells(typed, injected, corrected)) == Config(latent_dim=16, epochs=3)
    with pytest.raises(ConfigError, match="latent_dmi"):
        notebook_config(cells(corrected, injected, typed))


def test_without_a_history_the_values_that_stand_there_count():
    namespace = cells("# Parameters: mine\nlatent_dim = 16") | {"In": [""]}
    assert notebook_config(namespace) == Config(latent_dim=16)


def test_other_cells_may_name_things_as_they_like():
    namespace = cells("# Parameters: the run\nrun = 'r'", "epoch = 3")
    check_parameters(namespace, "run")
    assert notebook_config(namespace) == Config()
