"""Whether a key opens what Heat has encrypted in a database. Run by Heat's own Python; reads, and changes nothing."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import sqlalchemy as sa

# A query's rows.
Rows = Callable[[str], Iterable[Sequence[Any]]]
# Of each table the newest rows: those that were written with the key that is in use.
_ROWS = 100
# Fernet tells a wrong key by itself; with what Heat used before, a wrong key makes a text of random bytes.
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
    """What Heat has encrypted, each after the name of the function that decrypts it."""
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


def opened(tables: Collection[str], rows: Rows, decrypt: Callable[[str, str], str | None]) -> bool:
    """Whether what is encrypted in these tables can be decrypted, or nothing is.

    Args:
        tables: their names.
        rows: asks the database.
        decrypt: a value, by the name of the function that does it; None where there is no such function.
    """
    closed = False
    for pair in _encrypted(tables, rows):
        if len(pair) != 2 or not (pair[0] and pair[1]):  # noqa: PLR2004 # it is not encrypted
            continue
        method, value = pair
        try:
            text = decrypt(method, value)
        except Exception:  # each kind of encryption has errors of its own
            closed = True
            continue
        if text is None:
            continue
        if method == _TELLS or text.isprintable():
            return True
        closed = True
    return not closed


def refusal(connection: sa.Connection, key: str | None) -> str:
    """Why Heat may not use this database with this key (None: the one that Heat's source has); empty where it may."""
    import sqlalchemy as sa  # noqa: PLC0415 # what is above is tested without Heat
    from heat.common import crypt  # noqa: PLC0415

    def decrypt(method: str, value: str) -> str | None:
        return str(crypt.decrypt(method, value, key)) if hasattr(crypt, method) else None

    if opened(sa.inspect(connection).get_table_names(), lambda query: connection.execute(sa.text(query)), decrypt):
        return ""
    return (
        "what Heat has encrypted in this database was encrypted with another auth_encryption_key, and none of it could "
        "be read with the one that is given or was made here. Nothing of the database was changed. If this stack's "
        "state was lost, restore it: the key is in it. Else set authEncryptionKey to the key that is in use, which "
        "stands in heat.conf or secrets.conf where Heat runs: pulumi config set --secret authEncryptionKey"
    )
