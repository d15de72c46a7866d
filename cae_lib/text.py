"""The words of both languages, and how a notebook speaks: numbers, sentences, verdicts, captions.

`Page` is one notebook in one language. What it displays carries the metadata that the book's build reads.
"""

import base64
import io
import math
import operator
import re
from functools import cached_property

import pandas as pd
from babel.numbers import format_decimal
from IPython.display import display

from cae_lib import subject
from cae_lib.config import Config, ConfigError

WORDS = {  # what figures and tables say more than once
    "absolute_error": {"id": "Galat mutlak tiap piksel", "en": "Absolute error per pixel"},
    "anomalies_found": {"id": "Anomali yang ditemukan (%)", "en": "Anomalies found (%)"},
    "auroc": {"id": "AUROC", "en": "AUROC"},
    "autoencoder": {"id": "Autoencoder", "en": "Autoencoder"},
    "axes_counted": {"id": "Banyaknya sumbu utama", "en": "Number of principal axes"},
    "batch_size": {"id": "Ukuran batch", "en": "Batch size"},
    "bottleneck": {"id": "leher botol", "en": "bottleneck"},
    "bpp": {"id": "Bit per piksel (skala logaritmik)", "en": "Bits per pixel (logarithmic scale)"},
    "channels": {"id": "Lebar lapisan", "en": "Widths of the layers"},
    "class": {"id": "Kelas", "en": "Class"},
    "codes": {"id": "Kode laten", "en": "Latent codes"},
    "combined": {"id": "Gabungan", "en": "Combined"},
    "Conv2d": {"id": "konvolusi", "en": "convolution"},
    "ConvTranspose2d": {"id": "konvolusi transpos", "en": "transposed convolution"},
    "count": {"id": "Banyaknya citra", "en": "Number of images"},
    "cropped": {"id": "dipotong", "en": "cropped"},
    "crossfade": {"id": "Pemudaran silang", "en": "Cross-fade"},
    "decoder": {"id": "Decoder", "en": "Decoder"},
    "encoder": {"id": "Encoder", "en": "Encoder"},
    "energy_kept": {"id": "Energi yang dipertahankan (%)", "en": "Energy kept (%)"},
    "epoch": {"id": "Epoch", "en": "Epoch"},
    "error": {"id": "Galat", "en": "Error"},
    "false_alarms": {"id": "Alarm palsu (% citra normal)", "en": "False alarms (% of normal images)"},
    "Flatten": {"id": "diratakan", "en": "flatten"},
    "frequency": {"id": "Frekuensi (siklus per piksel)", "en": "Frequency (cycles per pixel)"},
    "input": {"id": "Masukan", "en": "Input"},
    "jpeg": {"id": "JPEG", "en": "JPEG"},
    "kernel": {"id": "Kernel", "en": "Kernel"},
    "knn_accuracy": {"id": "Ketepatan k-NN", "en": "k-NN accuracy"},
    "latent_dim": {"id": "Ukuran kode", "en": "Code size"},
    "learning_rate": {"id": "Laju pembelajaran", "en": "Learning rate"},
    "Linear": {"id": "terhubung penuh", "en": "fully connected"},
    "linear": {"id": "Linear", "en": "Linear"},
    "linear_scale": {"id": "Skala linear", "en": "Linear scale"},
    "log_scale": {"id": "Skala logaritmik", "en": "Logarithmic scale"},
    "loss": {"id": "Loss (MSE)", "en": "Loss (MSE)"},
    "mean_image": {"id": "citra rata-rata", "en": "mean image"},
    "median": {"id": "median", "en": "median"},
    "mse": {"id": "MSE", "en": "MSE"},
    "normal_class": {"id": "Kelas normal", "en": "Normal class"},
    "numbers": {"id": "{} angka", "en": "{} numbers"},
    "one_class_auroc": {"id": "AUROC satu kelas", "en": "One-class AUROC"},
    "original": {"id": "Asli", "en": "Original"},
    "output": {"id": "Keluaran", "en": "Output"},
    "padding": {"id": "padding", "en": "padding"},
    "pca": {"id": "PCA", "en": "PCA"},
    "pca_all": {"id": "PCA penuh", "en": "Full PCA"},
    "pca_knn_accuracy": {"id": "Ketepatan k-NN PCA", "en": "PCA's k-NN accuracy"},
    "pca_map": {"id": "peta PCA", "en": "PCA map"},
    "pca_one_class_auroc": {"id": "AUROC satu kelas PCA", "en": "PCA's one-class AUROC"},
    "pca_test_mse": {"id": "MSE uji PCA", "en": "PCA's test MSE"},
    "pixels": {"id": "Piksel mentah", "en": "Raw pixels"},
    "png": {"id": "PNG", "en": "PNG"},
    "points": {"id": "poin", "en": "points"},
    "query": {"id": "Dicari", "en": "Query"},
    "reconstruction": {"id": "Rekonstruksi", "en": "Reconstruction"},
    "seed": {"id": "Seed", "en": "Seed"},
    "spherical": {"id": "Sferis", "en": "Spherical"},
    "test": {"id": "Data uji", "en": "Test data"},
    "test_mse": {"id": "MSE uji", "en": "Test MSE"},
    "test_psnr": {"id": "PSNR uji (dB)", "en": "Test PSNR (dB)"},
    "test_ssim": {"id": "SSIM uji", "en": "Test SSIM"},
    "train": {"id": "Data latih", "en": "Training data"},
    "typical": {"id": "Khas", "en": "Typical"},
    "Unflatten": {"id": "disusun ulang", "en": "reshape"},
    "validation": {"id": "Data validasi", "en": "Validation data"},
    "validation_mse": {"id": "MSE validasi", "en": "Validation MSE"},
    "variance_explained": {"id": "Varians yang dijelaskan (%)", "en": "Variance explained (%)"},
    "webp": {"id": "WebP", "en": "WebP"},
    # verdicts
    "holds": {"id": "Terbukti", "en": "Holds"},
    "fails": {"id": "Tidak terbukti", "en": "Does not hold"},
    "measured": {"id": "Terukur", "en": "Measured"},
    "threshold": {"id": "Ambang", "en": "Threshold"},
    ">=": {"id": "paling sedikit", "en": "at least"},
    "<=": {"id": "paling banyak", "en": "at most"},
    ">": {"id": "lebih dari", "en": "more than"},
    "<": {"id": "kurang dari", "en": "less than"},
}
LANGUAGES = tuple(dict.fromkeys(lang for words in WORDS.values() for lang in words))
WHOLE = ("id", "en")  # in these no text may be missing; a language that is still growing speaks English meanwhile
RULES = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt}


