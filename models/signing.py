"""Ed25519 signatures of this installation: one private key that signs, public keys that verify.

The private key is read only by `signer`; whoever merely loads models never opens it. Several public keys
may lie side by side, so a key can be replaced while versions signed by the old one still load.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from core.errors import SignatureError

KEY_BYTES = 32
_KEY_ID = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True)
class Signer:
    """An opened private key: its id, and what signs a message (64 bytes)."""

    key_id: str
    sign: Callable[[bytes], bytes]


class Keys:
    """The keys in one folder: `signing.key` (0600) and one `<key id>.pub` per key that is trusted."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def signer(self) -> Signer:
        """Open the private key to sign with; the first call ever makes it."""
        path = self.folder / "signing.key"
        try:
            raw = _read_private(path)
        except FileNotFoundError:
            _make(path)
            raw = _read_private(path)
        private = Ed25519PrivateKey.from_private_bytes(raw)
        public = private.public_key().public_bytes_raw()
        signer = Signer(key_id(public), private.sign)
        beside = self.folder / f"{signer.key_id}.pub"
        if not beside.exists():
            _write_once(beside, public, 0o644)
        return signer

    def verify(self, signer: str, message: bytes, signature: bytes) -> None:
        """Refuse (SignatureError) unless the trusted key `signer` signed exactly `message`."""
        if not _KEY_ID.fullmatch(signer):
            raise SignatureError.of("signing", "key id", "16 hexadecimal digits", signer)
        try:
            public = (self.folder / f"{signer}.pub").read_bytes()
        except FileNotFoundError:
            raise SignatureError.of(
                "signing", "the signing key", "one this installation trusts", signer
            ) from None
        if len(public) != KEY_BYTES or key_id(public) != signer:
            raise SignatureError.of("signing", "the public key", "the one its id names", signer)
        try:
            Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
        except InvalidSignature:
            raise SignatureError.of(
                "signing", "the signature", "made over these bytes by its key", signer
            ) from None


def key_id(public: bytes) -> str:
    """The first 16 hexadecimal digits of the public key's SHA-256."""
    return hashlib.sha256(public).hexdigest()[:16]


def _read_private(path: Path) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    with os.fdopen(descriptor, "rb") as file:
        mode = stat.S_IMODE(os.fstat(descriptor).st_mode)
        if mode & 0o077:
            raise SignatureError.of(
                "signing", f"{path.name}'s mode", "0600", oct(mode), f"chmod 600 {path}"
            )
        raw = file.read(KEY_BYTES + 1)
    if len(raw) != KEY_BYTES:
        raise SignatureError.of("signing", path.name, f"{KEY_BYTES} bytes long", len(raw))
    return raw


def _make(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    _write_once(path, Ed25519PrivateKey.generate().private_bytes_raw(), 0o600)


def _write_once(path: Path, data: bytes, mode: int) -> None:
    """Write a whole new file or leave the one that another process made first."""
    beside = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(descriptor)
    try:
        os.link(beside, path)
    except FileExistsError:
        return
    finally:
        beside.unlink()
