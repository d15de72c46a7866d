"""`fetch`: what is written down of the published datasets, held against torchvision's own words."""

import pytest

from cae_lib.config import FAMILY
from cae_lib.fetch import FILES, PUBLISHED
from tests.conftest import torchvision_says


def test_each_dataset_of_the_family_has_a_source_and_one_kind_of_sum():
    assert tuple(PUBLISHED) == FAMILY
    for published in PUBLISHED.values():
        assert published.mirrors and all(url.startswith("http") and url.endswith("/") for url in published.mirrors)
        lengths = [len(digest) for digest in published.sha256 + published.md5]
        assert lengths in ([64] * len(FILES), [32] * len(FILES))
        assert (published.folder is None) == (published.package is None)


@pytest.mark.parametrize("dataset", FAMILY)
def test_mirrors_and_sums_are_torchvisions(dataset):
    theirs, published = torchvision_says(dataset), PUBLISHED[dataset]
    assert list(published.mirrors[: len(theirs["mirrors"])]) == theirs["mirrors"], "theirs come first"
    assert [name for name, _ in theirs["resources"]] == [f"{name}.gz" for name in FILES]
    if published.md5:
        assert [md5 for _, md5 in theirs["resources"]] == list(published.md5)
