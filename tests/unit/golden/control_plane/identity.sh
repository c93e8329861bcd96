# Register Heat in Keystone.
set -eu
exec /opt/heat/27.0.1/bin/python /usr/local/lib/heat-scaleout/identity.py <<'END_OF_SPEC'
{
  "admin": {
    "password": "s3cr3t.keystone-admin...........",
    "project_domain_name": "Default",
    "project_name": "admin",
    "user_domain_name": "Default",
    "username": "admin"
  },
  "ca": "",
  "region": "RegionOne",
  "roles": [
    "reader",
    "member",
    "heat_stack_user"
  ],
  "services": [
    {
      "kind": "orchestration",
      "name": "heat",
      "url": "http://10.0.0.1:8004/v1/%(project_id)s"
    },
    {
      "kind": "cloudformation",
      "name": "heat-cfn",
      "url": "http://10.0.0.1:8000/v1"
    }
  ],
  "url": "http://10.0.0.1:5000/v3",
  "users": [
    {
      "domain": "Default",
      "grants": [
        {
          "project": "service",
          "role": "admin"
        },
        {
          "project": "service",
          "role": "service"
        }
      ],
      "name": "heat",
      "password": "s3cr3t.keystone-heat............"
    },
    {
      "domain": "heat",
      "grants": [
        {
          "domain": "heat",
          "role": "admin"
        }
      ],
      "name": "heat_domain_admin",
      "password": "s3cr3t.stack-domain-admin......."
    },
    {
      "domain": "Default",
      "grants": [
        {
          "project": "demo",
          "role": "member"
        }
      ],
      "name": "demo",
      "password": "s3cr3t.client..................."
    }
  ]
}
END_OF_SPEC
