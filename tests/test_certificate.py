"""The certificate that gives a Tub its name."""

from __future__ import annotations

import time
import warnings
from datetime import UTC, datetime
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from foolscap import crypto, pb
from twisted.internet.ssl import PrivateCertificate
from twisted.trial.unittest import SynchronousTestCase

from nodeset.errors import StateUnusable
from nodeset.transport.certificate import createCertificate, tubId

# Foolscap has no annotations.
CRYPTO: Any = crypto
TUB: Any = pb.Tub


class CertificateTests(SynchronousTestCase):
    """`createCertificate` and `tubId`."""

    def test_foolscapTakesIt(self) -> None:
        """A Tub made with the certificate has the TubID that we computed."""
        pem = createCertificate()
        self.assertEqual(TUB(certData=pem).tubID, tubId(pem))
        self.assertRegex(tubId(pem), "^[a-z2-7]{32}$")

    def test_twistedTakesIt(self) -> None:
        """Foolscap and Twisted load it with its key, and can offer TLS with it."""
        pem = createCertificate()
        self.assertIsInstance(CRYPTO.loadCertificate(pem), PrivateCertificate)
        PrivateCertificate.loadPEM(pem).options().getContext()

    def test_foolscapsOwn(self) -> None:
        """The TubID of an RSA certificate that Foolscap made is computed too."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Foolscap makes it by functions that pyOpenSSL has deprecated
            tub = TUB()
        self.assertEqual(tubId(tub.getCertData()), tub.tubID)

    def test_twoDiffer(self) -> None:
        """No two certificates have the same TubID."""
        self.assertNotEqual(tubId(createCertificate()), tubId(createCertificate()))

    def test_quick(self) -> None:
        """Making one takes less than 50 ms, so every node may have its own."""
        spent = []
        for _ in range(5):
            before = time.perf_counter()
            createCertificate()
            spent.append(time.perf_counter() - before)
        self.assertLess(min(spent), 0.05)

    def test_contents(self) -> None:
        """It is an EC P-256 key, valid on machines whose clock is an hour late, for the next 99 years."""
        certificate = x509.load_pem_x509_certificate(createCertificate())
        key = certificate.public_key()
        assert isinstance(key, ec.EllipticCurvePublicKey)
        self.assertEqual(key.curve.name, "secp256r1")
        now = datetime.now(UTC)
        self.assertGreater((now - certificate.not_valid_before_utc).total_seconds(), 3600)
        self.assertGreater((certificate.not_valid_after_utc - now).days, 99 * 365)

    def test_refused(self) -> None:
        """Text without a certificate, without a key, or with somebody else's key is refused without being shown."""
        pem = createCertificate()
        mark = b"-----BEGIN CERTIFICATE-----"
        key, certificate = pem.split(mark)
        other = createCertificate().split(mark)[1]
        for bad in (b"", b"hello", key, mark + certificate, key + mark + other, pem[:-100], pem[10:], b"\xff" * 100):
            error = self.assertRaises(StateUnusable, tubId, bad)
            self.assertNotIn("\n", str(error))
            self.assertNotIn("BEGIN", str(error))
