# What this node's Heat makes of its messaging options.
# The plan and its files: 14776ad3917bd478d87b3ebd45221fe4be6f19da967e51c697cf3de24d0f242f
set -eu
exec /opt/heat/27.0.1/bin/python /usr/local/lib/heat-scaleout/messaging_options.py /etc/heat/heat.conf /etc/heat/secrets.conf 2>/dev/null
