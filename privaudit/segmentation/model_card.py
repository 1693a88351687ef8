"""The model card of trained weights, as Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from privaudit.results.markdown import code, escape
from privaudit.segmentation.networks import ProtectedSegmentation, parameters

if TYPE_CHECKING:
    from privaudit.segmentation.weights import WeightsConfig


def pretrained_text(pretrained: dict[str, Any] | None) -> str:
    """What training had gone before, in words."""
    if pretrained is None:
        return ""
    name, dataset, digest = (code(pretrained[key]) for key in ("name", "dataset", "sha256"))
    own = f", starting from {name} ({pretrained['steps']:,} steps on {dataset}, hash {digest}"
    return f"{own}{pretrained_text(pretrained['pretrained'])})"


def model_card(name: str, config: WeightsConfig, networks: ProtectedSegmentation) -> str:
    """The model card, as Markdown."""
    training, data, batch = config.training, config.dataset, config.training["options"]["batch"]
    sizes = f"{parameters(networks.segmentation):,} numbers"
    if networks.unmixing is not None:
        sizes += f", unmixing network {parameters(networks.unmixing):,}"
    if networks.client is not None:
        sizes += f", the client's network {parameters(networks.client):,}"
    collapsed = "".join(f"\n**COLLAPSED: {escape(flaw)}.**\n" for flaw in training.get("collapsed", []))
    collapsed += "".join(f"\n*Beware: {escape(doubt)}.*\n" for doubt in training.get("doubts", []))
    simulated = f", {escape(data['simulated'])}" if data["simulated"] else ""
    scores = "\n".join(f"| {escape(name)} | {'–' if v is None else f'{v:.3f}'} |" for name, v in config.scores.items())
    return f"""# {escape(name)}

Segmentation networks for the defense {code(config.defense["name"])}, trained by privaudit {training["version"]}.
{collapsed}
- **What**: 3-D U-Net++, size `{config.network.size}`, {sizes};
  patches of {config.patch_size}³ voxels of {config.voxel_mm:g} mm; classes {escape(", ".join(config.labels.values()))}.
- **Trained on**: {code(data["name"])} ({data["kind"]} people{simulated}), {data["people"]} people,
  {data["scans"]} scans, data fingerprint `{data["fingerprint"][:12]}`.
- **How**: {training["steps"]:,} steps of {batch} patches in {training["seconds"] / 60:.0f} minutes on
  {training["device"]} ({training["threads"]} threads){pretrained_text(training.get("pretrained"))}.
- **Command**: {code(training["command"])}

On patches of {data["validation_people"]} held-out people, at the end of the training:

| | |
|---|---|
{scores}

Labels of real cohorts may be pseudo-labels; the weights are then as good as those. Not for clinical use.
"""
