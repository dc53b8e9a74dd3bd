"""The way into a shell over SSH, by key.

A connection may do one thing: open one session, with a prompt or with one piece of Python. There are no passwords, no files,
no forwarding of ports, agents or displays.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, Final

from twisted.conch.error import ValidPublicKey
from twisted.conch.interfaces import IConchUser
from twisted.conch.ssh.common import NS, getNS
from twisted.conch.ssh.connection import MSG_CHANNEL_OPEN_FAILURE, OPEN_ADMINISTRATIVELY_PROHIBITED, SSHConnection
from twisted.conch.ssh.factory import SSHFactory
from twisted.conch.ssh.keys import Key
from twisted.conch.ssh.session import SSHSession
from twisted.conch.ssh.transport import MSG_KEXINIT, SSHServerTransport
from twisted.conch.ssh.userauth import SSHUserAuthServer
from twisted.cred.checkers import ICredentialsChecker
from twisted.cred.credentials import ISSHPrivateKey
from twisted.cred.error import UnauthorizedLogin
from twisted.cred.portal import IRealm, Portal
from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from nodeset.errors import NodeSetError
from nodeset.shell.guest import CONCH, Guest
from nodeset.shell.keys import KeyOwner, fingerprint
from nodeset.shell.shell import Shell

__all__ = ["LOGIN_TIME", "MOST_PER_SECOND", "MOST_STRANGERS", "SshEntrance"]

#: Seconds from the connection to the login.
LOGIN_TIME: Final = 30
#: Connections that have not logged in yet, at a time.
MOST_STRANGERS: Final = 10
#: Connections taken in a second: each costs the service some milliseconds of arithmetic.
MOST_PER_SECOND: Final = 20
#: Keys that one connection may try; an agent may hold a few.
_MOST_TRIES: Final = 10
#: Packets, key exchanges that may come before a login: for a known key to be asked about costs no try.
_MOST_PACKETS: Final = 40
_MOST_EXCHANGES: Final = 2
#: Where what a security key signs has its flags, behind a hash; the one that says that somebody touched it.
_FLAGS: Final = 32
_TOUCHED: Final = 1
_SIGNATURES: Final = (
    b"ssh-ed25519",
    b"rsa-sha2-512",
    b"rsa-sha2-256",
    b"ecdsa-sha2-nistp256",
    b"ecdsa-sha2-nistp384",
    b"ecdsa-sha2-nistp521",
    b"sk-ssh-ed25519@openssh.com",
    b"sk-ecdsa-sha2-nistp256@openssh.com",
)


class _Channel(SSHSession):
    """A session, of which nothing but a terminal, a shell or a command can be asked."""

    _log = CONCH

    _ASKED: Final = frozenset({b"pty-req", b"shell", b"exec", b"window-change"})

    def requestReceived(self, requestType: bytes, data: bytes) -> Any:
        """Take what is known here."""
        base: Any = super()
        return base.requestReceived(requestType, data) if requestType in self._ASKED else 0


class _Connection(SSHConnection):
    """What goes on after the login: one session."""

    _log = CONCH

    def ssh_CHANNEL_REQUEST(self, packet: bytes) -> None:
        """Answer first, then do what was asked for: it may be over at once."""
        base: Any = super()
        base.ssh_CHANNEL_REQUEST(packet)
        transport: Any = self.transport
        transport.avatar.begin()

    def ssh_CHANNEL_OPEN(self, packet: bytes) -> None:
        """Refuse all but the first session, with a line."""
        kind, rest = getNS(packet)
        base: Any = super()
        if kind == b"session" and not self.channels:
            base.ssh_CHANNEL_OPEN(packet)
            return
        why = b"one session for a connection" if kind == b"session" else b"nothing is forwarded here"
        refusal = struct.pack(">2L", struct.unpack(">L", rest[:4])[0], OPEN_ADMINISTRATIVELY_PROHIBITED) + NS(why) + NS(b"")
        transport: Any = self.transport
        transport.sendPacket(MSG_CHANNEL_OPEN_FAILURE, refusal)


class _Login(SSHUserAuthServer):
    """Keys, a few of them, for a short time."""

    _log = CONCH

    loginTimeout = LOGIN_TIME
    attemptsBeforeDisconnect = _MOST_TRIES

    def serviceStarted(self) -> None:
        """Use the clock of the shell."""
        transport: Any = self.transport
        self.clock = transport.factory.shell.clock
        base: Any = super()
        base.serviceStarted()

    def auth_publickey(self, packet: bytes) -> Any:
        """Remember a key that is refused, for the log."""
        transport: Any = self.transport
        try:
            _algorithm, blob, _rest = getNS(packet[1:], 2)
            shown = fingerprint(Key.fromString(blob))
            base: Any = super()
            result: Deferred[Any] = base.auth_publickey(packet)
        except Exception:
            # Conch would log what came as it came.
            transport.wrongKey("what is no key")
            return fail(UnauthorizedLogin("this is no key"))

        def failed(failure: Failure) -> Failure:
            if failure.check(UnauthorizedLogin):
                transport.wrongKey(shown)
            return failure

        return result.addErrback(failed)


class _Transport(SSHServerTransport):
    """One connection; it has a short time to become a login."""

    _log = CONCH

    # Compression would let a stranger send a megabyte that becomes a gigabyte.
    supportedCompressions = [b"none"]
    # What any client of this decade has.
    supportedCiphers = [b"aes256-ctr", b"aes192-ctr", b"aes128-ctr"]
    supportedMACs = [b"hmac-sha2-512", b"hmac-sha2-256"]
    factory: SshEntrance
    _alarm: IDelayedCall | None = None

    def __init__(self) -> None:
        base: Any = super()
        base.__init__()
        self._wrong: list[str] = []
        self._packets = self._exchanges = 0
        self._over = False

    def connectionMade(self) -> None:
        """See `Protocol`."""
        self.factory.strangers.add(self)
        self._alarm = self.factory.shell.clock.callLater(LOGIN_TIME, self._tooLate)
        base: Any = super()
        base.connectionMade()

    def connectionLost(self, reason: Any = None) -> None:
        """See `Protocol`."""
        if self in self.factory.strangers and self._wrong:
            self.factory.count("key", ", ".join(self._wrong))
        self.known()
        self.factory.connections.discard(self)
        base: Any = super()
        base.connectionLost(reason)

    def known(self) -> None:
        """The login has succeeded, or will not come."""
        self.factory.strangers.discard(self)
        if self._alarm is not None and self._alarm.active():
            self._alarm.cancel()

    def sendExtInfo(self, extensions: object) -> None:
        """Tell which keys may be shown; Conch tells which one it has itself, which keeps RSA keys out."""
        base: Any = super()
        base.sendExtInfo([(b"server-sig-algs", b",".join(_SIGNATURES))])

    def wrongKey(self, shown: str) -> None:
        """This key was refused."""
        if shown not in self._wrong and len(self._wrong) < _MOST_TRIES:
            self._wrong.append(shown)

    def setService(self, service: Any) -> None:
        """Learn that the login is done."""
        base: Any = super()
        base.setService(service)
        if isinstance(service, _Connection):
            self.known()

    def dispatchMessage(self, messageNum: int, payload: bytes) -> None:
        """Take one packet; a stranger may send a few."""
        if self._over:
            return
        if self in self.factory.strangers:
            self._packets += 1
            self._exchanges += messageNum == MSG_KEXINIT
            if self._packets > _MOST_PACKETS or self._exchanges > _MOST_EXCHANGES:
                self._over = True
                self.factory.count("packets")
                self._abort()
                return
        base: Any = super()
        base.dispatchMessage(messageNum, payload)

    def _tooLate(self) -> None:
        self.factory.count("late")
        self._abort()

    def _abort(self) -> None:
        transport: Any = self.transport
        if transport is not None:
            transport.abortConnection()

    def dataReceived(self, data: bytes) -> None:
        """Whoever sends what is no SSH loses the connection, not us a page of log."""
        base: Any = super()
        try:
            base.dataReceived(data)
        except Exception as error:
            self.factory.count("garbage", type(error).__name__)
            self._abort()


@implementer(ICredentialsChecker, IRealm)
class SshEntrance(SSHFactory):
    """Listens for SSH; whoever has one of the keys gets a session of `shell`.

    :param findKeys: the keys that count now, called for each login; what it raises as a `NodeSetError` counts as none.
    """

    log = Logger()
    _log = CONCH
    protocol = _Transport
    services = {b"ssh-userauth": _Login, b"ssh-connection": _Connection}
    credentialInterfaces = (ISSHPrivateKey,)
    primes = None
    noisy = False

    def __init__(self, shell: Shell, host_key: Key, findKeys: Callable[[], dict[bytes, KeyOwner]]) -> None:
        self.shell, self._findKeys = shell, findKeys
        kind = host_key.sshType()
        self.publicKeys, self.privateKeys = {kind: host_key.public()}, {kind: host_key}
        self.portal = Portal(self, [self])
        self.strangers: set[_Transport] = set()
        self.connections: set[_Transport] = set()
        #: Why connections were turned away: how many.
        self.refused: dict[str, int] = {}
        self._said: dict[str, float] = {}
        self._second = self._in_second = 0

    def startFactory(self) -> None:
        """See `Factory`: say which key it is that clients are asked to trust."""
        base: Any = super()
        base.startFactory()
        shown = ", ".join(fingerprint(key) for key in self.publicKeys.values())
        self.log.info("{title}: its SSH host key is {key}", title=self.shell.title, key=shown)

    def buildProtocol(self, addr: Any) -> Any:
        """See `Factory`; None for a stranger too many."""
        if len(self.strangers) >= MOST_STRANGERS:
            self.count("strangers")
            return None
        second = int(self.shell.clock.seconds())
        if second != self._second:
            self._second, self._in_second = second, 0
        self._in_second += 1
        if self._in_second > MOST_PER_SECOND:
            self.count("rush")
            return None
        made: Any = super().buildProtocol(addr)
        made.supportedKeyExchanges = [each for each in made.supportedKeyExchanges if not each.endswith(b"sha1")]
        self.connections.add(made)
        return made

    def count(self, reason: str, detail: str = "") -> None:
        """One more that was turned away; the log hears of each reason once a minute."""
        self.refused[reason] = self.refused.get(reason, 0) + 1
        now = self.shell.clock.seconds()
        if now >= self._said.get(reason, now):
            self._said[reason] = now + 60.0
            said = _REASONS[reason].format(detail)
            self.log.warn("SSH: {said} ({count} so far)", said=said, count=self.refused[reason])

    def requestAvatarId(self, credentials: Any) -> Any:
        """See `ICredentialsChecker`: whose key this is, if it is one of ours with a valid signature."""
        try:
            known = self._findKeys()
        except NodeSetError as error:
            self.count("file", str(error))
            known = {}
        key = Key.fromString(credentials.blob)
        owner = known.get(credentials.blob)
        if owner is None:
            return fail(UnauthorizedLogin("not one of the keys"))
        if not credentials.signature:
            return fail(ValidPublicKey())
        if not key.verify(credentials.signature, credentials.sigData):
            return fail(UnauthorizedLogin("the signature is wrong"))
        if key.isSecurityKey() and not credentials.sigData[_FLAGS] & _TOUCHED:
            return fail(UnauthorizedLogin("nobody touched the security key"))
        return str(owner).encode()

    def requestAvatar(self, avatarId: Any, mind: object, *interfaces: Any) -> Any:
        """See `IRealm`."""
        return IConchUser, Guest(self.shell, avatarId.decode(), _Channel), lambda: None

    def closeAll(self) -> None:
        """Close every connection."""
        for connection in list(self.connections):
            connection.loseConnection()


_REASONS: Final = {
    "strangers": f"a connection was closed: {MOST_STRANGERS} others have not logged in yet",
    "rush": f"a connection was closed: more than {MOST_PER_SECOND} came within a second",
    "late": f"a connection was closed: no login within {LOGIN_TIME} s",
    "packets": f"a connection was closed: {_MOST_PACKETS} packets, or {_MOST_EXCHANGES} key exchanges, without a login",
    "file": "nobody can log in: {}",
    "garbage": "a connection was closed: what came is no SSH ({})",
    "key": "a login was refused: no authorised key was shown, but {}",
}
