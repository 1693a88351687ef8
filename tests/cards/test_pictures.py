"""What the pictures of a card show."""

from pathlib import Path

import pytest
import torch

from privaudit.auditing.opening import Settings, open_context
from privaudit.auditing.planning import all_attacks
from privaudit.auditing.spec import parse_spec
from privaudit.cards.pictures import _drawn, _sent, claimed


@pytest.mark.parametrize(
    ("defense", "attack", "titles"),
    [
        ("none", "reid", ["target", "what the server sees 1.000"]),
        ("mixup", "reid", ["target", "reference", "what the server sees"]),
        ("none", "average", ["target", "what the server sees 1.000", "atlas", "random-subject", "average K=1 0.99"]),
    ],
)
def test_what_the_server_sees_is_shown_whatever_attacks(
    tmp_path: Path, defense: str, attack: str, titles: list[str]
) -> None:
    data = {
        "dataset": {"name": "phantom", "subjects": 12, "voxel_mm": 4.0},
        "defense": {"name": defense}, "attacks": [{"name": attack}], "utility": {"weights": "none"},
    }  # fmt: skip
    spec = parse_spec(data, "here")
    context, _ = open_context(spec, Settings(out=tmp_path))
    request = context.scene.requests[0]
    row = _sent(context, [request])[0]
    row += [
        (claimed(Settings(out=tmp_path), spec, attack.name) or [])[0] for attack in all_attacks(spec) if _drawn(attack)
    ]
    shown = [title.replace("\n", " ") for title, _ in row]
    assert len(shown) == len(titles)
    for one, expected in zip(shown, titles, strict=True):
        assert one.startswith(expected), shown
    seen = next(image for title, image in row if title.startswith("what the server sees"))
    assert torch.equal(seen, context.scene.transcript(request).stitched().clamp(0, 1))
