import pytest

from slatewise.bundles.vocabulary import check_vocabulary, load_vocabulary, save_vocabulary
from slatewise.domain.errors import BundleError

IDS = ("a", "b\nc", 'quote"', "é", "")


def test_ids_come_back_in_row_order(tmp_path):
    save_vocabulary(tmp_path / "items.json", IDS)
    assert load_vocabulary(tmp_path / "items.json") == IDS
    save_vocabulary(tmp_path / "items.json", [])
    assert load_vocabulary(tmp_path / "items.json") == ()


def test_a_damaged_vocabulary_is_refused(tmp_path):
    path = tmp_path / "items.json"
    with pytest.raises(BundleError, match=r"items\.json"):
        load_vocabulary(path)
    for text in ("", "{}", "[1]", '["a",', '["a","b","a"]'):
        path.write_text(text)
        with pytest.raises(BundleError, match=r"items\.json"):
            load_vocabulary(path)


def test_a_catalogue_that_has_grown_still_matches():
    check_vocabulary(IDS, IDS)
    check_vocabulary(IDS, [*IDS, "new"])
    check_vocabulary((), ())


def test_the_row_that_differs_is_named():
    with pytest.raises(BundleError, match="row 1 is item 'b' in the bundle and 'x' here"):
        check_vocabulary(("a", "b", "c"), ("a", "x", "y"))


def test_a_catalogue_that_is_too_short_is_refused():
    with pytest.raises(BundleError, match="knows 3 items, the catalogue only 2"):
        check_vocabulary(("a", "b", "c"), ("a", "b"))
