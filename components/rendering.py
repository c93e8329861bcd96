"""Render a template with its values. Pure, but for reading the files of templates/, programs/ and locks/."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import jinja2

from components.text import escaped, yaml_text

_ROOT = Path(__file__).resolve().parents[1]
TEMPLATES = _ROOT / "templates"
# Programs that run on hosts, copied there unchanged.
PROGRAMS = _ROOT / "programs"
# Requirement lists: every version is pinned, with its digests.
LOCKS = _ROOT / "locks"
# uv installs Python packages on the hosts: templates/scripts/venv.inc.sh.
UV_VERSION = re.findall(r"uv==(\S+)", (LOCKS / "uv.txt").read_text())[0]


def _sh(value: object) -> str:
    """Quote a value for a POSIX shell."""
    return shlex.quote(str(value))


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([TEMPLATES, PROGRAMS, LOCKS]),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        # These are shell scripts and INI files, not HTML. The filter `sh` quotes the values that a shell reads.
        autoescape=False,  # noqa: S701
    )
    environment.filters["sh"] = _sh
    environment.filters["line"] = lambda value: escaped(str(value))
    environment.filters["yaml"] = lambda value: yaml_text(str(value))
    environment.filters["json"] = lambda value: json.dumps(value, indent=2, sort_keys=True)
    return environment


_ENVIRONMENT = _environment()


def render(template: str, **values: object) -> str:
    """Render `templates/<template>`.

    Args:
        template: path below templates/, such as "proxy/haproxy.cfg.j2".
        values: the names that the template uses.

    Raises:
        jinja2.UndefinedError: the template uses a name that is not among the values.
        jinja2.TemplateNotFound: there is no such template.
    """
    return _ENVIRONMENT.get_template(template).render(**values)


def program_text(path: str) -> str:
    """Return the text of `programs/<path>`, such as "heat/engine.py"."""
    return (PROGRAMS / path).read_text()
