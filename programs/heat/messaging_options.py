"""Tell the messaging options that Heat has on this node, as digests. Run by Heat's own Python.

Usage: messaging_options.py CONFIG_FILE …

Prints a JSON object, a digest for each option by "section.option": values that the files set and values that are left
to their default alike, as the two come to the same. Some are secret, and digests are enough to tell a difference.
"""

import hashlib
import json
import sys

from oslo_config import cfg
from oslo_messaging import opts

# What names a process at the broker: these have to differ.
OWN = ("hostname", "processname")


def main() -> None:
    """Read the files as Heat does, and digest what comes of it."""
    conf = cfg.ConfigOpts()
    wanted = [(group, options) for group, options in opts.list_opts() if group in (None, "oslo_messaging_rabbit")]
    for group, options in wanted:
        conf.register_opts(options, group=group)
    conf([f"--config-file={path}" for path in sys.argv[1:]], project="heat", default_config_dirs=[])
    found = {
        f"{group or 'DEFAULT'}.{option.dest}": getattr(conf[group] if group else conf, option.dest)
        for group, options in wanted
        for option in options
        if option.dest not in OWN
    }
    print(json.dumps({name: hashlib.sha256(repr(value).encode()).hexdigest()[:16] for name, value in found.items()}))


main()
