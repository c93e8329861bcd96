# What this node's Heat makes of its messaging options.
# The plan and its files: a44114278734bdb6e43248f01bd1fb7e1e08b06f9ec60a6cb5fff22e351c73ec
set -eu
exec /opt/heat/27.0.1/bin/python /usr/local/lib/heat-scaleout/messaging_options.py /etc/heat/heat.conf /etc/heat/secrets.conf 2>/dev/null
