# What this node's Heat makes of its messaging options.
# The plan and its files: 813305b6cbe825d1898d5e9d5e3e0f24605ae5a768c8cbe95b41e827dc702d96
set -eu
exec /opt/heat/27.0.1/bin/python /usr/local/lib/heat-scaleout/messaging_options.py /etc/heat/heat.conf /etc/heat/secrets.conf 2>/dev/null
