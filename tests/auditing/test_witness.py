"""What changes unseen: weights, folders and packages behind an encoder; and encoders that do not repeat themselves."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from privaudit.auditing.opening import Settings
from privaudit.auditing.run import run_audit
from privaudit.auditing.spec import parse_spec
from privaudit.contracts import plugin
from privaudit.contracts.defense import Defense
from privaudit.errors import PluginError

Make = Callable[..., dict[str, Any]]


@pytest.fixture
def noise(thirdparty: Path) -> type[Defense]:
    return plugin.load("defenses", "pure-noise", Defense)


@pytest.mark.parametrize("what", ["encode", "respond", "decode"])
def test_weights_that_change_unseen_are_noticed(
    what: str, noise: type[Defense], blobs: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The code, the options and the data are the same; a file that the encoder reads is not."""
    weights = tmp_path / "weights.bin"
    weights.write_text("0.0")
    original = getattr(noise, what)

    def adapted(self: Any, *arguments: Any) -> Any:
        found, share = original(self, *arguments), float(weights.read_text())
        if what != "encode":
            return found + share
        return replace(found, views=(1 - share) * found.views + share * arguments[0])

    monkeypatch.setattr(noise, what, adapted)
    spec = parse_spec(blobs("pure-noise", ["as-is"]), "test")
    settings = Settings(out=tmp_path / "run")
    run_audit(spec, settings)
    assert set(run_audit(spec, settings).notes.values()) == {"reused"}
    weights.write_text("1.0")
    notes = run_audit(spec, settings).notes.values()
    assert all(note.startswith("computed again: encodings changed") for note in notes)


def test_what_returns_of_later_views_is_part_of_the_key(
    noise: type[Defense], blobs: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from privaudit.auditing.opening import open_context
    from privaudit.auditing.witness import look_again

    respond, shares = noise.respond, [1.0]

    def adapted(self: Any, labels: Any, key: Any, views: int) -> Any:
        found = respond(self, labels, key, views).clone()
        found[1:] = found[1:] * shares[-1]
        return found

    def decode(self: Any, returned: Any, key: Any) -> Any:
        return returned[0, 0]

    monkeypatch.setattr(noise, "respond", adapted)
    monkeypatch.setattr(noise, "decode", decode)
    scene = open_context(parse_spec(blobs("pure-noise", ["as-is"]), "test"), Settings(out=tmp_path / "run"))[0].scene
    digests = []
    for share in (1.0, 0.5, 1.0):
        shares.append(share)
        digests.append(look_again(scene))
    assert digests[0] == digests[2] != digests[1]


def test_what_a_scheme_says_of_itself_is_part_of_the_key(
    noise: type[Defense], blobs: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = parse_spec(blobs("pure-noise", ["as-is"]), "test")
    run_audit(spec, Settings(out=tmp_path / "run"))
    monkeypatch.setattr(noise, "digest", "package 2.0")
    notes = run_audit(spec, Settings(out=tmp_path / "run")).notes
    assert notes["as-is.default.audit"] == 'computed again: defense digest changed (null → "package 2.0")'


def test_an_encoder_that_differs_on_equal_keys_is_refused(
    noise: type[Defense], blobs: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode = noise.encode

    def chance(self: Any, *arguments: Any) -> Any:
        sent = encode(self, *arguments)
        return replace(sent, views=sent.views + torch.rand(1))

    monkeypatch.setattr(noise, "encode", chance)
    with pytest.raises(PluginError, match=r"'pure-noise' was given one scan and equal keys twice; got two different"):
        run_audit(parse_spec(blobs("pure-noise", ["as-is"]), "test"), Settings(out=tmp_path / "run"))
    assert not (tmp_path / "run").exists()
