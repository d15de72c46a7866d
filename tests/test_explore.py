"""The page `explore`: the decoder in the browser against PyTorch's, the instrument in a reader's hands, its weight."""

import base64
import functools
import json
from io import BytesIO
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from sklearn.decomposition import PCA

from cae_lib import data, metrics
from cae_lib.config import Config
from cae_lib.model import ConvAutoencoder
from cae_lib.run import Run
from explore import export, network, own
from tests.conftest import ROOT

SCRIPT = ROOT / "book" / "explore" / "network.js"
RUN = Run("runs/smoke")
ARCHITECTURES = [  # the report's; three halvings of an odd size; one of an even size; blocks and a refining convolution
    dict(),
    dict(dataset="synthetic", image_size=27, channels=(4, 6, 8), latent_dim=5),
    dict(dataset="synthetic", image_size=10, channels=(3,), latent_dim=1),
    dict(dataset="synthetic", image_size=13, channels=(4, 6), latent_dim=5, blocks=2, refine=3),
]


@functools.cache
def model_of(*values) -> ConvAutoencoder:
    """A model with random weights, large enough for images that differ, whose BatchNorms have seen something."""
    torch.manual_seed(0)
    model = ConvAutoencoder(Config(**dict(values)))
    for layer in model.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            for values in (layer.weight.data, layer.running_var):
                values.uniform_(0.5, 2)
            for values in (layer.bias.data, layer.running_mean):
                values.normal_()
        elif isinstance(layer, torch.nn.Linear | torch.nn.Conv2d | torch.nn.ConvTranspose2d):
            if layer.weight.any():
                layer.weight.data *= 3
            else:  # a block's last convolution, which begins at zero
                layer.weight.data.normal_(std=0.1)
    return model.eval()


NAMES = ("2", "3", "1", "blocks")
each_architecture = pytest.mark.parametrize("model", [model_of(*a.items()) for a in ARCHITECTURES], ids=NAMES)


def random_codes(model, count=100):
    return np.random.default_rng(0).standard_normal((count, model.decoder[0].in_features)).astype(np.float32)


# --- what is exported ----------------------------------------------------------------------------------------


@each_architecture
def test_folding_batchnorm_changes_no_image_and_no_code(model):
    z = random_codes(model)
    images = metrics.decode(model, z)
    np.testing.assert_allclose(network.run(network.fold(model.decoder), z), images, atol=1e-5)
    codes = metrics.encode(model, images)
    np.testing.assert_allclose(network.run(network.fold(model.encoder), images), codes, rtol=1e-4, atol=1e-4)
    assert not any(isinstance(layer, torch.nn.BatchNorm2d) for layer in network.fold(model.encoder).modules())


def test_folding_leaves_the_model_as_it_is():
    model = model_of()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    network.round_to_float16(network.fold(model.decoder))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_the_principal_axes_are_those_of_scikit_learn():
    z = np.random.default_rng(0).standard_normal((500, 4)) @ np.diag([4, 3, 2, 1]) + 5
    mean, axes, spread = export.gaussian(z)
    pca = PCA().fit(z)
    np.testing.assert_allclose(mean, pca.mean_)
    np.testing.assert_allclose(spread, np.sqrt(pca.explained_variance_))
    np.testing.assert_allclose(np.abs((axes * pca.components_).sum(axis=1)), 1)
    assert (axes[np.arange(4), np.abs(axes).argmax(axis=1)] > 0).all()


def test_random_codes_have_the_mean_and_covariance_asked_for():
    z = np.random.default_rng(0).standard_normal((1000, 3)) @ np.array([[2, 1, 0], [0, 1, 0], [0, 0, 0.5]]) + [1, 2, 3]
    for distance in (1, 2):
        drawn = export.sample(z, 100_000, distance, seed=1)
        np.testing.assert_allclose(drawn.mean(axis=0), z.mean(axis=0), atol=0.05)
        np.testing.assert_allclose(np.cov(drawn.T), distance**2 * np.cov(z.T), atol=0.15)


