"""nodeset-web as a process: its options, what it says of wrong ones, how it stops."""

from __future__ import annotations

import http.client
import json
import signal
import socket
import ssl
import subprocess
import urllib.error
import urllib.request
from typing import Any

from twisted.python.usage import UsageError

from nodeset.cli import web
from nodeset.cli.https import Certificates
from nodeset.errors import BadSettings
from nodeset.settings import load
from nodeset.settings.shown import describe
from nodeset.transport.certificate import createCertificate
from tests.commands import PATIENCE, TWISTD, CommandCase
from tests.test_cli import parse

WEB = ["-c", "from nodeset.cli.web import main; main()"]
FRONT = ["-m", "nodeset", "web"]


class WebCase(CommandCase):
    """Starts bridges."""

    def serve(self, *words: str, command: list[str] | None = None, **env: str) -> tuple[subprocess.Popen[str], str]:
        """A bridge on any port, with its address; a dispatcher needs not be there."""
        child = self.spawn(*(command or [*FRONT, "--port", "0"]), *words, **env)
        return child, self.awaitLine(child, "HTTP is served at ").rpartition(" ")[2].strip()

    def linked(self, *words: str, command: list[str] | None = None) -> tuple[subprocess.Popen[str], str]:
        """The same, with a dispatcher, to which it is linked."""
        self.startDispatcher()
        child, address = self.serve(*words, command=command)
        self.awaitLine(child, "is linked")
        return child, address

    def get(self, address: str, **headers: str) -> tuple[int, bytes]:
        """Status and body of a GET."""
        try:
            with urllib.request.urlopen(urllib.request.Request(address, headers=headers), timeout=PATIENCE) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def connect(self, address: str, text: str) -> socket.socket:
        """A socket to the bridge on which these bytes were sent."""
        host, port = address.split("/")[2].rsplit(":", 1)
        connected = socket.create_connection((host, int(port)), timeout=PATIENCE)
        self.addCleanup(connected.close)
        connected.sendall(text.encode())
        return connected

    def readUntil(self, connected: socket.socket, end: bytes) -> bytes:
        """All bytes until these came, or until the other side hung up."""
        data = b""
        while end not in data and (more := connected.recv(65536)):
            data += more
        return data


