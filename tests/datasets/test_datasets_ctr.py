"""Labelled rows of categorical fields: ids, unseen values, and every refusal."""

import gzip
from pathlib import Path

import pytest

from slatewise.datasets.ctr import UNKNOWN, read_examples, read_training
from slatewise.domain.errors import InputError

TRAIN = "label,user,place\n1,7,home\n0,12,café\n1,7,\n"


def folder(path: Path, **files: str) -> Path:
    for stem, text in files.items():
        (path / f"{stem}.csv").write_text(text, "utf-8")
    return path


def test_values_have_ids_per_field_and_labels_are_numbers(tmp_path: Path) -> None:
    fields, train = read_training(folder(tmp_path, train=TRAIN))
    assert fields.names == ("user", "place")
    assert fields.sizes == (3, 4)
    assert train.label.tolist() == [1.0, 0.0, 1.0]
    assert train.value[:, 0].tolist() == [2, 1, 2]
    assert sorted(train.value[:, 1].tolist()) == [1, 2, 3]


def test_the_order_of_rows_does_not_change_the_ids(tmp_path: Path) -> None:
    fields, train = read_training(folder(tmp_path, train=TRAIN))
    turned, again = read_training(folder(tmp_path, train="label,user,place\n1,7,\n0,12,café\n1,7,home\n"))
    assert turned.values == fields.values
    assert again.value.tolist() == train.value[::-1].tolist()


def test_compressed_files_and_numbered_labels_read_the_same(tmp_path: Path) -> None:
    fields, train = read_training(folder(tmp_path, train=TRAIN))
    with gzip.open(tmp_path / "valid.csv.gz", "wt", encoding="utf-8") as file:
        file.write("place,label,user\nhome,1.0,7\ncafé,0.0,12\n,1,7\n")
    valid = read_examples(tmp_path, "valid", fields)
    assert valid.value.tolist() == train.value.tolist()
    assert valid.label.tolist() == train.label.tolist()


def test_unseen_values_become_the_unknown_id_of_their_field(tmp_path: Path) -> None:
    fields, _ = read_training(folder(tmp_path, train=TRAIN, valid="label,user,place\n0,home,home\n1,7,12\n"))
    value = read_examples(tmp_path, "valid", fields).value
    assert (value == UNKNOWN).tolist() == [[True, False], [False, True]]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("user,place\n7,home\n", "train.csv: got 'user, place', expected a column label"),
        ("label,user\n1,7\n2,8\n", "train.csv, line 3: label: got '2', expected 0 or 1"),
        ("label,user\n1,7\n,8\n", "train.csv, line 3: label: got None, expected 0 or 1"),
        ("label,user\n1,7\n0,8,9\n", "train.csv, line 3: got '0,8,9', expected rows like the header"),
        ("label,user\n", "train.csv: got 'no rows', expected at least one row"),
        ("label\n1\n", "train.csv: got 'no column but label', expected at least one field"),
        ("", "expected a header line"),
    ],
)
def test_a_bad_training_file_is_refused_by_file_column_and_value(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        read_training(folder(tmp_path, train=text))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"train\.csv: got .*expected a folder with train\.csv"):
        read_training(tmp_path)
    fields, _ = read_training(folder(tmp_path, train=TRAIN))
    with pytest.raises(InputError, match=r"test\.csv"):
        read_examples(tmp_path, "test", fields)


def test_columns_that_differ_from_training_are_named(tmp_path: Path) -> None:
    fields, _ = read_training(folder(tmp_path, train=TRAIN, valid="label,user,city\n1,7,home\n"))
    with pytest.raises(InputError, match=r"valid\.csv: got 'no place and also city', expected the columns of training"):
        read_examples(tmp_path, "valid", fields)
