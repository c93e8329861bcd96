# Read back the messaging options of this node's Heat.
# The plan and its files: 233bc136d6fa59312a982b4beb7ad333d52db5af6e6a0392df52fc8ced8cf554
set -eu
exec /opt/heat/27.0.1/bin/python /usr/local/lib/heat-scaleout/messaging_options.py /etc/heat/heat.conf /etc/heat/secrets.conf 2>/dev/null
