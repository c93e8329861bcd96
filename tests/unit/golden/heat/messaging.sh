# What this node's Heat makes of its messaging options.
# The plan and its files: 34d8b5332b2ee89d98f4b7d5e00a48cae6462a395f6f5fbd1b5fbe560388cba3
set -eu
exec /opt/heat/27.0.1/bin/python /usr/local/lib/heat-scaleout/messaging_options.py /etc/heat/heat.conf /etc/heat/secrets.conf 2>/dev/null
