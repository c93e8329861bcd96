# What this node's Heat makes of its messaging options.
# The plan and its files: eb09b3cc4db12b6f07dd396e1ae89396ad5af3e5b6c51dfd1c1d2551e493c395
set -eu
exec /opt/heat/27.0.1/bin/python /usr/local/lib/heat-scaleout/messaging_options.py /etc/heat/heat.conf /etc/heat/secrets.conf 2>/dev/null
