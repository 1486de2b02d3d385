import subprocess
import sys

import numpy as np
import pytest

from slatewise.domain.errors import BundleError
from slatewise.domain.urls import without_password
from slatewise.index.remote import Saved, named_by_content, new_name, read_saved, write_saved

VECTORS = np.array([[1, 2], [3, 4]], np.float32)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://me:secret@db/x", "postgresql://me:***@db/x"),
        ("connecting to postgresql://me:secret@db failed", "connecting to postgresql://me:***@db failed"),
        ("postgresql://db/x?user=me&password=secret&a=b", "postgresql://db/x?user=me&password=***&a=b"),
        ("https://db:19530", "https://db:19530"),
    ],
)
def test_passwords_are_struck_out(text, shown):
    assert without_password(text) == shown


def test_what_is_saved_comes_back(tmp_path):
    name = new_name()
    write_saved(tmp_path, "pgvector", Saved(name, np.array([7, 3]), VECTORS))
    saved = read_saved(tmp_path, "pgvector")
    assert saved.collection == name
    assert dict(zip(saved.rows.tolist(), saved.vectors.tolist(), strict=True)) == {7: [1, 2], 3: [3, 4]}


def test_names_are_unique_but_the_same_content_has_the_same_name():
    rows = np.array([7, 3])
    assert new_name() != new_name()
    first = named_by_content("pgvector", rows, VECTORS)
    again = named_by_content("pgvector", rows[::-1], VECTORS[::-1])
    assert first.collection == again.collection
    others = [
        named_by_content("milvus", rows, VECTORS),
        named_by_content("pgvector", rows + 1, VECTORS),
        named_by_content("pgvector", rows, VECTORS + 1),
    ]
    assert len({first.collection, *(other.collection for other in others)}) == 4


@pytest.mark.parametrize(
    ("file", "content", "says"),
    [
        ("remote.json", b'{"format":1,"kind":"pgvector","collection":"x; DROP TABLE y"}', "collection"),
        ("remote.json", b'{"format":9,"kind":"pgvector","collection":"x"}', "format 9"),
        ("remote.json", b'{"format":1,"kind":"milvus","collection":"x"}', "kind 'milvus'"),
        ("remote.json", b"{", "remote.json"),
        ("index.json", b"{", "index.json"),
    ],
)
def test_a_header_that_does_not_match_is_refused(tmp_path, file, content, says):
    write_saved(tmp_path, "pgvector", Saved(new_name(), np.array([7, 3]), VECTORS))
    (tmp_path / file).write_bytes(content)
    with pytest.raises(BundleError, match=says):
        read_saved(tmp_path, "pgvector")


def test_a_folder_of_another_kind_or_without_header_is_refused(tmp_path):
    write_saved(tmp_path, "pgvector", Saved(new_name(), np.array([7, 3]), VECTORS))
    with pytest.raises(BundleError, match="kind 'pgvector', expected 'milvus'"):
        read_saved(tmp_path, "milvus")
    (tmp_path / "remote.json").unlink()
    with pytest.raises(BundleError, match=r"remote\.json"):
        read_saved(tmp_path, "pgvector")


def test_no_client_is_imported_before_an_index_asks_for_it():
    code = (
        "import sys, slatewise.index.pgvector, slatewise.index.milvus; print({'psycopg', 'pymilvus'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
