# Check that Heat is registered in Keystone.
set -eu
exec /opt/heat/27.0.1/bin/python /usr/local/lib/heat-scaleout/keystone_check.py <<'END_OF_SPEC'
{
  "ca": "",
  "endpoints": {
    "cloudformation": "http://10.0.0.1:8000",
    "orchestration": "http://10.0.0.1:8004"
  },
  "login": {
    "password": "s3cr3t.service",
    "project_domain_name": "Default",
    "project_name": "service",
    "user_domain_name": "Default",
    "username": "heat"
  },
  "role": "heat_stack_user",
  "roles": [
    "admin",
    "service"
  ],
  "stack_domain": {
    "domain_name": "heat",
    "password": "s3cr3t.domain-admin",
    "user_domain_name": "heat",
    "username": "heat_domain_admin"
  },
  "url": "https://keystone.example:5000/v3"
}
END_OF_SPEC
