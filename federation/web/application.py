"""The Starlette application of `fedml ui`: routes, answers in the wanted form, errors as pages."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Sequence
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote

from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import (
    HTMLResponse,
    JSONResponse,
    PlainTextResponse,
    RedirectResponse,
    Response,
    StreamingResponse,
)
from starlette.routing import Match, Mount, Route
from starlette.staticfiles import StaticFiles

from federation.charts.svg import style
from federation.errors import UnknownName, UsageError
from federation.output.json_document import versioned
from federation.web.live import Broadcast, Looked, version_text
from federation.web.page import ActionRoute, Live, Page, PageRoute
from federation.web.pages import every_action, every_page
from federation.web.query import changed, inside, parsed_form, with_query
from federation.web.security import Guard, SignIn, cookie_name
from federation.web.site import Site
from federation.web.table import csv_text, sorted_by
from federation.web.templates import STATIC, Rendered, environment, render
from jobs.errors import FedmlError
from regions.errors import RegionError
from regions.storage.errors import StoreError

log = logging.getLogger("federation.web")

NAVIGATION = (
    ("Federation", "/"),
    ("Plan", "/plan"),
    ("Runs", "/runs"),
    ("Index", "/index"),
    ("History", "/history"),
    ("Jobs", "/jobs"),
    ("Doctor", "/doctor"),
)
FINAL = "final"
"""The version of a page that doesn't change any more."""
PAGES_AT_ONCE = 40
LOOKS_AT_ONCE = 20
"""Threads of pages that are asked for, and of those that are kept up to date: neither takes those of the other, or those that
read static files, while a region or store keeps them waiting."""
FORMATS = ("html", "json", "csv", "svg")


class Pages:
    """Answers requests for the pages of one site."""

    def __init__(self, site: Site, pages: Sequence[PageRoute], actions: Sequence[ActionRoute]) -> None:
        self._site = site
        self._routes = {page.path: (page, Route(page.path, lambda: None)) for page in pages}
        self._env = environment(
            navigation=NAVIGATION, site=site, changed=changed, with_query=with_query, sorted_by=sorted_by
        )
        self._asked, self._looked_at = CapacityLimiter(PAGES_AT_ONCE), CapacityLimiter(LOOKS_AT_ONCE)
        self.broadcast = Broadcast(self._look, _message_of)
        self.routes: list[Route | Mount] = [
            Route("/live", self._live),
            *(Route(page.path, self._page(page)) for page in pages),
            *(() if site.settings.read_only else (Route(a.path, self._action(a), methods=["POST"]) for a in actions)),
            Route("/static/charts.css", lambda request: Response(style(), media_type="text/css")),
            Mount("/static", StaticFiles(directory=STATIC)),
        ]

    def refuse(self, request: Request, status: int, problem: str, hint: str) -> Response:
        """A page (or JSON) that says what is wrong and what to do."""
        if _wanted(request) != "html":
            return JSONResponse(versioned({"error": problem, "hint": hint}), status)
        page = Page("error.html", HTTPStatus(status).phrase, {"problem": problem, "hint": hint}, status=status)
        return self._html(request, page)

    def on_error(self, request: Request, error: Exception) -> Response:
        """What a person sees instead of a traceback."""
        if isinstance(error, HTTPException):
            path, method = request.scope["path"], request.method
            is_missing = error.status_code == HTTPStatus.NOT_FOUND
            problem = f"there is no page {path}" if is_missing else f"{path} can't be asked by {method}"
            return self.refuse(request, error.status_code, problem, "the words on the left lead on")
        if isinstance(error, FedmlError):
            return self.refuse(request, _status_of(error), str(error), error.hint)
        log.exception("a page failed: %s", request.scope["path"])
        return self.refuse(
            request, 500, "this page failed; the terminal of fedml ui says more", "the command line may know"
        )

    def _page(self, route: PageRoute) -> Callable[[Request], Any]:
        async def answer(request: Request) -> Response:
            return await self._in_thread(self._answer, route, request)

        return answer

    async def _in_thread(self, work: Callable[[Any, Request], Response], route: object, request: Request) -> Response:
        """Answers in a thread. What was raised is said on a page, and once in the terminal."""
        try:
            return await run_sync(work, route, request, limiter=self._asked)
        except Exception as error:  # noqa: BLE001
            return self.on_error(request, error)

    def _answer(self, route: PageRoute, request: Request) -> Response:
        page = route.view(self._site, request)
        if isinstance(page, Response):
            return page
        wanted = _wanted(request)
        if wanted == "json" and page.document is not None:
            return JSONResponse(versioned(page.document()), page.status)
        if wanted == "csv" and page.table is not None:
            return PlainTextResponse(csv_text(page.table), page.status, media_type="text/csv")
        if wanted == "svg":
            chart = page.charts.get(request.query_params.get("chart", ""))
            if chart is not None:
                headers = {"content-disposition": 'attachment; filename="chart.svg"'}
                return Response(chart.standalone(), page.status, headers, "image/svg+xml")
        if wanted != "html":
            raise UsageError(f"this page has no {wanted.upper()}", hint="its links at the bottom name what it has")
        return self._html(request, page)

    def _action(self, route: ActionRoute) -> Callable[[Request], Any]:
        async def answer(request: Request) -> Response:
            request.state.form = parsed_form(await request.body())
            return await self._in_thread(self._done, route, request)

        return answer

    def _done(self, route: ActionRoute, request: Request) -> Response:
        done = route.view(self._site, request)
        return done if isinstance(done, Response) else self._html(request, done)

    def _html(self, request: Request, page: Page) -> Response:
        return HTMLResponse(self._render(request, page).html, page.status)

    def _render(self, request: Request, page: Page) -> Rendered:
        live_version = version_text(page.live.version) if page.live is not None else ""
        values = {**page.view, "page": page, "request": request, "live_version": live_version}
        return render(self._env, page.template, values)

    # ── live ──────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _live(self, request: Request) -> Response:
        address = request.query_params.get("page", "")
        self._route_of(address)
        if request.method == "HEAD":
            return Response(media_type="text/event-stream")
        followed = self.broadcast.follow(address, request.query_params.get("version", ""))
        return StreamingResponse(_bytes(followed), media_type="text/event-stream")

    async def _look(self, address: str, version: object) -> Looked:
        return await run_sync(self._look_now, address, version, limiter=self._looked_at)

    def _look_now(self, address: str, version: object) -> Looked:
        route, request = self._route_of(address)
        page = route.view(self._site, request)
        if isinstance(page, Response):
            raise UsageError("this page doesn't change")
        if page.live is None:
            return Looked(Live(FINAL), self._render(request, page), is_final=True)
        return Looked(page.live, None if page.live.version == version else self._render(request, page))

    def _route_of(self, address: str) -> tuple[PageRoute, Request]:
        """Finds the page of an address. Raises UsageError for an address of anything else."""
        path, _, query = address.partition("?")
        scope = {
            "type": "http",
            "method": "GET",
            "path": unquote(path),
            "root_path": "",
            "scheme": "http",
            "server": ("127.0.0.1", 80),
            "query_string": query.encode(),
            "headers": [],
        }
        for page, route in self._routes.values():
            match, child = route.matches(scope)
            if match is Match.FULL:
                return page, Request({**scope, **child})
        raise UsageError(f"there is no page {address!r}")


