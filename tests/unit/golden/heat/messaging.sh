# What this node's Heat makes of its messaging options.
# The plan and its files: d537c89333801665a5cbaa6b8332d1d18328a85bc85d810f896c762d54e68151
set -eu
exec /opt/heat/27.0.1/bin/python /usr/local/lib/heat-scaleout/messaging_options.py /etc/heat/heat.conf /etc/heat/secrets.conf 2>/dev/null