def say(texts: dict, lang: str):
    """The text of one language; English where a language beyond the two has none yet."""
    return texts[lang if lang in texts or lang in WHOLE else "en"]


def word(key: str, lang: str) -> str:
    """The term `key` of WORDS in one language."""
    return say(WORDS[key], lang)


def named(key: str, lang: str) -> str:
    """The term `key` or, where the catalogue has none, the key itself: a sweep may vary and collect anything."""
    return word(key, lang) if key in WORDS else key


def number(value: float, lang: str, digits: int | None = None) -> str:
    """`value` as the language writes it: 0,0045 and 10.000 in Indonesian; `digits` decimals, or as many as it has."""
    if not math.isfinite(value):
        return "–" if math.isnan(value) else "∞" if value > 0 else "−∞"
    decimals = "#" * 10 if digits is None else "0" * digits
    return format_decimal(value, format=f"#,##0.{decimals}" if decimals else "#,##0", locale=lang).replace("-", "−")


def numerals(text: str, lang: str) -> str:
    """`text` with each long whole number in it as the language groups it: 64 × 3.136 in Indonesian."""
    return re.sub(r"\d{4,}", lambda digits: number(int(digits[0]), lang), text)


class Page:
    """One notebook in one language: says, shows and judges; `save` hands numbers and verdicts to the run.

    Texts are keyword arguments, one per language: `page.tell(id="…", en="…")`. What the images show is the dataset's
    to say: that of `run`, unless named. Raises `ConfigError` for a language in which WORDS has no word.
    """

    def __init__(self, lang: str, notebook: str, run=None, dataset: str | None = None):
        if lang not in LANGUAGES:
            raise ConfigError(f"lang: found {lang!r}, allowed are {', '.join(LANGUAGES)}")
        self.lang, self.notebook, self.run, self.dataset, self.verdicts = lang, notebook, run, dataset, []

    # --- words and numbers -------------------------------------------------------------------------------

    def say(self, **texts: str) -> str:
        """The text of the page's language."""
        return say(texts, self.lang)

    @cached_property
    def subject(self) -> subject.Subject:
        """What is said of the dataset in every language; the three below say it in the page's."""
        return subject.find(self.dataset or (self.run.config if self.run else Config()).dataset)

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the labels 0 to 9."""
        return self.say(**self.subject.classes)

    @property
    def item(self) -> str:
        """What one image shows: in MNIST, a digit."""
        return self.say(**self.subject.item)

    @property
    def about(self) -> str:
        """Where the images come from, in a sentence with its citation."""
        return self.say(**self.subject.about)

    def number(self, value: float, digits: int | None = None) -> str:
        return number(value, self.lang, digits)

    def percent(self, share: float, digits: int = 1) -> str:
        """A share in [0, 1] as percent: 93,1 % in Indonesian, 93.1% in English."""
        return number(100 * share, self.lang, digits) + {"en": "%"}.get(self.lang, "\N{NO-BREAK SPACE}%")

    def quantity(self, value: float, digits: int, unit: str = "") -> str:
        """A measurement with its unit; with "%" a share is written as percent, with "points" a difference of shares."""
        if unit == "points":
            return f"{self.number(100 * value, digits)} {self._word('points')}"
        return self.percent(value, digits) if unit == "%" else f"{self.number(value, digits)} {unit}".strip()

    # --- what the reader sees ----------------------------------------------------------------------------

    def title(self, text: str) -> None:
        """The page's heading in the book, where it is known only when the notebook runs."""
        self._show("title", markdown=f"**{text}**", title=text)

    def tell(self, **texts: str) -> None:
        """Show a paragraph of Markdown."""
        self._show("tell", markdown=self.say(**texts))

    def figure(self, figure, name: str, **texts: tuple[str, str]) -> None:
        """Show a matplotlib figure at twice its density; `texts` are (caption, alternative text)."""
        caption, alt = self.say(**texts)
        image = io.BytesIO()
        figure.savefig(image, format="png", dpi=200, metadata={"Software": None})
        width, height = (round(100 * inches) for inches in figure.get_size_inches())
        self._show(
            "figure",
            data={"image/png": base64.b64encode(image.getvalue()).decode(), "text/plain": alt},
            more={"image/png": {"width": width, "height": height, "alt": alt}},
            **dict(name=f"fig-{name}", caption=caption, alt=alt),
        )
        self._show("caption", markdown=f"*{caption}*")

    def table(self, table: pd.DataFrame, name: str, digits: int | dict = 4, **texts: str) -> None:
        """Show a data frame without its index; `digits`: decimals of its floats, for all columns or by column."""
        caption = self.say(**texts)
        rows = ["| " + " | ".join(map(str, table.columns)) + " |"]
        rows += ["|" + "|".join("---:" if k.kind in "iufb" else ":---" for k in table.dtypes) + "|"]
        for record in table.itertuples(index=False):
            cells = (self._cell(v, digits, c) for v, c in zip(record, table.columns, strict=True))
            rows.append("| " + " | ".join(cells) + " |")
        self._show("table", markdown="\n".join(rows), name=f"tab-{name}", caption=caption)
        self._show("caption", markdown=f"*{caption}*")

    def _cell(self, value, digits, column) -> str:
        if isinstance(value, str):
            return value.replace("|", "\\|").replace("± ", "±\N{NO-BREAK SPACE}")  # a line may end before the sign only
        is_float = isinstance(value, float)
        return self.number(value, (digits if isinstance(digits, int) else digits.get(column, 4)) if is_float else None)

    def live(self, name: str, **texts: str) -> None:
        """Mark where the book puts what runs in the browser, with the files that the run keeps in its folder `name`."""
        facts = dict(name=name, lang=self.lang, classes=list(self.classes))
        self._show("live", markdown=self.say(**texts), **facts)

    # --- claims ------------------------------------------------------------------------------------------

    def verdict(self, key, claim: dict, measure: dict, value, rule: str, threshold, digits=3, unit="") -> None:
        """Hold `value` against `threshold` by `rule` (>=, <=, >, <), show claim, measurement and outcome.

        `claim` and `measure` (what was measured) are texts by language. With unit "%" shares are shown as percent, with
        "points" differences of shares as percentage points. A measurement that is not a number proves nothing.
        """
        holds = bool(RULES[rule](value, threshold))
        shown, limit = (self.quantity(v, digits, unit) for v in (value, threshold))
        title = f"{self._word('holds' if holds else 'fails')}: {self.say(**claim)}"
        body = f"{self._word('measured')}: {self.say(**measure)} = **{shown}**. "
        body += f"{self._word('threshold')}: {self._word(rule)} {limit}."
        self._show("verdict", markdown=f"**{title}** {body}", holds=holds, title=title, body=body)
        texts = {f"{n}_{lang}": text[lang] for n, text in (("claim", claim), ("measure", measure)) for lang in text}
        self.verdicts.append(
            {"notebook": self.notebook, "key": key, "claim": claim["en"], **texts}
            | {"measured": float(value), "rule": rule, "threshold": float(threshold), "holds": holds}
            | {"digits": digits, "unit": unit}
        )

    def save(self, **numbers: float) -> None:
        """Keep this page's numbers at the top level of metrics.json, and its verdicts in place of its earlier ones."""
        self.run.record(self.notebook, numbers, self.verdicts)

    # -------------------------------------------------------------------------------------------------------

    def _word(self, key: str) -> str:
        return word(key, self.lang)

    def _show(self, kind, markdown=None, data=None, more=None, **facts) -> None:
        data = data or {"text/markdown": markdown, "text/plain": markdown}
        display(data, raw=True, metadata={"report": {"kind": kind, **facts}, **(more or {})})
