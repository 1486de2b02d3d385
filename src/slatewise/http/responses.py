"""What is answered, as models for OpenAPI. The bytes are written by ``encoding.py``; a test holds the two together."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class Told(BaseModel):
    """Base of everything answered."""

    model_config = ConfigDict(extra="forbid")


class ReceiptOut(Told):
    """What became of a write, after it is durable and visible."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"accepted": 1, "duplicates": 0, "version": 1042}]})

    accepted: int = Field(description="New ones.")
    duplicates: int = Field(description="Ones known already, by event_id.")
    version: int = Field(description="Pass it as min_version; an answer with as_of at or above it reflects this write.")


class ErasureOut(ReceiptOut):
    """What was destroyed of a user."""

    model_config = ConfigDict(json_schema_extra={})

    interactions: int
    impressions: int
    changes: int = Field(description="Descriptions of the user, and earlier removals.")
    rejects: int = Field(description="Lines that imports refused and that named the user.")
    entry: str = Field(description="The entry of the erasure ledger, which restored backups are held against.")
    at: float = Field(description="Seconds since the epoch.")
    bundles: list[str] = Field(description="Bundles trained before: the user had a part in what they learned.")


class ItemOut(Told):
    """An item as it stands."""

    item_id: str
    title: str | None
    categories: list[str]
    attributes: dict[str, str | float | bool | list[str] | list[float]]
    available: bool
    created_at: float | None = Field(description="Seconds since the epoch.")
    changed_at: float | None = Field(description="Seconds since the epoch.")


class UserOut(Told):
    """A user's attributes as they stand."""

    user_id: str
    attributes: dict[str, str | float | bool | list[str] | list[float]]
    changed_at: float | None = Field(description="Seconds since the epoch.")


class UserChangeOut(Told):
    """What a user was said to be."""

    timestamp: float = Field(description="Seconds since the epoch.")
    attributes: dict[str, str | float | bool | list[str] | list[float]]


class InteractionOut(Told):
    """What a user did."""

    item_id: str
    action: str
    timestamp: float | None = Field(description="Seconds since the epoch; null where unknown.")
    value: float
    event_id: str | None
    request_id: str | None


class ImpressionOut(Told):
    """What a user was shown."""

    timestamp: float = Field(description="Seconds since the epoch.")
    request_id: str
    shown: list[str]
    propensity: list[float] | None = None
    explored_from: int = 0
    context: dict[str, str | float | bool | list[str]] = {}


class UserExportOut(Told):
    """All that is known of a user."""

    user_id: str
    attributes: dict[str, str | float | bool | list[str] | list[float]] = Field(description="As last told.")
    changes: list[UserChangeOut]
    interactions: list[InteractionOut]
    impressions: list[ImpressionOut]


class AnswerItemOut(Told):
    """One item of an answer."""

    item_id: str
    score: float | None = Field(description="Higher is better; comparable within one answer only. Null: no opinion.")
    position: int = Field(description="0-based place.")
    source: str = Field(description="The retrieval source that offered it first.")


class ExplainedOut(Told):
    """One candidate's way through the funnel."""

    item_id: str
    source: str
    retrieval_score: float | None
    retrieval_position: int
    outcome: str = Field(description="shown, reserve or dropped.")
    position: int | None
    dropped_by: str | None = Field(description="stage/name of the component that dropped it.")
    reason: str | None = Field(description="Why it stands at its position.")
    propensity: float | None = Field(description="How likely it was to stand there, given the candidates.")
    score: float | None
    features: dict[str, float | None]
    probabilities: dict[str, float | None] = Field(description="Per action.")


class RecommendationOut(Told):
    """A slate."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "request_id": "01JH5Z",
                    "items": [{"item_id": "sock-2", "score": 0.81, "position": 0, "source": "two_tower"}],
                    "cached": False,
                    "as_of": 1042,
                    "bundle": "20260101-120000-ab12",
                    "degraded": [],
                    "timing_ms": {"retrieval": 1.9, "filtering": 0.1, "ranking": 3.2, "reranking": 0.1},
                    "cursor": None,
                }
            ]
        }
    )

    request_id: str = Field(description="Name it in the events that follow from this answer.")
    items: list[AnswerItemOut]
    cached: bool
    as_of: int = Field(description="The version this answer reflects.")
    bundle: str = Field(description="The bundle that made it.")
    degraded: list[str] = Field(description="What the answer had to do without, as 'component: reason'.")
    timing_ms: dict[str, float]
    cursor: str | None = Field(
        description="Send it with the same query for the next page, within serving.cursor_ttl_s; null: the last."
    )
    explanation: list[ExplainedOut] | None = Field(None, description="Only where explain was asked for.")


class SimilarOut(Told):
    """The items most like one."""

    item_id: str
    items: list[AnswerItemOut]


class BundleOut(Told):
    """One published bundle."""

    id: str
    created_at: float | None = Field(description="Seconds since the epoch.")
    live: bool
    metrics: dict[str, object]


class BundlesOut(Told):
    """The published bundles."""

    bundles: list[BundleOut]


class PromotedOut(Told):
    """The bundle that is live now."""

    bundle: str


class HealthOut(Told):
    """The process is alive."""

    status: str


class ReadyOut(Told):
    """Recommendations can be answered."""

    status: str
    bundle: str
    version: int
    trouble: str | None = Field(description="Why writes are refused now, such as a full disk; null where they are not.")


class FieldProblem(Told):
    """One field that was refused."""

    field: str = Field(description="Its path, such as events[0].item_id.")
    message: str


class Problem(Told):
    """An error as RFC 9457 describes it."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    errors: list[FieldProblem] | None = Field(None, description="Every field that was refused, where there are any.")
