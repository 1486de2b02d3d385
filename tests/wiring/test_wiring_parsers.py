"""What comes from outside may be anything: parsers answer with our own errors or not at all."""

from contextlib import suppress
from pathlib import Path
from tempfile import mkdtemp

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from slatewise.bundles.history import Promotion, read_promotions
from slatewise.bundles.manifest import MANIFEST, read_manifest, seal
from slatewise.bundles.vocabulary import load_vocabulary, save_vocabulary
from slatewise.datasets.folder import read_folder
from slatewise.domain.candidate import Candidates
from slatewise.domain.errors import BundleError, ConfigError, Expired, InputError, StorageError
from slatewise.domain.keys import key_id
from slatewise.http.fields import decoded
from slatewise.http.gate import token_of
from slatewise.serving.cursors import Cursors
from slatewise.serving.held import Held
from slatewise.storage.archive import pack, unpack
from slatewise.telemetry.clock import SystemClock
from slatewise.wiring.keys import KeyFile
from slatewise.wiring.ledger import LEDGER, Ledger
from slatewise.wiring.settings import load_settings

FUZZ = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))


def damaged(content: bytes, cuts: list[tuple[int, int]], junk: bytes) -> bytes:
    found = bytearray(content)
    for place, byte in cuts:
        found[place % len(found)] = byte
    return bytes(found) + junk


CUTS = st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=4)
JUNK = st.sampled_from([b"", b"}", b"\0", b"\xff\xfe"])
DEEP = [b"[" * 50_000, b'{"a":' * 50_000, b"[" * 50_000 + b"]" * 50_000, b'{"format":1,"facts":{"a":' + b"[" * 50_000]
"""What exhausts a reader that calls itself for each level."""


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


FILES = {
    "keys": ("keys.json", lambda folder: KeyFile(folder, SystemClock()), (ConfigError,)),
    "settings": ("s.toml", lambda folder: load_settings(folder / "s.toml", {}, {}), (ConfigError,)),
    "manifest": (MANIFEST, read_manifest, (BundleError,)),
    "vocabulary": ("rows.json", lambda folder: load_vocabulary(folder / "rows.json"), (BundleError,)),
    "promotions": ("HISTORY", lambda folder: read_promotions(folder / "HISTORY"), ()),
    "ledger": (LEDGER, lambda folder: Ledger(folder).entries(), (StorageError,)),
    "backup": (
        "b.tar",
        lambda folder: unpack(folder / "b.tar", Path(mkdtemp(dir=folder)), lambda name: True),
        (StorageError,),
    ),
}
"""What is read, by whom, and how it is refused."""


def written(folder, kind):
    """Return the bytes of a good file of a kind."""
    name = FILES[kind][0]
    (folder / "a").write_bytes(b"a")
    if kind == "keys":
        KeyFile(folder, SystemClock()).create("web", ["serve"])
    elif kind == "settings":
        (folder / name).write_text("[serving]\nmax_size = 40\n[actions.save]\nweight = 2.5\nseen = true\n")
    elif kind == "manifest":
        seal(folder, created_at=1.0, facts={"metrics": {"ndcg": 0.5}})
    elif kind == "vocabulary":
        save_vocabulary(folder / name, ["i1", "ü2"])
    elif kind == "promotions":
        (folder / name).write_bytes(Promotion(bundle="b" * 16, at=1.0, how="promote").line() + b"\n")
    elif kind == "ledger":
        Ledger(folder).begin("u1", 1.0)
    else:
        pack({"a": folder / "a"}, {"made": "now"}, folder / name)
    return (folder / name).read_bytes()


