"""Retries, fail-over, tokens, TLS and error mapping of the region client, against a recording server."""

from __future__ import annotations

import datetime
import ipaddress
import socket
import ssl
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from regions.credentials import SecretRef
from regions.errors import (
    Conflict,
    InvalidJob,
    NotFound,
    PermissionDenied,
    RegionUnreachable,
    Throttled,
    UnexpectedAnswer,
)
from regions.model import TLSFiles
from regions.nomad.error_mapping import no_answer
from regions.nomad.patience import Patience

DISPATCH = "/v1/job/train/dispatch"
CHILD = {"DispatchedJobID": "train/dispatch-1-a", "EvalID": "e"}


def members(build: str, region: str = "us") -> dict[str, Any]:
    return {"Members": [{"Status": "alive", "Tags": {"role": "nomad", "region": region, "build": build}}]}


# --- addresses, retries -----------------------------------------------------------------------------------------------


def test_addresses_are_tried_in_turn_and_the_one_that_answered_is_kept(recorder, new_recorder, client):
    gone = new_recorder()
    gone.close()
    ours = client(addresses=(gone.address, recorder.address + "/"))
    ours.job("a")
    recorder.close()
    with pytest.raises(RegionUnreachable) as caught:
        ours.job("b")
    assert caught.value.message.endswith(f"{recorder.address}/: connection refused")  # asked first
    assert caught.value.region == "us"
    assert caught.value.operation == "read"


def test_a_region_nobody_answers_for_is_told_soon(new_recorder, client):
    gone = new_recorder()
    gone.close()
    with pytest.raises(
        RegionUnreachable, match=r"^region us: read job a: http://127\.0\.0\.1:\d+: connection refused$"
    ):
        client(addresses=(gone.address,), deadline_s=3600).job("a")


@pytest.mark.parametrize(
    ("build", "token", "is_repeated"),
    [
        ("1.11.2", "t", True),
        ("1.8.20", "t", True),
        ("1.6.3", "t", False),
        ("1.10.7", "t", False),
        ("1.11.2", "", False),
    ],
)
def test_a_dispatch_is_repeated_only_where_its_token_counts_without_a_race(
    recorder, client, reply, build, token, is_repeated
):
    recorder.answers["/v1/agent/members"] = [reply(body=members(build))]
    recorder.answers[DISPATCH] = [reply(hangs_up=True), reply(body=CHILD)]
    ours = client()
    if is_repeated:
        assert ours.dispatch("train", meta={}, idempotency_token=token).job_id == "train/dispatch-1-a"
        assert [seen.query["idempotency_token"] for seen in recorder.calls(DISPATCH)] == [[token]] * 2
    else:
        with pytest.raises(RegionUnreachable, match="whether it took effect is unknown"):
            ours.dispatch("train", meta={}, idempotency_token=token)
        assert len(recorder.calls(DISPATCH)) == 1


def test_where_the_version_is_a_secret_a_dispatch_is_not_repeated(recorder, client, reply):
    recorder.answers["/v1/agent/members"] = [reply(403, "Permission denied")]
    recorder.answers[DISPATCH] = [reply(hangs_up=True), reply(body=CHILD)]
    with pytest.raises(RegionUnreachable, match="unknown"):
        client().dispatch("train", meta={}, idempotency_token="t")
    assert len(recorder.calls(DISPATCH)) == 1


def test_a_registration_is_not_repeated_when_its_answer_is_lost(recorder, client, reply):
    recorder.answers["/v1/jobs"] = [reply(hangs_up=True)]
    with pytest.raises(RegionUnreachable, match="unknown"):
        client().register({"ID": "train"}, enforce_index=0)
    assert len(recorder.seen) == 1
    assert recorder.seen[0].body == {"Job": {"ID": "train"}, "EnforceIndex": True, "JobModifyIndex": 0}


@pytest.mark.parametrize(
    "refusal", [(500, "No cluster leader"), (429, "Too many requests"), (500, "rpc error: No cluster leader")]
)
def test_what_was_refused_before_anything_was_done_is_sent_again(recorder, client, reply, refusal):
    recorder.answers["/v1/jobs"] = [reply(*refusal), reply(body={"EvalID": "", "JobModifyIndex": 7})]
    assert client().register({"ID": "train"}, enforce_index=None).job_modify_index == 7
    assert recorder.seen[0].body == {"Job": {"ID": "train"}}


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_a_server_that_keeps_failing_throttles(recorder, client, reply, status):
    recorder.default = reply(status, "<html>busy</html>" if status == 502 else "busy")
    with pytest.raises(Throttled, match=r"busy|HTTP 502 from a proxy"):
        client(deadline_s=0.5).jobs()
    assert len(recorder.seen) > 1


