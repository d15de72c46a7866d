"""Explore's "Your own picture": a file's pixels against Pillow's, its score against chapter 06's, what is refused."""

import base64
import struct
import zlib
from io import BytesIO
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image, ImageOps

from explore import own
from imports import pixels
from report.measures import anomalies
from tests.conftest import ROOT

SCRIPTS = [ROOT / "book" / "explore" / f"{name}.js" for name in ("network", "score", "picture")]
READ = """async ([text, name, type, size, most]) => {
    const file = new File([Uint8Array.from(atob(text), (c) => c.charCodeAt(0))], name, { type });
    try {
        return Array.from(await readPicture(file, size, most));
    } catch (error) {
        return error.kind;
    }
}"""


@pytest.fixture(scope="module")
def reader(browser):
    """A function of a file's bytes: the pixels (size, size) that the page makes of it, or why it refuses it."""
    tab = browser.new_page()
    for script in SCRIPTS:
        tab.add_script_tag(path=script)

    def read(content, size=28, name="picture", type="", most=pixels.PIXELS):
        found = tab.evaluate(READ, [base64.b64encode(content).decode(), name, type, size, most])
        return found if isinstance(found, str) else np.array(found).reshape(size, size)

    read.tab = tab
    yield read
    tab.close()


def wanted(content, size=28):
    """The square that `make import` makes of a file."""
    with Image.open(BytesIO(content)) as image:
        return pixels._square(pixels._grey_image(ImageOps.exif_transpose(image)), size, "pad")


