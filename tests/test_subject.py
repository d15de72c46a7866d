"""`subject`: the words of each dataset, held against torchvision's; and `classes.yml`, right and with every mistake."""

import itertools
import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from cae_lib import subject
from cae_lib.config import FAMILY
from cae_lib.subject import Subject, SubjectError
from tests.conftest import ROOT, torchvision_says

GOOD = {
    "name": {"id": "Huruf saya", "en": "My letters"},
    "item": {"id": "huruf", "en": "letter"},
    "classes": {"id": [*"abcdefghij"], "en": [*"klmnopqrst"]},
}


def lay(folder: Path, words) -> Path:
    content = words if isinstance(words, str) else yaml.safe_dump(words, allow_unicode=True)
    (folder / "classes.yml").write_text(content, encoding="utf-8")
    return folder


# --- the datasets that the report knows ----------------------------------------------------------------------


DATASETS = subject.known()


@pytest.mark.parametrize("name", DATASETS)
def test_each_dataset_has_ten_classes_and_all_its_words_in_both_languages(name):
    found = DATASETS[name]
    for texts in (found.name, found.item, found.about, found.classes, found.confusable_why or found.name):
        assert set(texts) == {"id", "en"} and all(texts.values())
    assert {len(set(names)) for names in found.classes.values()} == {10}
    bibliography = (ROOT / "book" / "references.bib").read_text(encoding="utf-8")
    assert not found.cite or f"{{{found.cite}," in bibliography
    assert set(FAMILY) < set(DATASETS) and subject.find(name) is found


@pytest.mark.parametrize("name", FAMILY)
def test_the_classes_stand_in_the_order_of_the_labels_as_torchvision_knows_it(name):
    theirs = torchvision_says(name)["classes"]
    for ours, known in zip(DATASETS[name].classes["en"], theirs, strict=True):
        assert ours.lower() in re.split("[/ -]+", known.lower()) or ours.lower() in known.lower()


def test_both_languages_name_the_same_class():
    pairs = dict(zip(*(DATASETS["fashion-mnist"].classes[lang] for lang in ("en", "id")), strict=True))
    known = {"sandal": "sandal", "sneaker": "sepatu kets", "bag": "tas", "ankle boot": "sepatu bot", "dress": "gaun"}
    assert {name: pairs[name] for name in known} == known
    digits = DATASETS["mnist"].classes["id"]
    assert (digits[0], digits[7], digits[9]) == ("nol", "tujuh", "sembilan")


# --- classes.yml ---------------------------------------------------------------------------------------------


