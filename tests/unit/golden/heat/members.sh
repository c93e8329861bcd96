# Which nodes belong to the deployment: an engine of another one does not start, should its host come back.
# Its files: aaa0a9e66700b4d40467d1d7de62eeea0d93171d05a2df15e8f3df863db7b524
set -eu
exec /opt/heat/27.0.1/bin/python /usr/local/lib/heat-scaleout/members.py tell node-1 node-2 -- /etc/heat/heat.conf /etc/heat/secrets.conf
