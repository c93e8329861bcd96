"""A fake of the OpenStack provider's lookups, with the real provider's error messages.

It knows the look-ups that the program makes, and fails at any other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import grpc

NOTHING = "Your query returned no results. Please change your search criteria and try again."
SEVERAL = "Your query returned more than one result. Please try a more specific search criteria"
PROJECT = "the-project"


@dataclass
class FakeCloud:
    """The cloud's contents. `refuses` names lookups that this user may not make."""

    lets_in: bool = True
    images: dict[str, dict[str, Any]] = field(
        default_factory=lambda: {"debian-12": {"id": "image-1", "minDiskGb": 2, "minRamMb": 512}}
    )
    flavors: dict[str, dict[str, Any]] = field(
        default_factory=lambda: {
            "m1.small": {"id": "flavor-small", "ram": 2048, "vcpus": 1, "disk": 20},
            "m1.medium": {"id": "flavor-medium", "ram": 4096, "vcpus": 2, "disk": 40},
        }
    )
    networks: list[dict[str, Any]] = field(
        default_factory=lambda: [
            {"id": "network-public", "name": "public", "external": True},
            {"id": "network-office", "name": "office", "external": False},
        ]
    )
    subnets: list[dict[str, Any]] = field(
        default_factory=lambda: [{"id": "subnet-office", "networkId": "network-office", "cidr": "192.168.7.0/24"}]
    )
    key_pairs: dict[str, str] = field(default_factory=lambda: {"mine": "ssh-ed25519 AAAAmine"})
    floating_ips: dict[str, str] = field(default_factory=lambda: {"203.0.113.9": ""})
    zones: tuple[str, ...] = ("nova", "az-2")
    # Ports: the number of others' ports, and of those with our tag.
    ports: int = 3
    ours: int = 0
    limits: dict[str, int] = field(default_factory=dict)
    network_quota: dict[str, int] = field(default_factory=dict)
    volume_quota: dict[str, int] = field(default_factory=dict)
    has_volumes: bool = True
    has_balancers: bool = True
    # Names of servers that the cloud could not create.
    broken: tuple[str, ...] = ()
    refuses: tuple[str, ...] = ()
    asked: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def answer(self, token: str, args: dict[str, Any]) -> dict[str, Any]:
        """The result of the provider's lookup; raises the provider's errors."""
        name = token.rpartition(":")[2]
        self.asked.append((name, args))
        answers: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "getAuthScope": self._scope,
            "getImage": lambda query: self._named(self.images, query),
            "getFlavor": lambda query: self._named(self.flavors, query),
            "getNetwork": lambda query: self._only(self.networks, query, NOTHING),
            "getSubnet": lambda query: self._only(self.subnets, query, "Your query returned no openstack_x."),
            "getKeypair": self._key_pair,
            "getFloatingIp": self._floating_ip,
            "getAvailabilityZones": lambda _: {"names": list(self.zones)},
            "getPortIds": self._port_ids,
            "getLimitsV2": self._limits,
            "getQuotaV2": self._network_quota,
            "getQuotasetV3": self._volume_quota,
            "getLoadbalancerV2": self._balancer,
        }
        if name in self.refuses:
            raise Failure(token, "Expected HTTP response code [200], but got 403 instead: no")
        try:
            return answers[name](args) | args
        except LookupError as error:
            raise Failure(token, str(error.args[0])) from None

    def _scope(self, _: dict[str, Any]) -> dict[str, Any]:
        if not self.lets_in:
            raise LookupError("Error creating OpenStack identity client: got 401 instead")
        return {"projectId": PROJECT}

    @staticmethod
    def _named(known: dict[str, dict[str, Any]], query: dict[str, Any]) -> dict[str, Any]:
        if query["name"] not in known:
            raise LookupError(NOTHING)
        return known[query["name"]]

    @staticmethod
    def _only(known: list[dict[str, Any]], query: dict[str, Any], nothing: str) -> dict[str, Any]:
        found = [one for one in known if all(one[key] == value for key, value in query.items())]
        if len(found) != 1:
            raise LookupError(SEVERAL if found else nothing)
        return found[0]

    def _key_pair(self, query: dict[str, Any]) -> dict[str, Any]:
        if query["name"] not in self.key_pairs:
            raise LookupError("Error retrieving openstack_compute_keypair_v2 x: but got 404 instead: {}")
        return {"publicKey": self.key_pairs[query["name"]]}

    def _floating_ip(self, query: dict[str, Any]) -> dict[str, Any]:
        if query["address"] not in self.floating_ips:
            raise LookupError("No openstack_networking_floatingip_v2 found")
        return {"fixedIp": self.floating_ips[query["address"]]}

    def _port_ids(self, query: dict[str, Any]) -> dict[str, Any]:
        assert query["tenantId"] == PROJECT, "an administrator would see everybody's ports"
        return {"ids": [f"port-{at}" for at in range(self.ours + (0 if "tags" in query else self.ports))]}

    def _limits(self, query: dict[str, Any]) -> dict[str, Any]:
        assert query["projectId"] == "", "only an administrator may name the project"
        usual = {
            "maxTotalCores": 20, "totalCoresUsed": 0, "maxTotalInstances": 10, "totalInstancesUsed": 0,
            "maxTotalRamSize": 51200, "totalRamUsed": 0, "maxServerGroups": 10, "totalServerGroupsUsed": 0,
            "maxServerGroupMembers": 10,
        }  # fmt: skip
        return usual | self.limits

    def _network_quota(self, query: dict[str, Any]) -> dict[str, Any]:
        assert query["projectId"] == PROJECT
        usual = {
            "network": 100, "subnet": 100, "router": 10, "port": 500, "floatingip": 50, "securityGroup": 10,
            "securityGroupRule": 100,
        }  # fmt: skip
        return usual | self.network_quota

    def _balancer(self, _: dict[str, Any]) -> dict[str, Any]:
        if not self.has_balancers:
            raise LookupError("No suitable endpoint could be found in the service catalog.")
        raise LookupError("Your query returned no openstack_lb_loadbalancer_v2. Please change your search criteria")

    def _volume_quota(self, _: dict[str, Any]) -> dict[str, Any]:
        if not self.has_volumes:
            raise LookupError("No suitable endpoint could be found in the service catalog.")
        return {"volumes": 10, "gigabytes": 1000, "perVolumeGigabytes": -1} | self.volume_quota


class Failure(grpc.RpcError):
    """The error of a lookup by the real provider."""

    def __init__(self, token: str, reason: str) -> None:
        super().__init__()
        self._text = f"invocation of {token} returned an error: invoking {token}: 1 error occurred:\n\t* {reason}\n\n"

    def code(self) -> grpc.StatusCode:
        return grpc.StatusCode.UNKNOWN

    def details(self) -> str:
        return self._text


def unlimited() -> FakeCloud:
    """A cloud with unlimited quotas."""
    names = ("maxTotalCores", "maxTotalInstances", "maxTotalRamSize", "maxServerGroups", "maxServerGroupMembers")
    return FakeCloud(limits=dict.fromkeys(names, -1), network_quota={"port": -1, "securityGroupRule": -1})
