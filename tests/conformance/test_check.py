"""Check: accepted and refused inputs, error messages, defaults and secrets."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conformance.conftest import Compare
from tests.conformance.plugin import LOCAL, REMOTE, Plugin
from tests.conformance.values import UNKNOWN, secret
from tools.offline.command_provider.properties import Marked, Properties

DEFAULTS = {"user": "root", "port": 22.0, "dialErrorLimit": 10.0, "perDialTimeout": 15.0}

EMPTY: Properties = {"environment": {}, "interpreter": [], "triggers": []}

ACCEPTED: dict[str, tuple[str, Properties, Properties]] = {
    "nothing": (LOCAL, {}, {}),
    "all of a local command": (
        LOCAL,
        all_ := {
            "create": "a",
            "update": "b",
            "delete": "c",
            "stdin": "d",
            "dir": "/",
            "interpreter": ["sh", "-c"],
            "environment": {"A": "1"},
            "logging": "none",
            "addPreviousOutputInEnv": False,
            "triggers": [1.0, "a", True, None, {"b": [2.0]}],
        },
        all_,
    ),
    "any word for logging": (LOCAL, {"logging": "loud"}, {"logging": "loud"}),
    "empty collections": (LOCAL, EMPTY, EMPTY),
    "a variable without a value": (LOCAL, {"environment": {"A": None}}, {"environment": {}}),
    "unknown values": (
        LOCAL,
        unknown := {
            "create": UNKNOWN,
            "dir": UNKNOWN,
            "addPreviousOutputInEnv": UNKNOWN,
            "environment": {"A": UNKNOWN},
            "triggers": [UNKNOWN, 1.0],
        },
        unknown,
    ),
    "an unknown collection": (LOCAL, {"environment": UNKNOWN}, {"environment": UNKNOWN}),
    "secrets": (
        LOCAL,
        secrets := {
            "stdin": secret("a"),
            "environment": {"A": secret("1"), "B": "2"},
            "triggers": [secret("t"), {"u": secret(1.0)}],
            "interpreter": secret(["sh"]),
        },
        secrets,
    ),
    "a connection": (
        REMOTE,
        {"connection": {"host": "h", "privateKey": "k", "password": "p", "privateKeyPassword": "q"}},
        {
            "connection": secret(
                {
                    **DEFAULTS,
                    "host": "h",
                    "privateKey": secret("k"),
                    "password": secret("p"),
                    "privateKeyPassword": secret("q"),
                }
            )
        },
    ),
    "a connection that is secret already": (
        REMOTE,
        {"connection": secret({"host": secret("h"), "port": secret(23.0)})},
        {"connection": secret({**DEFAULTS, "host": secret("h"), "port": secret(23.0)})},
    ),
    "zeros and empty texts, which are no defaults": (
        REMOTE,
        {"connection": {"host": "", "user": "", "port": 0.0, "dialErrorLimit": 0.0, "perDialTimeout": 0.0}},
        {"connection": secret({"host": "", "user": "", "port": 0.0, "dialErrorLimit": 0.0, "perDialTimeout": 0.0})},
    ),
    "numbers with a fraction, cut where they count something": (
        REMOTE,
        {"connection": {"host": "h", "port": 22.7, "dialErrorLimit": 3.9, "perDialTimeout": -1.5}},
        {"connection": secret({**DEFAULTS, "host": "h", "port": 22.7, "dialErrorLimit": 3.0, "perDialTimeout": -1.0})},
    ),
    "a proxy": (
        REMOTE,
        {"connection": {"host": "h", "proxy": {"host": "p", "password": "q"}}},
        {"connection": secret({**DEFAULTS, "host": "h", "proxy": {**DEFAULTS, "host": "p", "password": secret("q")}})},
    ),
    "an unknown connection": (
        REMOTE,
        {"connection": UNKNOWN},
        {"connection": Marked(secret=True, unknown=True)},
    ),
    "an unknown address and password": (
        REMOTE,
        {"connection": {"host": UNKNOWN, "password": UNKNOWN, "proxy": UNKNOWN}},
        {
            "connection": secret(
                {**DEFAULTS, "host": UNKNOWN, "password": Marked(secret=True, unknown=True), "proxy": UNKNOWN}
            )
        },
    ),
}

REFUSED: dict[str, tuple[str, Properties, list[tuple[str, str]]]] = {
    "a misspelt name": (
        LOCAL,
        {"crate": "x"},
        [("crate", "Unrecognized field 'crate' on 'local.CommandInputs'")],
    ),
    "a number for a text": (
        LOCAL,
        {"create": 1.0},
        [("create", "Field 'create' on 'local.CommandInputs' must be a 'string'; got 'float64' instead")],
    ),
    "an object for a text": (
        LOCAL,
        {"create": {"a": "b"}},
        [
            (
                "create",
                "An error occurred decoding 'CommandInputs.create': Cannot decode Object{} to type string; "
                "it isn't a struct, and no custom decoder exists",
            )
        ],
    ),
    "a list for a map": (
        LOCAL,
        {"environment": ["A"]},
        [
            (
                "environment",
                "Field 'environment' on 'local.CommandInputs' must be a 'map[string]string'; "
                "got '[]interface {}' instead",
            )
        ],
    ),
    "numbers among texts": (
        LOCAL,
        {"interpreter": ["sh", 1.0], "environment": {"A": 1.0}},
        [
            (
                "environment[A] value",
                "Field 'environment[A] value' on 'local.CommandInputs' must be a 'string'; got 'float64' instead",
            ),
            (
                "interpreter[1]",
                "Field 'interpreter[1]' on 'local.CommandInputs' must be a 'string'; got 'float64' instead",
            ),
        ],
    ),
    "a number for logging": (
        LOCAL,
        {"logging": 1.0},
        [
            (
                "logging",
                "Field 'logging' on 'local.CommandInputs' must be a 'local.Logging'; got 'float64' instead",
            )
        ],
    ),
    "a text for yes or no": (
        REMOTE,
        {"connection": {"host": "h"}, "addPreviousOutputInEnv": "no"},
        [
            (
                "addPreviousOutputInEnv",
                "Field 'addPreviousOutputInEnv' on 'remote.CommandInputs' must be a 'bool'; got 'string' instead",
            )
        ],
    ),
    "one trigger that is not in a list": (
        LOCAL,
        {"triggers": "x"},
        [
            (
                "triggers",
                "Field 'triggers' on 'local.CommandInputs' must be a '[]interface {}'; got 'string' instead",
            )
        ],
    ),
    "no connection": (
        REMOTE,
        {"create": "x"},
        [("connection", "Missing required field 'connection' on 'remote.CommandInputs'")],
    ),
    "a connection to nowhere": (
        REMOTE,
        {"connection": {}},
        [
            (
                "connection",
                "An error occurred decoding 'CommandInputs.connection': 1 failures decoding:\n"
                "\thost: Missing required field 'host' on 'remote.Connection'",
            )
        ],
    ),
    "a proxy to nowhere": (
        REMOTE,
        {"connection": {"host": "h", "proxy": {}}},
        [
            (
                "connection",
                "An error occurred decoding 'CommandInputs.connection': 1 failures decoding:\n"
                "\tproxy: An error occurred decoding 'Connection.proxy': 1 failures decoding:\n"
                "\thost: Missing required field 'host' on 'remote.ProxyConnection'",
            )
        ],
    ),
    "a text for a connection": (
        REMOTE,
        {"connection": "h"},
        [
            (
                "connection",
                "Field 'connection' on 'remote.CommandInputs' must be a 'remote.Connection'; got 'string' instead",
            )
        ],
    ),
    "a text for a port": (
        REMOTE,
        {"connection": {"host": "h", "port": "22"}},
        [
            (
                "connection",
                "An error occurred decoding 'CommandInputs.connection': 1 failures decoding:\n"
                "\tport: Field 'port' on 'remote.Connection' must be a 'float64'; got 'string' instead",
            )
        ],
    ),
    "what only a local command has": (
        REMOTE,
        {"connection": {"host": "h"}, "interpreter": ["sh"]},
        [("interpreter", "Unrecognized field 'interpreter' on 'remote.CommandInputs'")],
    ),
}


@pytest.mark.parametrize(("type_", "given", "expected"), ACCEPTED.values(), ids=ACCEPTED)
def test_accepts(compare: Compare, type_: str, given: Properties, expected: Properties) -> None:
    answer = compare(lambda plugin: plugin.check(type_, given))
    assert answer["failures"] == []
    assert answer["inputs"] == expected


@pytest.mark.parametrize(("type_", "given", "failures"), REFUSED.values(), ids=REFUSED)
def test_refuses(compare: Compare, type_: str, given: Properties, failures: list[tuple[str, str]]) -> None:
    answer = compare(lambda plugin: plugin.check(type_, given))
    assert answer["failures"] == failures


def test_inputs_that_are_refused_still_have_their_secrets_marked(compare: Compare) -> None:
    given = {"create": 1.0, "connection": {"host": "h", "privateKey": "k"}}
    answer = compare(lambda plugin: plugin.check(REMOTE, given))
    assert answer["inputs"]["connection"] == secret({"host": "h", "privateKey": secret("k")})


def test_the_stand_in_refuses_what_it_does_not_support(plugins: dict[str, Plugin]) -> None:
    stand_in = plugins["stand-in"]
    failures = stand_in.check(LOCAL, {"assetPaths": ["*"], "archivePaths": ["*"]})["failures"]
    assert [name for name, _ in failures] == ["archivePaths", "assetPaths"]
    assert all("PULUMI_MIRROR" in reason for _, reason in failures)
    unknown = stand_in.check("command:remote:CopyToRemote", {})
    assert unknown.code == "NOT_FOUND"
    assert unknown.error
    assert unknown.error.startswith("Resource 'remote:CopyToRemote' not found")


def test_the_stand_in_keeps_unknown_values_that_the_real_plugin_loses(
    plugins: dict[str, Plugin],
) -> None:
    """Only in a preview: the real plugin treats an unknown secret as empty, and drops an unknown list."""
    given = {"stdin": Marked(secret=True, unknown=True), "interpreter": UNKNOWN}
    assert plugins["stand-in"].check(LOCAL, given)["inputs"] == given
    if "real" in plugins:
        assert plugins["real"].check(LOCAL, given)["inputs"] == {"stdin": secret("")}


def test_the_provider_itself(compare: Compare) -> None:
    configured, info, config = compare(lambda plugin: (plugin.configured, plugin.info(), plugin.check_config()))
    assert configured["acceptSecrets"]
    assert configured["supportsPreview"]
    assert info["version"] == config["inputs"]["version"]
    assert "__pulumi-go-provider-version" in config["inputs"]


def test_a_changed_provider_configuration_is_the_engines_business(compare: Compare) -> None:
    assert compare(lambda plugin: plugin.diff_config({"version": "1"}, {"version": "2"}).code) == "UNIMPLEMENTED"


def test_there_is_a_real_plugin_to_compare_with(real: Path) -> None:
    """Skipped, with the reason, if the stand-in was compared only with the expected results."""
    assert real.exists()
