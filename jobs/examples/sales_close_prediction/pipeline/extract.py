"""Stage 1: downloads the customers to `customers.csv`, and writes URL and sha256 to `source.json`."""

import gzip
import hashlib
import json
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from pipeline.parameters import Parameters, PipelineError

SHIPPED = Path(__file__).parent / "data" / "coil2000.csv.gz"
TRIES = 3


def run(parameters: Parameters, work: Path, artifact: Path) -> str:
    """Fetch the customers. Raises PipelineError when the source can't be read."""
    url = parameters.data_url or SHIPPED.as_uri()
    raw = _read(url)
    sha256 = hashlib.sha256(raw).hexdigest()
    try:
        table = gzip.decompress(raw) if raw.startswith(b"\x1f\x8b") else raw
    except (OSError, EOFError) as error:
        raise PipelineError(f"{_public(url)} is a damaged gzip file: {error}") from error
    (work / "customers.csv").write_bytes(table)
    (work / "source.json").write_text(json.dumps({"url": _public(url), "sha256": sha256, "size_bytes": len(raw)}))
    return f"{len(raw):,} bytes from {_public(url)}, sha256 {sha256[:12]}…"


def _read(url: str) -> bytes:
    if urllib.parse.urlsplit(url).scheme not in ("http", "https", "file"):
        raise PipelineError(f"data_url = {_public(url)!r}: http://, https:// or file:// is needed")
    for left in range(TRIES - 1, -1, -1):
        try:
            with urllib.request.urlopen(url, timeout=60) as answer:
                return answer.read()
        except urllib.error.HTTPError as error:
            if error.code < 500 or not left:
                raise PipelineError(f"{_public(url)} answered {error.code} {error.reason}") from error
        except OSError as error:  # URLError among them
            if url.startswith("file:") or not left:
                raise PipelineError(f"can't read {_public(url)}: {getattr(error, 'reason', error)}") from error
        time.sleep(TRIES - left)
    raise AssertionError("the last try returns or raises")


def _public(url: str) -> str:
    """Return the URL without password and query, which may contain a signature. It goes to logs and into the artifact."""
    parts = urllib.parse.urlsplit(url)
    return urllib.parse.urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