def photograph(width, height, seed=0) -> Image.Image:
    """Coloured waves, with noise: edges as well as areas."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(x * a + y * b) for a, b in rng.uniform(0.01, 0.3, (3, 2))]
    return Image.fromarray(
        (127 + 90 * np.stack(waves, axis=-1) + rng.normal(0, 10, (height, width, 3))).clip(0, 255).astype("u1")
    )


def saved(image, format="PNG", **options) -> bytes:
    file = BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def half_transparent(image):
    alpha = np.linspace(0, 255, image.width * image.height).reshape(image.height, image.width).astype("u1")
    image.putalpha(Image.fromarray(alpha))
    return image


PICTURES = {
    "wide": saved(photograph(301, 117)),
    "tall": saved(photograph(90, 400)),
    "square and small": saved(photograph(9, 9)),
    "a line": saved(photograph(200, 1)),
    "of the size already": saved(photograph(28, 28)),
    "padded by half a pixel": saved(photograph(56, 17)),
    "grey": saved(photograph(130, 130).convert("L")),
    "bmp": saved(photograph(70, 60), "BMP"),
    "webp": saved(photograph(70, 60), "WEBP", lossless=True),
    "palette": saved(photograph(120, 90).quantize(64)),
    "animated gif": saved(
        photograph(80, 60).quantize(), "GIF", save_all=True, append_images=[photograph(80, 60, 1).quantize()]
    ),
    "large": saved(photograph(1500, 1100)),
}


@pytest.mark.parametrize("name", PICTURES)
@pytest.mark.parametrize("size", [28, 64])
def test_a_picture_has_the_pixels_that_the_import_gives_it(reader, name, size):
    found, expected = reader(PICTURES[name], size), wanted(PICTURES[name], size)
    assert np.ptp(expected) > 20, "something to see"
    gap = np.abs(found - expected.astype(int))
    assert gap.max() <= 1 and gap.mean() <= 0.1, "Pillow may make a tall picture low before it makes it narrow"


def test_transparency_is_over_white_and_a_camera_is_obeyed(reader):
    clear = saved(half_transparent(photograph(120, 90)))
    assert np.abs(reader(clear) - wanted(clear).astype(int)).max() <= 1, "a canvas multiplies by alpha and rounds"
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    turned = saved(photograph(120, 60), "JPEG", quality=95, exif=exif)
    assert np.abs(reader(turned) - wanted(turned).astype(int)).max() <= 2, "two decoders of JPEG"
    assert np.abs(wanted(turned).astype(int) - wanted(saved(photograph(120, 60)))).max() > 20, "turning shows"


def png_header(width, height) -> bytes:
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")
    )


def jpeg_of(width, height) -> bytes:
    content = bytearray(saved(photograph(64, 48), "JPEG"))
    start = content.index(b"\xff\xc0") + 5
    content[start : start + 4] = struct.pack(">HH", height, width)
    return bytes(content)


SVG = b"""<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" width="9" height="9" onload="globalThis.ran = 1">
<script>globalThis.ran = 1; fetch("https://example.org")</script><rect width="9" height="9"/></svg>"""


@pytest.mark.parametrize(
    ("content", "options", "kind"),
    [
        (b"", {}, "noPicture"),
        (b"just a text", dict(name="a.png", type="image/png"), "noPicture"),
        (b"%PDF-1.7 and more", {}, "noPicture"),
        (saved(photograph(20, 20), "TIFF"), {}, "noPicture"),
        (SVG, dict(name="a.svg", type="image/svg+xml"), "isSvg"),
        (SVG, dict(name="a.png", type="image/png"), "isSvg"),
        (b"\x89PNG\r\n\x1a\n", {}, "broken"),
        (b"\xff\xd8\xff", {}, "broken"),
        (b"\xff\xd8\xff\xe0\x00\x00" * 9, {}, "broken"),
        (b"RIFF1234WEBPVP8X", {}, "broken"),
        (b"BM", {}, "broken"),
        (b"GIF89a\x05\x00\x05\x00", {}, "broken"),
        (png_header(0, 9), {}, "broken"),
        (png_header(8001, 8001), {}, "tooLarge"),
        (png_header(40_000, 10), {}, "tooLarge"),
        (jpeg_of(65_000, 65_000), {}, "tooLarge"),
        (PICTURES["wide"], dict(most=301 * 117 - 1), "tooLarge"),
        (PICTURES["large"][:3000], {}, "broken"),
    ],
)
def test_what_is_no_picture_or_too_large_is_refused_and_does_nothing(reader, content, options, kind):
    asked = []
    reader.tab.on("request", lambda request: asked.append(request.url))
    assert reader(content, **options) == kind
    assert [url for url in asked if url.startswith("http")] == [] and reader.tab.evaluate("globalThis.ran") is None
    assert isinstance(reader(PICTURES["wide"]), np.ndarray), "the next one is read"


def test_a_picture_of_twenty_megapixels_is_read(reader):
    content = saved(photograph(500, 400).resize((5000, 4000)), "JPEG", quality=90)
    assert np.abs(reader(content) - wanted(content).astype(int)).max() <= 2


# --- the score -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fitted(model, dataset):
    return own.fit_score(SimpleNamespace(model=lambda: model), dataset)


def test_the_score_is_that_of_chapter_06(model, dataset, fitted):
    test = anomalies.codes_and_errors(model, dataset.test_images)
    wanted = anomalies.score_images(model, dataset, dataset.test_images)["combined"]
    assert len(fitted["known"]) == len(dataset.train_images) < own.KNOWN, "all neighbours are known, to a byte"
    np.testing.assert_allclose(own.score(fitted, *test), wanted, atol=0.05)
    held = own.score(fitted, *anomalies.codes_and_errors(model, dataset.validation_images))
    assert own.threshold(fitted) == pytest.approx(np.quantile(held, 0.95))
    assert (own.threshold(fitted) < held).mean() == pytest.approx(0.05, abs=1 / len(held))


def test_the_browser_scores_like_python(reader, model, dataset, fitted):
    run, places = SimpleNamespace(model=lambda: model), np.random.default_rng(0).random((len(dataset.test_images), 2))
    (script,) = own.export(run, dataset, places, fitted).values()
    reader.tab.evaluate(script.decode())
    z, errors = anomalies.codes_and_errors(model, dataset.test_images)
    judge = """([codes, errors]) => {
        const judge = makeScore(exploreOwn.score);
        const scores = codes.map((z, i) => judge.score(Float32Array.from(z), Float32Array.from(errors[i])));
        return [scores, scores.map(judge.shareBelow), judge.threshold];
    }"""
    scores, below, threshold = reader.tab.evaluate(judge, [z.tolist(), errors.reshape(len(z), -1).tolist()])
    expected = own.score(fitted, z, errors)
    np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-4)
    assert threshold == pytest.approx(own.threshold(fitted), rel=1e-6)
    held = own.score(fitted, *anomalies.codes_and_errors(model, dataset.validation_images))
    np.testing.assert_allclose(below, [(held < score).mean() for score in scores], atol=0.04)
