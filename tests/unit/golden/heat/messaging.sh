# What this node's Heat makes of its messaging options.
# The plan and its files: aa78630858fe9d02f32ddcb9d22827f0d901321b3d659c04087795c0fef8ca23
set -eu
exec /opt/heat/27.0.1/bin/python /usr/local/lib/heat-scaleout/messaging_options.py /etc/heat/heat.conf /etc/heat/secrets.conf 2>/dev/null
