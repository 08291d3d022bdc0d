"""Connections of urllib3 to judged IP addresses only; host name, Host header and TLS stay those of the URL.

Guarantees: the name is resolved and judged in the very step that connects, so nobody can put another address between.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any, Final

import requests
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import ConnectTimeoutError, HTTPError, NameResolutionError

from reference_node.transport.places import Places

_MOST: Final = 4  # of several addresses the first are enough
Pool = type[HTTPConnectionPool]
Connect = Callable[[], socket.socket]


def pools(places: Places | None) -> dict[str, Pool]:
    """Return urllib3's pools by scheme, whose connections go to what places allow; None allows all."""
    if places is None:
        return {"http": HTTPConnectionPool, "https": HTTPSConnectionPool}

    judge = places

    class _Plain(HTTPConnection):
        def _new_conn(self) -> socket.socket:
            return _first(self, super()._new_conn, judge)

    class _Secured(HTTPSConnection):
        def _new_conn(self) -> socket.socket:
            return _first(self, super()._new_conn, judge)

    class _PlainPool(HTTPConnectionPool):
        ConnectionCls = _Plain

    class _SecuredPool(HTTPSConnectionPool):
        ConnectionCls = _Secured

    return {"http": _PlainPool, "https": _SecuredPool}


def _first(connection: HTTPConnection, connect: Connect, places: Places) -> socket.socket:
    """Connect to the first of the judged addresses that takes a connection."""
    named = connection.host
    failure: HTTPError = NameResolutionError(named, connection, socket.gaierror("the name has no address"))
    try:
        for address in places.connectable(named.strip("[]"), connection.port)[:_MOST]:
            connection.host = str(address)  # what is connected to; the request's head has the name already
            try:
                return connect()
            except ConnectTimeoutError as refused:  # NewConnectionError is one as well
                failure = refused
    finally:
        connection.host = named
    raise failure


class PlainHttpAdapter(requests.adapters.HTTPAdapter):
    """Carries requests to judged addresses without the node's own secure channel."""

    def __init__(self, places: Places | None) -> None:
        self._places = places
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Make the pools."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = pools(self._places)
