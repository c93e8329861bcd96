# Read back the messaging options of this node's Heat.
# The plan and its files: e514bba64a1e3239a112108d6e04e4f02a065e5252afb96ed94bad39b780e3b9
set -eu
exec /opt/heat/27.0.1/bin/python /usr/local/lib/heat-scaleout/messaging_options.py /etc/heat/heat.conf /etc/heat/secrets.conf 2>/dev/null
