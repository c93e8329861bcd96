"""List the options of the installed Heat, and report its release. Run by Heat's own Python.

Usage: installed.py FILE

Writes FILE in the format of oslo-config-validator. Prints a JSON object: the release (version), the version of the
messages between its engines (engine_worker), and whether its CFN API logs in to Keystone to have EC2 signatures checked
(ec2_login).
"""

import importlib.util
import json
import logging
import re
import sys
import warnings
from importlib import metadata
from pathlib import Path

from oslo_config import generator

# The namespaces with the options of Heat and its libraries. No release has all of them.
NAMESPACES = (
    "heat.api.aws.ec2token", "heat.common.cache", "heat.common.config", "heat.common.context", "heat.common.crypt",
    "heat.common.wsgi", "heat.engine.clients", "heat.engine.clients.os.keystone.heat_keystoneclient",
    "heat.engine.hot.functions", "heat.engine.notification", "heat.engine.resources", "keystonemiddleware.auth_token",
    "oslo.cache", "oslo.log", "oslo.messaging", "oslo.middleware", "oslo.policy", "oslo.reports",
    "oslo.versionedobjects", "osprofiler",
)  # fmt: skip
# Engines run as threads, and in earlier releases on eventlet.
THREADS = ("cotyledon",)
EVENTLET = ("oslo.service.periodic_task", "oslo.service.service", "oslo.service.sslutils")


def main() -> None:
    """Write the list and print the report."""
    warnings.simplefilter("ignore")
    logging.disable()
    path = Path(sys.argv[1])
    there = {point.name for point in metadata.entry_points(group="oslo.config.opts")}
    engines = THREADS if there.issuperset(THREADS) else EVENTLET
    arguments = [f"--namespace={name}" for name in (*NAMESPACES, *engines) if name in there]
    generator.main(["--format=json", f"--output-file={path}.new", *arguments])
    Path(f"{path}.new").replace(path)
    known = json.loads(path.read_text())["options"]
    # Read instead of imported: an import of Heat's engine takes seconds.
    worker = importlib.util.find_spec("heat.engine.worker")
    source = Path(worker.origin).read_text() if worker and worker.origin else ""
    rpc_version = re.search(r"^    RPC_API_VERSION = ['\"]([\d.]+)['\"]", source, re.M)
    if not rpc_version:
        sys.exit(f"no version of the messages between engines is found in {worker and worker.origin}")
    report = {
        "version": metadata.version("openstack-heat"),
        "engine_worker": rpc_version[1],
        "ec2_login": any(option["name"] == "auth_type" for option in known["ec2authtoken"]["opts"]),
    }
    print(json.dumps(report))


main()