def test_a_folder_brings_its_own_words(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = subject.find(str(lay(tmp_path, GOOD)))
    assert (found.name, found.item) == (GOOD["name"], GOOD["item"])
    assert found.classes == {"id": tuple("abcdefghij"), "en": tuple("klmnopqrst")}
    assert "Huruf saya" in found.about["id"] and "k, l, m" in found.about["en"]
    assert not found.cite and not found.distinct_pair and not found.confusable_classes, (
        "nothing is supposed of them before measuring"
    )
    (tmp_path / "data").mkdir()
    lay(tmp_path / "data", GOOD)
    assert subject.find("./data") == found, "a relative path counts from the project"


def test_only_the_classes_must_be_named(tmp_path):
    folder = tmp_path / "my_letters"
    folder.mkdir()
    found = subject.read(lay(folder, {"classes": {"id": list(range(10)), "en": [f" {n} " for n in range(10)]}}))
    assert found.classes["id"] == found.classes["en"] == tuple("0123456789")
    assert set(found.name.values()) == {"my letters"} and found.item == {"id": "citra", "en": "image"}
    assert isinstance(found, Subject)


def test_a_name_is_the_text_that_was_typed_also_where_yaml_reads_a_number_or_a_truth_value(tmp_path):
    typed = "yes, no, 017, 1.50, 1e3, 1:30, 0x10, null, ~, 2026-01-02"
    (tmp_path / "classes.yml").write_text(f"classes: {{id: [{typed}], en: [{typed}]}}", encoding="utf-8")
    assert subject.read(tmp_path).classes["en"] == tuple(typed.split(", "))


def test_a_name_may_have_any_sign_and_any_script(tmp_path):
    names = ["#1 bag", "100%", "<b>", "$5", "a|b", "\\", '"A"', "{x}", "15 あ: " + 11 * "あ", "👩\u200d🏫"]
    assert subject.read(lay(tmp_path, {"classes": {"id": names, "en": names}})).classes["en"] == tuple(names)


def test_a_third_language_may_be_there_and_may_be_missing(tmp_path):
    words = GOOD | {"classes": GOOD["classes"] | {"eo": [*"uvwxyzabcd"]}}
    assert subject.read(lay(tmp_path, words)).classes["eo"] == tuple("uvwxyzabcd")


@pytest.mark.parametrize("count", [2, 10, 50])
def test_from_two_to_fifty_classes_are_named_and_counted(tmp_path, count):
    names = [f"kind {i}" for i in range(count)]
    found = subject.read(lay(tmp_path, {"classes": {"id": names, "en": names}}))
    assert found.classes["id"] == tuple(names)
    listed = ", ".join(names)
    assert f"dalam {count} kelas: {listed}." in found.about["id"]
    assert f"in {count} classes: {listed}." in found.about["en"]


@given(st.integers(2, 50), st.integers(2, 12))
def test_classes_are_spread_over_the_labels_with_the_first_and_the_last(count, most):
    chosen = subject.spread_over(count, most)
    assert len(chosen) == min(count, most) and chosen == sorted(set(chosen))
    assert (chosen[0], chosen[-1]) == (0, count - 1)
    steps = {b - a for a, b in itertools.pairwise(chosen)}
    assert max(steps) - min(steps) <= 1, "as even as whole numbers allow"


TEN = "[a, b, c, d, e, f, g, h, i, j]"
MISTAKES = {
    "nine names": (
        f"classes: {{id: {TEN}, en: [a, b, c, d, e, f, g, h, i]}}",
        "classes: found 10 in id, 9 in en; each language needs a name for every label",
    ),
    "one name": ("classes: {id: [a], en: [b]}", "classes: id: found 1: a; allowed are 2 to 50 different names"),
    "51 names": (
        "classes: {{id: [{0}], en: [{0}]}}".format(", ".join(f"c{i}" for i in range(51))),
        "c50; allowed are 2 to 50 different names, label 0 first",
    ),
    "a name twice": (
        f"classes: {{id: [a, a, c, d, e, f, g, h, i, j], en: {TEN}}}",
        "allowed are 2 to 50 different names",
    ),
    "no list": (f"classes: {{id: {TEN}, en: a}}", "classes: en: found 'a'; allowed are 2 to 50 different names"),
    "one language": (f"classes: {{id: {TEN}}}", "classes: found id; both languages are needed, as id: … and en: …"),
    "no language": (f"classes: {TEN}", "classes: found ['a', 'b'"),
    "no classes": ("name: {id: a, en: b}", "classes: found None; both languages are needed"),
    "a name in one language": (f"name: {{id: a}}\nclasses: {{id: {TEN}, en: {TEN}}}", "name: found id; both languages"),
    "an unknown key": (f"kelas: {{id: {TEN}}}", "found 'kelas', allowed are the keys name, item, classes"),
    "a list": (TEN, "allowed are the keys name, item, classes"),
    "nothing": ("", "found None, allowed are the keys"),
    "an empty name in the list": (
        f"classes: {{id: {TEN}, en: ['', b, c, d, e, f, g, h, i, j]}}",
        "classes: en: found '', allowed are 1 to 30 characters",
    ),
    "two lines": (
        f'classes: {{id: {TEN}, en: ["a\\nb", b, c, d, e, f, g, h, i, j]}}',
        "classes: en: found 'a\\nb', allowed are 1 to 30 characters on one line",
    ),
    "sixteen wide letters": (
        f"classes: {{id: {TEN}, en: [{'あ' * 16}, b, c, d, e, f, g, h, i, j]}}",
        "allowed are 1 to 30 characters on one line (of Chinese, Japanese and Korean, and of emoji, 15:",
    ),
    "an empty name": (f"item: {{id: '', en: b}}\nclasses: {{id: {TEN}, en: {TEN}}}", "item: id: found '', allowed are"),
    "a comment for a name": (
        f"classes:\n  id: {TEN}\n  en:\n  - #1 bag\n",
        ", line 4: `#` begins a comment, so '#1 bag'",
    ),
    "a name cut short": (f"classes:\n  id: {TEN}\n  en:\n  - bag #1\n", "so '#1' would be lost; put a name with a `#`"),
    "a sign without quotes": ("classes: {id: [%a], en: [b]}", """in quotes: '100 % "A"'"""),
    "no YAML": ("classes: [a", "is not YAML: while parsing"),
    "a language twice": (f"classes: {{id: {TEN}, id: {TEN}}}", "is not YAML: found the key 'id' twice"),
    "no text": (b"\xff\xfe\x00", "is not YAML: "),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_classes_yml_is_one_message_with_file_key_found_and_allowed(tmp_path, mistake):
    content, told = MISTAKES[mistake]
    (tmp_path / "classes.yml").write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(SubjectError) as caught:
        subject.read(tmp_path)
    message = str(caught.value)
    assert message.startswith(str(tmp_path / "classes.yml")) and told in message and "\n" not in message


def test_without_a_classes_yml_the_message_says_what_it_is_for(tmp_path):
    with pytest.raises(SubjectError, match=r"classes\.yml cannot be read .*it names the classes, see README"):
        subject.find(str(tmp_path))
