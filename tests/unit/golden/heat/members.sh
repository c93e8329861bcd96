# Which nodes belong to the deployment: an engine of another one does not start, should its host come back.
# Its files: b30a5e33ef6322ca1b34fc2376268b4f0c6710690ec9842397411f4740142098
set -eu
exec /opt/heat/27.0.1/bin/python /usr/local/lib/heat-scaleout/members.py tell node-1 node-2 -- /etc/heat/heat.conf /etc/heat/secrets.conf
