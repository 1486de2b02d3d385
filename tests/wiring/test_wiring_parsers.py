"""What comes from outside may be anything: parsers answer with our own errors or not at all."""

from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slatewise.bundles.manifest import MANIFEST, read_manifest, seal
from slatewise.datasets.folder import read_folder
from slatewise.domain.errors import BundleError, ConfigError, InputError
from slatewise.domain.keys import key_id
from slatewise.http.gate import token_of
from slatewise.telemetry.clock import SystemClock
from slatewise.wiring.keys import KeyFile

FUZZ = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))


def damaged(content: bytes, cuts: list[tuple[int, int]], junk: bytes) -> bytes:
    found = bytearray(content)
    for place, byte in cuts:
        found[place % len(found)] = byte
    return bytes(found) + junk


CUTS = st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=4)
JUNK = st.sampled_from([b"", b"}", b"\0", b"\xff\xfe"])


@FUZZ
@given(cuts=CUTS, junk=JUNK)
def test_damaged_file_of_keys_is_refused_or_means_what_it_says(
    tmp_path_factory: pytest.TempPathFactory, cuts: list[tuple[int, int]], junk: bytes
) -> None:
    folder = tmp_path_factory.mktemp("keys")
    _, token = KeyFile(folder, SystemClock()).create("web", ["serve"])
    path = folder / "keys.json"
    path.write_bytes(damaged(path.read_bytes(), cuts, junk))
    with suppress(ConfigError):
        keys = KeyFile(folder, SystemClock())
        found = keys.find(token)
        assert found is None or not found.allows("admin")


@FUZZ
@given(cuts=CUTS, junk=JUNK)
def test_damaged_manifest_is_refused(
    tmp_path_factory: pytest.TempPathFactory, cuts: list[tuple[int, int]], junk: bytes
) -> None:
    folder = tmp_path_factory.mktemp("bundle")
    (folder / "a").write_bytes(b"a")
    genuine = seal(folder, created_at=1.0, facts={"metrics": {"ndcg": 0.5}})
    content = (folder / MANIFEST).read_bytes()
    changed = damaged(content, cuts, junk)
    (folder / MANIFEST).write_bytes(changed)
    if changed == content:
        assert read_manifest(folder) == genuine
    else:
        with pytest.raises(BundleError):
            read_manifest(folder)


@settings(max_examples=100, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from([b"authorization", b"x-api-key"]),
        st.binary(max_size=60) | st.sampled_from([b"Bearer", b"bearer ", b"Basic =", b"Basic eA==", b"Basic \xff"]),
    ),
    st.booleans(),
)
def test_any_header_gives_a_token_or_none(headers: dict[bytes, bytes], is_browsed: bool) -> None:
    token = token_of(headers, is_browsed)
    assert token is None or key_id(token) is None or token.startswith("sw_")


# Of a row that is neither as wide as it should be nor UTF-8, Arrow tells its handler nothing but this.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@FUZZ
@given(
    name=st.sampled_from(["interactions.csv", "interactions.jsonl", "items.jsonl", "items.csv"]),
    body=st.binary(max_size=200)
    | st.text('ui1,"\n\r{}:[]\\ nul.-e\0é', max_size=120).map(str.encode)
    | st.lists(
        st.sampled_from(
            [b"user_id,item_id,timestamp", b"u,i,1", b'{"user_id":"u"}', b'{"item_id":[{}]}', b'"', b"\xff"]
        )
    ).map(b"\n".join),
)
def test_any_file_is_imported_or_refused_in_our_own_words(
    tmp_path_factory: pytest.TempPathFactory, name: str, body: bytes
) -> None:
    folder = tmp_path_factory.mktemp("data")
    if not name.startswith("interactions"):
        (folder / "interactions.csv").write_text("user_id,item_id\nu,i\n")
    (folder / name).write_bytes(body)
    with suppress(InputError):
        read_folder(folder, mapping={}, default_action="click", actions=["click"], now=1e9)
