"""Precomputed vectors as attributes: beside the other fields, never in their way."""

from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np

from slatewise.features.attributes import (
    COMPONENTS,
    MAX_TOKENS,
    VECTOR_TOKENS,
    AttributeEncoder,
    AttributeSchema,
    fit_schema,
)


def vectors(n: int = 60, length: int = 48, seed: int = 0) -> list[tuple[float, ...]]:
    return [tuple(row) for row in np.random.default_rng(seed).standard_normal((n, length)).tolist()]


def described(n: int = 60) -> list[dict[str, Any]]:
    """Items with a text longer than a bag, on both sides of the vector's name in the alphabet."""
    words = [f"word{w}" for w in range(90)]
    return [{"about": " ".join([*words, f"only{i}"]), "price": float(i), "zone": "ab"[i % 2]} for i in range(n)]


def with_vectors(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [item | {"embedding": vector} for item, vector in zip(items, vectors(len(items)), strict=True)]


def test_lists_of_numbers_are_a_field_with_a_token_per_component() -> None:
    entities = [{"v": vector} for vector in vectors()]
    schema = fit_schema(entities)
    assert [(field.name, field.kind, field.first, field.size) for field in schema.fields] == [
        ("v", "vector", 1, COMPONENTS)
    ]
    bag = AttributeEncoder(schema).encode(entities)
    assert (bag.token == np.arange(1, 1 + COMPONENTS)).all()
    assert (bag.weight < 0).any()
    np.testing.assert_allclose((bag.weight**2).sum(1).mean(), 1.0, rtol=1e-5)


def test_other_fields_keep_their_bags_bit_for_bit_and_no_component_is_cut() -> None:
    plain = described()
    both = with_vectors(plain)
    without = AttributeEncoder(fit_schema(plain)).encode(plain)
    schema = fit_schema(both)
    bag = AttributeEncoder(schema).encode(both)
    assert without.token.shape[1] == MAX_TOKENS
    assert np.array_equal(bag.weight[:, :MAX_TOKENS], without.weight)
    assert (bag.weight[:, MAX_TOKENS:] != 0).sum() == len(both) * COMPONENTS
    where = {field.name: field.first for field in schema.fields}
    assert np.array_equal(bag.token[0, MAX_TOKENS:], where["embedding"] + np.arange(COMPONENTS))
    shift = np.where(without.token >= where["embedding"], COMPONENTS, 0)
    assert np.array_equal(bag.token[:, :MAX_TOKENS], without.token + shift)


def test_embeddings_of_the_tokens_are_a_linear_layer() -> None:
    entities = [{"v": vector} for vector in vectors()]
    encoder = AttributeEncoder(fit_schema(entities))
    table = np.random.default_rng(1).standard_normal((encoder.schema.tokens, 5))

    def layer(*some: np.ndarray) -> np.ndarray:
        bag = encoder.encode([{"v": tuple(vector.tolist())} for vector in some])
        return np.einsum("nm,nmd->nd", bag.weight, table[bag.token])

    a, b = np.array(vectors()[0]), np.array(vectors()[1])
    between = layer(a, b).mean(0)
    np.testing.assert_allclose(layer((a + b) / 2)[0], between, atol=1e-5)
    assert np.abs(layer(a) - layer(b)).max() > 0.1


def test_a_vector_of_another_length_says_nothing_nor_does_another_kind_of_value() -> None:
    entities = with_vectors(described())
    encoder = AttributeEncoder(fit_schema(entities))
    odd: list[Any] = [(1.0,), tuple(range(49)), "text", 3.0, True, ("a", "b"), (), (0.5, "a"), (float("nan"),) * 48]
    assert not encoder.encode([{"embedding": value} for value in odd]).token.any()
    assert not encoder.encode([{"price": (1.0, 2.0), "zone": (1.0,), "about": (1.0, 2.0)}]).token.any()


def test_one_vector_is_encoded_alike_alone_and_among_others() -> None:
    entities = with_vectors(described())
    encoder = AttributeEncoder(fit_schema(entities))
    alone = encoder.encode(entities[7:8])
    among = encoder.encode(entities)
    assert np.array_equal(alone.token[0], among.token[7])
    assert np.array_equal(alone.weight[0], among.weight[7])


def test_many_attributes_of_vectors_share_the_room_there_is() -> None:
    by_name = {f"v{n:03}": vectors(seed=n) for n in range(12)}
    entities: list[Mapping[str, Any]] = [{name: column[i] for name, column in by_name.items()} for i in range(60)]
    schema = fit_schema(entities)
    assert {field.size for field in schema.fields} == {VECTOR_TOKENS // 12}
    assert (AttributeEncoder(schema).encode(entities).weight != 0).all()


def test_the_schema_is_compact_in_json_and_reads_back() -> None:
    entities = [{"v": vector} for vector in vectors(200, 768)]
    schema = fit_schema(entities)
    text = msgspec.json.format(msgspec.json.encode(schema))
    assert len(text) < 1.5 * 4 * 768 * (COMPONENTS + 1)
    again = msgspec.json.decode(text, type=AttributeSchema)
    assert again == schema
    before, after = (AttributeEncoder(s).encode(entities[:3]) for s in (schema, again))
    assert np.array_equal(before.weight, after.weight)


def test_a_schema_written_before_there_were_vectors_still_reads() -> None:
    old = b"""{"fields": [
        {"name": "colour", "kind": "categorical", "first": 1, "size": 2, "values": ["blue", "red"], "edges": []},
        {"name": "price", "kind": "numeric", "first": 3, "size": 2, "values": [], "edges": [2.5]}
    ]}"""
    encoder = AttributeEncoder(msgspec.json.decode(old, type=AttributeSchema))
    bag = encoder.encode([{"colour": "red", "price": 3.0, "embedding": (0.1, 0.2)}])
    assert bag.token.tolist() == [[2, 4]]
