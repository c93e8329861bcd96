# Read back the messaging options of this node's Heat.
# The plan and its files: dc451d4cbf71e586f837a6b680eaba1f6d9d83f7e6c859c8acfeba3a21f9ebd5
set -eu
exec /opt/heat/27.0.1/bin/python /usr/local/lib/heat-scaleout/messaging_options.py /etc/heat/heat.conf /etc/heat/secrets.conf 2>/dev/null
