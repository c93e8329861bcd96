# What this node's Heat makes of its messaging options.
# The plan and its files: 3b14dd36213e12d28c5d767827583d38753fdf0f2b9eff366e6f2bd8ad80c461
set -eu
exec /opt/heat/27.0.1/bin/python /usr/local/lib/heat-scaleout/messaging_options.py /etc/heat/heat.conf /etc/heat/secrets.conf 2>/dev/null
