# Which nodes belong to the deployment: an engine of another one does not start, should its host come back.
# Its files: 7b35182503d8973f9228dd7fbf8df61450536734733d8826e2a6541379a01e65
set -eu
exec /opt/heat/27.0.1/bin/python /usr/local/lib/heat-scaleout/members.py tell node-1 node-2 -- /etc/heat/heat.conf /etc/heat/secrets.conf
