"""A version's folder on disk: written whole or not at all, read once, by descriptor and without following links."""

from __future__ import annotations

import os
import secrets
import shutil
import stat
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from core.errors import MissingArtifactError, PersistenceError
from models.manifest import MANIFEST, SIGNATURE

MAX_MANIFEST, MAX_SIGNATURE, MAX_ARTIFACT = 1 << 20, 256, 1 << 28  # bytes


def write(root: Path, target: Path, files: Mapping[str, bytes]) -> None:
    """All files or none: temporary folder, fsync each, rename, fsync the folders; what was there is replaced."""
    temporary = root / f".tmp-{secrets.token_hex(8)}"
    temporary.mkdir(mode=0o700)
    try:
        for file, data in files.items():
            descriptor = os.open(temporary / file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(descriptor)
        _sync(temporary)
        target.parent.mkdir(exist_ok=True, mode=0o700)
        if target.exists():
            remove(root, target)
        temporary.rename(target)
        _sync(target.parent)
        _sync(root)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def remove(root: Path, folder: Path) -> None:
    """Take a folder away at once; a crash on the way leaves a temporary folder."""
    aside = root / f".tmp-{secrets.token_hex(8)}"
    folder.rename(aside)
    shutil.rmtree(aside)


def read(
    root: Path, name: str, version: str, leave: Collection[str] = ()
) -> tuple[set[str], dict[str, bytes]]:
    """The names of all files of a version, and the bytes of those not to `leave`, each read once."""
    with _opened(root, name, version) as folder:
        found = set(os.listdir(folder))  # noqa: PTH208 - of the folder that was opened
        missing = {MANIFEST, SIGNATURE} - found
        if missing:
            told = ", ".join(sorted(missing))
            raise MissingArtifactError.of(version, told, "present", sorted(found))
        return found, {file: _read_file(file, folder) for file in sorted(found - set(leave))}


def read_one(root: Path, name: str, version: str, file: str) -> bytes:
    """The bytes of one file of a version."""
    with _opened(root, name, version) as folder:
        return _read_file(file, folder)


@contextmanager
def _opened(root: Path, name: str, version: str) -> Iterator[int]:
    """A version's folder by descriptor, so that nobody can swap it while it is read; links are refused."""
    flags = os.O_RDONLY | os.O_DIRECTORY
    with ExitStack() as opened:

        def enter(step: str | Path, flags: int, parent: int | None = None) -> int:
            descriptor = os.open(step, flags, dir_fd=parent)
            opened.callback(os.close, descriptor)
            return descriptor

        try:
            top = enter(root, flags)
            middle = enter(name, flags | os.O_NOFOLLOW, top)
            yield enter(version, flags | os.O_NOFOLLOW, middle)
        except FileNotFoundError as error:
            raise MissingArtifactError.of(version, "its folder", "whole", error.filename) from None
        except OSError as error:
            rule = "readable and no link"
            raise PersistenceError.of(version, "its folder", rule, str(error)) from None


def _read_file(file: str, folder: int) -> bytes:
    """A file's bytes, read once; links, special files and over-long files are refused."""
    limit = {MANIFEST: MAX_MANIFEST, SIGNATURE: MAX_SIGNATURE}.get(file, MAX_ARTIFACT)
    descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    with os.fdopen(descriptor, "rb") as stream:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
            raise PersistenceError.of("registry", file, "a plain file without links", file)
        data = stream.read(limit + 1)
    if len(data) > limit:
        raise PersistenceError.of("registry", file, f"at most {limit} bytes long", status.st_size)
    return data


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