@pytest.mark.parametrize("status", [429, 503])
def test_servers_that_ask_for_patience_are_left_alone_by_all_calls(recorder, client, reply, status):
    recorder.default = reply(status, "busy", headers={"Retry-After": "100"})
    region = client(deadline_s=5)
    for call in (region.jobs, region.leader, region.within(2).nodes):
        with pytest.raises(Throttled, match=r"its servers ask for (100|99) s of patience \(Retry-After\)|busy"):
            call()
    assert len(recorder.seen) == 1


def test_a_server_that_asks_for_patience_keeps_nobody_from_another_one(recorder, new_recorder, client, reply):
    busy = new_recorder()
    busy.default = reply(503, "busy", headers={"Retry-After": "100"})
    region = client(addresses=(busy.address, recorder.address), deadline_s=5)
    for name in ("a", "b", "c"):
        assert region.job(name) == {}
    recorder.default = reply(429, "busy too", headers={"Retry-After": "100"})
    with pytest.raises(Throttled):
        region.job("d")
    assert (len(busy.seen), len(recorder.seen)) == (1, 4)


def test_servers_are_asked_again_when_their_time_is_over(recorder, client, reply):
    recorder.answers["/v1/jobs"] = [reply(429, "busy", headers={"Retry-After": "1"}), reply(body=[])]
    began = time.monotonic()
    assert client().jobs() == []
    assert time.monotonic() - began >= 1.0


@pytest.mark.parametrize(
    ("headers", "left_s"),
    [
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After": "9" * 400}, 300.0),
        ({"Retry-After": "Fri, 31 Dec 9999 23:59:59 GMT"}, 300.0),
        ({"Retry-After": "Fri, 01 Jan 2021 00:00:00 GMT"}, 0.0),
        ({"Retry-After": "-3"}, 0.0),
        ({"Retry-After": "soon"}, 0.0),
        ({}, 0.0),
    ],
)
def test_how_long_servers_are_left_alone(headers, left_s):
    patience = Patience(clock=lambda: 50.0)
    patience.read(429, headers)
    patience.read(500, {"Retry-After": "200"})
    assert patience.left_s == left_s


@pytest.mark.parametrize(
    ("told", "sentence"),
    [("leadership lost while committing log", "leadership lost while committing log"), ("rpc error: EOF", "EOF")],
)
def test_a_lost_leader_leaves_a_writes_outcome_open(recorder, client, reply, told, sentence):
    recorder.default = reply(500, told)
    with pytest.raises(RegionUnreachable, match=f"{sentence}; whether it took effect is unknown"):
        client().register({"ID": "train"}, enforce_index=None)
    assert len(recorder.seen) == 1


def test_a_server_that_does_not_answer_in_time(client):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(RegionUnreachable, match="no answer in time"):
            client(addresses=(address,), timeout_s=0.1).jobs()


def test_the_next_address_is_asked_when_a_server_knows_no_way_to_the_region(recorder, new_recorder, client, reply):
    alone = new_recorder()
    alone.default = reply(500, "No path to region")
    assert client(addresses=(alone.address, recorder.address)).job("a") == {}
    with pytest.raises(RegionUnreachable, match="No path to region"):
        client(addresses=(alone.address,)).job("a")


def test_a_stranger_among_the_addresses_is_passed_over(recorder, new_recorder, client, reply):
    stranger = new_recorder()
    stranger.default = reply(200, "<html>Welcome</html>")
    assert client(addresses=(stranger.address, recorder.address)).job("a") == {}


@pytest.mark.parametrize(
    ("status", "text"),
    [(404, "<!DOCTYPE html>…"), (200, "<html>Welcome</html>"), (404, "404 page not found"), (404, ""), (302, "")],
)
def test_something_that_is_not_nomad_is_never_taken_for_a_missing_job(recorder, client, reply, status, text):
    recorder.default = reply(status, text)
    with pytest.raises(UnexpectedAnswer, match=recorder.address):
        client().job("a")
    assert len(recorder.seen) == 1


