# What this node's Heat makes of its messaging options.
# The plan and its files: 0cf7e20daa1ea3dd41233a6004cb1c0ad1f7ae1dd694f21812109c56691864a2
set -eu
exec /opt/heat/27.0.1/bin/python /usr/local/lib/heat-scaleout/messaging_options.py /etc/heat/heat.conf /etc/heat/secrets.conf 2>/dev/null
