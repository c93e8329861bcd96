# What this node's Heat makes of its messaging options.
# The plan and its files: 83f3e089dc84cd1616c4460dcc73e3535711944c9a415738caaf44cfbf45f1ed
set -eu
exec /opt/heat/27.0.1/bin/python /usr/local/lib/heat-scaleout/messaging_options.py /etc/heat/heat.conf /etc/heat/secrets.conf 2>/dev/null
