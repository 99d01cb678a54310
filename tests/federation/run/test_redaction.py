"""Credentials leave no trace in what is kept; ordinary lines stay as they are."""

from __future__ import annotations

import pytest

from federation.run.redaction import Redactor


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("curl -H 'Authorization: Bearer eyJhbGciOi.J9.abc-def'", "eyJhbGciOi.J9.abc-def"),
        ("AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG", "wJalrXUtnFEMI/K7MDENG"),
        ('{"password": "correct horse"}', "correct"),
        ("NOMAD_TOKEN: 2e1f0c1a-0000-4000-8000-000000000000", "2e1f0c1a-0000-4000-8000-000000000000"),
        ("GET https://ann:hunter22@example.net/x", "hunter22"),
        ("https://b.s3.amazonaws.com/k?X-Amz-Signature=deadbeef99&a=1", "deadbeef99"),
        ("https://a.blob.core.windows.net/c/k?sv=1&sig=Zm9vYmFyYmF6&x=2", "Zm9vYmFyYmF6"),
        ("key AKIAIOSFODNN7EXAMPLE used", "AKIAIOSFODNN7EXAMPLE"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----\n", "MIIE"),
    ],
)
def test_what_looks_like_a_credential_is_taken_out(text: str, secret: str) -> None:
    cleaned = Redactor()(text.encode())
    assert secret.encode() not in cleaned
    assert b"[redacted]" in cleaned


@pytest.mark.parametrize(
    "text",
    [
        "epoch 3/10 loss=0.4312 auc=0.761",
        "tokens a second: 1843",
        "reading s3://models/key/secretariat.csv",
        "https://example.net:8080/path?signal=3",
        "max_tokens=512",
    ],
)
def test_ordinary_lines_stay(text: str) -> None:
    assert Redactor()(text.encode()) == text.encode()


def test_known_secrets_go_wherever_they_stand_and_short_ones_are_passed_over() -> None:
    redact = Redactor(["s3cr3t-value", "abc", "s3cr3t-value-longer"])
    assert redact(b"x=s3cr3t-value-longer abc s3cr3t-value;") == b"x=[redacted] abc [redacted];"
