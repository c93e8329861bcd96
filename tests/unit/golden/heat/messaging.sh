# What this node's Heat makes of its messaging options.
# The plan and its files: 89527cdf4f5c623821abbfaae18a71d4bc4dae5c665d4e84f90be5ebe9e5b143
set -eu
exec /opt/heat/27.0.1/bin/python /usr/local/lib/heat-scaleout/messaging_options.py /etc/heat/heat.conf /etc/heat/secrets.conf 2>/dev/null
