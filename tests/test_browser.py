"""The smoke editions in a real Chromium: what only a browser can tell about the pages."""

import pytest

LANGS = ("id", "en")


@pytest.fixture
def tab(browser):
    """A new page, 1280 pixels wide; what its scripts and the network complain of is in `.errors`."""
    tab = browser.new_page(viewport={"width": 1280, "height": 900})
    tab.errors = []
    tab.on("pageerror", lambda error: tab.errors.append(str(error)))
    tab.on("requestfailed", lambda request: tab.errors.append(request.url))
    yield tab
    tab.close()


@pytest.mark.parametrize("lang", LANGS)
def test_a_page_opens_from_a_file_without_an_error(smoke_build, tab, lang):
    tab.goto((smoke_build / "html" / lang / "introduction.html").as_uri())
    assert tab.locator("h1").count() == 1 and tab.errors == []
