# What this node's Heat makes of its messaging options.
# The plan and its files: 3b4a67419dd1b782e45a9db8df3b03a7ad31fd4db309607c45899e68d48303dc
set -eu
exec /opt/heat/27.0.1/bin/python /usr/local/lib/heat-scaleout/messaging_options.py /etc/heat/heat.conf /etc/heat/secrets.conf 2>/dev/null
