import json

import pytest
from fastapi.testclient import TestClient

from runtime.serve.app import PAGE
from runtime.serve.guard import MOST_BODY

TOKEN = "a-word-of-many-letters-0123"


def asked_as(server, host):
    return TestClient(server.app, base_url=f"http://{host}", raise_server_exceptions=False)


@pytest.mark.parametrize("host", ["localhost:8000", "127.0.0.1", "127.0.0.1:1", "[::1]:8000"])
def test_on_loopback_its_own_names_are_answered(server, host):
    assert asked_as(server, host).get("/api/jobs").status_code == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "192.168.1.9", "a@b", ""],
)
def test_on_loopback_a_name_that_a_page_elsewhere_made_is_refused(server, host):
    answer = server.client.get("/api/jobs", headers={"Host": host})
    assert answer.status_code == 403
    assert "expected localhost" in answer.json()["error"]


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:9"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_what_changes_anything_from_another_page_is_refused(server, method, headers):
    answer = server.client.request(method, "/api/jobs/x/cancel", headers=headers)
    assert answer.status_code == 403


def test_its_own_page_may_change_things(server):
    headers = {"Origin": "http://127.0.0.1:8000", "Sec-Fetch-Site": "same-origin"}
    body = {"name": "a.png", "size": 10}
    assert server.client.post("/api/uploads", json=body, headers=headers).status_code == 201


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""]
)
def test_what_a_form_elsewhere_could_send_is_refused(server, kind):
    body = json.dumps({"name": "a.png", "size": 10})
    answer = server.client.post("/api/uploads", content=body, headers={"Content-Type": kind})
    assert answer.status_code == 415


def test_a_body_has_a_bound_announced_or_not(server):
    long = b'{"name": "' + b"a" * MOST_BODY + b'"}'
    kind = {"Content-Type": "application/json"}
    assert server.client.post("/api/uploads", content=long, headers=kind).status_code == 413

    def parts():
        for _ in range(15):
            yield b" " * 100_000

    answer = server.client.post("/api/uploads", content=parts(), headers=kind)
    assert answer.status_code in (400, 413)


@pytest.mark.parametrize(
    "body", [b"[" * 100_000, b"1" * 100_000, b'{"name": "\\ud800", "size": 1}', b"\xff"]
)
def test_json_that_cannot_be_meant_is_an_error_of_one_line(server, body):
    kind = {"Content-Type": "application/json"}
    answer = server.client.post("/api/uploads", content=body, headers=kind)
    assert answer.status_code in (400, 422)
    assert list(answer.json()) == ["error"]
    assert "\n" not in answer.json()["error"]


def test_every_answer_has_the_headers_that_keep_a_page_in_its_place(server):
    for path in ("/", "/api/jobs", "/api/jobs/x", "/vendor/leaflet/leaflet.js", "/nothing"):
        headers = server.client.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'self'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"]
    assert server.client.get("/api/jobs").headers["cache-control"] == "no-store"


def test_no_page_of_documentation_loads_from_elsewhere(server):
    for path in ("/docs", "/redoc", "/openapi.json"):
        assert server.client.get(path).status_code == 404
    assert server.client.get("/api/openapi.json").json()["openapi"].startswith("3.")


@pytest.mark.parametrize(
    "path",
    [
        "/static/../app.py",
        "/static/%2e%2e/app.py",
        "/vendor/leaflet/..%2f..%2f__init__.py",
        "/static/",
    ],
)
def test_nothing_beside_the_page_is_served(server, path):
    assert server.client.get(path).status_code == 404


@pytest.fixture
def guarded(start):
    return start(token=TOKEN)


def test_without_the_token_nothing_is_answered(guarded):
    client = asked_as(guarded, "box.local:8000")
    for method, path in (
        ("GET", "/api/jobs"),
        ("GET", "/metrics"),
        ("POST", "/api/uploads"),
        ("GET", "/api/openapi.json"),
    ):
        answer = client.request(method, path)
        assert answer.status_code == 401
        assert "Authorization: Bearer" in answer.json()["error"]
    for wrong in (TOKEN[:-1], TOKEN + "x", "", "é", TOKEN.upper()):
        given = {"Authorization": f"Bearer {wrong}".encode()}
        assert client.get("/api/jobs", headers=given).status_code == 401


def test_the_token_is_taken_as_a_header(guarded):
    client = asked_as(guarded, "192.168.1.5:8000")
    given = {"Authorization": f"Bearer {TOKEN}"}
    assert client.get("/api/jobs", headers=given).json() == []
    assert client.get("/api/limits", headers=given).json()["token"] is True


def test_the_token_in_an_address_is_taken_once_and_then_is_a_cookie(guarded):
    client = asked_as(guarded, "box.local:8000")
    answer = client.get(f"/api/jobs?token={TOKEN}&a=1", follow_redirects=False)
    assert answer.status_code == 303
    assert answer.headers["location"] == "/api/jobs?a=1"
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie
    assert client.get("/api/jobs").json() == []
    answer = client.post(
        "/api/uploads", json={"name": "a", "size": 1}, headers={"Origin": "http://evil.example"}
    )
    assert answer.status_code == 403


@pytest.mark.parametrize("path", ["//evil.example/", "/\\evil.example", "/%0d%0aset-cookie:a=b"])
def test_the_address_without_the_token_stays_on_the_box(guarded, path):
    client = asked_as(guarded, "box.local:8000")
    answer = client.get(f"{path}?token={TOKEN}", follow_redirects=False)
    where = answer.headers.get("location", "/")
    assert where.startswith("/")
    assert not where.startswith(("//", "/\\"))
    assert "\n" not in where


def test_the_page_is_everybody_s_and_asks_for_the_token_itself(guarded):
    client = asked_as(guarded, "box.local:8000")
    assert client.get("/vendor/leaflet/leaflet.js").status_code == 200
    assert client.get("/").status_code != 401
    answer = client.get(f"/?token={TOKEN}", follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    assert TOKEN in answer.headers["set-cookie"]


def test_the_page_is_there_and_loads_nothing_from_elsewhere():
    for path in PAGE.iterdir():
        if path.suffix in (".html", ".js", ".css"):
            content = path.read_text()
            for word in ("https://", "http://", 'src="//', "@import"):
                assert word not in content.replace("http://www.w3.org/", ""), (path.name, word)
