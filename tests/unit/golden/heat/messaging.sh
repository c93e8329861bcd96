# Read back the messaging options of this node's Heat.
# The plan and its files: 38d24710811580a5532d8f7b3dc48d80efb68ad3679edd636692447bb3574e11
set -eu
exec /opt/heat/27.0.1/bin/python /usr/local/lib/heat-scaleout/messaging_options.py /etc/heat/heat.conf /etc/heat/secrets.conf 2>/dev/null
