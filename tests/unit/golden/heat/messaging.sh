# What this node's Heat makes of its messaging options.
# The plan and its files: f1769a038713e76c472efc689abe53d9f1f933e0e9c87ba1e180ca9b7e0c1572
set -eu
exec /opt/heat/27.0.1/bin/python /usr/local/lib/heat-scaleout/messaging_options.py /etc/heat/heat.conf /etc/heat/secrets.conf 2>/dev/null
