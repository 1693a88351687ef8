"""Every setting of mixup under the attacks that look at all requests, and at the maps that the server computes.

Run with ``python -m benchmarks settings``: a row as each audit ends. A killed run goes on where it stopped; each audit
has its own folder. It takes an hour or more, so ``make bench`` leaves it out.
"""

from __future__ import annotations

import argparse
import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from benchmarks import bss_beside
from privaudit.auditing.opening import Settings
from privaudit.auditing.run import run_audit
from privaudit.auditing.spec import AuditSpec, parse_spec
from privaudit.cohorts.store import cache_folder
from privaudit.files import write_text
from privaudit.provenance import commit, without_folders
from privaudit.results.record import Finding, Record
from privaudit.results.words import interval

VICTIMS, POPULATION, SCANS = 24, 12, 2


@dataclass(frozen=True)
class Setting:
    """One way to use mixup.

    Attributes:
        name: in words.
        options: of mixup.
        pool: people in the reference pool; without one, one for each scan of a victim.
    """

    name: str
    options: Mapping[str, Any] = field(default_factory=dict)
    pool: int | None = 12

    def people(self, victims: int) -> tuple[int, int]:
        """Of the pool, and of the whole audit."""
        pool = SCANS * victims if self.pool is None else self.pool
        return pool, victims + POPULATION + pool


SETTINGS: Final = (
    Setting("default (K = 10, one α for each person, pool of 12)"),
    Setting("K = 1", {"views": 1}),
    Setting("α anew in each view", {"alpha_per": "request"}),
    Setting("α per patch", {"alpha_per": "patch"}),
    Setting("α per patch, anew in each view", {"alpha_per": "patch", "fresh_alpha": True}),
    Setting("reference per patch", {"reference_per": "patch"}),
    Setting(
        "α and reference per patch, K = 1, as training sends",
        {"alpha_per": "patch", "reference_per": "patch", "views": 1},
    ),
    Setting("reference cut anywhere", {"reference_per": "patch", "reference_position": "random"}),
    Setting("k = 2 references", {"references": 2}),
    Setting("k = 3 references", {"references": 3}),
    Setting("mixtures sent as float16", {"precision": "float16"}),
    Setting("α anew in each view, sent as float16", {"alpha_per": "request", "precision": "float16"}),
    Setting("pool of 24", {}, 24),
    Setting("pool of 48", {}, 48),
    Setting("K = 1, no reference used again", {"views": 1, "reference_reuse": "never"}, None),
)
COLUMNS: Final[Mapping[str, tuple[str, str]]] = {
    "as-is, MS-SSIM": ("as-is", "ms_ssim"),
    "average, MS-SSIM": ("average", "ms_ssim"),
    "joint, MS-SSIM": ("joint", "ms_ssim"),
    "joint, PSNR in the brain (dB)": ("joint", "psnr_brain"),
    "maps decoded, Dice": ("decode-maps", "map_dice"),
    "reid, mAP": ("reid", "map"),
    "joint-reid, mAP": ("joint-reid", "map"),
    "decoded-reid, mAP": ("decoded-reid", "map"),
}
ATTACKS: Final = (
    {"name": "average", "views": []},
    "joint",
    {"name": "decode-maps", "maps": ["returned"]},
    {"name": "reid", "protocols": ["encoded"]},
    {"name": "joint-reid", "protocols": ["encoded"]},
    {"name": "decoded-reid", "protocols": ["encoded"]},
)


def data_for(setting: Setting, chosen: argparse.Namespace) -> dict[str, Any]:
    """The audit of one setting: as many victims and people of the attacker's in each."""
    victims: int = chosen.victims
    pool, people = setting.people(victims)
    dataset: dict[str, Any] = {"name": chosen.dataset, "voxel_mm": chosen.voxel_mm}
    if chosen.root is None:
        dataset |= {"subjects": people, "sessions": SCANS}
    else:
        dataset |= {"root": str(chosen.root), "rescans": SCANS}
    return {
        "dataset": dataset,
        "defense": {"name": "mixup", "patch_size": chosen.patch_size, **setting.options},
        "attacks": list(ATTACKS),
        "seed": chosen.seed,
        "split": {"victims": victims / people, "pool": pool / people, "population": POPULATION / people},
        "pictures": {"people": None, "scans": "all"},
        "controls": "single",
        "utility": {"weights": "none"},
    }  # fmt: skip


