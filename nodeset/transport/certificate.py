"""A Tub's self-signed certificate."""

from __future__ import annotations

import base64
import hashlib
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from nodeset.errors import StateUnusable

__all__ = ["createCertificate", "tubId"]

# Peers pin the key by its TubID, Foolscap ignores the dates: the day back is for clocks that are wrong, the hundred years
# are for tools that look.
_EARLIER = timedelta(days=1)
_VALID = timedelta(days=36525)


def createCertificate() -> bytes:
    """A fresh EC P-256 key with its self-signed certificate, as one PEM text in the form that `Tub(certData=...)` takes.

    Made in about a millisecond, where Foolscap's own RSA takes a hundred. Keep the text secret: it holds the key.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "nodeset")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _EARLIER)
        .not_valid_after(now + _VALID)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return private + certificate.public_bytes(serialization.Encoding.PEM)


def tubId(pem: bytes) -> str:
    """The TubID that Foolscap computes for this certificate: 32 base32 letters of its SHA-1.

    StateUnusable if the text does not hold a private key without password beside the certificate that belongs to it.
    """
    try:
        certificate = x509.load_pem_x509_certificate(pem)
        key = serialization.load_pem_private_key(pem, password=None)
        belongs = _der(key.public_key()) == _der(certificate.public_key())
    except (ValueError, TypeError):
        belongs = False
    except Exception as error:  # cryptography has an exception of its own for each curiosity, all mean the same here
        raise StateUnusable(f"no certificate with its private key is in there ({type(error).__name__})") from None
    if not belongs:
        raise StateUnusable("no certificate with its private key is in there")
    digest = hashlib.sha1(certificate.public_bytes(serialization.Encoding.DER), usedforsecurity=False).digest()
    return base64.b32encode(digest).decode("ascii").lower()


def _der(key: object) -> bytes:
    public_bytes = getattr(key, "public_bytes", None)
    if public_bytes is None:
        raise ValueError("a key of a kind without a public half")
    return bytes(public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo))
