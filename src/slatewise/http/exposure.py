"""Which addresses a server may listen on. Knows addresses and keys; opens no socket."""

from __future__ import annotations

import ipaddress
from functools import partial

from fastapi import FastAPI

from slatewise.domain.errors import ConfigError
from slatewise.domain.settings import HttpSettings
from slatewise.ports.keys import KeyRing


def check_address(host: str, keys: KeyRing, settings: HttpSettings) -> None:
    """Raise ConfigError where *host* can be reached from elsewhere and anybody who does would be let in."""
    if is_loopback(host) or keys.is_used or settings.without_keys == "anyone":
        return
    raise ConfigError(
        f"http.host: {host} can be reached from other machines, and there are no API keys: make one with "
        "`slatewise keys create NAME --scope serve`, listen on 127.0.0.1, or set http.without_keys=anyone where a "
        "proxy checks callers"
    )


def guard(app: FastAPI, keys: KeyRing, settings: HttpSettings) -> None:
    """Remember with *app* what `check_host` decides by."""
    app.state.check_address = partial(check_address, keys=keys, settings=settings)


def check_host(app: FastAPI, host: str) -> None:
    """Do what `check_address` does, by the keys and settings of *app*."""
    app.state.check_address(host)


def is_loopback(host: str) -> bool:
    """Return whether an address is this machine's alone. Of names only localhost is: others may change."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