class OptionTests(WebCase):
    """What it can be told."""

    def test_options(self) -> None:
        """The seed's command line, the word `web` included, means what it meant; without the word it is the same."""
        words = ["--path", "/var/www/rpy", "--port", "8081", "--interface", "::1", "--logfile", "nodeset-web.log"]
        for given in (["web", *words], words):
            options = parse(web.Options, *given)
            found = load({}, options.chosen(), "web")
            self.assertEqual((found.path, found.port, found.interface), ("/var/www/rpy", 8081, "::1"))
            self.assertEqual(options["logfile"], "nodeset-web.log")
        found = load({}, {}, "web")
        self.assertEqual((found.path, found.port, found.interface), (None, 8080, "127.0.0.1"))

    def test_helpInFront(self) -> None:
        """The example of `nodeset web --help` can be typed as it stands: the name of a file in it stays whole."""
        options = web.Options()
        options.stayInFront("nodeset-web")
        self.assertIn("  nodeset web --path /var/www/rpy --port 8080 --logfile nodeset-web.log\n", options.example)

    def test_badInterface(self) -> None:
        """An address that is another machine's is one line that names the option once, with what may stand there."""
        self.refuses(
            2,
            "--interface: '192.0.2.1' is not an address of this machine: use 0.0.0.0\n",
            *FRONT,
            "--port",
            "0",
            "--interface",
            "192.0.2.1",
        )

    def test_bad(self) -> None:
        """What cannot be is one line that names it, with exit code 2."""
        for name, value in (("port", "99999"), ("port", "eighty"), ("max-body", "-1"), ("request-timeout", "nan")):
            self.assertIn(f"--{name}: {value!r}", str(self.assertRaises(BadSettings, load, {}, {name: value}, "web")))
        for part, *words in (
            ("'wob' means nothing here: did you mean 'web'?", "wob"),
            ("option --prot not recognized: did you mean '--port'?", "--prot", "1"),
        ):
            self.assertIn(part, str(self.assertRaises(UsageError, parse, web.Options, *words)))
        self.refuses(2, "--path 'nowhere' is no directory", *FRONT, "--port", "0", "--path", "nowhere")
        self.refuses(2, "(no such socket was handed to us)", *FRONT, "--listen", "systemd:domain=INET:index=0")

    def test_badCertificate(self) -> None:
        """Files that are no certificate with its key are one line with exit code 2, which names the file."""
        pem = createCertificate().decode()
        key, certificate = pem[: pem.index("-----BEGIN CERT")], pem[pem.index("-----BEGIN CERT") :]
        other = createCertificate().decode()
        for name, text in (("both", pem), ("key", key), ("cert", certificate), ("other", other), ("none", "no\n")):
            (self.home / f"{name}.pem").write_text(text)
        for part, *names in (
            ("nowhere.pem' cannot be read (No such file", "nowhere"),
            ("none.pem' has no certificate", "none"),
            ("key.pem' has no certificate", "key"),
            ("cert.pem' has no private key in PEM: name its file by --private-key", "cert"),
            ("none.pem' has no private key", "cert", "none"),
            ("other.pem': this key is not that of the certificate", "cert", "other"),
        ):
            paths = [self.home / f"{name}.pem" for name in names]
            error = self.assertRaises(BadSettings, Certificates, paths[0], paths[1] if paths[1:] else None, lambda: 0.0)
            self.assertIn(part, str(error))
        self.refuses(
            2, "other.pem': this key is not", *FRONT, "--port", "0", "--certificate", "cert.pem", "--private-key", "other.pem"
        )

    def test_renewed(self) -> None:
        """A certificate that was renewed is used soon, without a restart; one that cannot be used changes nothing."""
        path, now = self.home / "both.pem", [0.0]
        path.write_bytes(createCertificate())
        certificates = Certificates(path, None, lambda: now[0])
        first = certificates.serverConnectionForTLS(None).get_context()
        path.write_bytes(b"being written")
        now[0] = 11.0
        self.assertIs(certificates.serverConnectionForTLS(None).get_context(), first)
        path.write_bytes(createCertificate())
        self.assertIs(certificates.serverConnectionForTLS(None).get_context(), first)
        now[0] = 22.0
        self.assertIsNot(certificates.serverConnectionForTLS(None).get_context(), first)

    def test_portTaken(self) -> None:
        """A port that is taken is one line with exit code 1, under twistd too."""
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen(1)
            port = str(taken.getsockname()[1])
            self.refuses(1, f"port {port} of 127.0.0.1 is taken: stop whoever", *FRONT, "--port", port)
            self.refuses(1, "choose another --port", *TWISTD, "-n", "--pidfile=", "nodeset-web", "web", "--port", port)

    def test_printConfig(self) -> None:
        """--print-config shows the settings of the bridge, and where each comes from."""
        found = load({"NODESET_MAX_STREAMS": "7"}, {"port": "8099"}, "web")
        out = describe(found, "web")
        self.assertRegex(out, r"(?m)^port = 8099 +# --port$")
        self.assertRegex(out, r"(?m)^max-streams = 7 +# \$NODESET_MAX_STREAMS$")
        self.assertRegex(out, r"(?m)^# interface = \"127.0.0.1\" +# default$")

    def test_withoutPackage(self) -> None:
        """Without what the extra brings, one line says what to install."""
        # As if it were not installed: this one is there on every machine that runs the tests.
        program = "import sys; sys.modules['twisted.web.script'] = None; from nodeset.cli.web import main; main()"
        self.refuses(2, "cannot be imported): pip install 'nodeset[web]'", "-c", program, "-n", "--port", "0")

    def test_warning(self) -> None:
        """Who listens for others without a certificate is warned; who lets in others without credentials is told."""
        child = self.spawn(*FRONT, "--port", "0", "--interface", "0.0.0.0", "--anonymous", "allow")
        self.assertIn("give --certificate", self.awaitLine(child, "not encrypted"))
        self.assertIn("whoever reaches the port may do what", self.awaitLine(child, "nobody is asked who he is"))
        self.awaitLine(child, "HTTP is served at http://127.0.0.1:")
        self.assertEqual(self.stop(child), 0)


