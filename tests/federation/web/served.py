"""Serves the pages of a project to tests, in a thread of this process."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from federation.app import App
from federation.config.load import load
from federation.web.application import application
from federation.web.security import SignIn
from federation.web.serve import Address, listening
from federation.web.site import Settings, Site


@dataclass(frozen=True)
class Served:
    """Pages that answer."""

    root: str
    site: Site
    sign_in: SignIn

    @property
    def link(self) -> str:
        """The link that signs one browser in."""
        return f"{self.root}/sign-in?token={self.sign_in.token}"


@contextmanager
def served(config: Path, settings: Settings | None = None) -> Iterator[Served]:
    """The pages of the project of this fedml.toml, on a free port of 127.0.0.1."""
    app = App(load(config))
    site, sign_in = Site(app, settings or Settings()), SignIn()
    server = uvicorn.Server(
        uvicorn.Config(
            application(site, sign_in),
            log_level="warning",
            access_log=False,
            lifespan="off",
            timeout_graceful_shutdown=1,
        )
    )
    with listening(Address()) as socket:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [socket]}, daemon=True)
        thread.start()
        try:
            yield Served(f"http://127.0.0.1:{socket.getsockname()[1]}", site, sign_in)
        finally:
            server.should_exit = True
            thread.join()
            app.close()