def spec_for(setting: Setting, chosen: argparse.Namespace) -> AuditSpec:
    """The same as a specification."""
    return parse_spec(data_for(setting, chosen), "python -m benchmarks settings")


def cells(setting: Setting, record: Record) -> list[str]:
    """A row: the figure of each column with its interval, about the person scanned."""
    return [setting.name, *(_cell(record, *column) for column in COLUMNS.values())]


def _cell(record: Record, attack: str, metric: str) -> str:
    found = [f for f in record.findings if (f.attack, f.metric) == (attack, metric) and f.victim != "reference"]
    if not found:
        return "did not finish" if any(item.attack == attack for item in record.missing) else "–"
    best: Finding = max(found, key=lambda finding: finding.estimate or 0.0)
    failed = any(h.attack == attack and h.protocol == best.protocol and not h.passed for h in record.health)
    notes = ", a check failed" if failed else ""
    return interval(best.estimate, best.ci) + notes


def main(arguments: Sequence[str]) -> None:
    """Audit every setting and print the table row by row."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks settings", description="Every setting of mixup.")
    parser.add_argument("--dataset", default="phantom", choices=["phantom", "bids"], help="which data")
    parser.add_argument("--root", type=Path, help="of bids; its second sessions are simulated")
    parser.add_argument("--people", type=int, help="in the data of bids; settings that need more are left out")
    parser.add_argument("--voxel-mm", type=float, default=4.0, help="voxel size")
    parser.add_argument("--patch-size", type=int, default=16, help="side of the patches, in voxels")
    parser.add_argument("--victims", type=int, default=VICTIMS, help="people under attack, two scans each")
    parser.add_argument("--only", action="append", metavar="TEXT", help="a setting by name, or all with this in it")
    parser.add_argument("--seed", type=int, default=0, help="of every audit")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--out", type=Path, help="folder of the runs [default: the user's cache]")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the table for the documentation")
    parser.add_argument("--bss", type=int, metavar="N", help="bss, too, on the N patches with most tissue of each scan")
    parser.add_argument("--prior", default="auto", help="of bss [default: the shipped one that fits]")
    chosen = parser.parse_args(arguments)
    more = [] if chosen.bss is None else bss_beside.columns(chosen.bss)
    out: Path = chosen.out or cache_folder(None) / "settings"
    head = ["setting", *COLUMNS, *more]
    rows = [head, ["---"] * len(head)]
    print(" | ".join(head), flush=True)
    names = {setting.name for setting in SETTINGS}
    for setting in SETTINGS:
        wanted = chosen.only is None or any(
            text == setting.name or (text in setting.name and text not in names) for text in chosen.only
        )
        if wanted:
            _, needed = setting.people(chosen.victims)
            if chosen.people is not None and needed > chosen.people:
                rows.append([setting.name, f"needs {needed} people", *["–"] * (len(head) - 2)])
                continue
            spec = spec_for(setting, chosen)
            record = run_audit(spec, Settings(out=out / spec.digest, jobs=chosen.jobs, device="cpu", quiet=True)).record
            rows.append(cells(setting, record))
            if chosen.bss is not None:
                few = {"patches": chosen.bss, "prior": chosen.prior}
                rows[-1] += bss_beside.cells(data_for(setting, chosen), few, out)
            print(" | ".join(rows[-1]), flush=True)
    if chosen.markdown is not None:
        made = f"`python -m benchmarks settings {without_folders(arguments)}`, commit {(commit() or 'unknown')[:8]}"
        table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
        write_text(chosen.markdown, f"{made}, {datetime.date.today().isoformat()}:\n\n{table}\n")
