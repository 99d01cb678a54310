"""Refuses what mustn't or can't be packed: credentials by name and by pattern, links to places outside, devices, too much.

A pattern finds what a person forgot in a file. It finds no secret that has no form of its own, such as a password.
"""

from __future__ import annotations

import re
import stat
import unicodedata
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from functools import cache
from os import stat_result
from pathlib import Path
from typing import TYPE_CHECKING

import re2

from federation.code.unpack import FILES_MAX, link_problem, path_problem
from federation.errors import CodeError
from federation.text import counted, size_text

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

USUAL_FILES_MAX = 4096
"""As many as Nomad unpacks of an artifact by default."""
USUAL_BYTES_MAX = 100_000_000
LARGE_BYTES_MAX = 1_000_000_000
"""A pack is put by one conditional request, so it is in memory for a while."""
OVERLAP_BYTES = 512
"""How much of a file's last piece is looked at again with the next one: no pattern is longer."""
_BEFORE_BYTES = 80
_SHOWN = 8
_BY_NAME = "has the name of a file with credentials"
_BY_PATTERN = "seems to hold"

_CREDENTIALS = (
    ".env", ".env.*", "!.env.example", "!.env.sample", "!.env.template", "!.env.dist", ".envrc",
    "*.pem", "*.key", "*.p12", "*.pfx", "*.jks", "*.keystore", "*.ppk", "*.kdbx", "id_rsa", "id_dsa", "id_ecdsa", "id_ed25519",
    ".ssh", ".gnupg", ".netrc", "_netrc", ".pypirc", ".git-credentials", ".htpasswd", ".pgpass", ".boto", ".s3cfg",
    ".aws", ".azure", ".oci", "**/.config/gcloud", ".kube", "kubeconfig", "**/.docker/config.json", ".vault-token",
    "rclone.conf", "credentials.json", "application_default_credentials.json", "client_secret*.json",
    "service[-_]account*.json", "*[-_]service[-_]account.json", "kaggle.json", "**/.streamlit/secrets.toml",
    "**/huggingface/token", "*.tfstate", "*.tfstate.backup", ".fedml",
)  # fmt: skip

_SECRETS: Mapping[bytes, tuple[str, re.Pattern[bytes]]] = {
    literal: (name, re.compile(pattern))
    for name, literals, pattern in (
        ("an AWS access key", (b"AKIA", b"ASIA"), rb"(?<![\w/+])A[KS]IA(?!\w{9}EXAMPLE)[A-Z2-7]{16}(?![\w/+])"),
        (
            "an AWS secret key",
            (b"aws_secret_access_key", b"AWS_SECRET_ACCESS_KEY"),
            rb"(?i)aws_secret_access_key[\"']?\s{0,9}[=:]\s{0,9}[\"']?(?![\w/+]{30}EXAMPLEKEY)[\w/+]{40}(?![\w/+])",
        ),
        (
            "a private key",
            (b"PRIVATE KEY",),
            rb"-----BEGIN (?:[A-Z0-9]{1,20} ){0,3}PRIVATE KEY(?: BLOCK)?-----(?:\\[nr]|\s){1,9}[\w+/-]{7}",
        ),
        ("a GitHub token", (b"ghp_", b"gho_", b"ghu_", b"ghs_", b"ghr_"), rb"(?<!\w)gh[pousr]_[A-Za-z0-9]{36}"),
        ("a GitHub token", (b"github_pat_",), rb"(?<!\w)github_pat_\w{60}"),
        ("a GitLab token", (b"glpat-",), rb"(?<!\w)glpat-[\w-]{20}"),
        ("a Slack token", (b"xox",), rb"(?<!\w)xox[abeoprs]-[\w-]{10}"),
        ("a Slack webhook", (b"hooks.slack.com",), rb"hooks\.slack\.com/services/T\w{6,20}/B\w{6,20}/\w{16}"),
        ("a Hugging Face token", (b"hf_",), rb"(?<!\w)hf_[A-Za-z]{34}(?!\w)"),
        ("an Azure account key", (b"AccountKey=",), rb"AccountKey=(?!Eby8vdM02xNOcqFlqUwJ)[\w+/]{64}"),
        ("a signed Azure URL", (b"sig=",), rb"[?&](?:amp;)?sig=[\w%+/]{43}"),
        ("a Google API key", (b"AIza",), rb"(?<!\w)AIza[\w-]{35}(?![\w-])"),
        ("an API key", (b"sk-proj-", b"sk-ant-", b"sk-svcacct-"), rb"(?<![\w-])sk-(?:proj|ant|svcacct)-[\w-]{32}"),
        ("a Stripe key", (b"k_live_",), rb"(?<!\w)[rs]k_live_[A-Za-z0-9]{20}"),
        ("an npm token", (b"npm_", b"_authToken="), rb"(?<!\w)npm_[A-Za-z0-9]{36}|:_authToken=[\w.-]{20}"),
        ("a PyPI token", (b"pypi-AgE",), rb"pypi-AgE[\w-]{50}"),
        ("a Vault token", (b"hvs.",), rb"(?<!\w)hvs\.[\w-]{24}"),
        (
            "a Nomad token",
            (b"NOMAD_TOKEN",),
            rb"NOMAD_TOKEN[\"']?\s{0,9}[=:]\s{0,9}[\"']?[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-",
        ),
    )
    for literal in literals
}
"""By bytes that stand in each of its kind, at most `_BEFORE_BYTES` after the beginning: what it is, and its whole pattern."""
_LATIN_1 = re2.Options()
_LATIN_1.encoding = re2.Options.Encoding.LATIN1
_LITERALS = re2.compile(b"|".join(map(re.escape, _SECRETS)), _LATIN_1)