class LifeTests(WebCase):
    """With real sockets."""

    def test_noDispatcher(self) -> None:
        """Without a dispatcher it serves, and says so; it links when one comes, and is ready then."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        child, address = self.serve("--dispatcher-url", f"pbu://localhost:{port}/dispatcher")
        self.assertEqual(self.get(f"{address}publish?event=x&message=%7B%7D")[0], 503)
        self.assertEqual(self.get(f"{address}v1/ready")[0], 503)
        dispatcher = self.spawn("-c", "from nodeset.cli.dispatch import main; main()", "-n", "--listen", f"localhost:{port}")
        self.awaitLine(dispatcher, "listening on")
        self.awaitLine(child, "is linked")
        self.assertEqual(self.get(f"{address}publish?event=x&message=%7B%7D"), (200, b"\r\n"))
        self.assertEqual(self.get(f"{address}v1/ready")[0], 200)
        self.assertEqual(self.stop(child), 0)

    def test_bytes(self) -> None:
        """Over real sockets: what /publish and /subscribe answer, to HTTP/1.1 and HTTP/1.0; twistd runs it as well."""
        _child, address = self.linked("web", "--port", "0", command=[*TWISTD, "-n", "--pidfile=", "nodeset-web"])
        streams = []
        for version in ("1.1", "1.0"):
            stream = self.connect(address, f"GET /subscribe?event=x HTTP/{version}\r\nHost: localhost\r\n\r\n")
            self.assertIn(
                f"HTTP/{version} 200 OK\r\nContent-Type: application/json\r\n".encode(), self.readUntil(stream, b"\r\n\r\n")
            )
            streams.append(stream)
        body = "event=x&message=%7B%22id%22%3A+1%7D"
        head = f"POST /publish HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
        publish = self.connect(address, f"{head}Content-Type: application/x-www-form-urlencoded\r\n\r\n{body}")
        answer = self.readUntil(publish, b"\r\n\r\n\r\n")
        self.assertTrue(answer.startswith(b"HTTP/1.1 200 OK\r\n"), answer)
        self.assertTrue(answer.endswith(b"\r\n\r\n\r\n"), answer)
        self.assertEqual(self.readUntil(streams[0], b"\r\n\r\n"), b'b\r\n{"id": 1}\r\n\r\n')
        self.assertEqual(self.readUntil(streams[1], b"never"), b'{"id": 1}\r\n')

    def test_files(self) -> None:
        """--path serves files and scripts, by parts as well; nothing leads out."""
        root = self.home / "www"
        root.mkdir()
        (self.home / "secret").write_text("secret")
        (root / "index.html").write_text("my page")
        script = "from twisted.web.static import Data\nresource = Data(request_count().encode(), 'text/plain')\n"
        (root / "count.rpy").write_text(f"def request_count(): return 'run'\n{script}")
        (root / "big.bin").write_bytes(b"x" * 3_000_000)
        _child, address = self.serve("web", "--path", "www")
        self.assertEqual(self.get(address), (200, b"my page"))
        self.assertEqual(self.get(f"{address}count.rpy"), (200, b"run"))
        self.assertEqual(self.get(f"{address}big.bin"), (200, b"x" * 3_000_000))
        self.assertEqual(self.get(f"{address}index.html", Range="bytes=3-6"), (206, b"page"))
        self.assertEqual(self.get(f"{address}index.html", Range="bytes=" + ",".join(["0-"] * 2000)), (200, b"my page"))
        self.assertEqual(self.get(f"{address}%2e%2e/secret")[0], 404)

    def test_https(self) -> None:
        """With a certificate it is HTTPS; TLS 1.1 is refused."""
        (self.home / "both.pem").write_bytes(createCertificate())
        child, address = self.serve("--certificate", "both.pem")
        self.assertTrue(address.startswith("https://127.0.0.1:"), address)
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with urllib.request.urlopen(f"{address}v1/health", timeout=PATIENCE, context=context) as answer:
            self.assertEqual(answer.status, 200)
        host, port = address.split("/")[2].split(":")
        for garbage in (b"hello\r\n\r\n", b"POST /x HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n" + bytes(30_000)):
            with socket.create_connection((host, int(port)), PATIENCE) as plain, context.wrap_socket(plain) as wrapped:
                wrapped.sendall(garbage)
                said = b""
                while more := wrapped.recv(65536):
                    said += more
                self.assertIn(said[:13], (b"HTTP/1.1 400 ", b"HTTP/1.1 413 "))
                wrapped.unwrap()
        child.send_signal(signal.SIGTERM)
        self.assertNotIn("Traceback", child.communicate(timeout=PATIENCE)[0])

    def test_drain(self) -> None:
        """SIGTERM: streams end as whole answers, a publish that is under way finishes; exit code 0."""
        child, address = self.linked()
        stream = self.connect(address, "GET /subscribe?event=x HTTP/1.1\r\nHost: localhost\r\n\r\n")
        self.readUntil(stream, b"\r\n\r\n")
        publish = http.client.HTTPConnection(address.split("/")[2], timeout=PATIENCE)
        self.addCleanup(publish.close)
        publish.request("GET", "/publish?event=y&message=%7B%7D")
        child.send_signal(signal.SIGTERM)
        self.assertEqual(publish.getresponse().read(), b"\r\n")
        self.assertTrue(self.readUntil(stream, b"0\r\n\r\n").endswith(b"0\r\n\r\n"))
        child.communicate(timeout=PATIENCE)
        self.assertEqual(child.returncode, 0)

    def test_reload(self) -> None:
        """SIGHUP takes the limits of the file that hold from then on."""
        config = self.home / "web.toml"
        config.write_text("[web]\nmax-body = 100\n")
        child, address = self.serve("--config", str(config))
        body = b"x" * 200
        self.assertEqual(self.post(address, body), 413)
        config.write_text("[web]\nmax-body = 1000\n")
        child.send_signal(signal.SIGHUP)
        self.awaitLine(child, "max-body is 1000 now")
        self.assertEqual(self.post(address, body), 415)

    def post(self, address: str, body: bytes) -> int:
        """The status of a POST to /publish of something that is no form."""
        request = urllib.request.Request(f"{address}publish", body, {"Content-Type": "text/plain"})
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                status: int = answer.status
                return status
        except urllib.error.HTTPError as error:
            self.assertEqual(error.headers["content-type"], "application/problem+json")
            found: Any = json.loads(error.read())
            self.assertEqual(found["status"], error.code)
            return error.code


class SocketTests(WebCase):
    """A socket that somebody else opened."""

    def test_systemd(self) -> None:
        """systemd may listen instead."""
        program = (
            "import os, socket, sys\n"
            "s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen(); os.dup2(s.fileno(), 3); os.set_inheritable(3, True)\n"
            "os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='1', LISTEN_FDNAMES='nodeset')\n"
            "os.execv(sys.executable, [sys.executable, *sys.argv[1:]])\n"
        )
        words = [*WEB, "-n", "--listen", "systemd:domain=INET:index=0"]
        _child, address = self.serve(*words, command=["-c", program])
        self.assertEqual(self.get(f"{address}v1/health")[0], 200)
