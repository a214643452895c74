from __future__ import annotations

import json
import stat
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from core.errors import SignatureError
from models.registry import Registry
from models.signing import Keys


def test_a_signature_verifies_and_the_private_key_is_only_ours(tmp_path: Path) -> None:
    keys = Keys(tmp_path / "keys")
    signer = keys.signer()
    keys.verify(signer.key_id, b"text", signer.sign(b"text"))
    assert stat.S_IMODE((tmp_path / "keys/signing.key").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "keys").stat().st_mode) == 0o700
    assert Keys(tmp_path / "keys").signer().key_id == signer.key_id
    assert sorted(path.name for path in (tmp_path / "keys").iterdir()) == sorted(
        ["signing.key", f"{signer.key_id}.pub"]
    )


def test_another_text_or_key_is_refused(tmp_path: Path) -> None:
    keys, stranger = Keys(tmp_path / "ours"), Keys(tmp_path / "theirs")
    signer, foreign = keys.signer(), stranger.signer()
    with pytest.raises(SignatureError, match="made over these bytes"):
        keys.verify(signer.key_id, b"texT", signer.sign(b"text"))
    with pytest.raises(SignatureError, match="one this installation trusts"):
        keys.verify(foreign.key_id, b"text", foreign.sign(b"text"))
    with pytest.raises(SignatureError, match="made over these bytes"):
        keys.verify(signer.key_id, b"text", foreign.sign(b"text"))


@pytest.mark.parametrize("name", ["../signing", "", "ABCDEF0123456789", "0" * 15])
def test_a_key_id_is_never_a_path(tmp_path: Path, name: str) -> None:
    with pytest.raises(SignatureError, match="16 hexadecimal digits"):
        Keys(tmp_path).verify(name, b"", b"")


def test_a_public_key_must_be_the_one_its_name_says(tmp_path: Path) -> None:
    keys, stranger = Keys(tmp_path / "ours"), Keys(tmp_path / "theirs")
    signer, foreign = keys.signer(), stranger.signer()
    theirs = (tmp_path / f"theirs/{foreign.key_id}.pub").read_bytes()
    (tmp_path / f"ours/{signer.key_id}.pub").write_bytes(theirs)
    with pytest.raises(SignatureError, match="the one its id names"):
        keys.verify(signer.key_id, b"text", foreign.sign(b"text"))


def test_verifying_never_opens_the_private_key(tmp_path: Path) -> None:
    keys = Keys(tmp_path / "keys")
    signer = keys.signer()
    signature = signer.sign(b"text")
    (tmp_path / "keys/signing.key").unlink()
    keys.verify(signer.key_id, b"text", signature)
    assert not (tmp_path / "keys/signing.key").exists()


def test_a_private_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    keys = Keys(tmp_path)
    keys.signer()
    (tmp_path / "signing.key").chmod(0o644)
    with pytest.raises(SignatureError, match="0600"):
        keys.signer()


def test_a_replaced_key_still_verifies_what_the_old_one_signed(tmp_path: Path) -> None:
    keys = Keys(tmp_path)
    old = keys.signer()
    signature = old.sign(b"text")
    (tmp_path / "signing.key").unlink()
    assert keys.signer().key_id != old.key_id
    keys.verify(old.key_id, b"text", signature)


def test_a_process_that_loads_verifies_and_promotes_never_opens_the_private_key(
    tmp_path: Path, registry: Registry, published: Callable[..., str]
) -> None:
    first, second = published(), published(largest=2)
    script = textwrap.dedent(
        f"""
        import json, sys
        from pathlib import Path
        home, opened = Path(sys.argv[1]), set()
        def heard(event, arguments):
            if event == "open" and str(arguments[0]).startswith(str(home / "keys")):
                opened.add(Path(arguments[0]).name)
        sys.addaudithook(heard)
        from data.record_store import Records
        from data.version_store import Versions
        from models.registry import Registry
        from models.serve import Serve
        from models.signing import Keys
        with Records(f"sqlite:///{{home}}/records.db") as records:
            registry = Registry(home / "registry", Versions(records), Keys(home / "keys"))
            for version in ("{first}", "{second}"):
                registry.promote("acme", "ads", version, actor="ana", reason="try")
            registry.rollback("acme", "ads", actor="ana", reason="back")
            sound = [verdict.ok for verdict in registry.verify("acme")]
            served = Serve(registry).champion("acme", "ads").version.id
        print(json.dumps([sound, served, sorted(opened)]))
        """
    )
    ran = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        check=True,
        timeout=120,
        capture_output=True,
        text=True,
    )
    (public,) = (tmp_path / "keys").glob("*.pub")
    assert json.loads(ran.stdout) == [[True, True], first, [public.name]]
