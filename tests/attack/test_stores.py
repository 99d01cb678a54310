"""What an object store answers: any XML, JSON or bytes with any status, where a list, an object or a write is asked for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.attack.hostile import TEXTS
from tests.attack.scene import DONE_RUN, NODE_ALLOC, Scene, record_of
from tests.attack.shapes import BYTES, attacked

LIST = (
    '<?xml version="1.0"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>bucket</Name><Prefix/>'
    "<KeyCount>1</KeyCount><MaxKeys>1000</MaxKeys><IsTruncated>{truncated}</IsTruncated>{token}"
    "<Contents><Key>{key}</Key><Size>{size}</Size><LastModified>{time}</LastModified><ETag>{etag}</ETag></Contents>"
    "</ListBucketResult>"
)
ERROR = '<?xml version="1.0"?><Error><Code>{code}</Code><Message>{text}</Message></Error>'
ENTITIES = (
    b'<!DOCTYPE x [<!ENTITY a "'
    + b"a" * 1000
    + b'"><!ENTITY b "'
    + b"&a;" * 1000
    + b'"><!ENTITY c "'
    + b"&b;" * 1000
    + b'">]><ListBucketResult><Name>&c;</Name></ListBucketResult>'
)
COMMANDS = (
    ("stores", "list"),
    ("stores", "list", "--json"),
    ("stores", "check", "us"),
    ("index", "sync"),
    ("index", "verify"),
    ("index", "get", NODE_ALLOC, "--to", "got/x"),
    ("index", "copy", NODE_ALLOC, "eu"),
    ("index", "gc", "--orphans", "0h", "--dry-run"),
)
COMMAND_S = 4.0
"""A store may be asked again and again for longer: then the command is interrupted, which is documented too."""


class FakeS3:
    """Answers each request with the next of its answers, the last one for ever."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, dict[str, str], bytes]] = [(404, {}, b"")]
        self.methods: set[str] = set()
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                fake.methods.add(self.command)
                status, headers, body = fake.answers[0] if len(fake.answers) == 1 else fake.answers.pop(0)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", "0" if self.command == "HEAD" else str(len(body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = answer

            def log_message(self, *_: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: object) -> None:
                pass

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"s3://bucket?endpoint=http://127.0.0.1:{self._server.server_port}"
        Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture(scope="module")
def s3() -> Iterator[FakeS3]:
    made = FakeS3()
    yield made
    made.close()


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory, s3: FakeS3) -> Scene:
    """A federation whose store of us is the attacker's."""
    made = Scene.made(tmp_path_factory.mktemp("attack") / "project")
    toml = made.root / "fedml.toml"
    toml.write_text(toml.read_text().replace('store = "file://./us"', f'store = "{s3.url}"'))
    made.append([{"type": "add", "record": record_of(s3.url).to_dict()}])
    made.remember()
    return made


@st.composite
def answers(draw: st.DrawFn) -> tuple[int, dict[str, str], bytes]:
    """One answer of a store."""
    text = draw(st.sampled_from(TEXTS))
    escaped = "".join(
        char if char.isprintable() and char not in "<&" else f"&#{min(ord(char), 0xD7FF)};" for char in text
    )
    time = draw(st.sampled_from(["2026-11-24T10:00:00.000Z", "", "yesterday", "9999999-01-01", escaped]))
    size = draw(st.sampled_from(["7", "-1", "", "9" * 30, "NaN", escaped]))
    keys = [
        escaped,
        f"results/{DONE_RUN}/000000000/train/0/{NODE_ALLOC}.json",
        "../x",
        "artifacts/",
        "results//.json",
        "a" * 5000,
    ]
    token = draw(
        st.sampled_from(
            [
                "",
                "<NextContinuationToken>same</NextContinuationToken>",
                f"<NextContinuationToken>{escaped}</NextContinuationToken>",
            ]
        )
    )
    listed = LIST.format(
        truncated=draw(st.sampled_from(["false", "false", "true", "maybe"])),
        token=token, key=draw(st.sampled_from(keys)), size=size, time=time, etag=escaped,
    )  # fmt: skip
    record = json.dumps(record_of("s3://bucket").to_dict())
    body = draw(
        st.one_of(
            st.just(listed.encode("utf-8", "replace")),
            st.just(
                ERROR.format(
                    code=draw(st.sampled_from(["NoSuchKey", "SlowDown", "AccessDenied", escaped])), text=escaped
                ).encode("utf-8", "replace")
            ),
            st.just(ENTITIES),
            st.just(record.encode()),
            BYTES,
        )
    )
    status = draw(st.sampled_from([200, 200, 200, 200, 204, 206, 301, 304, 400, 403, 404, 409, 412]))
    return status, {"ETag": draw(st.sampled_from(['"x"', "", "\x7f"]))}, body


@attacked
@given(st.data())
def test_a_store_answers_anything(scene: Scene, s3: FakeS3, data: st.DataObject) -> None:
    scene.reset()
    s3.answers = data.draw(st.lists(answers(), min_size=1, max_size=3))
    scene.attack([data.draw(st.sampled_from(COMMANDS))], limit_s=COMMAND_S)
    scene.assert_nothing_lost()
    scene.assert_nothing_escaped()
    scene.assert_index_goes_on()


@pytest.mark.parametrize(
    "body",
    [
        LIST.format(
            truncated="true",
            token="<NextContinuationToken>same</NextContinuationToken>",
            key="results/x",
            size=1,
            time="2026-11-24T10:00:00.000Z",
            etag="x",
        ).encode()
    ],
)
def test_a_list_that_never_ends_is_an_error(scene: Scene, s3: FakeS3, body: bytes) -> None:
    s3.answers = [(200, {}, body)]
    (done,) = scene.attack([("index", "sync")])
    assert done.code == 1, "the same token again must be refused, not followed until somebody interrupts"


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_an_empty_store_is_no_error_of_ours(scene: Scene, s3: FakeS3, command: tuple[str, ...]) -> None:
    s3.answers = [(404, {}, ERROR.format(code="NoSuchKey", text="no").encode())]
    (done,) = scene.attack([command])
    assert done.code in (0, 1), done.err