def secret_in(data: bytes) -> tuple[str, int] | None:
    """Says what secret the bytes seem to hold first, and where about it is; None for none.

    One pass looks for the literals, and the patterns are tried only around them: 100 MB of noise must not take minutes."""
    for hit in _LITERALS.finditer(data):
        name, pattern = _SECRETS[hit.group()]
        begin = max(0, hit.start() - _BEFORE_BYTES)
        if pattern.search(data[begin : hit.start() + OVERLAP_BYTES]):
            return f"{_BY_PATTERN} {name}", hit.start()
    return None


def refuse(
    root: Path,
    entries: Mapping[str, stat_result],
    links: Mapping[str, str],
    *,
    large: bool,
    allow: Collection[str],
    is_named: bool = False,
) -> None:
    """Raises CodeError, with all reasons in one, unless these files and links of `root` (by path; for links what they say)
    may be packed. Contents aren't read here. Of a script that a person named (`is_named`) the name isn't judged."""
    _refuse_too_much(root, {path: status.st_size for path, status in entries.items()}, large=large)
    problems: list[tuple[str, str]] = []
    spellings: dict[str, str] = {}
    for path in sorted(entries):
        problem = path_problem(path) or _kind_problem(entries[path].st_mode)
        if not problem and path in links:
            target_problem = link_problem(path, links[path])
            problem = f"is a link to {links[path]!r}, which {target_problem}" if target_problem else ""
        if not problem and path not in allow and not is_named and _credentials().match_file(path.lower()):
            problem = _BY_NAME
        folded = unicodedata.normalize("NFC", path).casefold()
        if not problem and spellings.setdefault(folded, path) != path:
            problem = f"differs only in case from {spellings[folded]}: some disks keep only one of them"
        if problem:
            problems.append((path, problem))
    if problems:
        raise refused(root, problems)


def refused(root: Path, problems: Sequence[tuple[str, str]]) -> CodeError:
    """The error for files (path, what is wrong with it)."""
    shown = [f"{path.encode(errors='backslashreplace').decode()} {problem}" for path, problem in problems[:_SHOWN]]
    more = [f"and {len(problems) - _SHOWN:,} more"] if len(problems) > _SHOWN else []
    looks_secret = any(problem.startswith((_BY_NAME, _BY_PATTERN)) for _, problem in problems)
    allow = ";\nallow one that only looks like a secret with --allow-secret-file PATH" if looks_secret else ""
    hint = f"leave files out by a line in .fedmlignore (or .gitignore){allow}"
    return CodeError(f"can't pack {root}: {'; '.join([*shown, *more])}", hint=hint)


@cache
def _credentials() -> GitIgnoreSpec:
    from pathspec import GitIgnoreSpec  # 15 ms, which a script alone can do without

    return GitIgnoreSpec.from_lines(_CREDENTIALS)


def _kind_problem(mode: int) -> str:
    if stat.S_ISREG(mode) or stat.S_ISLNK(mode):
        return ""
    kinds = {stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket", stat.S_IFDIR: "a folder"}
    return f"is {kinds.get(stat.S_IFMT(mode), 'a device')}, not a file"


def _refuse_too_much(root: Path, sizes: Mapping[str, int], *, large: bool) -> None:
    if not sizes:
        raise CodeError(
            f"{root} holds no file to pack",
            hint="look at .gitignore and .fedmlignore: `!NAME` in .fedmlignore takes back",
        )
    files_max, bytes_max = (FILES_MAX, LARGE_BYTES_MAX) if large else (USUAL_FILES_MAX, USUAL_BYTES_MAX)
    total = sum(sizes.values())
    if len(sizes) <= files_max and total <= bytes_max:
        return
    count_of, bytes_of = Counter[str](), Counter[str]()
    for path, size_bytes in sizes.items():
        top = f"{path.partition('/')[0]}/" if "/" in path else path
        count_of[top] += 1
        bytes_of[top] += size_bytes
    largest = (bytes_of if total > bytes_max else count_of).most_common(3)
    shown = ", ".join(f"{name} ({counted(count_of[name], 'file')}, {size_text(bytes_of[name])})" for name, _ in largest)
    hint = f"leave out what isn't code by lines in .fedmlignore, such as {largest[0][0]}"
    raise CodeError(
        f"{root} holds {counted(len(sizes), 'file')} with {size_text(total)}; at most {files_max:,} files with "
        f"{size_text(bytes_max)} are packed{'' if large else ' without --large'}. The largest: {shown}",
        hint=hint if large else f"{hint},\nor pack all of it with --large",
    )