@pytest.mark.parametrize("kind", FILES)
@settings(FUZZ, max_examples=10)
@given(cuts=CUTS, junk=JUNK | st.binary(max_size=40), whole=st.none() | st.binary(max_size=200) | st.sampled_from(DEEP))
def test_any_file_of_a_home_is_read_or_refused_in_our_own_words(
    tmp_path_factory: pytest.TempPathFactory, kind: str, cuts: list[tuple[int, int]], junk: bytes, whole: bytes | None
) -> None:
    folder = tmp_path_factory.mktemp(kind)
    name, read, refused = FILES[kind]
    content = damaged(written(folder, kind), cuts, junk) if whole is None else whole
    (folder / name).write_bytes(content)
    with suppress(*refused):
        read(folder)


@pytest.mark.parametrize("kind", FILES)
@pytest.mark.parametrize("deep", [*DEEP, b"a = " + b"[" * 50_000, b"a = " + b"1" * 5_000])
def test_file_that_is_made_to_exhaust_its_reader_is_refused_like_any_other(tmp_path, kind, deep):
    name, read, refused = FILES[kind]
    for content in (deep, deep + b"}\n"):
        (tmp_path / name).write_bytes(content)
        with suppress(*refused):
            read(tmp_path)


@FUZZ
@given(
    name=st.sampled_from(["serving.max_size", "reranking.pins", "reranking.boosts", "actions.view.seen", "index.kind"]),
    text=st.text(max_size=40) | st.sampled_from(["[" * 50_000, "1" * 5_000, "[{at = 1}]", "nan", "-1", "[[]]"]),
    is_flag=st.booleans(),
)
def test_any_text_of_a_flag_or_variable_is_a_setting_or_refused(name: str, text: str, is_flag: bool) -> None:
    variable = "SLATEWISE_" + name.upper().replace(".", "__")
    with suppress(ConfigError):
        load_settings(None, {} if is_flag else {variable: text}, {name: text} if is_flag else {})


@FUZZ
@given(cuts=CUTS, junk=JUNK, whole=st.none() | st.text(max_size=80) | st.just("A" * 20_000))
def test_any_cursor_is_ours_or_refused(cuts: list[tuple[int, int]], junk: bytes, whole: str | None) -> None:
    cursors = Cursors(b"secret", SystemClock(), 60.0)
    held = Held(Candidates.empty("popular"), 3, "b1", 1.0)
    genuine = cursors.write(held, 1, "full", b"theme", -1)
    sent = damaged(genuine.encode(), cuts, junk).decode("latin-1") if whole is None else whole
    if sent == genuine:
        assert cursors.read(sent, b"theme").page == 1
    else:
        with pytest.raises((InputError, Expired)):
            cursors.read(sent, b"theme")


@settings(FUZZ, max_examples=100)
@given(st.binary(max_size=30).map(lambda raw: raw.decode("latin-1")) | st.text("%0aF\xff/ü", max_size=20))
def test_any_path_is_an_id_or_refused(raw: str) -> None:
    with suppress(ValueError):
        assert 1 <= len(decoded(raw)) <= 256


@pytest.mark.parametrize("name", ["interactions", "items"])
@settings(FUZZ, max_examples=12)
@example(cuts=[(206, 128)], junk=b"", keep=0)  # a column's name that is no UTF-8
@example(cuts=[(1452, 128)], junk=b"", keep=0)  # an item's id that is none
@given(cuts=CUTS, junk=JUNK, keep=st.integers(0, 2_000))
def test_any_parquet_file_is_imported_or_refused_in_our_own_words(
    tmp_path_factory: pytest.TempPathFactory, name: str, cuts: list[tuple[int, int]], junk: bytes, keep: int
) -> None:
    folder = tmp_path_factory.mktemp("data")
    columns = {"user_id": ["u", "v"], "item_id": ["i", "j"], "timestamp": [1.0, 2.0]}
    pq.write_table(pa.table(columns), folder / "interactions.parquet")
    if name == "items":
        pq.write_table(pa.table({"item_id": ["i"], "price": [1.5]}), folder / "items.parquet")
    path = folder / f"{name}.parquet"
    path.write_bytes(damaged(path.read_bytes(), cuts, junk)[: keep or None])
    with suppress(InputError):
        read_folder(folder, mapping={}, default_action="click", actions=["click"], now=1e9)
