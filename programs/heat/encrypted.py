"""Check that a key decrypts Heat's data in a database. Run by Heat's own Python; reads only."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import sqlalchemy as sa

# A query's rows.
Rows = Callable[[str], Iterable[Sequence[Any]]]
# The number of newest rows of each table that are read: they were written with the key that is in use.
_ROWS = 100
# Fernet detects a wrong key. With Heat's earlier encryption a wrong key gives a text of random bytes.
_TELLS = "cryptography_decrypt_v1"
_PAIRS = {
    "user_creds": (
        "SELECT decrypt_method, trust_id FROM user_creds WHERE trust_id IS NOT NULL ORDER BY id DESC LIMIT {}",
        "SELECT decrypt_method, password FROM user_creds WHERE password IS NOT NULL ORDER BY id DESC LIMIT {}",
    ),
    "resource_data": (
        "SELECT decrypt_method, value FROM resource_data WHERE decrypt_method <> '' ORDER BY id DESC LIMIT {}",
    ),
}
_PROPERTIES = "SELECT data FROM resource_properties_data WHERE encrypted ORDER BY id DESC LIMIT {}"
_ENVIRONMENTS = "SELECT environment FROM raw_template WHERE environment IS NOT NULL ORDER BY id DESC LIMIT {}"


def _decoded(text: object) -> dict[str, Any]:
    try:
        found = json.loads(text) if isinstance(text, (str, bytes)) else text
    except ValueError:
        found = {}
    return found if isinstance(found, dict) else {}


def _encrypted(tables: Collection[str], rows: Rows) -> Iterator[Sequence[Any]]:
    """The encrypted values, each after the name of the function that decrypts it."""
    for table, queries in _PAIRS.items():
        for query in queries if table in tables else ():
            yield from rows(query.format(_ROWS))
    if "resource_properties_data" in tables:
        for (data,) in rows(_PROPERTIES.format(_ROWS)):
            yield from _decoded(data).values()
    if "raw_template" in tables:
        for (text,) in rows(_ENVIRONMENTS.format(_ROWS)):
            environment = _decoded(text)
            parameters = _decoded(environment.get("parameters"))
            yield from (parameters.get(name) or () for name in environment.get("encrypted_param_names") or ())


def can_decrypt(tables: Collection[str], rows: Rows, decrypt: Callable[[str, str], str | None]) -> bool:
    """Whether a value in these tables can be decrypted, or none is encrypted.

    Args:
        tables: the names of the tables.
        rows: runs a query.
        decrypt: decrypts a value by the function with this name; returns None if there is no such function.
    """
    failed = False
    for pair in _encrypted(tables, rows):
        if len(pair) != 2 or not (pair[0] and pair[1]):  # noqa: PLR2004 # the value is not encrypted
            continue
        method, value = pair
        try:
            text = decrypt(method, value)
        except Exception:  # each kind of encryption has errors of its own
            failed = True
            continue
        if text is None:
            continue
        if method == _TELLS or text.isprintable():
            return True
        failed = True
    return not failed


def explain_wrong_key(connection: sa.Connection, key: str | None) -> str:
    """Explain why Heat must not use this database with this key (None: the default in Heat's source); "" if it may."""
    import sqlalchemy as sa  # noqa: PLC0415 # the code above is tested without Heat
    from heat.common import crypt  # noqa: PLC0415

    def decrypt(method: str, value: str) -> str | None:
        return str(crypt.decrypt(method, value, key)) if hasattr(crypt, method) else None

    if can_decrypt(sa.inspect(connection).get_table_names(), lambda query: connection.execute(sa.text(query)), decrypt):
        return ""
    return (
        "Heat's data in this database was encrypted with another auth_encryption_key. The planned key decrypts none "
        "of it. Nothing in the database was changed. If this stack's state was lost, restore it from its backup: the "
        "state has the key. Else set authEncryptionKey to the key in heat.conf or secrets.conf where Heat runs: "
        "pulumi config set --secret authEncryptionKey"
    )
