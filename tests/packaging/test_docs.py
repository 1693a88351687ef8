"""What the documentation shows must run."""

import random
import re
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from privaudit.imaging.patches import one_hot

ROOT = Path(__file__).parents[2]


def blocks(file: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / file).read_text(), flags=re.S)


def test_the_example_defense_keeps_the_contract() -> None:
    namespace: dict[str, Any] = {}
    for block in blocks("docs/writing-plugins.md", "python")[:2]:
        exec(block, namespace)
    image = torch.rand((6, 5, 4))
    labels = one_hot(np.random.default_rng(0).integers(0, 4, (6, 5, 4)).astype(np.uint8), 4)
    for name in ("NoisyDefense", "ShiftDefense"):
        defense = namespace[name]()
        key = defense.draw_key((6, 5, 4), [], random.Random(1))
        assert defense.encode(image, key, 1).views.shape == (1, 1, 6, 5, 4)
        assert torch.equal(defense.decode(defense.respond(labels, key, 1), key), labels)
        assert "secret" in repr(key)


def test_the_example_workflow_is_yaml_and_runs_commands_that_exist() -> None:
    workflow = yaml.safe_load((ROOT / "docs/examples/github-workflow.yml").read_text())
    steps = [step.get("run", "") for step in workflow["jobs"]["leakage"]["steps"]]
    commands = [line.split()[1] for text in steps for line in text.splitlines() if line.startswith("privaudit ")]
    assert commands == ["audit", "check"]


def test_links_between_documents_lead_somewhere() -> None:
    for file in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")):
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", file.read_text()):
            assert (file.parent / target).exists(), f"{file.name}: {target}"
