# Both APIs answer through the proxy, from every backend.
# What this check covers: fbe505f75755ec981d37ded1ef2afe6a8bacafe41b12baf0f35d8f33e772de43
set -eu
exec python3 /usr/local/lib/heat-scaleout/check_proxy.py <<'END_OF_SPEC'
{
  "apis": [
    {
      "backends": {
        "node-1-8004": "heat-api@8004 on node-1 (10.0.0.2)",
        "node-2-8004": "heat-api@8004 on node-2 (10.0.0.3)"
      },
      "listener": "rest_api_proxy",
      "probe": {
        "contains": "\"stacks\"",
        "path": "/v1/{project}/stacks?limit=1",
        "status": 200,
        "token": true
      },
      "url": "http://10.0.0.1:8004"
    },
    {
      "backends": {
        "node-1-8000": "heat-api-cfn@8000 on node-1 (10.0.0.2)",
        "node-2-8000": "heat-api-cfn@8000 on node-2 (10.0.0.3)"
      },
      "listener": "cfn_api_proxy",
      "probe": {
        "contains": "IncompleteSignature",
        "path": "/v1/",
        "status": 400,
        "token": false
      },
      "url": "http://10.0.0.1:8000"
    }
  ],
  "ca": "",
  "keystone_url": "http://10.0.0.1:5000",
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
  "socket": "/run/haproxy/admin.sock"
}
END_OF_SPEC
