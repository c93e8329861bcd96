# What this node's Heat makes of its messaging options.
# The plan and its files: 70d4ec7c2d7ce2ac8a8378fe2e60eff02ed43666044e63a20f8f57dd13456488
set -eu
exec /opt/heat/27.0.1/bin/python /usr/local/lib/heat-scaleout/messaging_options.py /etc/heat/heat.conf /etc/heat/secrets.conf 2>/dev/null