def test_a_port_that_speaks_no_http(client):
    with socket.create_server(("127.0.0.1", 0)) as server:

        def greet() -> None:
            for _ in range(3):
                connection, _ = server.accept()
                with connection:
                    connection.recv(4096)
                    connection.sendall(b"SSH-2.0-OpenSSH_9.6\r\n")

        thread = threading.Thread(target=greet)
        thread.start()
        with pytest.raises(RegionUnreachable, match="something that doesn't speak HTTP answers there"):
            client(addresses=(f"http://127.0.0.1:{server.getsockname()[1]}",)).job("a")
        thread.join()


def test_json_that_is_not_nomads(recorder, client, reply):
    recorder.default = reply(body={"error": "no"})
    ours = client()
    for call in (
        ours.leader,
        ours.federation_regions,
        lambda: ours.allocation("a"),
        lambda: ours.plan_job({"ID": "x"}),
    ):
        with pytest.raises(UnexpectedAnswer, match="not of Nomad's shape"):
            call()


# --- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "text", "error"),
    [
        (500, "Enforcing job modify index 5: job does not exist", Conflict),
        (404, "job not found", NotFound),
        (500, 'Unknown job "train"', NotFound),
        (500, "rpc error: 1 error occurred:\n\t* Missing job datacenters\n\n", InvalidJob),
        (500, '1 error occurred:\n\t* Task "x" names an unknown task "y"\n', InvalidJob),
        (400, "Job ID does not match name", InvalidJob),
        (500, "Multiregion jobs are unlicensed", InvalidJob),
        (403, "Permission denied", PermissionDenied),
        (500, "rpc error: Permission denied", PermissionDenied),
        (403, "ACL token not found", PermissionDenied),
    ],
)
def test_nomads_text_decides(recorder, client, reply, status, text, error):
    recorder.default = reply(status, text)
    with pytest.raises(error) as caught:
        client().register({"ID": "train"}, enforce_index=5)
    assert caught.value.message.startswith("region us: register job train: ")
    assert "\n" not in caught.value.message
    assert "rpc error" not in caught.value.message
    assert len(recorder.seen) == 1


# --- the token --------------------------------------------------------------------------------------------------------


def test_a_refused_token_is_read_anew_once(recorder, client, reply, tmp_path):
    secret = tmp_path / "token"
    secret.write_text("old\n")
    ours = client(token=SecretRef(file=secret))
    ours.job("a")
    secret.write_text("new\n")

    recorder.default = reply(403, "ACL token not found")
    recorder.answers["/v1/job/a"] = lambda seen: reply() if seen.headers["x-nomad-token"] == "new" else recorder.default
    ours.job("a")
    assert [seen.headers["x-nomad-token"] for seen in recorder.seen] == ["old", "old", "new"]
    with pytest.raises(PermissionDenied, match="ACL token not found"):
        ours.job("b")
    assert len(recorder.calls("/v1/job/b")) == 1  # the same token again would be refused again


def test_a_token_that_a_server_repeats_stays_out_of_the_error(recorder, client, reply, tmp_path):
    secret = tmp_path / "token"
    secret.write_text("s3cr3t-token")
    recorder.default = reply(500, "what is s3cr3t-token?")
    with pytest.raises(InvalidJob) as caught:
        client(token=SecretRef(file=secret)).register({"ID": "a"}, enforce_index=None)
    assert "what is …?" in str(caught.value)
    assert "s3cr3t" not in repr(caught.value) + caught.value.hint


def test_a_token_that_no_header_can_carry(recorder, client, tmp_path):
    secret = tmp_path / "token"
    for text in ("two\nlines", "schlüssel"):
        secret.write_text(text)
        with pytest.raises(PermissionDenied, match="holds characters that no Nomad token has") as caught:
            client(token=SecretRef(file=secret)).job("a")
        assert text not in str(caught.value)
    assert not recorder.seen


# --- TLS, proxies -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tls(tmp_path_factory) -> TLSFiles:
    """A self-signed certificate for `server.us.nomad`, that is its own authority and also the client's certificate."""
    folder = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "server.us.nomad")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("server.us.nomad")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    (folder / "cert.pem").write_bytes(certificate.public_bytes(pem))
    (folder / "key.pem").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return TLSFiles(folder / "cert.pem", folder / "cert.pem", folder / "key.pem", "server.us.nomad")