def application(site: Site, sign_in: SignIn) -> Guard:
    """The whole application, with its guard around it."""
    pages = Pages(site, every_page(), every_action())

    async def enter(request: Request) -> Response:
        if request.method == "HEAD":  # of a program that looks at links: the person who follows this one comes later
            return Response()
        session = sign_in.use(request.query_params.get("token", ""))
        if not session:
            return pages.refuse(
                request, 403, "this link was used already, or is of another fedml ui", "the terminal shows a new link"
            )
        response = RedirectResponse(inside(request.query_params.get("next", "/")), 303)
        response.set_cookie(
            cookie_name(request), session, httponly=True, samesite="strict", secure=request.url.scheme == "https"
        )
        return response

    async def failed(request: Request, error: Exception) -> Response:
        return pages.on_error(request, error)

    handlers: Any = {FedmlError: failed, HTTPException: failed, Exception: failed}
    app = Starlette(routes=[Route("/sign-in", enter), *pages.routes], exception_handlers=handlers)
    return Guard(app, site.settings, sign_in, pages.refuse)


async def _bytes(messages: AsyncIterator[str]) -> AsyncIterator[bytes]:
    async for message in messages:
        yield message.encode()


def _wanted(request: Request) -> str:
    wanted = request.query_params.get("format", "html")
    return wanted if wanted in FORMATS else "html"


def _status_of(error: FedmlError) -> int:
    if isinstance(error, UnknownName):
        return HTTPStatus.NOT_FOUND
    if isinstance(error, UsageError):
        return HTTPStatus.BAD_REQUEST
    return HTTPStatus.BAD_GATEWAY if isinstance(error, RegionError | StoreError) else HTTPStatus.CONFLICT


def _message_of(error: Exception) -> str:
    if isinstance(error, FedmlError):
        return f"{error}{f' ({error.hint})' if error.hint else ''}"
    log.error("a page could not be looked at again", exc_info=error)
    return "this page can't be kept up to date; reload it"
