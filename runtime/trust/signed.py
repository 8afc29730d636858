"""What a trusted signature says of an engine folder, before anything else in it is believed.

The signature is read once and checked first; then the names of the files; then the manifest, whose
bytes are those that are parsed. A payload file is compared when it is read for its library
(`runtime.payload`), with a digest of the manifest that is that of the signature.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import os
import stat
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from runtime.errors import SignatureError
from runtime.trust import SIGNATURE
from runtime.trust.bundle import Bundle, BundleError, read_bundle
from runtime.trust.keys import Trusted, UntrustedError, fingerprint, read_keys, signer
from runtime.trust.listing import files_in
from runtime.trust.statement import StatementError, signed_files

MOST_BYTES = 1 << 22
"""Of the signature file; it is a few thousand."""
_BLOCK = 1 << 20

_MEND = "copy the whole folder again, or have it signed with dual-hrnet sign"


@dataclass(frozen=True)
class Signed:
    """A folder whose signature is trusted, and holds the files that it lists and no other."""

    folder: Path
    digests: Mapping[str, str]
    """sha256 by path in the folder."""
    signers: tuple[str, ...]
    """One for each demand: the file of the key, and its fingerprint."""

    def check(self, name: str, digest: str) -> None:
        """SignatureError where this is not the sha256 that was signed."""
        if self.digests.get(name) != digest:
            raise SignatureError(f"{self.folder / name}: is not the file that was signed; {_MEND}")

    def check_files(self, besides: Collection[str] = ()) -> None:
        """Read and compare every file. besides: those that are compared where they are used."""
        for name in sorted(set(self.digests) - set(besides)):
            self.check(name, self._digest(name))

    def _digest(self, name: str) -> str:
        digest, buffer = hashlib.sha256(), bytearray(_BLOCK)
        view = memoryview(buffer)
        try:
            with _opened(self.folder / name) as file:
                while count := file.readinto(buffer):
                    digest.update(view[:count])
        except OSError as error:
            raise SignatureError(
                f"{self.folder / name}: cannot be read ({error.strerror}); {_MEND}"
            ) from error
        return digest.hexdigest()


def signed(folder: Path, trust: Collection[Path]) -> Signed:
    """The signature of a folder, by a key of each of the folders in `trust`.

    The names of the files are compared, their content is not yet: see `Signed.check_files`.

    Raises:
        SignatureError: no signature, none of a trusted key, or other files than were signed.
        ConfigError: a folder of keys that cannot be used.
        BackendError: cryptography is not installed.
    """
    keys = {place: read_keys(place) for place in trust}
    path = folder / SIGNATURE
    bundle = _read(path)
    signers = tuple(_signer(bundle, each, place, path) for place, each in keys.items())
    try:
        digests = signed_files(bundle.statement)
    except StatementError as error:
        raise SignatureError(
            f"{path}: {error}; sign again with dual-hrnet sign, which lists every file"
        ) from error
    _compare(folder, set(digests), files_in(folder))
    return Signed(folder, digests, signers)


def _signer(bundle: Bundle, keys: list[Trusted], place: Path, path: Path) -> str:
    try:
        found = signer(bundle, keys)
    except UntrustedError as error:
        raise SignatureError(
            f"{path}: {error} (trusted: {place}); take the folder from who signs for this device, "
            "or add their public key there"
        ) from error
    return f"{found.path} ({fingerprint(found.key)})"


def _read(path: Path) -> Bundle:
    try:
        with _opened(path) as file:
            content = file.read(MOST_BYTES + 1)
    except FileNotFoundError:
        raise SignatureError(
            f"{path}: missing, so the folder is not signed, and signed engines alone are taken "
            f"here; {_MEND}"
        ) from None
    except OSError as error:
        raise SignatureError(f"{path}: cannot be read ({error.strerror}); {_MEND}") from error
    try:
        if len(content) > MOST_BYTES:
            raise BundleError(f"more than {MOST_BYTES} bytes")
        return read_bundle(content)
    except BundleError as error:
        raise SignatureError(
            f"{path}: is no signature of model_signing ({error}); {_MEND}"
        ) from error


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[io.FileIO]:
    """A regular file; what became a link or a pipe since it was listed is not followed."""
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    with io.FileIO(os.open(path, flags), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "is no regular file")
        yield file


def _compare(folder: Path, listed: set[str], found: set[str]) -> None:
    for names, what in (
        (listed - found, "was signed and is missing"),
        (found - listed, "was not signed, and could be what the engine is judged by; remove it"),
    ):
        if names:
            more = f" (and {len(names) - 1} more)" if len(names) > 1 else ""
            raise SignatureError(f"{folder / min(names)}{more}: {what}; {_MEND}")