def server_context(tls: TLSFiles) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    assert tls.client_cert
    context.load_cert_chain(tls.client_cert, tls.client_key)
    context.load_verify_locations(tls.ca_cert)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def test_tls_with_a_name_and_a_client_certificate(recorder, client, tls):
    recorder.use_tls(server_context(tls))
    assert client(tls=tls).job("a") == {}


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"ca_cert": None}, "certificate isn't trusted"),
        ({"server_name": None}, "certificate isn't trusted .*127.0.0.1"),
        ({"client_cert": None, "client_key": None}, "asks for a client certificate|TLS failed|connection broke"),
    ],
)
def test_tls_refuses(recorder, client, tls, changes, problem):
    recorder.use_tls(server_context(tls))
    files = {name: getattr(tls, name) for name in ("ca_cert", "client_cert", "client_key", "server_name")}
    with pytest.raises(RegionUnreachable, match=problem):
        client(tls=TLSFiles(**(files | changes))).job("a")
    assert not recorder.seen


def test_a_server_that_asks_for_a_client_certificate_is_told_from_other_tls_errors():
    asked = ssl.SSLError(1, "[SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED] tlsv13 alert certificate required (_ssl.c:2580)")
    told = no_answer(asked)
    assert told.text == "it asks for a client certificate"
    assert "--client-cert" in told.hint
    other = ssl.SSLError(1, "[SSL: TLSV1_ALERT_INTERNAL_ERROR] tlsv1 alert internal error (_ssl.c:2580)")
    other.reason = "TLSV1_ALERT_INTERNAL_ERROR"
    assert no_answer(other).text == "TLS failed (TLSV1_ALERT_INTERNAL_ERROR)"


def write_pem(folder, name, text):
    path = folder / name
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("key", "name", "problem"),
    [
        ("ca_cert", "missing.pem", "No such file or directory"),
        ("client_cert", "missing.pem", "No such file or directory"),
        ("client_key", "missing.pem", "No such file or directory"),
        ("ca_cert", "text.pem", "holds no certificate in PEM format"),
        ("client_cert", "text.pem", "holds no certificate in PEM format"),
        ("client_key", "text.pem", "holds no usable private key in PEM format"),
        ("ca_cert", "empty.pem", "holds no certificate in PEM format"),
        ("client_key", "locked.pem", "is encrypted"),
        ("client_key", "other.pem", "is not the key of client_cert"),
        ("client_cert", "folder", "is a folder"),
        ("client_key", "folder", "is a folder"),
        ("ca_cert", "folder/in-a-file.pem", "No such file or directory"),
    ],
)
def test_a_file_that_can_not_be_used_is_named_with_its_key(recorder, client, tls, tmp_path, key, name, problem):
    other = ec.generate_private_key(ec.SECP256R1())
    locked = serialization.BestAvailableEncryption(b"secret")
    for file, encryption in (("other.pem", serialization.NoEncryption()), ("locked.pem", locked)):
        pem = other.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
        (tmp_path / file).write_bytes(pem)
    write_pem(tmp_path, "text.pem", "no certificate")
    write_pem(tmp_path, "empty.pem", "")
    (tmp_path / "folder").mkdir()
    recorder.use_tls(server_context(tls))
    with pytest.raises(RegionUnreachable) as caught:
        client(tls=replace(tls, **{key: tmp_path / name})).job("a")
    assert f"regions.us.tls.{key}: {tmp_path / name}: {problem}" in str(caught.value)
    assert caught.value.hint


def test_certificate_and_key_in_one_file(recorder, client, tls, tmp_path):
    recorder.use_tls(server_context(tls))
    both = write_pem(tmp_path, "both.pem", tls.client_cert.read_text() + tls.client_key.read_text())
    assert client(tls=replace(tls, client_cert=both, client_key=None)).job("a") == {}


def test_tls_unverified_only_when_asked_for(recorder, client, tls):
    recorder.use_tls(server_context(tls))
    files = TLSFiles(client_cert=tls.client_cert, client_key=tls.client_key, verify=False)
    with pytest.warns(match="Unverified HTTPS request"):
        assert client(tls=files).job("a") == {}


def test_http_and_https_mixed_up(recorder, client):
    with pytest.raises(RegionUnreachable, match="doesn't speak TLS") as caught:
        client(addresses=(recorder.address.replace("http:", "https:"),)).job("a")
    assert "http://" in caught.value.hint


