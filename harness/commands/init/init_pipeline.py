"""`lkharness init --pipeline KIND`: what runs the harness every night, for a CI service, a jump host or a Kubernetes cluster."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from harness.core import package_data
from harness.core.errors import Unusable
from harness.core.files import write_atomically

STEP = "step.sh"
KINDS: dict[str, dict[str, str]] = {
    "github": {"github.yml": ".github/workflows/lkharness.yml"},
    "azure-devops": {"azure-devops.yml": "azure-pipelines.yml"},
    "gitlab": {"gitlab.yml": ".gitlab-ci.yml"},
    "jenkins": {"Jenkinsfile": "Jenkinsfile"},
    "systemd": {name: name for name in ("lkharness.service", "lkharness.timer", "lkharness-failed.service")},
    "kubernetes": {"kubernetes.yaml": "lkharness-cronjob.yaml"},
    "kubernetes-fleet": {"kubernetes-fleet.yaml": "lkharness-fleet-cronjob.yaml"},
}
"""Kind → template in docs/pipelines → where it is written, below the current folder."""


def text(template: str) -> str:
    """A template with the shell step that all of them share, indented as the mark that it stands for."""
    content = package_data.document(f"pipelines/{template}").read_text(encoding="utf-8")
    step = package_data.document(f"pipelines/{STEP}").read_text(encoding="utf-8").splitlines()
    return re.sub(r"^( *)@STEP@$", lambda mark: "\n".join(mark[1] + line for line in step), content, flags=re.MULTILINE)


def write(kind: str, folder: Path, may_write: Callable[[Path], None]) -> list[Path]:
    """Write the files of that kind below `folder`; `may_write` raises for one that is there. Raises Unusable."""
    files = {folder / path: text(template) for template, path in KINDS[kind].items()}
    try:
        for file in files:
            file.parent.mkdir(parents=True, exist_ok=True)
            may_write(file)
        return [write_atomically(file, content) for file, content in files.items()]
    except OSError as error:
        raise Unusable(f"{folder}: nothing can be written there ({error.strerror or error}); go to another folder") from error
