"""Every setting: name, default, unit and help, written once. Knows nothing of files or the environment (see wiring).

Nested like the folders. `wiring` reads TOML < environment < flag into these values; the docs page and
``slatewise settings`` are made from the ``help`` metadata.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from slatewise.domain.query import Condition


def setting(default: Any, help: str) -> Any:
    """Declare one setting with its help text."""
    if isinstance(default, (dict, list)):
        return field(default_factory=lambda: default, metadata={"help": help})
    return field(default=default, metadata={"help": help})


@dataclass(frozen=True, slots=True)
class ActionSettings:
    """One kind of interaction."""

    weight: float = setting(1.0, "share of this action's probability in the final score; negative for dislikes")
    seen: bool = setting(False, "whether an item is not shown again to a user after this action")


DEFAULT_ACTIONS: Mapping[str, ActionSettings] = {
    "interaction": ActionSettings(weight=1.0, seen=True),
    "view": ActionSettings(weight=0.2),
    "click": ActionSettings(weight=1.0),
    "cart": ActionSettings(weight=2.0),
    "buy": ActionSettings(weight=4.0, seen=True),
    "like": ActionSettings(weight=2.0, seen=True),
    "dislike": ActionSettings(weight=-2.0, seen=True),
}


@dataclass(frozen=True, slots=True)
class IngestSettings:
    """What is accepted."""

    default_action: str = setting("interaction", "action of imported rows and events that name none")
    unknown_items: Literal["create", "refuse"] = setting(
        "create", "whether an interaction with an unknown item adds it to the catalogue or is refused"
    )
    max_batch: int = setting(10_000, "events in one request at most")


@dataclass(frozen=True, slots=True)
class StorageSettings:
    """The event log."""

    url: str = setting("", "a PostgreSQL that holds the event log: postgresql://…; empty: a file in HOME")
    schema: str = setting("slatewise", "schema of the event log in that database, created where it is missing")
    history_length: int = setting(200, "newest interactions kept per user for towers and features")
    cached_users: int = setting(50_000, "user states kept in memory at most")


@dataclass(frozen=True, slots=True)
class IndexSettings:
    """The vector index."""

    kind: Literal["auto", "exact", "ivf", "hnsw", "pgvector", "milvus"] = setting(
        "auto", "auto: exact up to exact_up_to items, ivf above"
    )
    exact_up_to: int = setting(50_000, "items up to which an exact scan is fast enough (auto)")
    recall: float = setting(0.98, "recall@100 that the number of lists and probes is chosen for (ivf)")
    lists: int = setting(0, "inverted lists; 0: chosen when the index is built (ivf)")
    probes: int = setting(0, "lists scanned per search; 0: chosen when the index is built (ivf)")
    audit: float = setting(0.001, "share of searches repeated exactly, in the background, to measure recall; 0: none")
    url: str = setting("", "the server: postgresql://… (pgvector), http://… or a file ending in .db (milvus)")
    connectivity: int = setting(16, "neighbours per node (hnsw M)")
    expansion_add: int = setting(128, "candidates examined when adding (hnsw efConstruction)")
    expansion_search: int = setting(128, "candidates examined when searching (hnsw ef)")


@dataclass(frozen=True, slots=True)
class RetrievalSettings:
    """How many candidates each source may offer."""

    two_tower: int = setting(100, "candidates from the vector index, after seen items are left out")
    item_to_item: int = setting(30, "candidates that often follow the user's last items")
    trending: int = setting(10, "candidates from what many users touch now")
    new_arrivals: int = setting(5, "candidates from the newest items")


@dataclass(frozen=True, slots=True)
class FilteringSettings:
    """What may be shown at all."""

    seen: bool = setting(True, "drop items the user already has by an action declared as seen")


@dataclass(frozen=True, slots=True)
class AbuseSettings:
    """How far one user may move what is shown to others."""

    repeats: int = setting(
        3,
        "times that one user counts for one item in what is popular, trends, or follows an item; 0: every time. From "
        "the next training on",
    )
    repeat_days: float = setting(7.0, "days after which a user who reached abuse.repeats counts for the item once more")


@dataclass(frozen=True, slots=True)
class RankingSettings:
    """The deep ranker in the request path."""

    kind: Literal["auto", "small", "off"] = setting(
        "auto", "auto: the bundle's ranker; small: its small variant; off: keep the order of retrieval"
    )
    precision: Literal["auto", "float"] = setting(
        "auto", "auto: 8-bit numbers where training found them as good and faster; float: 32-bit numbers"
    )
    small_below_ms: float = setting(3.0, "time left before the deadline below which the small variant ranks")
    limit: int = setting(150, "candidates ranked at most, in the order of retrieval")


@dataclass(frozen=True, slots=True)
class PinSettings:
    """One item fixed to one place."""

    item_id: str = setting("", "the item")
    position: int = setting(0, "its 0-based place in the slate")


@dataclass(frozen=True, slots=True)
class BoostSettings:
    """A factor on the score of the items that meet every condition; conditions are those of a query's ``where``."""

    where: Mapping[str, Condition] = setting({}, "attribute = condition, one at least; all must hold")
    factor: float = setting(1.0, "finite and above 0: 2 doubles a score, 0.5 halves it, 1 changes nothing")


