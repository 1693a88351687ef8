"""Pictures with voxels in them, for cohorts that may be shown: what goes in, what the server sees, what comes out."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from privaudit.auditing.folders import spec_of
from privaudit.auditing.jobs import Context, Job, asked_of, job_key, job_path
from privaudit.auditing.opening import Settings, open_context
from privaudit.auditing.planning import all_attacks, cannot_run
from privaudit.auditing.shown import Shown, is_drawn, shown_protocol, shown_requests
from privaudit.auditing.spec import AuditSpec
from privaudit.auditing.utility import choose_networks, kept_maps, label_maps, probes
from privaudit.cards.gallery import claims_of, gallery, illustrations
from privaudit.cohorts.progress import run_jobs
from privaudit.contracts.attack import Attack
from privaudit.contracts.report import Picture
from privaudit.errors import PrivauditError
from privaudit.imaging.patches import as_tensor
from privaudit.scoring.kinds import kind_of

SEGMENTED = "segmentation"
Cells = list[tuple[str, Tensor]]
"""Volumes with titles, from left to right."""


def pictures_of(
    run: Path, cache: Path | None, *, utility: bool, jobs: int = 1, quiet: bool = True, spec: AuditSpec | None = None,
    traffic: Path | None = None, key_secret: Path | None = None,
) -> list[Picture]:  # fmt: skip
    """Everything that may be drawn of a run: what is sent and recovered, and how it is segmented.

    The specification is opened again.

    Args:
        run: its folder.
        key_secret: file of the secret that keys depend on, if any.
        cache: of generated data.
        utility: whether label maps are drawn, too.
        jobs: processes.
        quiet: no progress bar.
        spec: of the audit; None to read it in the folder.
        traffic: captured traffic, of which the audit's transcripts were made; None where the scheme made them.

    Raises:
        PrivauditError: the data is not there any more.
    """
    spec, settings = (
        spec_of(run) if spec is None else spec,
        Settings(out=run, cache=cache, traffic=traffic, key_secret=key_secret),
    )
    drawn = [attack.name for attack in all_attacks(spec) if is_drawn(attack)]
    # What takes longest comes first: label maps, and the attacks that learn, which stand last.
    work = [(name, settings, spec) for name in ([SEGMENTED] if utility else []) + drawn[::-1]]
    context, _ = open_context(spec, settings)
    if sum(not _is_kept(context, name) for name, *_ in work) < 2:
        jobs = 1  # other processes would take longer to begin than this one to read what is kept
    made = dict(zip([name for name, *_ in work], run_jobs(_part, work, jobs, "drawing", quiet), strict=True))
    maps = made.pop(SEGMENTED, None)
    return [
        encoding_picture(settings, spec, [cells for name in drawn if isinstance(cells := made[name], list)]),
        *attack_pictures(settings, spec),
        *([maps] if isinstance(maps, Picture) else []),
    ]


def _is_kept(context: Context, name: str) -> bool:
    """Whether what is drawn was kept when the audit ran, or there is nothing to draw."""
    if name == SEGMENTED:
        networks, _ = choose_networks(context.spec.utility, context.scene)
        return networks is None or bool(kept_maps(context, networks))
    attack = next(attack for attack in all_attacks(context.spec) if attack.name == name)
    if cannot_run(context.scene, attack, shown_protocol(attack, context.scene.defense.views)):
        return True
    return set(shown_requests(context.scene, context.spec.pictures)) <= set(_kept(context, attack))


def _kept(context: Context, attack: Attack) -> dict[str, tuple[str, Tensor]]:
    """Middle slices of what an attack has claimed, by request."""
    protocol = shown_protocol(attack, context.scene.defense.views)
    job = Job(attack.name, protocol.name, "audit")
    return Shown(job_path(context, job), job_key(context, attack, protocol, "audit")).slices


def _part(name: str, settings: Settings, spec: AuditSpec) -> Picture | Cells | None:
    """The label maps, or what an attack makes of the requests that are drawn."""
    return segmentation_picture(settings, spec) if name == SEGMENTED else claimed(settings, spec, name)


def claimed(settings: Settings, spec: AuditSpec, name: str) -> Cells | None:
    """What an attack makes of the first requests, a titled volume each, with its score.

    None where it cannot run, or its plugin or the scheme's fails: the record says so, and a card is drawn without.
    """
    try:
        return _claimed(settings, spec, name)
    except PrivauditError:
        raise
    except Exception:
        return None


def _claimed(settings: Settings, spec: AuditSpec, name: str) -> Cells | None:
    context, _ = open_context(spec, settings)
    attack = next(attack for attack in all_attacks(spec) if attack.name == name)
    requests = shown_requests(context.scene, context.spec.pictures)
    kind, protocol = kind_of(attack), shown_protocol(attack, context.scene.defense.views)
    if cannot_run(context.scene, attack, protocol):
        return None
    pictures = _kept(context, attack)
    if not set(requests) <= set(pictures):  # a cohort that is shown because the user asks, or an older run
        claims = claims_of(context, attack, protocol, requests)
        asked = asked_of(context, attack, protocol, requests)
        pictures = {request: kind.picture(claims[request], request, asked) for request in requests}
    title = f"{attack.name} {protocol.name}".removesuffix(" default")
    return [(f"{title}\n{told}", image) for told, image in (pictures[request] for request in requests)]


def encoding_picture(settings: Settings, spec: AuditSpec, claims: Sequence[Cells]) -> Picture:
    """Mid-axial slices of three requests: target, reference, what the server sees, and every attack's claim.

    Under each claim stands its MS-SSIM to the target.
    """
    context, _ = open_context(spec, settings)
    rows = _sent(context, shown_requests(context.scene, context.spec.pictures))
    mixed = ", the reference it was mixed with" if context.scene.has_bystanders else ""
    return Picture(
        "encoding",
        f"Mid-axial slices: the target{mixed}, what the server sees (first view), and what each attack on images makes"
        " of it, with MS-SSIM to the target. The first three of the requests that are scored; none was chosen.",
        draw([[*row, *(cells[number] for cells in claims)] for number, row in enumerate(rows)]),
    )


def attack_pictures(settings: Settings, spec: AuditSpec) -> list[Picture]:
    """What attacks that draw at random make of the first request from several initialisations, and what they hold.

    Raises:
        PrivauditError: the data is not there any more.
    """
    context, _ = open_context(spec, settings)
    attacks = [
        a for a in all_attacks(spec) if not cannot_run(context.scene, a, shown_protocol(a, context.scene.defense.views))
    ]
    previews = [(attack.name, preview) for attack in attacks if (preview := attack.preview()) is not None]
    return [
        Picture(f"{name}-{shown.name}", shown.caption, draw(shown.rows))
        for name, preview in previews
        for shown in (gallery(context, preview), *illustrations(context, preview))
    ]


def segmentation_picture(settings: Settings, spec: AuditSpec) -> Picture | None:
    """One mid-axial slice as in the paper's Fig. 2: image, what the server sees, true labels, and every method's.

    None where no trained weights fit.

    Raises:
        PrivauditError: the data is not there any more.
    """
    context, _ = open_context(spec, settings)
    scene = context.scene
    networks, _ = choose_networks(spec.utility, scene)
    if networks is None:
        return None
    request = probes(spec.utility, scene)[0]
    truth = scene.truth(request)
    top = max(scene.cohort.label_names)
    seen = scene.transcript(request, arm="audit").stitched()
    cells = [("target", as_tensor(truth.image)), ("what the server sees", seen)]
    cells.append(("true labels", torch.from_numpy(truth.labels / top)))
    wanted = (1, scene.defense.views)
    made = ((name, torch.from_numpy(guess)) for name, guess in label_maps(context, networks, request))
    for name, guess in kept_maps(context, networks).items() or made:
        method, _, count = name.partition(" @ ")
        if count and int(count) in wanted:
            cells.append((method if int(count) == 1 else f"{method} + TTA", guess / top))
    return Picture(
        "segmentation",
        "One mid-axial slice of the first request: image, what the server sees, true labels, and the labels that each"
        " method gives (grey levels stand for the structures).",
        draw([cells]),
    )


def _sent(context: Context, requests: Sequence[str]) -> list[Cells]:
    """A row for each request: the target, what it was mixed with, and what the server sees."""
    scene = context.scene
    rows = []
    for request in requests:
        volume, other = scene.truth(request), scene.bystander(request)
        truth, sent = as_tensor(volume.image), scene.transcript(request, arm="audit").stitched().clamp(0, 1)
        score = context.scorer.score(sent, truth, volume.labels > 0)["ms_ssim"]
        given = [("target", truth)] + ([] if other is None else [("reference", other)])
        rows.append([*given, (f"what the server sees\n{score:.3f}", sent)])
    return rows


def draw(rows: Sequence[Sequence[tuple[str, Tensor]]]) -> bytes:
    """Middle slices of titled volumes, or slices that were kept, as PNG; rows may differ in length."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = max(len(cells) for cells in rows)
    x, y, _ = rows[0][0][1].shape
    figure = Figure(figsize=(1.7 * columns, (1.7 * y / x + 0.45) * len(rows)), dpi=110, layout="compressed")
    FigureCanvasAgg(figure)
    for i, cells in enumerate(rows):
        for j, (title, image) in enumerate(cells):
            axes = figure.add_subplot(len(rows), columns, i * columns + j + 1)
            axes.imshow(image[:, :, image.shape[2] // 2].numpy().T, origin="lower", cmap="gray", vmin=0, vmax=1)
            axes.set_title(title, fontsize=8)
            axes.axis("off")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
