"""What a client of Heat needs: the URLs of the two APIs, a Keystone token, EC2 credentials, and signatures."""

from __future__ import annotations

import json
import threading
import time
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import yaml
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

# Keystone's tokens are valid for an hour.
_TOKEN_SECONDS = 1200
_FORM = "application/x-www-form-urlencoded"
_VERSION = "2010-05-15"
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def _keystone(url: str, body: dict[str, Any], token: str = "", tries: int = 20) -> tuple[dict[str, Any], str]:
    """Ask Keystone, and retry: Keystone is not under test here."""
    headers = {"Content-Type": "application/json", **({"X-Auth-Token": token} if token else {})}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers)
    while True:
        tries -= 1
        with suppress(*((OSError,) if tries else ())), _DIRECT.open(request, timeout=30) as answer:
            return json.load(answer), answer.headers.get("X-Subject-Token", "")
        time.sleep(1)


class Cloud:
    """A project's member, with the clouds.yaml and the outputs of the stack under test.

    Args:
        clouds_yaml: the file.
        api_url: the ReST API's.
        cfn_url: the CFN API's, with its path.
    """

    def __init__(self, clouds_yaml: Path, api_url: str, cfn_url: str) -> None:
        login = yaml.safe_load(clouds_yaml.read_text())["clouds"]["heat"]
        auth = login["auth"]
        self._region = login["region_name"]
        self._keystone_url = auth["auth_url"].removesuffix("/v3") + "/v3"
        self._login = {
            "auth": {
                "identity": {
                    "methods": ["password"],
                    "password": {
                        "user": {
                            "name": auth["username"],
                            "password": auth["password"],
                            "domain": {"name": auth["user_domain_name"]},
                        }
                    },
                },
                "scope": {"project": {"name": auth["project_name"], "domain": {"name": auth["project_domain_name"]}}},
            }
        }
        self.api, self.cfn = urlsplit(api_url), urlsplit(cfn_url)
        self._lock = threading.Lock()
        token = self._renew(20)["token"]
        self.project = token["project"]["id"]
        ec2, _ = _keystone(
            f"{self._keystone_url}/users/{token['user']['id']}/credentials/OS-EC2",
            {"tenant_id": self.project},
            self._token,
        )
        self._ec2 = Credentials(ec2["credential"]["access"], ec2["credential"]["secret"])

    def _renew(self, tries: int) -> dict[str, Any]:
        answer, self._token = _keystone(f"{self._keystone_url}/auth/tokens", self._login, tries=tries)
        self._until = time.monotonic() + _TOKEN_SECONDS
        return answer

    def rest(self) -> dict[str, str]:
        """The headers of a request to the ReST API."""
        with self._lock:
            if time.monotonic() > self._until:
                try:
                    self._renew(1)
                except OSError:  # the current token is still valid for a while
                    self._until = time.monotonic() + 10
            return {"X-Auth-Token": self._token, "Accept": "application/json", "Content-Type": "application/json"}

    def signed(self, method: str, action: str, **parameters: str) -> tuple[str, dict[str, str], bytes]:
        """A request to the CFN API, signed by botocore: path, headers and body. A GET has everything in its path."""
        words = urlencode({"Action": action, "Version": _VERSION, **parameters})
        url, body = self.cfn.geturl(), b""
        headers = {}
        if method == "GET":
            url += f"?{words}"
        else:
            body, headers = words.encode(), {"Content-Type": _FORM}
        request = AWSRequest(method=method, url=url, data=body, headers=headers)
        SigV4Auth(self._ec2, "cloudformation", self._region).add_auth(request)
        return url[len(f"{self.cfn.scheme}://{self.cfn.netloc}") :], dict(request.headers.items()), body
