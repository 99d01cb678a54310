"""Files of a result: texts are shown, pictures too, all else is downloaded. Nothing of a file runs in these pages' origin."""

from __future__ import annotations

import logging
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Send

from federation.errors import UsageError
from federation.output.visible import visible_line
from federation.text import size_text
from federation.web.index_reading import reading
from federation.web.page import Link, Page, PageRoute
from federation.web.pages.result import known_record, result_named
from federation.web.query import Query
from federation.web.site import Site
from federation.web.templates import segment
from federation.workflows.result_file import open_file, read_file
from jobs.errors import FedmlError

TEXT_BYTES_MAX = 256 * 1024
PICTURE_BYTES_MAX = 20 << 20
SANDBOX = "sandbox; default-src 'none'; style-src 'unsafe-inline'"
"""For what is shown as a picture: it has no origin, runs no script and loads nothing."""
SVG = "image/svg+xml"
_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
)

log = logging.getLogger("federation.web")


class VerifiedDownload(StreamingResponse):
    """Ends the connection, without the end of the file, where the store fails or the bytes aren't those of the index."""

    async def stream_response(self, send: Send) -> None:
        """Sends the parts."""
        try:
            await super().stream_response(send)
        except FedmlError as error:
            log.warning("a download was broken off: %s", error)


def view(site: Site, request: Request) -> Page | Response:
    """A file: downloaded, or as `as=text` or `as=picture` shows it."""
    query, path = Query(request), request.path_params["path"]
    form = query.choice("as", ("text", "picture"))
    now = reading(site, query)
    row = result_named(now.index, request.path_params["alloc_id"])
    record = known_record(site, now, row)
    if form == "text":
        data, is_whole = read_file(site.app, now.index, row, record, path, limit_bytes=TEXT_BYTES_MAX)
        return _text_page(row.alloc_id, path, data, is_whole=is_whole)
    if form == "picture":
        data, is_whole = read_file(site.app, now.index, row, record, path, limit_bytes=PICTURE_BYTES_MAX)
        kind = picture_type(data, path) if is_whole else ""
        if not kind:
            raise UsageError(f"{path} is not a picture that is shown here", hint="download it, or fedml index get")
        headers = {"content-security-policy": SANDBOX}
        if kind == SVG:  # a document, which is shown inside of a page only, where no script of it runs
            headers["content-disposition"] = "attachment"
        return Response(data, headers=headers, media_type=kind)
    opened = open_file(site.app, now.index, row, record, path)
    name = path.rpartition("/")[2]
    plain = "".join(char if char.isascii() and (char.isalnum() or char in "._-") else "_" for char in name)
    headers = {
        "content-disposition": f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}",
        "content-length": str(opened.file.size_bytes),
        "content-security-policy": SANDBOX,
    }
    if request.method == "HEAD":
        return Response(headers=headers, media_type="application/octet-stream")
    return VerifiedDownload(opened.chunks, headers=headers, media_type="application/octet-stream")


def picture_type(data: bytes, path: str) -> str:
    """The media type of a picture by its first bytes, of an SVG by its name too; empty for anything else."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    if path.lower().endswith(".svg") and b"<svg" in data[:4096]:
        return SVG
    return next((kind for magic, kind in _MAGIC if data.startswith(magic)), "")


def _text_page(alloc_id: str, path: str, data: bytes, *, is_whole: bool) -> Page:
    is_text = b"\0" not in data[:8192]
    at = f"/results/{segment(alloc_id)}"
    return Page(
        "result_file.html",
        visible_line(path),
        {
            "text": data.decode("utf-8", "replace") if is_text else None,
            "part": "" if is_whole else f"The first {size_text(TEXT_BYTES_MAX)}, not verified: only a whole file is",
            "download": f"{at}/files/{quote(path)}",
        },
        section="Index",
        crumbs=(Link("Index", "/index"), Link(alloc_id[:8], at)),
        command=f"fedml index get {alloc_id[:8]}",
    )


ROUTES = (PageRoute("/results/{alloc_id}/files/{path:path}", view),)
