# What this node's Heat makes of its messaging options.
# The plan and its files: 702bf04756fa7a3a5cb2a2e3cc2610baa6fa8dbd180d2d128d03511793afcbd5
set -eu
exec /opt/heat/27.0.1/bin/python /usr/local/lib/heat-scaleout/messaging_options.py /etc/heat/heat.conf /etc/heat/secrets.conf 2>/dev/null
