"""/healthz, /readyz, /metrics, and the OpenAPI document."""

import json
from html.parser import HTMLParser

import pytest
from pydantic import TypeAdapter

from slatewise.domain.errors import BundleError
from slatewise.http import responses

ROUTES = {
    ("post", "/v1/events"),
    ("put", "/v1/items"),
    ("get", "/v1/items/{item_id}"),
    ("delete", "/v1/items/{item_id}"),
    ("get", "/v1/items/{item_id}/similar"),
    ("put", "/v1/users"),
    ("get", "/v1/users/{user_id}"),
    ("get", "/v1/users/{user_id}/export"),
    ("delete", "/v1/users/{user_id}"),
    ("post", "/v1/recommendations"),
    ("get", "/v1/recommendations/{user_id}"),
    ("get", "/v1/bundles"),
    ("post", "/v1/bundles/{bundle_id}/promote"),
    ("get", "/healthz"),
    ("get", "/readyz"),
    ("get", "/metrics"),
}


def test_alive_even_without_a_bundle_and_ready_only_with_one(open_door, memory_home):
    home = memory_home(live=None)
    call = open_door(home)
    assert call("GET", "/healthz").status_code == 200
    answer = call("GET", "/readyz")
    assert (answer.status_code, answer.json()["type"]) == (503, "urn:slatewise:problem:not-ready")
    home.promote("b1")
    assert call("GET", "/readyz").json() == {"status": "ready", "bundle": "b1", "version": 0, "trouble": None}


def test_store_that_refuses_writes_is_named_while_reads_go_on(call, home):
    assert "slatewise_log_writable 1.0" in call("GET", "/metrics").text
    home.trouble = "the disk is full"
    answer = call("GET", "/readyz")
    assert (answer.status_code, answer.json()["trouble"]) == (200, "the disk is full")
    assert "slatewise_log_writable 0.0" in call("GET", "/metrics").text


def test_bundle_that_cannot_be_opened_is_not_ready_and_costs_no_metrics(call, home):
    home.fault = BundleError("/secret is damaged")
    answer = call("GET", "/readyz")
    assert answer.status_code == 503
    assert "/secret" not in answer.text
    assert call("GET", "/healthz").status_code == 200
    assert "slatewise_log_version 0.0" in call("GET", "/metrics").text


def test_requests_are_counted_by_template_and_never_by_path(call):
    for path in ("/v1/items/secret-1", "/v1/items/secret-2", "/v1/items/s/similar", "/secret-3", "/healthz"):
        call("GET", path)
    call("SECRET", "/healthz")
    text = call("GET", "/metrics").text
    assert 'slatewise_requests_total{method="GET",route="/v1/items/{item_id}",status="404"} 2.0' in text
    assert 'slatewise_requests_total{method="GET",route="/v1/items/{item_id}/similar",status="404"} 1.0' in text
    assert 'slatewise_requests_total{method="GET",route="unmatched",status="404"} 1.0' in text
    assert 'slatewise_requests_total{method="other",route="/healthz",status="405"} 1.0' in text
    assert "secret" not in text.lower()


def test_unexpected_error_is_counted_as_500(call, home):
    home.fault = RuntimeError("x")
    call("GET", "/v1/recommendations/u")
    home.fault = None
    text = call("GET", "/metrics").text
    assert 'slatewise_requests_total{method="GET",route="/v1/recommendations/{user_id}",status="500"} 1.0' in text


def test_metrics_tell_the_live_bundle_and_the_version_as_of_now(call, home):
    assert 'slatewise_live_bundle_info{bundle="b1"} 1.0' in call("GET", "/metrics").text
    home.promote("b2")
    call("POST", "/v1/events", {"events": [{"user_id": "u", "item_id": "a"}]})
    text = call("GET", "/metrics").text
    assert 'slatewise_live_bundle_info{bundle="b2"} 1.0' in text
    assert 'bundle="b1"' not in text
    assert "slatewise_log_version 1.0" in text


