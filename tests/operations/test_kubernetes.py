"""The manifests: valid to the API, of one volume and one user, and with commands and addresses that exist."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import kubernetes_validate
import pytest
import yaml
from typer.main import get_command

from recall.cli.main import app
from recall.config.service import ServiceSettings
from recall.service.app import api
from recall.service.metrics import ServiceMetrics
from recall.service.runner import Runner
from tests.docs.pages import ROOT

FILES = [ROOT / "examples" / "operations" / "kubernetes.yaml", ROOT / "examples" / "schedule" / "cronjob.yaml"]
USER = 10001  # of the image


def manifests() -> list[dict[str, Any]]:
    return [manifest for file in FILES for manifest in yaml.safe_load_all(file.read_text())]


def pods() -> Iterator[tuple[str, dict[str, Any]]]:
    """The specification of every pod, by the name of what makes it."""
    for manifest in manifests():
        spec = manifest["spec"]
        spec = spec.get("jobTemplate", {}).get("spec", spec)
        if "template" in spec:
            yield manifest["metadata"]["name"], spec["template"]["spec"]


@pytest.mark.parametrize("version", ["1.31", "1.34", "1.37"])
def test_they_are_valid(version: str) -> None:
    for manifest in manifests():
        kubernetes_validate.validate(manifest, version, strict=True)
    (deployment,) = (manifest for manifest in manifests() if manifest["kind"] == "Deployment")
    deployment["spec"]["template"]["spec"]["containers"][0]["readynessProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError, match="readynessProbe"):
        kubernetes_validate.validate(deployment, version, strict=True)


def test_there_is_what_makes_a_service() -> None:
    kinds = [manifest["kind"] for manifest in manifests()]
    assert sorted(kinds) == [
        *("CronJob", "CronJob", "Deployment", "PersistentVolumeClaim", "PodDisruptionBudget", "Service"),
    ]


def test_pods_share_one_volume_and_may_do_little() -> None:
    (claim,) = (m["metadata"]["name"] for m in manifests() if m["kind"] == "PersistentVolumeClaim")
    assert len(list(pods())) == 3
    for name, pod in pods():
        assert [v["persistentVolumeClaim"]["claimName"] for v in pod["volumes"] if "persistentVolumeClaim" in v] == [
            claim
        ]
        assert pod["automountServiceAccountToken"] is False, name
        security = pod["securityContext"]
        assert (security["runAsNonRoot"], security["runAsUser"], security["fsGroup"]) == (True, USER, USER)
        (container,) = pod["containers"]
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert {"cpu", "memory"} <= set(container["resources"]["requests"])
        assert "memory" in container["resources"]["limits"]
        mounts = {mount["mountPath"]: mount for mount in container["volumeMounts"]}
        if container["name"] != "refresh":  # who reads runs cannot change them
            assert mounts["/srv/movies"]["readOnly"] is True


def test_the_commands_exist() -> None:
    for _, pod in pods():
        (container,) = pod["containers"]
        program, name, *arguments = container["args"]
        assert program == "graphrecall"
        get_command(app).commands[name].make_context("graphrecall", list(arguments))  # type: ignore[attr-defined]


def test_the_probes_are_addresses_of_the_service() -> None:
    (container,) = next(pod for name, pod in pods() if name == "graphrecall-movies")["containers"]
    paths = {probe: container[f"{probe}Probe"]["httpGet"]["path"] for probe in ("startup", "readiness", "liveness")}
    assert paths == {"startup": "/readyz", "readiness": "/readyz", "liveness": "/healthz"}
    settings = ServiceSettings()
    service = api(Runner(None, settings), ServiceMetrics(None), with_key=True)
    assert set(paths.values()) <= set(service.openapi()["paths"])
    assert container["ports"][0]["containerPort"] == ServiceSettings().port
