# Which nodes belong to the deployment: an engine of another one does not start, should its host come back.
# Its files: a873fdc4b18f9f49b9a59dfdd52f3d3d1dc32b27b6314021bb7c5af4b7c9ddb6
set -eu
exec /opt/heat/27.0.1/bin/python /usr/local/lib/heat-scaleout/members.py tell node-1 node-2 -- /etc/heat/heat.conf /etc/heat/secrets.conf
