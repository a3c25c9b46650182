"""Claude Code shows a rule's `reason` to the developer, so every rule that people copy has one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.docs.code_blocks import BLOCKS
from tests.helpers.installation import ROOT

WITHOUT = {
    "README.md": "the shortest settings",
    "examples/lab/llmgate.yaml": "the reference lab's own rule, which has no reason",
    "examples/lab/README.md": "the same",
    "docs/how-to/from-agentgateway.md": "agentgateway's own forms, which have no reason",
    "docs/how-to/check.md": "a file with mistakes, which check finds",
    "docs/reference/policy.md": "shows each form of a rule",
    "docs/reference/settings.md": "shows each key",
}


def rules() -> Iterator[tuple[str, Any]]:
    """(file, rule) of the settings in the examples' YAML files and in the YAML blocks of pages."""
    texts = [(str(path.relative_to(ROOT)), path.read_text("utf-8")) for path in (ROOT / "examples").rglob("*.yaml")]
    texts += [(block.page, block.text) for block in BLOCKS if block.language == "yaml"]
    for name, text in texts:
        for document in yaml.safe_load_all(text):
            if isinstance(document, dict) and document.get("kind") == "ConfigMap":
                document = yaml.safe_load(document["data"]["llmgate.yaml"])
            policy = document.get("policy", {}) if isinstance(document, dict) else {}
            for rule in policy.get("rules", ()) if isinstance(policy, dict) else ():
                yield name, rule


RULES = [(name, rule) for name, rule in rules() if name not in WITHOUT]


def test_the_rules_are_found() -> None:
    files = {name for name, _ in RULES}
    assert {"examples/deploy/kubernetes.yaml", "examples/keycloak/llmgate.yaml", "examples/okta.md"} <= files
    assert "docs/how-to/models-by-claims.md" in files


@pytest.mark.parametrize(("name", "rule"), RULES, ids=[name for name, _ in RULES])
def test_a_rule_says_what_a_developer_can_do(name: str, rule: Any) -> None:
    assert isinstance(rule, dict), rule
    if rule.get("allow") != "true":  # it denies nobody
        assert len(rule.get("reason", "").split()) > 2