def test_document_holds_every_route_with_shapes_and_problems(call):
    answer = call("GET", "/openapi.json")
    document = json.loads(answer.text)
    found = {(method, path) for path, methods in document["paths"].items() for method in methods}
    assert found == ROUTES
    for method, path in ROUTES - {("get", "/metrics")}:
        operation = document["paths"][path][method]
        assert operation["summary"]
        assert operation["description"]
        assert "$ref" in operation["responses"]["200"]["content"]["application/json"]["schema"]
        if method in ("post", "put") and "promote" not in path:
            assert operation["requestBody"]["required"]
        for status, response in operation["responses"].items():
            assert status < "400" or list(response["content"]) == ["application/problem+json"]


def test_document_refers_to_nothing_that_it_lacks(call):
    text = call("GET", "/openapi.json").text
    known = json.loads(text)["components"]["schemas"]
    references = {part.partition('"')[0] for part in text.split('"$ref":"#/components/schemas/')[1:]}
    assert "Problem" in references
    assert references <= set(known)


def test_examples_in_the_document_are_accepted(call):
    schemas = call("GET", "/openapi.json").json()["components"]["schemas"]
    for schema, method, path in (
        ("ItemsIn", "PUT", "/v1/items"),
        ("UsersIn", "PUT", "/v1/users"),
        ("EventsIn", "POST", "/v1/events"),
        ("RecommendationIn", "POST", "/v1/recommendations"),
    ):
        for example in schemas[schema]["examples"]:
            assert call(method, path, example).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "sent", "model"),
    [
        ("POST", "/v1/events", {"events": [{"user_id": "u", "item_id": "b"}]}, responses.ReceiptOut),
        ("PUT", "/v1/users", {"users": [{"user_id": "u"}]}, responses.ReceiptOut),
        ("GET", "/v1/items/a", None, responses.ItemOut),
        ("GET", "/v1/items/a/similar", None, responses.SimilarOut),
        ("DELETE", "/v1/items/a", None, responses.ReceiptOut),
        ("GET", "/v1/users/v", None, responses.UserOut),
        ("GET", "/v1/users/v/export", None, responses.UserExportOut),
        ("DELETE", "/v1/users/v", None, responses.ErasureOut),
        ("POST", "/v1/recommendations", {"explain": True}, responses.RecommendationOut),
        ("GET", "/v1/recommendations/u", None, responses.RecommendationOut),
        ("GET", "/v1/bundles", None, responses.BundlesOut),
        ("POST", "/v1/bundles/b2/promote", None, responses.PromotedOut),
        ("GET", "/healthz", None, responses.HealthOut),
        ("GET", "/readyz", None, responses.ReadyOut),
        ("GET", "/nowhere", None, responses.Problem),
        ("POST", "/v1/events", {"events": [{}]}, responses.Problem),
    ],
)
def test_answer_is_what_the_document_says(call, method, path, sent, model):
    call("PUT", "/v1/items", {"items": [{"item_id": "a", "attributes": {"p": 1, "t": ["x"]}}, {"item_id": "c"}]})
    call("PUT", "/v1/users", {"users": [{"user_id": "v", "attributes": {"p": True}}]})
    TypeAdapter(model).validate_json(call(method, path, sent).content, strict=True)


class Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.inline = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.inline |= tag == "script" and "src" not in given
        self.inline |= any(name.startswith("on") for name in given)
        self.found += [str(given[name]) for name in ("src", "href") if name in given]


def test_page_for_people_comes_with_all_its_parts_and_asks_no_other_host(call):
    page = call("GET", "/docs")
    assert "script-src 'self';" in page.headers["content-security-policy"]
    links = Links()
    links.feed(page.text)
    assert len(links.found) == 4
    assert not links.inline
    for link in links.found:
        assert "://" not in link
        assert not link.startswith("//")
        part = call("GET", f"/{link}")
        assert part.status_code == 200, link
        assert part.content
    assert 'url: "openapi.json"' in call("GET", "/docs/start.js").text
    assert len(call("GET", "/docs/swagger-ui-bundle.js").content) > 100_000


@pytest.mark.parametrize("name", ["redoc.standalone.js", "..%2F__init__.py", "%2e%2e", "../core.py", "x"])
def test_no_other_file_is_among_the_page_s_parts(call, name):
    assert call("GET", f"/docs/{name}").status_code == 404