def test_the_nearest_other_code_is_not_the_code_itself():
    assert export.nearest_other(np.array([[0.0], [1], [3], [3]])).tolist() == [1, 1, 0, 0]


def test_pictures_on_the_map_do_not_cover_each_other():
    points = np.random.default_rng(0).uniform(size=(200, 2))
    chosen = export.apart(points, 0.1)
    gap = np.abs(points[chosen, None] - points[chosen]).max(axis=-1) + np.eye(len(chosen))
    assert gap.min() >= 0.1 and len(chosen) > 20
    left_out = np.delete(points, chosen, axis=0)
    assert (np.abs(left_out[:, None] - points[chosen]).max(axis=-1).min(axis=1) < 0.1).all(), "no room was wasted"


def test_the_sheet_holds_every_image_at_its_place_as_ink_on_paper():
    images = np.random.default_rng(0).integers(0, 256, (export.COLUMNS + 3, 5, 5), dtype=np.uint8)
    sheet = np.array(Image.open(BytesIO(export.contact_sheet(images))))
    assert sheet.shape == (10, 5 * export.COLUMNS)
    for i in (0, export.COLUMNS - 1, export.COLUMNS + 2):
        y, x = 5 * (i // export.COLUMNS), 5 * (i % export.COLUMNS)
        assert (sheet[y : y + 5, x : x + 5] == 255 - images[i]).all()


def test_the_reports_export_is_light_and_the_same_each_time(monkeypatch):
    """The report's architecture and 2,000 images whose ink is noise, which hardly compresses."""
    rng = np.random.default_rng(0)
    images, labels = data.synthetic(2000, 28, seed=0)
    images = torch.from_numpy(np.where(images > 0, rng.integers(1, 256, images.shape), 0).astype(np.uint8))
    codes = dict.fromkeys(("train", "test"), rng.standard_normal((2000, 64)).astype(np.float32))
    monkeypatch.setattr(metrics, "codes", lambda *_: codes)
    parts = {f"{part}_images": images for part in ("train", "validation", "test")}
    dataset, run = SimpleNamespace(**parts, test_labels=torch.from_numpy(labels)), SimpleNamespace(model=model_of)
    points = rng.standard_normal((2000, 2))
    files = export.export(run, dataset, points) | own.export(run, dataset, points, own.fit_score(run, dataset))
    assert set(files) == {"data.js", "images.png", "encoder.js"} and 1e6 < sum(map(len, files.values())) <= 2.5e6


# --- the decoder in the browser ------------------------------------------------------------------------------


def evaluate(tab, script, argument):
    """What a browser that has read network.js makes of the argument; an array for an array."""
    tab.goto("about:blank")
    tab.add_script_tag(path=SCRIPT)
    return np.array(tab.evaluate(script, argument))


RUN_NETWORK = "([part, inputs]) => inputs.map((x) => Array.from(makeNetwork(part)(Float32Array.from(x))))"


@each_architecture
def test_any_architecture_draws_the_same_pixels_as_pytorch(browser, model):
    z = random_codes(model, 30)
    with browser.new_page() as tab:
        drawn = evaluate(tab, RUN_NETWORK, [network.portable(model.decoder, model.sizes[::-1]), z.tolist()])
    wanted = metrics.decode(model, z).reshape(len(z), -1)
    assert drawn.shape == wanted.shape and np.abs(drawn - wanted).max() <= 2 / 255
    assert wanted.std(axis=0).max() > 0.05, "images that differ"


@each_architecture
def test_any_architecture_has_the_same_codes_as_pytorch(browser, model):
    images = np.random.default_rng(0).random((30, model.sizes[0], model.sizes[0])).astype(np.float32)
    with browser.new_page() as tab:
        inputs = images.reshape(len(images), -1).tolist()
        codes = evaluate(tab, RUN_NETWORK, [network.portable(model.encoder, model.sizes), inputs])
    wanted = metrics.encode(model, images)
    assert codes.shape == wanted.shape and wanted.std(axis=0).min() > 0
    light = network.run(network.round_to_float16(network.fold(model.encoder)), images)
    assert np.abs(codes - light).max() <= 1e-4 * np.abs(wanted).max(), "the same numbers, in the same precision"
    assert np.abs(codes - wanted).max() <= 0.01 * wanted.std(), "as half precision allows"


def test_a_layer_that_the_browser_does_not_know_is_refused():
    with pytest.raises(TypeError, match="ReLU"):
        network.portable(torch.nn.Sequential(torch.nn.ReLU()), [8])


def test_gelu_and_half_precision_are_exact_enough(browser):
    x = np.linspace(-20, 20, 4001)
    bits = np.arange(2**16, dtype=np.uint16)
    with browser.new_page() as tab:
        gelu = evaluate(tab, "(x) => x.map(gelu)", x.tolist())
        halves = evaluate(tab, "(bits) => bits.map(fromHalf).map((x) => Number.isFinite(x) ? x : null)", bits.tolist())
    np.testing.assert_allclose(gelu, torch.nn.functional.gelu(torch.tensor(x)).numpy(), rtol=0, atol=1e-6)
    wanted = bits.view(np.float16).astype(float)
    assert (halves[np.isfinite(wanted)] == wanted[np.isfinite(wanted)]).all()
    assert all(value is None for value in halves[~np.isfinite(wanted)])


# --- the page ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def opened(browser, smoke_build):
    """A function that opens the page, once for each address, and keeps what went wrong and what was asked for."""
    tabs = {}

    def open_page(lang, home=None):
        home = home or f"{(smoke_build / 'html').as_uri()}/"
        if (lang, home) not in tabs:
            tab = tabs[lang, home] = browser.new_page(viewport={"width": 1280, "height": 900})
            tab.home, tab.asked, tab.errors = home, [], []
            tab.on("request", lambda request: tab.asked.append(request.url))
            tab.on("requestfailed", lambda request: tab.errors.append(request.url))
            tab.on("pageerror", lambda error: tab.errors.append(str(error)))
            tab.on("console", lambda told: tab.errors.append(told.text) if told.type == "error" else None)
            tab.goto(f"{home}{lang}/explore.html")
        tab = tabs[lang, home]
        tab.locator("#explore").scroll_into_view_if_needed()
        tab.locator("#explore-map:not([aria-busy])").wait_for()
        tab.click("#explore-reset")
        return tab

    yield open_page
    for tab in tabs.values():
        tab.close()


@pytest.fixture
def tab(opened):
    return opened("en")


@pytest.fixture(scope="module")
def trained(smoke_build):
    """What the instrument should show: the model, all training codes, and the codes of the map's images."""
    dataset = data.load(RUN.config)
    codes = metrics.codes(RUN, dataset)
    fitted = own.fit_score(RUN, dataset)
    return SimpleNamespace(model=RUN.model(), train=codes["train"], z=codes["test"], fitted=fitted)


def drawn(tab, name="drawn") -> np.ndarray:
    """The ink in [0, 1] of a canvas, after the next frame."""
    read = """(id) => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => {
        const canvas = document.getElementById(id);
        done(Array.from(canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data));
    })))"""
    pixels = np.array(tab.evaluate(read, f"explore-{name}")).reshape(-1, 4)
    assert (pixels[:, 3] == 255).all()
    side = RUN.config.image_size
    return 1 - pixels[:, 0].reshape(side, side) / 255


def chosen(tab) -> list[int]:
    return [int(c.get_attribute("data-image")) for c in tab.locator(".explore-corner canvas").all()]


def assert_same(image, wanted):
    """Within 2/255, and half a level more for a canvas, which holds whole ones."""
    assert np.abs(image - wanted).max() <= 2.5 / 255


def test_from_a_file_and_from_a_server_it_asks_nobody_else_and_nothing_fails(opened, site):
    for home in (None, f"{site}/"):
        tab = opened("id", home)
        assert tab.errors == [] and len(tab.asked) > 10
        assert [url for url in tab.asked if not url.startswith(tab.home)] == []
        assert tab.locator(".explore-why").is_hidden() and tab.locator("#explore-app").is_visible()


def test_on_a_phone_nothing_heavy_is_loaded_before_a_reader_comes_near(browser, smoke_build):
    tab, asked = browser.new_page(viewport={"width": 360, "height": 640}), []
    tab.on("request", lambda request: asked.append(request.url.rsplit("/", 1)[1]))
    tab.goto((smoke_build / "html" / "id" / "explore.html").as_uri(), wait_until="networkidle")
    heavy = {"bokeh.min.js", "data.js", "network.js", "explore.js", "images.png"}
    assert tab.evaluate("document.getElementById('explore').getBoundingClientRect().top") > 1240
    assert not heavy & set(asked) and tab.locator(".explore-why").is_hidden()
    tab.locator("#explore").scroll_into_view_if_needed()
    tab.locator("#explore-map:not([aria-busy])").wait_for()
    assert heavy <= set(asked) and "encoder.js" not in asked
    tab.locator("#explore-own").scroll_into_view_if_needed()
    tab.locator("#explore-own:not([aria-busy])").wait_for()
    assert {"encoder.js", "score.js", "picture.js", "own.js"} <= set(asked)
    tab.close()


def test_the_page_draws_the_codes_of_the_test_images_and_codes_far_out_like_pytorch(tab, trained):
    far = export.sample(trained.train, 100, distance=3, seed=0)
    z = np.concatenate([trained.z[:300], far])
    script = "(codes) => codes.map((z) => Array.from(makeNetwork(exploreData.decoder)(Float32Array.from(z))))"
    images = np.array(tab.evaluate(script, z.tolist())).reshape(len(z), RUN.config.image_size, -1)
    assert np.abs(images - metrics.decode(trained.model, z)).max() <= 2 / 255


def test_the_keyboard_finds_another_image_on_the_map_and_says_so(tab, trained):
    tab.focus("#explore-map")
    before = tab.get_attribute("#explore-original", "data-image")
    for key in ("ArrowLeft", "ArrowLeft", "ArrowUp"):
        tab.keyboard.press(key)
    seen = int(tab.get_attribute("#explore-original", "data-image"))
    name, error = tab.inner_text("#explore-name"), tab.inner_text("#explore-error")
    assert str(seen) != before and error.startswith("Error (MSE) 0.0")
    assert_same(drawn(tab, "reconstruction"), metrics.decode(trained.model, trained.z[[seen]])[0])
    tab.wait_for_function("document.getElementById('explore-status').textContent.includes('MSE')")
    assert tab.inner_text("#explore-status").startswith(name)
    tab.keyboard.press("Enter")
    assert chosen(tab)[-1] == seen and len(chosen(tab)) == 4


def test_pointing_at_the_map_shows_an_image_and_a_click_chooses_it(tab):
    tab.locator("#explore-map").scroll_into_view_if_needed()
    box = tab.locator("#explore-map").bounding_box()
    before, found = chosen(tab), {}
    for share in np.linspace(0.2, 0.8, 25):
        place = box["x"] + share * box["width"], box["y"] + share * box["height"]
        tab.mouse.move(*place)
        found.setdefault(int(tab.get_attribute("#explore-original", "data-image")), place)
    assert len(found) > 3
    image, place = found.popitem()
    tab.mouse.click(*place)
    tab.wait_for_function("document.querySelectorAll('.explore-corner').length == 4", timeout=5000)
    assert chosen(tab) == [*before, image]


def test_the_pad_mixes_codes_at_a_corner_in_the_middle_and_under_the_hand(tab, trained):
    z = trained.z[chosen(tab)]
    tab.focus("#explore-pad")
    for key, code in (("2", z[1]), ("0", z.mean(axis=0))):
        tab.keyboard.press(key)
        assert_same(drawn(tab), metrics.decode(trained.model, code[None])[0])
    tab.locator("#explore-pad").scroll_into_view_if_needed()
    box = tab.locator("#explore-pad svg").bounding_box()
    tab.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    tab.mouse.down()
    tab.mouse.move(box["x"] + box["width"] / 4, box["y"] + box["height"] + 50)  # beyond the edge B to C, above B's half
    tab.mouse.up()
    assert_same(drawn(tab), metrics.decode(trained.model, (0.75 * z[1] + 0.25 * z[2])[None])[0])
    assert tab.locator(".explore-share").all_inner_texts() == ["0%", "75%", "25%"]


def test_four_images_mix_bilinearly_and_two_on_a_line(tab, trained):
    tab.focus("#explore-map")
    tab.keyboard.press("ArrowRight")
    tab.keyboard.press("Enter")
    z = trained.z[chosen(tab)]
    tab.focus("#explore-pad")
    tab.keyboard.press("4")
    tab.keyboard.press("ArrowLeft")
    assert_same(drawn(tab), metrics.decode(trained.model, (0.05 * z[2] + 0.95 * z[3])[None])[0])
    for _ in range(2):
        tab.locator(".explore-chosen button").first.click()
    tab.keyboard.press("ArrowRight")
    assert_same(drawn(tab), metrics.decode(trained.model, (0.45 * z[2] + 0.55 * z[3])[None])[0])


def test_a_slider_moves_along_its_principal_axis(tab, trained):
    start = trained.z[chosen(tab)].mean(axis=0)
    _, axes, spread = export.gaussian(trained.train)
    tab.focus("#explore-axis-2")
    tab.keyboard.press("End")
    assert_same(drawn(tab), metrics.decode(trained.model, (start + 3 * spread[1] * axes[1])[None])[0])
    assert tab.get_attribute("#explore-axis-2", "aria-valuetext") == "+3.0 sd"


def test_random_codes_far_out_are_called_empty_and_reset_brings_everything_back(tab):
    before, told = drawn(tab), tab.inner_text("#explore-from")
    tab.focus("#explore-axis-1")
    tab.keyboard.press("ArrowLeft")
    tab.click("#explore-draw")
    near = drawn(tab)
    tab.focus("#explore-reach")
    tab.keyboard.press("End")
    assert np.abs(near - before).max() > 0.05 and np.abs(drawn(tab) - near).max() > 0.05
    assert tab.inner_text("#explore-from") == "Random code, 3.0 × its own distance; moved along axis 1"
    assert tab.inner_text("#explore-verdict") == "Empty here: no real image is near."
    tab.click("#explore-reset")
    assert (drawn(tab) == before).all() and tab.inner_text("#explore-from") == told
    assert tab.locator("#explore-axis-1").input_value() == "0" and tab.errors == []


def test_the_keyboard_passes_from_the_map_to_its_buttons_and_paper_gets_the_reason_instead(tab):
    tab.focus("#explore-map")
    tab.keyboard.press("Tab")
    assert tab.evaluate("document.activeElement.dataset.zoom") == "0.6"
    tab.emulate_media(media="print")
    assert tab.locator(".explore-why").is_visible() and tab.locator("#explore-app").is_hidden()
    tab.emulate_media(media="screen")


# --- a reader's own picture ----------------------------------------------------------------------------------


@pytest.fixture
def drawing(tab):
    """The page at "Your own picture", with a clear grid."""
    tab.locator("#explore-own").scroll_into_view_if_needed()
    tab.locator("#explore-own:not([aria-busy])").wait_for()
    tab.click("#explore-clear")
    return tab


def held_against_pytorch(tab, trained) -> np.ndarray:
    """The drawing's pixels in [0, 1], of which code, reconstruction, neighbours and score are what Python makes."""
    x = drawn(tab, "own-x").round(8)
    told = tab.evaluate("(x) => { const seen = own.look(x); return [Array.from(seen.z), seen.score]; }", bytes_of(x))
    (z,) = metrics.encode(trained.model, x[None].astype(np.float32))
    assert np.abs(np.array(told[0]) - z).max() <= 0.005 * trained.train.std()
    x_hat = metrics.decode(trained.model, z[None])
    assert_same(drawn(tab, "own-x-hat"), x_hat[0])
    assert float(tab.inner_text("#explore-own-mse").split()[-1]) == pytest.approx(np.square(x_hat - x).mean(), abs=2e-4)
    score = own.score(trained.fitted, z[None], np.square(x_hat - x))[0]
    assert told[1] == pytest.approx(score, abs=0.02) == float(tab.get_attribute("#explore-own", "data-score"))
    strange = score > own.threshold(trained.fitted)
    assert ("not find it strange" not in tab.inner_text("#explore-own-verdict")) == strange
    near = [int(c.get_attribute("data-image")) for c in tab.locator("#explore-own-near canvas").all()]
    distances = np.linalg.norm(trained.z - z, axis=1)
    np.testing.assert_allclose(distances[near], np.sort(distances)[:5], atol=0.02)
    return x


def bytes_of(x) -> list[int]:
    return (255 * x).round().astype(int).ravel().tolist()


def test_a_stroke_of_the_mouse_is_drawn_and_all_that_the_model_makes_of_it_is_pytorchs(drawing, trained):
    box = drawing.locator("#explore-own-x").bounding_box()
    side = RUN.config.image_size
    assert held_against_pytorch(drawing, trained).max() == 0
    drawing.mouse.move(box["x"] + 0.25 * box["width"], box["y"] + 0.5 * box["height"])
    drawing.mouse.down()
    drawing.mouse.move(box["x"] + 0.75 * box["width"], box["y"] + 0.5 * box["height"])
    drawing.mouse.up()
    x = held_against_pytorch(drawing, trained)
    assert (x[side // 2, side // 4 : 3 * side // 4] > 0.5).all() and (x[: side // 3] == 0).all()
    drawing.click("#explore-eraser")
    drawing.mouse.click(box["x"] + 0.5 * box["width"], box["y"] + 0.5 * box["height"])
    assert held_against_pytorch(drawing, trained)[side // 2, side // 2] < 0.5
    drawing.click("#explore-pen")
    drawing.click("#explore-undo")
    assert (drawn(drawing, "own-x").round(8) == x).all()
    drawing.click("#explore-swap")
    assert (held_against_pytorch(drawing, trained) == (1 - x).round(8)).all()


def test_the_keyboard_draws_erases_and_takes_back(drawing, trained):
    drawing.focus("#explore-grid")
    for key in ("ArrowUp", "Space", "Shift+ArrowRight", "Shift+ArrowRight"):
        drawing.keyboard.press(key)
    x, middle = held_against_pytorch(drawing, trained), RUN.config.image_size // 2
    assert (x[middle - 1, middle : middle + 3] > 0.5).all()
    drawing.wait_for_function("document.getElementById('explore-status').textContent.includes('100% ink')")
    drawing.keyboard.press("Delete")
    assert drawn(drawing, "own-x")[middle - 1, middle + 2] < 0.5
    drawing.keyboard.press("Control+z")
    assert (drawn(drawing, "own-x").round(8) == x).all()


def test_a_finger_draws(browser, drawing):
    box = drawing.locator("#explore-own-x").bounding_box()
    at = {"clientX": box["x"] + box["width"] / 2, "clientY": box["y"] + box["height"] / 2}
    touch = {"bubbles": True, "pointerType": "touch", "pointerId": 1, "isPrimary": True, **at}
    drawing.evaluate("() => (document.getElementById('explore-grid').setPointerCapture = () => {})")
    for kind in ("pointerdown", "pointerup"):
        drawing.dispatch_event("#explore-grid", kind, touch)
    assert drawn(drawing, "own-x").max() > 0.5
    assert drawing.evaluate("getComputedStyle(document.getElementById('explore-grid')).touchAction") == "none"


def test_a_test_image_to_begin_from_is_the_datasets(drawing, trained):
    button = drawing.locator("#explore-examples button").nth(2)
    button.click()
    row = int(button.locator("canvas").get_attribute("data-image"))
    image = data.load(RUN.config).test_images[row, 0].numpy()
    assert (255 * held_against_pytorch(drawing, trained)).round().astype(np.uint8).tolist() == image.tolist()


def test_a_picture_file_is_read_and_what_is_none_is_named_in_the_pages_language(opened, trained):
    file = BytesIO()
    Image.fromarray(np.tile(np.arange(0, 250, 2, dtype=np.uint8), (90, 1))).save(file, "PNG")
    svg = b"<svg xmlns='http://www.w3.org/2000/svg' onload='window.ran = 1'><script>window.ran = 1</script></svg>"
    for lang, told in (("en", "an SVG holds instructions"), ("id", "SVG berisi perintah")):
        tab = opened(lang)
        tab.locator("#explore-own").scroll_into_view_if_needed()
        tab.locator("#explore-own:not([aria-busy])").wait_for()
        tab.click("#explore-clear")
        asked = len(tab.asked)
        tab.set_input_files("#explore-file", {"name": "a.png", "mimeType": "image/png", "buffer": file.getvalue()})
        tab.wait_for_function("document.getElementById('explore-status').textContent.startsWith('a.png')")
        before = drawn(tab, "own-x")
        assert np.ptp(before) > 0.5
        tab.evaluate(
            """(text) => {
                const held = new DataTransfer();
                held.items.add(new File([Uint8Array.from(atob(text), (c) => c.charCodeAt(0))], "dropped.png"));
                const options = { dataTransfer: held, bubbles: true, cancelable: true };
                document.getElementById("explore-grid").dispatchEvent(new DragEvent("drop", options));
            }""",
            base64.b64encode(file.getvalue()[:-60]).decode(),
        )
        tab.wait_for_function("document.getElementById('explore-own-note').textContent.startsWith('dropped.png')")
        tab.set_input_files("#explore-file", {"name": "b.svg", "mimeType": "image/svg+xml", "buffer": svg})
        tab.wait_for_function("document.getElementById('explore-own-note').textContent.startsWith('b.svg')")
        assert told in tab.inner_text("#explore-own-note") and (drawn(tab, "own-x") == before).all()
        assert tab.evaluate("window.ran") is None and tab.asked[asked:] == [] and tab.errors == []


@pytest.mark.parametrize("lang", ["id", "en"])
def test_it_is_open_to_everyone(opened, lang):
    tab = opened(lang)
    tab.locator("#explore-own").scroll_into_view_if_needed()
    tab.locator("#explore-own:not([aria-busy])").wait_for()
    for theme in ("light", "dark"):
        tab.evaluate("(theme) => (document.documentElement.dataset.theme = theme)", theme)
        found = Axe().run(tab, context=".explore").response["violations"]
        assert [(v["id"], [n["html"] for n in v["nodes"]]) for v in found] == []
    small = "[...document.querySelectorAll('.explore :is(button, input)')].filter((x) => x.offsetHeight && "
    small += "(x.offsetHeight < 24 || x.offsetWidth < 24)).map((x) => x.id)"
    assert tab.evaluate(small) == []
    tab.set_viewport_size({"width": 320, "height": 640})
    wide = "[...document.querySelectorAll('.explore *')].filter((x) => x.getBoundingClientRect().right > 320).length"
    assert tab.evaluate(wide) == 0
    tab.set_viewport_size({"width": 1280, "height": 900})


@pytest.mark.parametrize("lang", ["id", "en"])
def test_it_speaks_the_editions_language(opened, lang):
    tab = opened(lang)
    words = json.loads(tab.inner_text("#explore-words") or tab.text_content("#explore-words"))
    assert words["lang"] == lang and tab.inner_text("#explore-name") in words["classes"]
    assert ("Galat (MSE) 0,0" if lang == "id" else "Error (MSE) 0.0") in tab.inner_text("#explore-error")


@pytest.mark.parametrize("lang", ["id", "en"])
def test_without_javascript_the_page_says_why_and_shows_its_figures(browser, smoke_build, lang):
    with browser.new_context(java_script_enabled=False) as context:
        tab = context.new_page()
        tab.goto((smoke_build / "html" / lang / "explore.html").as_uri())
        assert "JavaScript" in tab.inner_text(".explore-why") and tab.locator(".explore-why").is_visible()
        assert tab.locator(".explore-app").is_hidden()
        figure = tab.locator("#fig-atlas img")
        assert figure.is_visible() and figure.evaluate("(image) => image.naturalWidth") > 400
