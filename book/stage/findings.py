"""What a page of prose says of the run by name: what was measured, {{ test_mse }}, and what was set, {{ epochs }}."""

import json
from pathlib import Path

from cae_lib.config import Config
from report.numbers import number
from report.words import translator
from stage.sources import BookError

MEASURED = {  # value: its names in metrics.json, of which the first one that is there counts; decimals, unit
    "bits_per_pixel": (("cae_bits_per_pixel",), 3, ""),
    "knn_accuracy": (("knn_accuracy",), 2, "%"),
    "pca_knn_accuracy": (("pca_knn_accuracy",), 2, "%"),
    "pca_test_mse": (("pca_clipped_test_mse", "pca_test_mse"), 5, ""),  # clipped, its error is never larger
    "pixel_knn_accuracy": (("pixel_knn_accuracy",), 2, "%"),
    "test_mse": (("test_mse",), 5, ""),
    "test_psnr": (("test_psnr",), 2, ""),
    "test_ssim": (("test_ssim",), 3, ""),
}
COUNTED = {"claims_failed": False, "claims_held": True, "claims_undecided": None}  # value: the outcome of its claims
SET = ("batch_size", "epochs", "latent_dim", "test_size", "train_size", "validation_size", "weight_decay")
TOLD = ("augmentation", "decay", "optimizer", "schedule")  # sentences, or parts of one
VALUES = (*MEASURED, *COUNTED, "claims_judged", *SET, *TOLD, "parameters")


def findings(lang: str, run: dict, asked: set[str]) -> dict[str, str]:
    """Those of `VALUES` that are `asked` for; `BookError` for one that the run has not measured."""
    config, metrics = Config.from_dict(run["config"]), read_metrics(run["folder"])
    found = {}
    for name in sorted(asked & set(VALUES)):
        if name in MEASURED:
            found[name] = measured(lang, run["folder"], metrics, name)
        elif name in SET:
            found[name] = number(getattr(config, name), lang)
        elif name == "parameters":
            found[name] = number(run["provenance"]["parameters"], lang)
        elif name in TOLD:
            tell = dict(augmentation=augmentation, decay=decay, optimizer=optimizer, schedule=schedule)[name]
            found[name] = tell(lang, config)
        else:
            outcomes = [verdict["holds"] for verdict in metrics.get("verdicts", [])]
            count = len(outcomes) if name == "claims_judged" else outcomes.count(COUNTED[name])
            found[name] = number(count, lang)
    return found


def told(metrics: dict) -> dict:
    """Of metrics.json, what a page of prose can say: where it changes, the edition is another."""
    names = sorted({name for names, _, _ in MEASURED.values() for name in names})
    outcomes = sorted((verdict["key"], repr(verdict["holds"])) for verdict in metrics.get("verdicts", []))
    return {"measured": {name: metrics.get(name) for name in names}, "outcomes": outcomes}


def read_metrics(folder: Path) -> dict:
    """What the notebooks measured of the run; {} where none has, `BookError` for a damaged file."""
    path = folder / "metrics.json"
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise BookError(f"{path} is damaged ({error}); delete it and `make report` again") from None


def measured(lang: str, folder: Path, metrics: dict, name: str) -> str:
    names, digits, unit = MEASURED[name]
    value = next((metrics[key] for key in names if key in metrics), None)
    if value is None:
        raise BookError(
            f"{folder / 'metrics.json'}: found no number {names[-1]!r}, which a page of prose asks for as "
            f"{{{{ {name} }}}}; `make report` measures it, or take it out of the page"
        )
    return f"{number(100 * value, lang, digits)}%" if unit == "%" else number(value, lang, digits)


def optimizer(lang: str, config: Config) -> str:
    """What makes steps of gradients, with its source."""
    adam, adamw = "{cite}`kingma2015`", "{cite}`loshchilov2019`"
    muon = translator(lang)("Muon {muon} for the weights of hidden layers and Adam {adam} for all others")
    muon = muon.format(muon="{cite}`jordan2024`", adam=adam)
    return {"adam": f"Adam {adam}", "adamw": f"AdamW {adamw}", "muon": muon}[config.optimizer]


def decay(lang: str, config: Config) -> str:
    """Which of the two penalties this training had."""
    tr = translator(lang)
    if config.optimizer == "adamw":
        return tr(
            "It is the one used here, and its factor may be far larger: the gradient is that of the error alone, and "
            "in each step every weight shrinks by the learning rate times the factor."
        )
    if config.optimizer == "muon":
        return tr("In this training only the weights that Adam steps have the penalty, as part of their gradient.")
    return tr("The penalty of this training is part of the gradient.")


def augmentation(lang: str, config: Config) -> str:
    """What the training does to its images before it sees them."""
    tr = translator(lang)
    if config.shift:
        text = tr("In every step {share} of the images, drawn at random, are moved by at most one pixel each way.")
        return text.format(share=f"{number(100 * config.shift, lang)}%")
    return tr("No image is changed or added for training.")


def schedule(lang: str, config: Config) -> str:
    """What the learning rate does in the course of the training, as the end of a sentence."""
    tr = translator(lang)
    texts = {
        "cosine": tr("falls from {rate} to 0 along half a period of a cosine") + " {{cite}}`loshchilov2017`",
        "one-cycle": tr("rises to {rate} in the first quarter of the training, then falls to 0 along half a cosine")
        + " {{cite}}`smith2019`",
        "plateau": tr("begins at {rate} and is halved where the validation loss has not fallen for four epochs"),
        "constant": tr("stays at {rate} throughout"),
    }
    return texts[config.schedule].format(rate=number(config.learning_rate, lang))
