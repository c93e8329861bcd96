# Both APIs answer through the proxy, from every backend.
# What has just been changed: f31a283740df0d25db39db4bf8891ba9f8467c7b3f48e03d1bed472550b98a94
set -eu
exec python3 /usr/local/lib/heat-scaleout/check_proxy.py <<'END_OF_SPEC'
{
  "api": {
    "backends": {
      "node-1-8004": "heat-api@8004 on node-1 (10.0.0.2)",
      "node-2-8004": "heat-api@8004 on node-2 (10.0.0.3)"
    },
    "listener": "rest_api_proxy",
    "url": "http://10.0.0.1:8004"
  },
  "ca": "",
  "cfn": {
    "backends": {
      "node-1-8000": "heat-api-cfn@8000 on node-1 (10.0.0.2)",
      "node-2-8000": "heat-api-cfn@8000 on node-2 (10.0.0.3)"
    },
    "listener": "cfn_api_proxy",
    "url": "http://10.0.0.1:8000"
  },
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
