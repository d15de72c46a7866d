"""What an edition of the book is made of: its languages and pages, the file behind each, the run and its words."""

import json
import re
from pathlib import Path
from urllib.parse import quote

from cae_lib import subject
from cae_lib.config import Config
from cae_lib.files import UserError, read_yaml
from report.words import say, translator

BOOK = Path(__file__).resolve().parents[1]
TITLE = "A convolutional autoencoder on {dataset}"


class BookError(UserError):
    """What keeps the book from being made, told in one message."""


def languages() -> list[str]:
    """The editions: each folder of book/ that has the first page; English, where readers of neither land, last."""
    found = {page.parent.name for page in BOOK.glob(f"*/{pages()[0]}.md")}
    return sorted(found, key=lambda lang: (lang == "en", lang))


def contents(sweeps: list[str] = ()) -> dict:
    """book/toc.yml, with a page for each of the sweeps; a part without a page is left out."""
    toc = read_yaml(BOOK / "toc.yml")
    swept = [{"file": f"10_sweep_{name}"} for name in sweeps]
    for part in toc["parts"]:
        found = [swept if chapter["file"] == "10_sweep" else [chapter] for chapter in part["chapters"]]
        part["chapters"] = [chapter for some in found for chapter in some]
    return toc | {"parts": [part for part in toc["parts"] if part["chapters"]]}


def pages(toc: dict | None = None) -> list[str]:
    """Every page of the book in reading order."""
    toc = toc or contents()
    return [toc["root"], *(chapter["file"] for part in toc["parts"] for chapter in part["chapters"])]


def find_sources(lang: str, executed: dict[str, Path], toc: dict) -> dict[str, Path]:
    """The file behind each page; `BookError` names all that are missing at once."""
    found = {name: executed.get(name, BOOK / lang / f"{name}.md") for name in pages(toc)}
    if missing := [str(path) for path in found.values() if not path.is_file()]:
        raise BookError(
            "these pages of book/toc.yml have not been made: " + ", ".join(missing) + "; `make report` makes them"
        )
    return found


def read_run(path: Path) -> dict:
    """A finished run's `config`, `provenance` and `folder`; `BookError` for any other."""
    files = {name: path / f"{name}.json" for name in ("config", "provenance")}
    try:
        run = {name: json.loads(file.read_text(encoding="utf-8")) for name, file in files.items()}
    except FileNotFoundError:
        raise BookError(f"{path} holds no run; `make report` makes one") from None
    except ValueError as error:
        raise BookError(f"{path} is damaged ({error}); move it away and `make report` again") from None
    if (state := run["provenance"].get("state")) != "finished":
        raise BookError(f"the run in {path} is {state}, not finished; `make report` finishes it")
    return run | {"folder": path}


def words_of(run: dict) -> subject.Subject:
    """What the run's images show, in every language."""
    return subject.find(Config.from_dict(run["config"]).dataset)


def title(lang: str, run: dict) -> str:
    """The report's: what was trained on what."""
    return translator(lang)(TITLE).format(dataset=say(words_of(run).name, lang))


def report_name(lang: str, short: bool = False) -> str:
    """What a language calls a report, in a file's name: laporan; the short one: laporan-ringkas."""
    return translator(lang)("short-report" if short else "report")


def web_address(url: str) -> str:
    """`url` without the slash at its end; `BookError` for what no search engine could open."""
    if url and not re.fullmatch(r"https?://[^\s/?#\"'<>&]+(/[^\s?#\"'<>&]*)?", url):
        raise BookError(f"BASE_URL: found {url!r}; it must be an address like https://example.org/report")
    return url.rstrip("/")


def repository(url: str) -> str:
    """`url`, or else CITATION.cff's `repository-code`, as https://github.com/OWNER/NAME/tree/BRANCH (main, if it names
    none); "" where there is neither, or that one is elsewhere. `BookError` for a `url` that is elsewhere.
    """
    asked = url or read_yaml(BOOK.parent / "CITATION.cff").get("repository-code") or ""
    found = re.fullmatch(r"https://github\.com/([\w.-]+/[\w.-]+?)(?:\.git)?/?(?:/tree/([\w./-]+?)/?)?", asked)
    if url and not found:
        raise BookError(
            f"REPO_URL: found {url!r}; Colab and Binder open a repository on GitHub: it must be an address like "
            f"https://github.com/ani/report, with /tree/BRANCH behind it for another branch than main"
        )
    return f"https://github.com/{found[1]}/tree/{found[2] or 'main'}" if found else ""


def launches(repository: str, lang: str, page: str) -> dict[str, str]:
    """Where a page's notebook can be run without installing anything: the name of each service, and its address."""
    if not repository:
        return {}
    place, branch = repository.removeprefix("https://github.com/").split("/tree/", 1)
    file = f"notebooks/{lang}/{re.sub('^10_sweep_.*', '10_sweep', page)}.ipynb"
    return {
        "Colab": f"https://colab.research.google.com/github/{place}/blob/{branch}/{file}",
        "Binder": f"https://mybinder.org/v2/gh/{place}/{quote(branch, safe='')}?labpath={quote(file, safe='')}",
    }
