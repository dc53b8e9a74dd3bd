"""Whose key opens the shell."""

from __future__ import annotations

from typing import Final

import attrs
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from twisted.conch.ssh.keys import FingerprintFormats, Key

from nodeset.errors import StateUnusable

__all__ = ["KeyOwner", "fingerprint", "makeHostKey", "readHostKey", "readKeys"]

#: What a line of the file begins with; whatever else it begins with are options, which would not be kept.
_TYPES: Final = frozenset(
    {
        "ssh-ed25519",
        "ssh-rsa",
        "ecdsa-sha2-nistp256",
        "ecdsa-sha2-nistp384",
        "ecdsa-sha2-nistp521",
        "sk-ssh-ed25519@openssh.com",
        "sk-ecdsa-sha2-nistp256@openssh.com",
    }
)
_LEAST_RSA: Final = 2048


@attrs.frozen
class KeyOwner:
    """Who holds a key, for the log: its fingerprint, the comment behind it in the file."""

    fingerprint: str
    comment: str

    def __str__(self) -> str:
        return f"{self.fingerprint} ({self.comment})" if self.comment else self.fingerprint


def fingerprint(key: Key) -> str:
    """As `ssh-keygen -l` shows it."""
    return f"SHA256:{key.fingerprint(FingerprintFormats.SHA256_BASE64).rstrip('=')}"


def readKeys(data: bytes, notes: list[str]) -> dict[bytes, KeyOwner]:
    """The public keys in a file as OpenSSH has it, one a line, by their blobs.

    :param notes: is told, without showing it, of each line that does not count: one with options (`from=`, `command=`), which
        the shell could not keep to; one that is no key; an RSA key of less than 2048 bits.
    """
    found: dict[bytes, KeyOwner] = {}
    # By line feeds alone, as OpenSSH does it: what an editor shows as one line is not to hide a second key.
    for number, line in enumerate(data.decode("utf-8", "replace").split("\n"), 1):
        words = line.split(None, 2)
        if not words or words[0].startswith("#"):
            continue
        if words[0] not in _TYPES:
            notes.append(
                f"line {number} does not begin with a type of key that is taken here, or has options: it does not count"
            )
            continue
        try:
            key = Key.fromString(line.strip().encode())
            if key.sshType() != words[0].encode():
                raise ValueError("another type of key than the line says")
        except Exception:  # Conch raises whatever the bytes lead to
            notes.append(f"line {number} holds no public key: it does not count")
            continue
        if key.type() == "RSA" and key.size() < _LEAST_RSA:
            notes.append(f"line {number} has an RSA key of {key.size()} bits, under {_LEAST_RSA}: it does not count")
            continue
        comment = words[2].strip() if len(words) > 2 else ""
        found[key.blob()] = KeyOwner(fingerprint(key), comment[:80] if comment.isprintable() else "")
    return found


def makeHostKey() -> bytes:
    """A new private key, as a file of OpenSSH's."""
    return Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())


def readHostKey(data: bytes) -> Key:
    """The private key in a file of OpenSSH's. StateUnusable for anything else."""
    try:
        key: Key | None = Key.fromString(data)
    except Exception:  # Conch raises whatever the bytes lead to
        key = None
    if key is None or key.isPublic() or key.type() != "Ed25519":
        raise StateUnusable(
            "this is no host key: remove it, a new one is made; whoever logs in is then told of another host key"
        )
    return key
