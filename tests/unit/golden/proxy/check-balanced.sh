# Both APIs answer through the proxy, from every backend.
# What has just been changed: 4fef95de08525102e9b9ed3dd486692a0fce5d330e8cf63e6fa4347476caa2e6
set -eu
exec python3 /usr/local/lib/heat-scaleout/check_proxy.py <<'END_OF_SPEC'
{
  "api": {
    "backends": {
      "node-1-8004": "heat-api@8004 on node-1 (10.0.0.11)",
      "node-2-8004": "heat-api@8004 on node-2 (10.0.0.12)"
    },
    "listener": "rest_api_proxy",
    "url": "http://10.0.0.5:8004"
  },
  "ca": "",
  "cfn": {
    "backends": {
      "node-1-8000": "heat-api-cfn@8000 on node-1 (10.0.0.11)",
      "node-2-8000": "heat-api-cfn@8000 on node-2 (10.0.0.12)"
    },
    "listener": "cfn_api_proxy",
    "url": "http://10.0.0.5:8000"
  },
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
