# Both APIs answer through the proxy, from every backend.
# What this check covers: 70013d03a77185f2e5e1ab3034e9c86a720d444834cf39f277efda5461477ab6
set -eu
exec python3 /usr/local/lib/heat-scaleout/check_proxy.py <<'END_OF_SPEC'
{
  "apis": [
    {
      "backends": {
        "node-1-8004": "heat-api@8004 on node-1 (10.0.0.11)",
        "node-2-8004": "heat-api@8004 on node-2 (10.0.0.12)"
      },
      "listener": "rest_api_proxy",
      "probe": {
        "contains": "\"stacks\"",
        "path": "/v1/{project}/stacks?limit=1",
        "status": 200,
        "token": true
      },
      "url": "http://10.0.0.5:8004"
    },
    {
      "backends": {
        "node-1-8000": "heat-api-cfn@8000 on node-1 (10.0.0.11)",
        "node-2-8000": "heat-api-cfn@8000 on node-2 (10.0.0.12)"
      },
      "listener": "cfn_api_proxy",
      "probe": {
        "contains": "IncompleteSignature",
        "path": "/v1/",
        "status": 400,
        "token": false
      },
      "url": "http://10.0.0.5:8000"
    }
  ],
  "ca": "",
  "keystone_url": "http://10.0.0.10:5000",
  "login": {
    "domain": "Default",
    "domain_id": "",
    "password": "s3cr3t.keystone-heat............",
    "project": "service",
    "project_domain": "",
    "project_domain_id": "",
    "user": "heat"
  },
  "seconds": 60,
  "socket": ""
}
END_OF_SPEC
