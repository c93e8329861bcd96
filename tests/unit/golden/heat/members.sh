# Which nodes belong to the deployment: an engine of another one does not start, should its host come back.
# Its files: 8f29e0f3ee99b97946ac8dd82a51ab97f593b0e68e61d4d196dd40d5184cec7b
set -eu
exec /opt/heat/27.0.1/bin/python /usr/local/lib/heat-scaleout/members.py tell node-1 node-2 -- /etc/heat/heat.conf /etc/heat/secrets.conf
