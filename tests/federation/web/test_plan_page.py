"""The plan page, and the actions: what they show, run and refuse. No region answers here."""

from __future__ import annotations

import pytest
from starlette.requests import Request

from federation.app import App
from federation.capacity import GoOn
from federation.errors import UsageError
from federation.web.actions import ACTIONS, action_named
from federation.web.pages.plan import dispatch_intent, view
from federation.web.query import Query
from federation.web.site import Settings, Site
from federation.workflows.request import RunRequest


def request(query: str, path: str = "/plan") -> Request:
    scope = {"type": "http", "method": "GET", "path": path, "query_string": query.encode(), "headers": []}
    return Request(scope)


@pytest.fixture
def site(app: App) -> Site:
    return Site(app)


def test_a_plan_that_cannot_be_made_says_why_and_keeps_the_form(site: Site) -> None:
    page = view(site, request("n=3&sweep=lr%3D0.1&region=us"))
    assert page.view["made"] is None
    assert "no jobspec is in" in str(page.view["problem"])
    assert page.command == "fedml plan -n3 --regions=us --sweep=lr=0.1"
    assert page.table is None
    assert page.document is None


def test_the_page_goes_on_without_a_region_that_is_slow(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    decided: list[bool] = []

    def preview(app: App, asked: RunRequest, *, goes_on: GoOn) -> None:
        decided.append(goes_on(["eu"], ["us"]))
        raise UsageError("enough")

    monkeypatch.setattr("federation.web.pages.plan.preview", preview)
    assert "enough" in str(view(site, request("n=1")).view["problem"])
    assert decided == [True]


@pytest.mark.parametrize("name", ["/etc/passwd", "../other.csv", "sub/../../x.csv"])
def test_a_parameters_file_lies_in_the_projects_folder(site: Site, name: str) -> None:
    with pytest.raises(UsageError, match="not a file of the project's folder"):
        view(site, request(f"params={name}"))


@pytest.mark.parametrize("query", ["job=a%00b", "params=a%00b", "meta=%00=1"])
def test_a_text_with_a_nul_is_refused(site: Site, query: str) -> None:
    with pytest.raises(UsageError, match="NUL"):
        view(site, request(query))


def test_a_job_whose_name_is_too_long_for_a_file_is_an_error_beside_the_form(site: Site) -> None:
    assert view(site, request(f"job={'t' * 400}")).view["problem"] is not None


@pytest.mark.parametrize("value", ["--json", "-x", "--config=/tmp/other.toml", "$(id)", "a b; c"])
def test_no_value_of_a_form_is_an_option(site: Site, value: str) -> None:
    form = Query(request(f"version={value}&policy={value}&meta=a%3D{value}"))
    for argument in dispatch_intent(site, form).arguments[1:]:
        assert argument.startswith(("--version=", "--policy=", "--meta=")) or argument == "--detach"


def test_an_unknown_action_names_those_that_exist() -> None:
    with pytest.raises(UsageError, match="no action 'drop'") as refused:
        action_named("drop")
    assert all(name in refused.value.hint for name in ACTIONS)


def test_read_only_pages_offer_nothing_to_do(site: Site) -> None:
    from federation.web.pages.actions import confirm

    closed = Site(site.app, Settings(read_only=True))
    asked = request("result=x", "/do/note")
    asked.scope["path_params"] = {"name": "note"}
    with pytest.raises(UsageError, match="only show"):
        confirm(closed, asked)
