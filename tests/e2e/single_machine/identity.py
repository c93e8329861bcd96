"""Create what Heat needs in Keystone, as an operator does by hand: python identity.py KEYSTONE ADDRESS."""

import sys
from typing import Any

import openstack

url, address = sys.argv[1:]
cloud = openstack.connect(
    auth={
        "auth_url": url,
        "username": "admin",
        "password": "admin-s3cr3t",
        "project_name": "admin",
        "user_domain_id": "default",
        "project_domain_id": "default",
    },
    region_name="RegionOne",
    load_yaml_config=False,
    load_envvars=False,
)
identity: Any = cloud.identity  # openstacksdk has no usable types
roles = {role.name: role for role in identity.roles()}
roles["heat_stack_user"] = identity.create_role(name="heat_stack_user")
projects = {name: identity.create_project(name=name, domain_id="default") for name in ("service", "demo")}
heat = identity.create_user(name="heat", password="heat-s3cr3t", domain_id="default")
demo = identity.create_user(name="demo", password="demo-s3cr3t", domain_id="default")
for role in ("admin", "service"):
    identity.assign_project_role_to_user(projects["service"], heat, roles[role])
identity.assign_project_role_to_user(projects["demo"], demo, roles["member"])
domain = identity.create_domain(name="heat")
admin = identity.create_user(name="heat_domain_admin", password="domain-s3cr3t", domain_id=domain.id)
identity.assign_domain_role_to_user(domain, admin, roles["admin"])
for name, kind, path in (
    ("heat", "orchestration", f"http://{address}:8004/v1/%(project_id)s"),
    ("heat-cfn", "cloudformation", f"http://{address}:8000/v1"),
):
    service = identity.create_service(name=name, type=kind)
    for interface in ("public", "internal", "admin"):
        identity.create_endpoint(service_id=service.id, interface=interface, url=path, region_id="RegionOne")
