# What this node's Heat makes of its messaging options.
# The plan and its files: 3d1df0384ea6ec95268b59012ed465c50e53c2a6518bc14b5c4e8cd6deab7534
set -eu
exec /opt/heat/27.0.1/bin/python /usr/local/lib/heat-scaleout/messaging_options.py /etc/heat/heat.conf /etc/heat/secrets.conf 2>/dev/null
