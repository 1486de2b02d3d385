"""One bag for who asks and from where."""

import numpy as np

from slatewise.features.attributes import AttributeEncoder, AttributeSchema, fit_schema
from slatewise.features.request_bag import RequestEncoder
from slatewise.ports.models import Bag

USERS = fit_schema([{"country": "nl", "age": float(a)} for a in range(20)] + [{"country": "de"}] * 2)
CONTEXTS = fit_schema([{"device": d, "country": "nl", "hour": float(h)} for d in ("app", "web") for h in range(12)])


def pairs(bag: Bag, row: int = 0) -> list[tuple[int, float]]:
    """Return a bag's tokens and weights in order, without its padding."""
    held = bag.token[row] > 0
    return list(zip(bag.token[row][held].tolist(), bag.weight[row][held].tolist(), strict=True))


def test_users_tokens_come_first_and_the_contexts_behind_all_of_theirs() -> None:
    encoder = RequestEncoder(USERS, CONTEXTS)
    who, where = {"country": "de", "age": 3.0}, {"device": "web", "hour": 7.0}
    behind = USERS.tokens - 1
    own = pairs(AttributeEncoder(CONTEXTS).encode([where]))
    expected = [*pairs(AttributeEncoder(USERS).encode([who])), *((token + behind, weight) for token, weight in own)]
    assert pairs(encoder.bags([who], [where])) == expected
    assert len(expected) == 4
    assert min(token for token, _ in expected[2:]) >= USERS.tokens
    assert max(token for token, _ in expected) < encoder.tokens == USERS.tokens + CONTEXTS.tokens - 1


def test_alone_or_among_others_a_request_reads_the_same() -> None:
    encoder = RequestEncoder(USERS, CONTEXTS)
    who = [{"country": "nl", "age": 4.0}, {}, {"age": 9.0}, {}]
    where = [{}, {"device": "app"}, {"device": "app", "country": "nl", "hour": 2.0}, {}]
    together = encoder.bags(who, where)
    for row, (one, context) in enumerate(zip(who, where, strict=True)):
        assert pairs(together, row) == pairs(encoder.bags([one], [context]))
    assert together.token.dtype == np.int64
    assert together.weight.dtype == np.float32


def test_what_no_schema_knows_is_ignored() -> None:
    encoder = RequestEncoder(USERS, CONTEXTS)
    odd = {"device": "fridge", "mood": "fine", "hour": "seven", "session": ("a", "b")}
    assert pairs(encoder.bags([{"country": "nl"}], [odd])) == pairs(encoder.bags([{"country": "nl"}], [{}]))


def test_a_context_outranks_a_users_attribute_of_its_name_and_is_told_as_well() -> None:
    encoder = RequestEncoder(USERS, CONTEXTS)
    told = encoder.users([{"country": "de"}], [{"country": "nl"}])
    assert pairs(told) == pairs(encoder.users([{"country": "nl"}], [{}]))
    both = pairs(encoder.bags([{"country": "de"}], [{"country": "nl"}]))
    assert both[:1] == pairs(told)
    assert both[1][0] >= USERS.tokens


def test_where_no_context_was_ever_logged_the_bag_is_that_of_the_user() -> None:
    encoder = RequestEncoder(USERS, AttributeSchema(()))
    bag = encoder.bags([{"country": "nl"}], [{"device": "app"}])
    assert pairs(bag) == pairs(AttributeEncoder(USERS).encode([{"country": "nl"}]))
    assert encoder.tokens == USERS.tokens
    assert bag.token.shape == (1, 1)