def test_the_proxy_of_the_environment_is_used(recorder, client, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", recorder.address)
    monkeypatch.setenv("http_proxy", recorder.address)
    assert client(addresses=("http://nomad.example:4646",)).job("a") == {}
    assert recorder.seen[0].path.startswith("http://nomad.example:4646/v1/job/a?")


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"])
def test_loopback_is_reached_without_a_proxy(recorder, client, monkeypatch, name):
    monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert client().job("a") == {}
    assert client(addresses=(recorder.address.replace("127.0.0.1", "localhost"),)).job("a") == {}


@pytest.mark.parametrize("address", ["ftp://127.0.0.1:1", "127.0.0.1:4646", "http://"])
def test_an_address_that_is_none(client, address):
    with pytest.raises(RegionUnreachable, match="not a valid http or https address"):
        client(addresses=(address,)).job("a")


# --- answers ----------------------------------------------------------------------------------------------------------


def test_the_version_is_the_oldest_of_the_regions_living_servers(recorder, client, reply):
    every = [*members("1.10.0")["Members"], *members("1.9.4")["Members"], *members("1.6.3", "eu")["Members"]]
    every.append({"Status": "failed", "Tags": {"role": "nomad", "region": "us", "build": "1.0.0"}})
    recorder.answers["/v1/agent/members"] = [reply(body={"Members": every})]
    ours = client()
    assert ours.version() == "1.9.4"
    assert ours.version() == "1.9.4"
    assert len(recorder.seen) == 1
    assert client(nomad_region="eu").version() == "1.6.3"


def test_a_region_without_servers_names_the_regions_that_are_known(recorder, client, reply):
    recorder.answers["/v1/regions"] = [reply(body=["eu", "us"])]
    with pytest.raises(RegionUnreachable, match="no living server of Nomad region 'asia'") as caught:
        client(nomad_region="asia").version()
    assert "eu, us" in caught.value.hint


def test_acls_that_are_off_and_a_token_record_without_its_secret(recorder, client, reply):
    recorder.answers["/v1/acl/token/self"] = [
        reply(400, "ACL support disabled"),
        reply(body={"AccessorID": "acls-disabled", "Type": "client", "SecretID": ""}),
        reply(body={"Type": "client", "SecretID": "s3cr3t"}),
    ]
    ours = client()
    assert ours.acl_self() is None
    assert ours.acl_self() is None
    assert ours.acl_self() == {"Type": "client"}


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (500, "failed to parse signed token: go-jose/go-jose: compact JWS format must have three parts"),
        (500, "failed to parse signed token: illegal base64 data at input byte 0"),
        (500, "missing key ID header"),
        (500, 'operation cancelled: no such key "abc" in keyring'),
        (500, "acl token lookup failed: index error: UUID must be 36 characters"),
        (404, "ACL token not found"),
        (403, "Permission denied"),
    ],
)
def test_a_token_that_servers_can_not_read_is_refused_at_once(recorder, client, reply, status, text):
    recorder.answers["/v1/acl/token/self"] = [reply(status, text)]
    with pytest.raises(PermissionDenied):
        client().acl_self()
    assert len(recorder.seen) == 1


def test_the_agents_clock(recorder, client, reply):
    recorder.answers["/v1/status/leader"] = [reply(body='"10.0.0.1:4647"')]
    told = client().agent_time()
    assert told is not None
    assert abs(datetime.datetime.now(datetime.UTC) - told) < datetime.timedelta(minutes=1)


def test_many_threads_share_one_client(recorder, client):
    ours = client()
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ours.job, (f"job-{n}" for n in range(64)))) == [{}] * 64
    assert recorder.connections <= 8
    assert {seen.path for seen in recorder.seen} == {f"/v1/job/job-{n}" for n in range(64)}
    recorder.default = type(recorder.default)(body=[str(ipaddress.IPv4Address(1))])
    ours.close()
    assert ours.federation_regions() == ["0.0.0.1"]  # a closed client opens new connections


def test_a_page_that_begins_too_early_or_comes_for_ever_adds_nothing(recorder, client, reply):
    def again(*ids: str) -> Any:
        return reply(body=[{"ID": one} for one in ids], headers={"X-Nomad-NextToken": "10"})

    recorder.answers["/v1/jobs"] = [again("a", "b"), again("b", "c"), again("b", "c"), again("b", "c")]
    assert client().jobs() == [{"ID": "a"}, {"ID": "b"}, {"ID": "c"}]
    assert len(recorder.calls("/v1/jobs")) == 3


def test_an_authority_of_the_environment_that_is_not_there(recorder, client, tls, monkeypatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nonexistent/ca.pem")
    recorder.use_tls(server_context(tls))
    with pytest.raises(RegionUnreachable, match="/nonexistent/ca") as caught:
        client().job("a")
    assert "REQUESTS_CA_BUNDLE" in caught.value.hint
