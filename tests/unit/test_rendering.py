from __future__ import annotations

import json
import re
import shlex
import subprocess
from pathlib import Path

import jinja2
import pulumi
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.heat.install import PackageSource
from components.outputs import render_output
from components.rendering import LOCKS, PROGRAMS, TEMPLATES, UV_VERSION, _environment, render
from components.topology import Process
from tests.unit.program import ROOT, Monitor, Outputs, in_pulumi
from tests.unit.sample import DEPLOYMENT, processes

ENVIRONMENT = _environment()
# An operator's constraints have unknown digests, and the environments that list options are removed.
UNPINNED = ("constraints.inc.sh", "heat-options.sh")


def from_string(text: str, **values: object) -> str:
    return ENVIRONMENT.from_string(text).render(**values)


def test_a_missing_value_of_a_template_is_an_error() -> None:
    with pytest.raises(jinja2.UndefinedError, match="'program' is undefined"):
        render("heat/schema.sh.j2", prefix="/opt/heat", conf="a", secrets="b", rpc_version="1.9", digest="d", dump="")


def test_a_missing_template_is_an_error() -> None:
    with pytest.raises(jinja2.TemplateNotFound):
        render("heat/nothing.j2")


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_a_shell_reads_any_value_as_one_word(value: str) -> None:
    assert shlex.split(from_string("{{ value | sh }}", value=value)) == [value]


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=8,
    )
)
def test_a_value_written_as_json_is_read_as_it_was_and_ends_no_here_document(value: object) -> None:
    text = from_string("{{ value | json }}", value=value)
    assert json.loads(text) == value
    assert "END_OF_SPEC" not in text.splitlines()


def test_json_does_not_depend_on_the_order_of_keys() -> None:
    assert from_string("{{ value | json }}", value={"a": 1, "b": 2}) == from_string(
        "{{ value | json }}", value={"b": 2, "a": 1}
    )


def test_blocks_leave_no_blank_lines_and_the_last_newline_stays() -> None:
    assert from_string("a\n  {% if true %}\n  b\n  {% endif %}\nc\n") == "a\n  b\nc\n"


def test_nothing_is_escaped_as_for_html() -> None:
    assert from_string("{{ value }}", value="<a & b>") == "<a & b>"


def test_a_text_is_a_secret_if_one_of_its_values_is() -> None:
    values: dict[str, pulumi.Input[object]] = {
        "program": "p", "conf": "c", "prefix": "/opt/heat", "rpc_version": "1.9", "digest": "d", "dump": "",
    }  # fmt: skip

    def body() -> None:
        for name, secrets in {"plain": "s", "secret": pulumi.Output.secret("s")}.items():
            text = render_output("heat/schema.sh.j2", {**values, "secrets": secrets})
            pulumi.export(name, text)
            pulumi.export(f"{name} is secret", pulumi.Output.from_input(text.is_secret()))

    found = in_pulumi(body, Monitor(Outputs(preview=False), []), config={}, preview=False)
    assert found["plain"] == found["secret"]
    assert not found["plain is secret"]
    assert found["secret is secret"]


def test_the_installer_of_packages_has_a_pinned_version_and_pinned_digests(tmp_path: Path) -> None:
    """The script itself, with a fake Python that records pip's input."""
    text = render("scripts/venv.inc.sh", uv_version=UV_VERSION, packages=PackageSource())
    fake = tmp_path / "python"
    fake.write_text('#!/bin/sh\necho "$@" >"${0%/*}/words"\ncat >"${0%/*}/read"\n')
    fake.chmod(0o755)
    text = text.replace(f"/opt/uv/{UV_VERSION}/bin/python", str(fake)).replace("python3 -m venv", ":")
    script = f'set -eu\n{text}\nmkdir -p "{tmp_path}/venv/bin"; : >"{tmp_path}/venv/bin/python"\n'
    script += f'chmod +x "{tmp_path}/venv/bin/python"; python_packages "{tmp_path}/venv"\n'
    subprocess.run(["/bin/sh", "-c", script], check=True)
    assert "--require-hashes" in (tmp_path / "words").read_text()
    uv, *digests = (tmp_path / "read").read_text().replace("\\\n", "").split()
    assert uv == f"uv=={UV_VERSION}"
    assert len(digests) > 2
    assert all(re.fullmatch("--hash=sha256:[0-9a-f]{64}", digest) for digest in digests)


def test_every_package_of_the_project_has_its_digests() -> None:
    pinned = (ROOT / "requirements.txt").read_text().replace("\\\n", "")
    assert len(pinned.splitlines()) > 50
    for line in pinned.splitlines():
        assert re.search(r"==\S+ .*--hash=sha256:[0-9a-f]{64}", line), line


def test_no_environment_is_made_without_verifying_digests() -> None:
    """Every `pip install` of a list: on the hosts, here, and for the build of the toolchain."""
    for path in [*TEMPLATES.rglob("*"), *PROGRAMS.rglob("*"), *LOCKS.rglob("*"), *(ROOT / "tools").rglob("*.sh")]:
        if path.suffix in (".sh", ".j2"):
            text = path.read_text().replace("\\\n", "")
            for line in re.findall(r".*\bpip\b.* (?:install|sync)\b.*", text):
                free = path.name in UNPINNED or line.lstrip().startswith(("#", "echo", "command -v"))
                assert free or "--require-hashes" in line, f"{path.name}: {line}"


@pytest.mark.parametrize("process", processes(), ids=lambda process: process.name)
def test_the_digests_of_a_process_are_read_where_its_unit_writes_them(process: Process) -> None:
    script = render(
        "heat/process.sh.j2",
        digest="d", unit=process.unit, name=process.name, port=process.port, start_timeout=1, prefix="p", address="a",
        node="n", workers=1, consumers="c", copies=[], drain_timeout=1, finish_timeout=1, work="w", secrets="s",
        monitor=None, proxy="f",
    )  # fmt: skip
    kind = "api" if process.port else "engine"
    unit = render(
        f"heat/{kind}@.service.j2",
        prefix="p", files=["/f"], title="t", timeouts=DEPLOYMENT.timeouts, members="m", node="n",
        memory="1G", checks_per_stack=8,
    )  # fmt: skip
    directory = unit.replace("%p", process.kind.value).replace("%i", str(process.instance))
    written = directory.partition("sha256sum /f >")[2].partition('"')[0]
    assert f"unit={process.unit}\n" in script
    assert f'sha256sum --check --status "{written.replace(process.unit, "$unit")}"' in script
    # By root, and where only root may write, because root trusts them later.
    (start,) = re.findall(r"(?m)^ExecStartPre=(\+.*)$", unit)
    assert written == f"/run/heat-scaleout/{process.unit}/read"
    assert "install -d /run/heat-scaleout/%p@%i" in start