@dataclass(frozen=True, slots=True)
class RerankingSettings:
    """How the slate is composed from the ranked candidates."""

    cap_attribute: str = setting("categories", "attribute whose values are capped within a slate")
    cap: int = setting(0, "items of one value in a slate at most; 0 lifts the cap")
    diversity: float = setting(0.0, "0 to 1: weight of distance to the items placed already (MMR over item vectors)")
    exploration: float = setting(0.0, "probability that the last place goes to a new item from the reserve")
    pins: tuple[PinSettings, ...] = setting((), "items at fixed places, where they may be shown at all")
    boosts: tuple[BoostSettings, ...] = setting(
        (), "factors on the scores of items that meet conditions, before diversity and cap"
    )


@dataclass(frozen=True, slots=True)
class CacheSettings:
    """The result cache."""

    max_bytes: int = setting(64_000_000, "memory for kept slates at most, about 1,500 bytes each; 0 switches it off")
    ttl_s: float = setting(60.0, "seconds a slate may be reused while nothing changed")
    url: str = setting("", "a Redis that processes on one HOME share kept slates through: redis://…; empty: none")
    timeout_ms: float = setting(20.0, "longest wait for that Redis; three in a row that fail, and it is left alone")


@dataclass(frozen=True, slots=True)
class ServingSettings:
    """The request path."""

    max_size: int = setting(500, "items in one slate at most")
    reserve: int = setting(100, "ranked items kept behind a slate for refills from the cache")
    deadline_ms: float = setting(200.0, "time for one slate; later stages are skipped once it is spent")
    max_wait_ms: float = setting(1000.0, "longest wait for min_version")
    cursor_ttl_s: float = setting(3600.0, "seconds after a first page in which its further pages may be asked for")


@dataclass(frozen=True, slots=True)
class TrainingSettings:
    """What `slatewise train` learns with. Defaults suit 100k to 10M interactions on 2 cores."""

    deep: Literal["auto", "on", "off"] = setting(
        "auto",
        "auto: towers where torch is installed and validation approves; on: towers in any case; off: linear only",
    )
    ranker: Literal["auto", "off"] = setting(
        "auto", "auto: a deep ranker where torch is installed; off: retrieval learns from all data and orders alone"
    )
    dim: int = setting(64, "width of the embeddings")
    factors: Literal["spectral", "als"] = setting(
        "spectral", "matrix factorisation behind the vectors of bundles without deep models"
    )
    lists: Literal["auto", "off"] = setting("auto", "auto: neighbour lists beside the vectors; off: vectors alone")
    linear_rank: int = setting(1024, "spectral signals behind the neighbour lists at most; fewer above 100,000 items")
    history_length: int = setting(200, "interactions the user tower reads")
    layers: int = setting(2, "blocks of the user tower")
    heads: int = setting(2, "attention heads per block")
    dropout: float = setting(0.2, "dropout of the towers")
    temperature: float = setting(0.05, "softmax temperature of the cosine between the towers")
    negatives: int = setting(768, "shared sampled negatives per batch")
    batch_size: int = setting(32, "histories per batch")
    learning_rate: float = setting(1e-3, "peak learning rate, cosine decay")
    epochs: int = setting(50, "passes over the histories at most; early stopping ends sooner")
    patience: int = setting(10, "validations without a better NDCG@10 before stopping")
    minutes: float = setting(20.0, "time for the towers at most; the learning rate decays to the end of it")
    ranker_minutes: float = setting(6.0, "time for the ranker at most")
    ranker_lists: int = setting(20_000, "training slates for the ranker at most")
    ranker_epochs: int = setting(8, "passes over the slates at most; fewer where slates are many")
    position_bias: Literal["corrected", "ignored"] = setting(
        "corrected", "corrected: learn beside the ranker what a place in a shown slate does to it, and serve without"
    )
    follow_up_hours: float = setting(
        24.0,
        "a weightier action that names no slate belongs to the one its item was taken from, shown at most so long ago; "
        "0: slates have what names them",
    )
    stream_from: int = setting(5_000_000, "interactions above which towers read histories from a file, not memory")
    seed: int = setting(0, "seed of every random choice")
    threads: int = setting(0, "threads for training; 0 uses all cores")


