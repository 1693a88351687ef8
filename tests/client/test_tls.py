"""TLS, and client certificates: who has none is refused."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("uvicorn", reason="needs the extra 'serve'")

from privaudit.client.connection import Address, Connection, ServerError
from privaudit.client.remote import RemoteServer
from privaudit.serving.running import Door
from tests.serving.stub import StubEngine, served


def openssl(folder: Path, *arguments: str) -> None:
    done = subprocess.run(["openssl", *arguments], cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"openssl is missing or too old: {done.stderr.splitlines()[-1:]}")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority, and certificates that it has signed for a server and a client; and a stranger's."""
    folder = tmp_path_factory.mktemp("tls")
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2")
    for name in ("ca", "stranger"):
        openssl(folder, "req", "-x509", *curve, "-keyout", f"{name}.key", "-out", f"{name}.pem", "-subj", f"/CN={name}")
    for name in ("server", "client"):
        openssl(
            folder, "req", "-x509", *curve, "-keyout", f"{name}.key", "-out", f"{name}.pem", "-subj", f"/CN={name}",
            "-CA", "ca.pem", "-CAkey", "ca.key", "-addext", "subjectAltName=IP:127.0.0.1",
            "-addext", "basicConstraints=critical,CA:FALSE",
        )  # fmt: skip
    return folder


def ask(port: int, folder: Path, ca: str = "ca", client: str | None = "client") -> bool:
    """Whether a patch comes back right."""
    address = Address(
        f"https://127.0.0.1:{port}", folder / f"{ca}.pem", None if client is None else folder / f"{client}.pem",
        None if client is None else folder / f"{client}.key", patience=1.0,
    )  # fmt: skip
    patches = np.zeros((1, 4, 4, 4), np.float32)
    with Connection(address) as connection:
        return np.array_equal(RemoteServer(connection, 4, 3).ask(patches), StubEngine().maps(patches))


def test_mutual_tls(certificates: Path) -> None:
    door = Door(
        certificate=certificates / "server.pem", key=certificates / "server.key", client_ca=certificates / "ca.pem"
    )
    with served(door=door) as port:
        assert ask(port, certificates)
        with pytest.raises(ServerError):
            ask(port, certificates, client=None)
        with pytest.raises(ServerError):
            ask(port, certificates, client="stranger")
        with pytest.raises(ServerError, match="no TLS with .*CERTIFICATE_VERIFY_FAILED"):
            ask(port, certificates, ca="stranger")
