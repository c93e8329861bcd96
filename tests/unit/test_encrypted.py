"""Whether a key decrypts Heat's data: on a database with Heat's tables, with Heat's own encryption."""

from __future__ import annotations

import base64
import json
import sqlite3
from collections.abc import Iterator

import pytest
from cryptography.fernet import Fernet

from encrypted import can_decrypt

KEY, OTHER = "0123456789abcdef0123456789abcdef", "f" * 32
FERNET, OLDER = "cryptography_decrypt_v1", "oslo_decrypt_v1"
TABLES = """
CREATE TABLE user_creds (id INTEGER PRIMARY KEY, decrypt_method TEXT, password TEXT, trust_id TEXT);
CREATE TABLE resource_data (id INTEGER PRIMARY KEY, decrypt_method TEXT, value TEXT);
CREATE TABLE resource_properties_data (id INTEGER PRIMARY KEY, data TEXT, encrypted BOOLEAN);
CREATE TABLE raw_template (id INTEGER PRIMARY KEY, environment TEXT);
"""


def sealed(key: str = KEY) -> str:
    return Fernet(base64.b64encode(key.encode())).encrypt(b"a trust").decode()


@pytest.fixture
def database() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:")
    connection.executescript(TABLES)
    yield connection
    connection.close()


def opens(database: sqlite3.Connection, key: str) -> bool:
    def decrypt(method: str, value: str) -> str | None:
        if method == FERNET:
            return Fernet(base64.b64encode(key.encode())).decrypt(value.encode()).decode()
        # A wrong key gives arbitrary bytes, which may be text by chance.
        return {OLDER: "readable" if value == key else "\x01\x02"}.get(method)

    tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    return can_decrypt(tables, database.execute, decrypt)


INSERTS = {
    "trust": ("INSERT INTO user_creds (decrypt_method, trust_id) VALUES (?, ?)", (FERNET, sealed())),
    "password": ("INSERT INTO user_creds (decrypt_method, password) VALUES (?, ?)", (FERNET, sealed())),
    "redacted data": ("INSERT INTO resource_data (decrypt_method, value) VALUES (?, ?)", (FERNET, sealed())),
    "data of an older release": ("INSERT INTO resource_data (decrypt_method, value) VALUES (?, ?)", (OLDER, KEY)),
    "properties": (
        "INSERT INTO resource_properties_data (data, encrypted) VALUES (?, 1)",
        (json.dumps({"password": [FERNET, sealed()]}),),
    ),
    "hidden parameters": (
        "INSERT INTO raw_template (environment) VALUES (?)",
        (json.dumps({"encrypted_param_names": ["key"], "parameters": {"key": [FERNET, sealed()], "size": 3}}),),
    ),
}


@pytest.mark.parametrize("what", INSERTS)
def test_another_key_is_found_wherever_heat_has_encrypted_something(database: sqlite3.Connection, what: str) -> None:
    database.execute(*INSERTS[what])
    assert opens(database, KEY)
    assert not opens(database, OTHER)


def test_a_database_without_tables_and_one_with_nothing_encrypted_take_any_key(database: sqlite3.Connection) -> None:
    assert can_decrypt([], database.execute, lambda *_: None)
    assert opens(database, OTHER)
    database.execute("INSERT INTO user_creds (trust_id) VALUES ('plain')")
    database.execute("INSERT INTO resource_data (decrypt_method, value) VALUES ('', 'plain')")
    database.execute("INSERT INTO resource_properties_data (data, encrypted) VALUES ('{\"a\": [1, 2]}', 0)")
    database.execute(
        "INSERT INTO raw_template (environment) VALUES (?)",
        (json.dumps({"encrypted_param_names": [], "parameters": {"size": 3}}),),
    )
    database.execute("INSERT INTO raw_template (environment) VALUES ('no JSON')")
    assert opens(database, OTHER)


def test_rows_that_cannot_be_decrypted_do_not_refuse_the_current_key(
    database: sqlite3.Connection,
) -> None:
    insert = INSERTS["trust"][0]
    database.execute(insert, (FERNET, sealed(OTHER)))
    database.execute(insert, (FERNET, sealed(KEY)))
    assert opens(database, KEY)


def test_data_that_a_newer_release_encrypted_proves_nothing(database: sqlite3.Connection) -> None:
    database.execute(INSERTS["trust"][0], ("cryptography_decrypt_v9", "?"))
    assert opens(database, OTHER)
