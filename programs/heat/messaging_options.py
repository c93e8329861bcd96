"""Report the messaging options of this node's Heat, as digests. Run by Heat's own Python.

Usage: messaging_options.py CONFIG_FILE …

Prints a JSON object with a digest of each option, by "section.option". Defaults are included: an option that is set to
its default equals an option that is not set. Some options are secret, and digests are enough to find differences.
"""

import hashlib
import json
import sys

from oslo_config import cfg
from oslo_messaging import opts

# These options identify a process at the broker, and must differ.
OWN = ("hostname", "processname")


def main() -> None:
    """Read the files as Heat does, and print the digests."""
    conf = cfg.ConfigOpts()
    groups = [(group, options) for group, options in opts.list_opts() if group in (None, "oslo_messaging_rabbit")]
    for group, options in groups:
        conf.register_opts(options, group=group)
    conf([f"--config-file={path}" for path in sys.argv[1:]], project="heat", default_config_dirs=[])
    found = {
        f"{group or 'DEFAULT'}.{option.dest}": getattr(conf[group] if group else conf, option.dest)
        for group, options in groups
        for option in options
        if option.dest not in OWN
    }
    print(json.dumps({name: hashlib.sha256(repr(value).encode()).hexdigest()[:16] for name, value in found.items()}))


main()
