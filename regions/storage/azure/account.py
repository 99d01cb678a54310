"""Names of Azure's storage accounts and containers."""

from __future__ import annotations

import re

from regions.storage.errors import InvalidStoreURL
from regions.storage.url import checked_store_prefix, shown

_ACCOUNT = re.compile(r"[a-z0-9]{3,24}")
_CONTAINER = re.compile(r"(?!.*--)[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")
_HOW = "write az://account/container/prefix"


def split_account(url: str) -> tuple[str, str, str]:
    """Account, container and prefix (without slashes at its ends) of `az://account/container/prefix`."""
    account, _, rest = url.removeprefix("az://").partition("/")
    container, _, prefix = rest.partition("/")
    if not account:
        raise InvalidStoreURL(f"{shown(url)} names no storage account", hint=_HOW)
    if not _ACCOUNT.fullmatch(account):
        short = account.partition(".")[0]
        raise InvalidStoreURL(
            f"{account!r} in {shown(url)} is not a valid name of a storage account",
            hint=f"did you mean az://{short}/{rest}?"
            if account.endswith(".windows.net")
            else "it has 3 to 24 lower-case letters and digits; a server's address goes into ?endpoint=",
        )
    if not container:
        raise InvalidStoreURL(f"{shown(url)} names no container", hint=_HOW)
    if not _CONTAINER.fullmatch(container):
        raise InvalidStoreURL(
            f"{container!r} in {shown(url)} is not a valid name of a container",
            hint="it has 3 to 63 lower-case letters, digits and single '-', with none at its ends",
        )
    return account, container, checked_store_prefix(prefix.strip("/"), url)
