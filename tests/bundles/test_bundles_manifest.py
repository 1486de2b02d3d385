import os
import shutil

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from slatewise.bundles.manifest import MANIFEST, is_bundle_id, read_manifest, seal, verify
from slatewise.domain.errors import BundleError

AT = 1_795_389_300.0  # 2026-11-22 23:15:00 UTC
FILES = {
    "tower.onnx": bytes(range(256)),
    "index/vectors.npy": b"\x93NUMPY vectors",
    "index/rows.npy": b"\x93NUMPY rows",
    "vocabulary.json": b'["a","b"]',
}


def build(folder):
    for name, content in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return seal(folder, created_at=AT, parent="20261121-000000-abcdef", facts={"metrics": {"ndcg@10": 0.25}, "rows": 2})


@pytest.fixture(scope="module")
def genuine(tmp_path_factory):
    folder = tmp_path_factory.mktemp("genuine")
    build(folder)
    return folder


@pytest.fixture
def copy(genuine, tmp_path):
    return shutil.copytree(genuine, tmp_path / "bundle")


def test_a_sealed_folder_verifies_and_says_what_it_holds(genuine):
    manifest = verify(genuine)
    assert manifest == read_manifest(genuine)
    assert sorted(manifest.files) == sorted(FILES)
    assert manifest.total_bytes == sum(map(len, FILES.values()))
    assert manifest.parent == "20261121-000000-abcdef"
    assert manifest.facts == {"metrics": {"ndcg@10": 0.25}, "rows": 2}


def test_the_id_is_the_time_and_a_digest_of_the_contents(genuine, tmp_path):
    manifest = read_manifest(genuine)
    assert manifest.id.startswith("20261122-231500-")
    assert is_bundle_id(manifest.id)
    same = build(tmp_path)
    assert same == manifest
    (tmp_path / "tower.onnx").write_bytes(b"other")
    other = seal(tmp_path, created_at=AT, parent=manifest.parent, facts=manifest.facts)
    assert other.id[:16] == manifest.id[:16]
    assert other.id != manifest.id


@pytest.mark.parametrize("name", [*FILES, MANIFEST])
def test_any_changed_byte_is_refused(genuine, tmp_path, name):
    folder = shutil.copytree(genuine, tmp_path / "bundle")
    content = (folder / name).read_bytes()

    @settings(max_examples=60, deadline=None, database=None, derandomize=True)
    @given(st.integers(0, len(content) - 1), st.integers(1, 255))
    def tamper(position, change):
        changed = bytearray(content)
        changed[position] ^= change
        (folder / name).write_bytes(changed)
        with pytest.raises(BundleError) as refusal:
            verify(folder)
        # A changed manifest may well accuse another file: it can no longer be trusted to name the right one.
        assert name in str(refusal.value) or name == MANIFEST

    tamper()
    (folder / name).write_bytes(content)
    verify(folder)


def test_every_byte_of_the_manifest_counts(copy):
    content = (copy / MANIFEST).read_bytes()
    for position in range(len(content)):
        changed = bytearray(content)
        changed[position] ^= 1
        (copy / MANIFEST).write_bytes(changed)
        with pytest.raises(BundleError):
            verify(copy)


@pytest.mark.parametrize("name", [*FILES, MANIFEST])
def test_a_missing_file_is_named(copy, name):
    (copy / name).unlink()
    with pytest.raises(BundleError, match="is missing") as refusal:
        verify(copy)
    assert name in str(refusal.value)


def test_an_extra_file_is_named(copy):
    (copy / "index" / "extra.bin").write_bytes(b"")
    with pytest.raises(BundleError, match=r"index/extra\.bin.* not in the manifest"):
        verify(copy)


@pytest.mark.parametrize("name", FILES)
def test_a_file_cut_short_is_named_with_its_sizes(copy, name):
    (copy / name).write_bytes(FILES[name][:-1])
    with pytest.raises(BundleError, match=f"{len(FILES[name]) - 1} bytes, the manifest says {len(FILES[name])}"):
        verify(copy)


def test_links_are_refused_even_to_the_right_bytes(copy, tmp_path):
    (tmp_path / "elsewhere").write_bytes(FILES["tower.onnx"])
    (copy / "tower.onnx").unlink()
    (copy / "tower.onnx").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BundleError, match=r"tower\.onnx.* symbolic link"):
        verify(copy)
    with pytest.raises(BundleError, match="symbolic link"):
        seal(copy, created_at=AT)


def test_a_linked_folder_and_a_linked_manifest_are_refused(copy, tmp_path):
    os.rename(copy / "index", tmp_path / "index")
    (copy / "index").symlink_to(tmp_path / "index")
    with pytest.raises(BundleError, match="'index' is a symbolic link"):
        verify(copy)
    os.rename(copy / MANIFEST, tmp_path / MANIFEST)
    (copy / MANIFEST).symlink_to(tmp_path / MANIFEST)
    with pytest.raises(BundleError, match="symbolic link"):
        verify(copy)


def test_a_pipe_is_refused(copy):
    os.mkfifo(copy / "pipe")
    with pytest.raises(BundleError, match=r"pipe.* no regular file"):
        verify(copy)


@pytest.mark.parametrize(
    "name", ["../x", "/etc/passwd", "a/../x", "a//b", "./a", "a\\b", "C:x", "", ".", "a\nb", MANIFEST]
)
def test_an_unsafe_name_is_refused_by_name(copy, name):
    written = msgspec.json.decode((copy / MANIFEST).read_bytes())
    written["files"][name] = written["files"].pop("tower.onnx")
    (copy / MANIFEST).write_bytes(msgspec.json.encode(written))
    with pytest.raises(BundleError, match="unsafe name"):
        verify(copy)


def test_an_unsafe_name_is_refused_when_sealing(tmp_path):
    (tmp_path / "a\\b").write_bytes(b"x")
    with pytest.raises(BundleError, match="unsafe name"):
        seal(tmp_path, created_at=AT)


def test_another_format_is_refused_before_anything_else(copy):
    (copy / MANIFEST).write_text('{"format": 2, "new": true}')
    with pytest.raises(BundleError, match="format 2, this build reads 1"):
        verify(copy)


@pytest.mark.parametrize("text", ["", "[]", "null", "{}", "\xff", '{"format": 1}', "[" * 100_000])
def test_a_manifest_that_makes_no_sense_is_refused(copy, text):
    (copy / MANIFEST).write_text(text, encoding="latin-1")
    with pytest.raises(BundleError, match=r"manifest\.json"):
        verify(copy)


def test_another_spelling_of_the_same_manifest_is_refused(copy):
    written = msgspec.json.decode((copy / MANIFEST).read_bytes())
    (copy / MANIFEST).write_bytes(msgspec.json.encode(written))
    with pytest.raises(BundleError, match="seal"):
        verify(copy)


def test_an_empty_folder_is_not_sealed(tmp_path):
    with pytest.raises(BundleError, match="nothing to seal"):
        seal(tmp_path, created_at=AT)


def test_sealing_again_replaces_the_manifest(copy):
    (copy / "tower.onnx").write_bytes(b"better")
    manifest = seal(copy, created_at=AT + 1)
    assert verify(copy) == manifest


def test_facts_may_hold_numpy_numbers_and_unknowns(copy):
    seal(copy, created_at=AT, facts={"recall": np.float32(0.5), "rows": np.int64(3), "loss": float("nan")})
    assert verify(copy).facts == {"recall": 0.5, "rows": 3, "loss": None}
    with pytest.raises(NotImplementedError, match="JSON value"):
        seal(copy, created_at=AT, facts={"model": object()})
