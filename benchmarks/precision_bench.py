"""What float16 on the wire does to segmentation and to the strongest attacks, beside float32, in one run.

Run with ``python -m benchmarks precision --markdown FILE``. Everything that is compared was on a wire: the real client,
a server on this machine, and for the attack on pictures a recording proxy, whose bytes are audited.

Expected before the first measurement: float16 keeps 11 bits, so a value in [0, 1] is off by at most 2.4e-4, as noise of
standard deviation 7e-5 to 1.4e-4 would be. That is a hundredth of the noise of a scan. The mean Dice should change in
the fourth digit. ``joint``, which is exact without noise, should lose little: rounding is no protection. The same for
``decode-maps``: the values of a mixture of one-hot maps are as many as before, and far apart.
"""

from __future__ import annotations

import argparse
import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from benchmarks.serving_bench import PATCH, Idle, connected
from privaudit.auditing.opening import Settings, open_context
from privaudit.auditing.run import run_audit
from privaudit.auditing.scene import Scene
from privaudit.auditing.sending import send_cohort
from privaudit.auditing.spec import AuditSpec, parse_spec
from privaudit.auditing.utility import choose_networks, probes
from privaudit.client.connection import Address, Connection
from privaudit.client.remote import Precision, RemoteServer
from privaudit.contracts.cohort import ScanId
from privaudit.errors import OptionError
from privaudit.files import write_text
from privaudit.imaging.label_prior import LabelPrior
from privaudit.imaging.map_decoding import decode_maps
from privaudit.imaging.patches import most_likely
from privaudit.provenance import commit
from privaudit.results.words import interval
from privaudit.scoring.overlap import dice
from privaudit.segmentation.system import Average, Client, Unmixing, views_of
from privaudit.serving.app import Service, make_app
from privaudit.serving.engine import EngineConfig, NetworkEngine
from privaudit.serving.limits import Limits
from privaudit.serving.running import Door, uvicorn_config
from privaudit.traffic.har import write_har
from privaudit.traffic.running import recording
from privaudit.wire.hosting import hosted

PRECISIONS: tuple[Precision, ...] = ("float32", "float16")
METHODS: tuple[Unmixing, ...] = ("naive", "learned")
CPU = torch.device("cpu")


class Segmented(NamedTuple):
    """Mean Dice by way of unmixing, megabytes there and back for one volume, and all label maps."""

    dice: dict[Unmixing, float]
    sent: float
    received: float
    labels: list[Any]


def spec_of(voxel_mm: float, subjects: int, views: int, attacks: Sequence[str], weights: str) -> AuditSpec:
    """An audit of mixup on virtual people."""
    data = {
        "dataset": {"name": "phantom", "subjects": subjects, "voxel_mm": voxel_mm},
        "defense": {"name": "mixup", "views": views}, "attacks": list(attacks), "utility": {"weights": weights},
        "controls": "single",
    }  # fmt: skip
    return parse_spec(data, "precision benchmark")


def segmented(spec: AuditSpec, people: int, precision: Precision) -> Segmented:
    """Some people through the real client and a server that holds the shipped network."""
    scene = open_context(spec, Settings(device="cpu", quiet=True))[0].scene
    networks, why = choose_networks(spec.utility, scene)
    if networks is None or networks.protected is None:
        raise OptionError(why)
    weights = networks.protected
    engine = NetworkEngine(
        weights.networks.segmentation, EngineConfig.model_validate(weights.config.model_dump()), CPU
    )  # fmt: skip
    client, scores, maps = Client(weights.networks.unmixing, CPU), dict[Unmixing, list[float]](), []
    requests = probes(spec.utility, scene)[:people]
    with connected(engine, precision) as (remote, connection, _):
        for request in requests:
            truth = scene.truth(request).labels
            _, key, encoded = scene.client_side(request, scene.defense.views)
            averages: dict[Unmixing, Average] = {}
            for view in views_of(remote, client, scene.defense, encoded.views, key, scene.classes):
                for method, found in view.maps.items():
                    averages.setdefault(method, Average()).add(found)
            for method, average in averages.items():
                guess = scene.defense.assemble(average.mean(), key).argmax(dim=0).numpy()
                values = [dice(guess, truth, label) for label in range(1, scene.classes)]
                scores.setdefault(method, []).append(float(np.mean([v for v in values if v is not None])))
                maps.append(guess)
        up, down = (count / 1e6 / len(requests) for count in (connection.sent, connection.received))
    return Segmented({method: float(np.mean(values)) for method, values in scores.items()}, up, down, maps)


