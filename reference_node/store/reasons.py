"""Why a folder or a database cannot be used, and what helps: a full disk is no damage, and no backup mends it.

Guarantees: only a database that is damaged is called so, and only then a backup is advised.

>>> hint(OSError(errno.ENOSPC, "No space left on device"))
'make room on the disk; nothing is damaged'
"""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from sqlalchemy.exc import DatabaseError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from reference_node.errors import ConfigError

RESTORE: Final = "hutong node restore --from BACKUP --data DIR brings the last backup back"
_ROOM: Final = "make room on the disk; nothing is damaged"
_RIGHTS: Final = "let the node's user write to the folder; nothing is damaged"
_BUSY: Final = "end the process that holds the database; nothing is damaged"
_DISK: Final = "look at the disk and at the system's log; the data may be sound"
_BY_ERRNO: Final = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), _ROOM),
    **dict.fromkeys((errno.EROFS, errno.EACCES, errno.EPERM), _RIGHTS),
    **dict.fromkeys((errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENOENT), "give the path of a folder"),
    **dict.fromkeys((errno.EMFILE, errno.ENFILE), "let the process have more open files; nothing is damaged"),
}
_BY_CODE: Final = {
    sqlite3.SQLITE_FULL: _ROOM,
    sqlite3.SQLITE_READONLY: _RIGHTS,
    sqlite3.SQLITE_CANTOPEN: _RIGHTS,
    sqlite3.SQLITE_PERM: _RIGHTS,
    sqlite3.SQLITE_AUTH: _RIGHTS,
    sqlite3.SQLITE_BUSY: _BUSY,
    sqlite3.SQLITE_LOCKED: _BUSY,
    sqlite3.SQLITE_IOERR: _DISK,
    sqlite3.SQLITE_NOMEM: "give the process more memory; nothing is damaged",
}
_DAMAGED: Final = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_PRIMARY: Final = 0xFF  # of a result code of SQLite; the rest says more


def hint(failure: OSError) -> str:
    """Return what helps against a failure of the system."""
    return _BY_ERRNO.get(failure.errno or 0, _DISK)


def refused(place: str, failure: DatabaseError) -> ConfigError:
    """Return what to say of a database that cannot be used."""
    said = getattr(failure.orig, "sqlite_errorcode", None)
    code = None if said is None else said & _PRIMARY
    if code in _BY_CODE:
        return ConfigError(f"{place} cannot be used: {failure.orig}", hint=_BY_CODE[code])
    if code is None or code in _DAMAGED:  # without a code it is no error of SQLite but of what stands in its file
        return ConfigError(f"{place} is damaged: {failure.orig}", hint=RESTORE)
    return ConfigError(f"{place} cannot be used: {failure.orig}", hint=_DISK)


@contextmanager
def told() -> Iterator[None]:
    """Turn what the system refuses while a node starts into a ConfigError with its reason."""
    try:
        yield
    except OSError as failure:
        where = "" if failure.filename is None else f"{failure.filename}: "
        raise ConfigError(f"the node cannot start: {where}{failure.strerror}", hint=hint(failure)) from failure
    except PoolTimeout as failure:
        raise ConfigError("the node cannot start: the database does not answer", hint=_BUSY) from failure
    except DatabaseError as failure:
        raise refused("the database", failure) from failure
