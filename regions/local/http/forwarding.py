"""Forwards a request to another region and relays its answer."""

from __future__ import annotations

import socket
from urllib.parse import quote, urlsplit

from regions.local.http.context import Context
from regions.local.http.messages import Failure, Relay, Request

_CONNECT_S = 3.0


def job_region(request: Request) -> str:
    """Returns the region that the body names. The job's own counts only where neither body nor query names one."""
    body = request.json()
    if isinstance(body.get("Region"), str) and body["Region"]:
        return str(body["Region"])
    job = body.get("Job")
    region = job.get("Region") if isinstance(job, dict) and not request.get("region") else None
    return region if isinstance(region, str) and region != "global" else ""


_HOP_BY_HOP = ("connection", "content-length", "expect", "host", "keep-alive", "transfer-encoding")


def forward(context: Context, request: Request, region: str) -> Relay:
    """Sends the request to that region and relays the answer as it comes. Raises Failure."""
    url = context.config.peers.get(region)
    if url is None:
        raise Failure(500, "No path to region")
    address = urlsplit(url)
    target = request.raw
    if request.get("region") != region:
        # Only the first value of a parameter counts.
        path, _, query = target.partition("?")
        target = f"{path}?region={quote(region)}" + (f"&{query}" if query else "")
    try:
        connection = socket.create_connection((address.hostname, address.port), timeout=_CONNECT_S)
        connection.settimeout(None)
        if address.scheme == "https":
            import ssl

            authority = ssl.create_default_context(cafile=context.config.tls.get("ca_file"))
            connection = authority.wrap_socket(connection, server_hostname=address.hostname)
        headers = {name: value for name, value in request.headers.items() if name not in _HOP_BY_HOP}
        is_chunked = "transfer-encoding" in request.headers
        framing = (
            {"transfer-encoding": "chunked"}
            if is_chunked
            else {"content-length": request.headers.get("content-length", "0")}
        )
        headers |= {"connection": "close", "host": address.netloc, **framing}
        lines = [f"{request.method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
        connection.sendall(("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"))
    except OSError as error:
        why = f"dial tcp {address.netloc}: {error.strerror or error}"
        raise Failure(500, f"rpc error: failed to get conn: {why}") from error
    try:
        for part in filter(None, request.body_parts):
            if not _sends(connection, b"%x\r\n%s\r\n" % (len(part), part) if is_chunked else part):
                break  # it has refused the rest
        if is_chunked:
            _sends(connection, b"0\r\n\r\n")
    except Failure:
        connection.close()
        raise
    return Relay(connection)


def _sends(connection: socket.socket, data: bytes) -> bool:
    try:
        connection.sendall(data)
    except OSError:
        return False
    return True
