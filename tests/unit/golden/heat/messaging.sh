# What this node's Heat makes of its messaging options.
# The plan and its files: b32fa45800ee5cc932c0746d2952899aebafecc9202587b61b9ab07e06491c7a
set -eu
exec /opt/heat/27.0.1/bin/python /usr/local/lib/heat-scaleout/messaging_options.py /etc/heat/heat.conf /etc/heat/secrets.conf 2>/dev/null
