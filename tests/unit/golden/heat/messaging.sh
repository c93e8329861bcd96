# Read back the messaging options of this node's Heat.
# The plan and its files: b1e9c2ec523e6f76756b99a7c7930dfafa5a136df152f92964cf92d264a2903d
set -eu
exec /opt/heat/27.0.1/bin/python /usr/local/lib/heat-scaleout/messaging_options.py /etc/heat/heat.conf /etc/heat/secrets.conf 2>/dev/null
