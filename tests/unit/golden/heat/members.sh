# Publish the nodes of the deployment: on any other host no engine starts, even if the host comes back.
# Its files: dcb85b26d7570169649647026275ecf07385fec2ec6e8e5b22367fdd6c3aee69
set -eu
exec /opt/heat/27.0.1/bin/python /usr/local/lib/heat-scaleout/members.py tell node-1 node-2 -- /etc/heat/heat.conf /etc/heat/secrets.conf
