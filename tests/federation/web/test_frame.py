"""The frame of the pages: who is let in, what every answer carries, and what odd requests get."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest

from federation.app import App
from federation.errors import UsageError
from federation.web.query import FIELDS_MAX, inside, parsed_form
from federation.web.security import BODY_BYTES_MAX, POLICY
from federation.web.site import LOOPBACK_NAMES, Settings
from tests.federation.web.asking import COOKIE, HOST, Browser

NOTE = "/actions/note"


@pytest.fixture
def browser(app: App) -> Browser:
    """A signed-in browser."""
    return Browser(app)


# ── who is let in ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8646",
        "127.0.0.1.evil.example",
        "",
        "[",
        "[::1]x",
        "localhost.",
        "127.0.0.1@evil.example",
    ],
)
def test_a_foreign_name_that_means_this_machine_is_refused(browser: Browser, host: str) -> None:
    for path in ("/", "/static/app.css", f"/sign-in?token={browser.sign_in.token}"):
        answer = browser.get(path, host=host)
        assert answer.status == 421
        assert "secret-lab" not in answer.text
        assert answer.headers["content-security-policy"] == POLICY
    assert browser.used == 1


@pytest.mark.parametrize("host", ["localhost:8646", "LOCALHOST", "[::1]:1", "127.0.0.1:99999999"])
def test_the_machines_own_names_are_answered_on_any_port(browser: Browser, host: str) -> None:
    assert browser.get("/static/app.css", host=host).status == 200
    assert browser.get("/", host=host).status in (200, 401)


def test_a_name_that_was_allowed_is_answered(app: App) -> None:
    names = Settings(hosts=LOOPBACK_NAMES | {"ml.example"})
    assert Browser(app, names, signs_in=False).get("/", host="ML.example:443").status == 401


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": ""},
        {"origin": "null"},
        {"origin": "http://["},
        {"origin": "http://127.0.0.1:9999"},
        {"origin": f"ftp://{HOST}"},
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site"},
    ],
)
def test_a_form_of_another_site_does_nothing(browser: Browser, headers: dict[str, Any]) -> None:
    answer = browser.post(NOTE, **headers)
    assert answer.status == 403
    assert "another site" in answer.text


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_page_of_another_site_or_port_only_links_here(browser: Browser, site: str) -> None:
    for dest in ("image", "script", "iframe", "empty"):
        assert browser.get("/doctor?run=1", sec_fetch_site=site, sec_fetch_dest=dest).status == 403
    assert browser.get("/runs", sec_fetch_site=site, sec_fetch_dest="document").status == 200
    assert browser.get("/runs", sec_fetch_site="same-origin", sec_fetch_dest="empty").status == 200
    assert browser.get("/runs", sec_fetch_site="none", sec_fetch_dest="document").status == 200


def test_a_form_of_the_own_pages_reaches_its_action(browser: Browser) -> None:
    assert browser.post(NOTE).status not in (401, 403, 404, 405)


@pytest.mark.parametrize("token", ["", "x", "%C3%A9", "%ED%B3%A9", "%00", "a" * 5_000])
def test_a_wrong_token_signs_nobody_in(app: App, token: str) -> None:
    browser = Browser(app, signs_in=False)
    answer = browser.get(f"/sign-in?token={token}")
    assert answer.status == 403
    assert "set-cookie" not in answer.headers
    assert browser.used == 0


def test_a_link_signs_one_browser_in(app: App) -> None:
    browser = Browser(app, signs_in=False)
    link = f"/sign-in?token={browser.sign_in.token}"
    assert browser.get(link, "HEAD").status == 200  # of a program that looks at links
    assert browser.get(link).status == 303
    assert browser.get(link).status == 403
    assert browser.get(f"/sign-in?token={browser.sign_in.token}").status == 303
    assert browser.used == 2


def test_the_cookie_is_kept_from_scripts_and_other_sites(app: App) -> None:
    browser = Browser(app, signs_in=False)
    cookie = browser.get(f"/sign-in?token={browser.sign_in.token}").headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert "secure" not in cookie  # a browser would not send it over http


@pytest.mark.parametrize("session", ["", "x", "é"])
def test_a_wrong_session_shows_nothing(browser: Browser, session: str) -> None:
    browser.cookie = f"{COOKIE}={session}"
    answer = browser.get("/")
    assert answer.status == 401
    assert "the link that fedml ui printed" in answer.text
    assert browser.post(NOTE).status == 401
    assert browser.get("/live?page=/").status == 401
    assert browser.get("/sign-inside").status == 401


def test_a_proxy_names_the_viewer_exactly_once(app: App) -> None:
    browser = Browser(app, Settings(user_header="X-Forwarded-User"), signs_in=False)
    assert browser.get("/runs", x_forwarded_user="ann").status == 200
    assert browser.get("/runs").status == 401
    assert browser.get("/runs", x_forwarded_user=" ").status == 401
    twice = [("host", HOST), ("x-forwarded-user", "eve"), ("x-forwarded-user", "ann")]
    assert browser.ask("GET", "/runs", twice).status == 401


@pytest.mark.parametrize(
    "address",
    [
        "https://evil.example",
        "//evil.example",
        "/\\evil.example",
        "/%09/evil.example",
        "evil.example",
        "\\\\evil",
        "javascript:x",
    ],
)
def test_a_sign_in_leads_to_no_other_site(app: App, address: str) -> None:
    browser = Browser(app, signs_in=False)
    answer = browser.get(f"/sign-in?token={browser.sign_in.token}&next={address}")
    assert answer.status == 303
    target = answer.headers["location"]
    assert target.startswith("/")
    assert target[1:2] not in ("/", "\\", "\t")


@pytest.mark.parametrize("address", ["/\t/evil.example", "/\n/evil.example", "/\r\\evil.example", "\t//evil.example"])
def test_a_tab_in_an_address_hides_no_other_site(address: str) -> None:
    assert inside(address) == "/"


def test_a_page_links_to_no_other_site_whatever_its_address_is(app: App) -> None:
    answer = Browser(app, signs_in=False).get("//evil.example")
    assert answer.status == 401
    assert '"//evil.example' not in answer.text


# ── answers ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/runs", 200),
        ("/nowhere", 404),
        ("/runs?state=odd", 400),
        ("/static/app.css", 200),
        ("/static/no", 404),
        ("/live", 400),
    ],
)
def test_every_answer_forbids_foreign_content_and_guessing(browser: Browser, path: str, status: int) -> None:
    answer = browser.get(path)
    assert answer.status == status
    assert answer.headers["content-security-policy"] == POLICY
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"
    assert "unsafe" not in POLICY


def test_a_page_that_fails_says_so_with_all_headers(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("federation.web.pages.runs.list_runs", lambda *_, **__: 1 / 0)
    answer = browser.get("/runs")
    assert answer.status == 500
    assert "the terminal of fedml ui says more" in answer.text
    assert "ZeroDivisionError" not in answer.text
    assert answer.headers["content-security-policy"] == POLICY


def test_an_action_that_fails_says_so_as_a_page_does(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("federation.web.pages.actions.action_named", lambda _: 1 / 0)
    answer = browser.post(NOTE)
    assert answer.status == 500
    assert "the terminal of fedml ui says more" in answer.text


@pytest.mark.parametrize(
    "path",
    [
        "/static/../application.py",
        "/static/%2e%2e/application.py",
        "/static/..%2fapplication.py",
        "/static/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
        "/static//etc/passwd",
        "/static/..%5capplication.py",
        "/static/%00",
    ],
)
def test_no_path_leaves_the_folder_of_static_files(browser: Browser, path: str) -> None:
    answer = browser.get(path)
    assert answer.status in (400, 404)
    assert "import" not in answer.text
    assert "root:" not in answer.text


def test_head_is_answered_and_has_no_end_to_wait_for(browser: Browser) -> None:
    for path in ("/runs", "/static/app.css"):
        assert browser.get(path, "HEAD").status == 200
    live = browser.get("/live?page=/runs", "HEAD")
    assert (live.status, live.content) == (200, b"")


def test_a_page_is_not_posted_to(browser: Browser) -> None:
    answer = browser.post("/runs")
    assert answer.status == 405
    assert "/runs can&#39;t be asked by POST" in answer.text
    assert browser.get("/nowhere").text.count("there is no page /nowhere") == 1


def test_a_huge_query_is_refused(browser: Browser) -> None:
    answer = browser.get(f"/runs?state={'x' * 9_000}")
    assert answer.status == 400
    assert "more than 8000 characters" in answer.text


@pytest.mark.parametrize("address", ["/history?before=--5", "/plan?n=-", "/plan?params=%00", "/plan?job=%00.hcl"])
def test_an_odd_value_is_an_error_with_a_sentence(browser: Browser, address: str) -> None:
    answer = browser.get(address)
    assert answer.status in (200, 400)
    assert "in the address" in answer.text


def test_a_nul_in_a_form_is_refused(browser: Browser) -> None:
    answer = browser.post(NOTE, b"result=x&text=a%00b")
    assert (answer.status, "NUL" in answer.text) == (400, True)


def test_a_huge_form_is_refused_unread(browser: Browser) -> None:
    assert browser.post(NOTE, content_length=str(BODY_BYTES_MAX + 1)).status == 413
    assert browser.post(NOTE, content_length="").status == 411  # in chunks, without an end
    with pytest.raises(UsageError):
        parsed_form(b"&".join([b"a=1"] * (FIELDS_MAX + 1)))
    with pytest.raises(UsageError):
        parsed_form(b"\xff")


def test_a_form_that_a_page_lacks_is_an_error_and_an_unknown_one_the_page(browser: Browser) -> None:
    assert browser.get("/runs?format=pdf").headers["content-type"].startswith("text/html")
    answer = browser.get("/doctor?format=svg")
    assert answer.status == 400
    assert answer.json["error"] == "this page has no SVG"
    assert browser.get("/nowhere?format=json").json["error"] == "there is no page /nowhere"


@pytest.mark.parametrize(
    "page", ["", "/nowhere", "http://evil.example/runs", "//evil.example/runs", "//[", "/live?page=/runs"]
)
def test_only_pages_are_followed(browser: Browser, page: str) -> None:
    answer = browser.get(f"/live?page={quote(page)}")
    assert answer.status == 400
    assert "there is no page" in answer.text


def test_foreign_text_in_an_address_is_shown_and_not_run(browser: Browser) -> None:
    answer = browser.get("/runs?state=%3Cscript%3Ealert(1)%3C/script%3E&x=%E2%80%AE")
    assert "<script>alert" not in answer.text
    assert "&lt;script&gt;alert" in answer.text


def test_a_read_only_site_has_no_actions(app: App) -> None:
    assert Browser(app, Settings(read_only=True)).post(NOTE).status == 404
