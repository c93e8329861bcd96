# Read back the messaging options of this node's Heat.
# The plan and its files: 385b445bf5014bd7657ec6c47289765a189c8c9b4c420edf2e281c950489a8ec
set -eu
exec /opt/heat/27.0.1/bin/python /usr/local/lib/heat-scaleout/messaging_options.py /etc/heat/heat.conf /etc/heat/secrets.conf 2>/dev/null
