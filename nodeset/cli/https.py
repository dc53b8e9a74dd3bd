"""The certificate of HTTPS, in files that somebody renews."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from OpenSSL.crypto import X509, PKey
from OpenSSL.SSL import Connection
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from twisted.internet.ssl import CertificateOptions, TLSVersion
from twisted.logger import Logger
from zope.interface import implementer

from nodeset.cli.options import oneLine
from nodeset.errors import BadSettings

__all__ = ["Certificates"]

#: Seconds between two looks at the files.
_LOOK: Final = 10.0
#: Bytes of a file of certificates.
_LARGEST: Final = 1 << 20

#: What tells a file from its successor.
_Stamp = tuple[tuple[int, int, int], ...]


@implementer(IOpenSSLServerConnectionCreator)
class Certificates:
    """Makes the TLS side of connections; a certificate that was renewed is used for those that come within seconds.

    :param key: the file with the private key; None is that of the certificate.
    :param now: seconds of a monotonic clock.
    :raise BadSettings: for files that cannot be used, with the option.
    """

    log = Logger()

    def __init__(self, certificate: Path, key: Path | None, now: Callable[[], float]) -> None:
        # Absolute, since a daemon changes its directory.
        self._certificate = certificate.absolute()
        self._key = None if key is None else key.absolute()
        self._now = now
        self._looked = now()
        self._stamp = self._read()
        self._options = self._load()

    def serverConnectionForTLS(self, tlsProtocol: Any) -> Any:
        """See `IOpenSSLServerConnectionCreator`."""
        self._look()
        return Connection(self._options.getContext(), None)

    def _look(self) -> None:
        now = self._now()
        if now - self._looked < _LOOK:
            return
        self._looked = now
        stamp = self._read()
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._options = self._load()
        except BadSettings as error:
            self.log.error("HTTPS goes on with the certificate that it has: {reason}", reason=str(error))
        else:
            self.log.info("HTTPS has a new certificate")

    def _read(self) -> _Stamp:
        found = []
        for path in (self._certificate, self._key or self._certificate):
            try:
                state = path.stat()
            except (OSError, ValueError):
                found.append((0, 0, 0))  # loading says what is wrong
            else:
                found.append((state.st_ino, state.st_mtime_ns, state.st_size))
        return tuple(found)

    def _load(self) -> CertificateOptions:
        data = _readFile("--certificate", self._certificate)
        try:
            chain = x509.load_pem_x509_certificates(data)
        except ValueError:
            raise BadSettings(
                f"--certificate {_shown(self._certificate)} has no certificate in PEM: name another file"
            ) from None
        option, path = ("--private-key", self._key) if self._key is not None else ("--certificate", self._certificate)
        text = data if self._key is None else _readFile(option, path)
        try:
            key: Any = serialization.load_pem_private_key(text, password=None)
        except TypeError:
            raise BadSettings(f"{option} {_shown(path)}: the key has a password: store it without one") from None
        except ValueError:
            more = "name its file by --private-key" if self._key is None else "name another file"
            raise BadSettings(f"{option} {_shown(path)} has no private key in PEM: {more}") from None
        if key.public_key() != chain[0].public_key():
            raise BadSettings(f"{option} {_shown(path)}: this key is not that of the certificate: name the file of its key")
        kind: Any = CertificateOptions
        options: CertificateOptions = kind(
            privateKey=PKey.from_cryptography_key(key),
            certificate=X509.from_cryptography(chain[0]),
            extraCertChain=[X509.from_cryptography(each) for each in chain[1:]],
            raiseMinimumTo=TLSVersion.TLSv1_2,
        )
        try:
            options.getContext()
        except Exception as error:  # OpenSSL's own, such as for a key that is too short
            raise BadSettings(f"--certificate {_shown(self._certificate)} cannot be used: {oneLine(error)[:100]}") from None
        return options


def _readFile(option: str, path: Path) -> bytes:
    try:
        with path.open("rb") as opened:
            return opened.read(_LARGEST)
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "not a path"
        raise BadSettings(f"{option} {_shown(path)} cannot be read ({why}): name another file") from None


def _shown(path: Path) -> str:
    return repr(str(path)[:200])