def captured(scene: Scene, precision: Precision, path: Path) -> None:
    """Send all scans through a recording proxy to a server that computes nothing; what it answers is not attacked."""
    limits = Limits()
    config = uvicorn_config(make_app(Service(Idle(), limits=limits)), Door(port=0), limits)
    with hosted(config) as port, recording(f"http://127.0.0.1:{port}") as (recorder, proxy):

        @contextlib.contextmanager
        def opened() -> Iterator[RemoteServer]:
            with Connection(Address(proxy)) as connection:
                yield RemoteServer(connection, PATCH, scene.classes, precision=precision)

        send_cohort(scene, opened, lambda _: None)
    write_har(path, recorder.flows, "127.0.0.1:1")


def joint(spec: AuditSpec, precision: Precision, folder: Path) -> list[str]:
    """MS-SSIM of the pictures that ``joint`` makes of captured bytes: of targets, and of references."""
    scene = open_context(spec, Settings(device="cpu", quiet=True))[0].scene
    har = folder / f"{precision}.har"
    captured(scene, precision, har)
    settings = Settings(out=folder / precision, device="cpu", quiet=True, traffic=har)
    findings = run_audit(spec, settings).record.findings
    har.unlink()
    found = [f for f in findings if f.attack == "joint" and f.metric == "ms_ssim" and f.role != "baseline"]
    return [next(interval(f.estimate, f.ci) for f in found if f.victim == victim) for victim in ("target", "reference")]


class Perfect(Idle):
    """Answers what a perfect server would, from a list: one view in each forward pass."""

    def __init__(self, answers: list[np.ndarray[Any, Any]]) -> None:
        self._answers, self.batch = answers, len(answers[0])

    def maps(self, patches: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        assert len(patches) == self.batch
        return self._answers.pop(0)


def decoded(spec: AuditSpec, people: int, views: int, precision: Precision) -> float:
    """Mean Dice of the targets' label maps that a server reads out of its own perfect answers, as they were sent."""
    scene = open_context(spec, Settings(device="cpu", quiet=True))[0].scene
    prior = LabelPrior.of(scene.cohort.load(scan).labels for scan in scans_of(scene))
    scores = []
    for request in probes(spec.utility, scene)[:people]:
        transcript = scene.transcript(request, views=views, returned=True)
        assert transcript.returned is not None
        with connected(Perfect([view.numpy() for view in transcript.returned]), precision) as (remote, _, _):
            heard = torch.stack([remote.respond(view) for view in transcript.views])
        found = decode_maps(heard, transcript.positions, transcript.shape, prior, scene.defense.scheme.mixed)
        guess, truth = most_likely(found.target), scene.truth(request).labels
        values = [dice(guess, truth, label) for label in range(1, scene.classes)]
        scores.append(float(np.mean([v for v in values if v is not None])))
    return float(np.mean(scores))


def scans_of(scene: Scene) -> list[ScanId]:
    """One scan of each person whom the attacker learns from."""
    return [scene.cohort.sessions_of(person)[0] for person in scene.split.population]


def main(arguments: Sequence[str]) -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks precision", description="float16 on the wire.")
    parser.add_argument("--segmented", type=int, default=6, metavar="N", help="people segmented, at 2 mm")
    parser.add_argument("--views", type=int, default=4, help="views of each scan")
    parser.add_argument("--subjects", type=int, default=24, help="people of the audit with 'joint', at 4 mm")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the table for the documentation")
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(1)
    fine = spec_of(2.0, 24, chosen.views, ["as-is"], "auto")
    coarse = spec_of(4.0, chosen.subjects, chosen.views, ["joint"], "none")
    rows = [
        [
            "on the wire",
            "MB there, back",
            "mean Dice, naive",
            "learned",
            "`joint`, target",
            "reference",
            "`decode-maps`",
        ],
        ["---"] * 7,
    ]
    labels = {}
    with tempfile.TemporaryDirectory() as folder:
        for precision in PRECISIONS:
            served = segmented(fine, chosen.segmented, precision)
            labels[precision] = np.stack(served.labels)
            pictures = joint(coarse, precision, Path(folder))
            maps = decoded(fine, chosen.segmented, min(3, chosen.views), precision)
            told = [f"{served.dice[method]:.4f}" for method in METHODS]
            rows.append([precision, f"{served.sent:.1f}, {served.received:.1f}", *told, *pictures, f"{maps:.4f}"])
            print(" | ".join(rows[-1]), flush=True)
    changed = float((labels["float32"] != labels["float16"]).mean())
    text = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    text += (
        f"\n\n(Commit {str(commit())[:8]}. Virtual people, K = {chosen.views}, the same keys in both rows:"
        f" {chosen.segmented} segmented at 2 mm; `joint` on {chosen.subjects} people at 4 mm, MS-SSIM; `decode-maps`"
        f" on the answers of a perfect server, Dice of the target. {changed:.1e} of all labels differ.)\n"
    )
    print(text)
    if chosen.markdown is not None:
        write_text(chosen.markdown, text)