@dataclass(frozen=True, slots=True)
class HttpSettings:
    """The HTTP door."""

    host: str = setting("127.0.0.1", "address to bind; loopback by default")
    port: int = setting(8080, "port to bind")
    max_body_bytes: int = setting(8_000_000, "largest accepted request body")
    without_keys: Literal["loopback", "anyone"] = setting(
        "loopback",
        "who is served while no API key was made: this machine alone, on other addresses the server does not start; or "
        "anyone who reaches the address, for a proxy that checks callers",
    )
    rate: float = setting(0.0, "requests a second that each key may send to each worker; 0: no limit")
    burst: int = setting(0, "requests that a key may send at once after a pause; 0: two seconds' worth")
    max_concurrency: int = setting(
        0, "slates computed at once by one worker; 0: its share of the processors, two at least"
    )
    queue: int = setting(
        1000, "requests of one class that may wait at most; fewer where they would not be answered in time"
    )
    head_s: float = setting(10.0, "seconds for a request's head to arrive; a connection that takes longer is closed")
    connections: int = setting(
        10_000,
        "open connections of one worker at most, fewer where the system allows fewer files; idle ones make room",
    )
    queue_share: float = setting(
        0.25,
        "of serving.deadline_ms: what a request may wait while more is asked than can be done; a burst, twice that",
    )
    log: Literal["text", "json"] = setting("text", "how log lines are written; json: one object a line, on stderr")
    access_log: bool = setting(
        False, "write a line per request: route, status, time, request id, and the user as a keyed hash"
    )
    log_key: str = setting("", "key of the hashes of users in the access log; empty: another one at each start")
    workers: int = setting(1, "processes that serve one HOME behind one address; not on Windows")


@dataclass(frozen=True, slots=True)
class TelemetrySettings:
    """What is observed."""

    impressions: Literal["on", "off"] = setting("on", "append what was shown to the event log, after the answer")
    traces: Literal["off", "otlp"] = setting(
        "off", "otlp: send one OpenTelemetry trace per slate, to where the OTEL_EXPORTER_OTLP_… variables say"
    )


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings, as one frozen value."""

    actions: Mapping[str, ActionSettings] = field(
        default_factory=lambda: dict(DEFAULT_ACTIONS), metadata={"help": "kinds of interaction, by name"}
    )
    ingest: IngestSettings = field(default_factory=IngestSettings)
    storage: StorageSettings = field(default_factory=StorageSettings)
    index: IndexSettings = field(default_factory=IndexSettings)
    retrieval: RetrievalSettings = field(default_factory=RetrievalSettings)
    filtering: FilteringSettings = field(default_factory=FilteringSettings)
    abuse: AbuseSettings = field(default_factory=AbuseSettings)
    ranking: RankingSettings = field(default_factory=RankingSettings)
    reranking: RerankingSettings = field(default_factory=RerankingSettings)
    cache: CacheSettings = field(default_factory=CacheSettings)
    serving: ServingSettings = field(default_factory=ServingSettings)
    training: TrainingSettings = field(default_factory=TrainingSettings)
    http: HttpSettings = field(default_factory=HttpSettings)
    telemetry: TelemetrySettings = field(default_factory=TelemetrySettings)

    @property
    def action_names(self) -> tuple[str, ...]:
        """Action names in their declared order: the meaning of every ``action`` column."""
        return tuple(self.actions)

    @property
    def seen_actions(self) -> frozenset[int]:
        """Indexes of the actions after which an item is not shown again."""
        return frozenset(i for i, a in enumerate(self.actions.values()) if a.seen)

    @property
    def positive_actions(self) -> frozenset[int]:
        """Indexes of the actions worth predicting: those of positive weight."""
        return frozenset(i for i, a in enumerate(self.actions.values()) if a.weight > 0)
