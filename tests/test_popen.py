"""What the standard library documents of subprocess, done by it as well as by us, one example after the other."""

from __future__ import annotations

from typing import Any

from tests.popens import Library, PopenCase, entered, got, linesOf


async def runList(lib: Library) -> Any:
    done = await got(lib.run(["ls", "-l", "/dev/null"], stdout=lib.DEVNULL))
    return done.args, done.returncode, done.stdout, repr(done)


async def runChecked(lib: Library) -> Any:
    return await got(lib.run("exit 1", shell=True, check=True))


async def runCaptured(lib: Library) -> Any:
    return (await got(lib.run(["ls", "/dev/null"], capture_output=True))).stdout


async def runInput(lib: Library) -> Any:
    done = await got(lib.run(["cat"], input="väter\r\n", encoding="utf-8", capture_output=True))
    return done.stdout, done.stderr


async def runTwice(lib: Library) -> Any:
    return await got(lib.run(["cat"], input=b"x", stdin=lib.PIPE))


async def runTimeout(lib: Library) -> Any:
    return await got(lib.run(["/bin/sh", "-c", "echo early; exec sleep 60"], timeout=0.3, stdout=lib.PIPE))


async def withLog(lib: Library) -> Any:
    async with entered(lib.Popen(["echo", "eth0"], stdout=lib.PIPE)) as proc:
        return await got(proc.stdout.read())


async def communicateTimeout(lib: Library) -> Any:
    proc = lib.Popen("echo early; exec sleep 60", shell=True, stdout=lib.PIPE, stderr=lib.PIPE)
    try:
        outs, errs = await got(proc.communicate(timeout=0.2))
    except lib.TimeoutExpired as late:
        proc.kill()
        outs, errs = await got(proc.communicate())
        return outs, errs, proc.returncode, late.timeout, late.output
    raise AssertionError("it was not late")


async def outputHello(lib: Library) -> Any:
    return await got(lib.check_output(["echo", "Hello World!"]))


async def outputFails(lib: Library) -> Any:
    return await got(lib.check_output("echo this far; exit 1", shell=True))


async def outputOfErrors(lib: Library) -> Any:
    return await got(lib.check_output("ls non_existent_file; exit 0", stderr=lib.STDOUT, shell=True))


async def outputOfSed(lib: Library) -> Any:
    return await got(lib.check_output(["sed", "-e", "s/foo/bar/"], input=b"when in the course of fooman events\n"))


async def outputNoInput(lib: Library) -> Any:
    return await got(lib.check_output(["cat"], input=None, text=True))


async def pipeline(lib: Library) -> Any:
    p1 = lib.Popen(["printf", "hda 1\nhdb 2\n"], stdout=lib.PIPE)
    p2 = lib.Popen(["grep", "hda"], stdin=p1.stdout, stdout=lib.PIPE)
    p1.stdout.close()  # Allow p1 to receive a SIGPIPE if p2 exits.
    output = (await got(p2.communicate()))[0]
    return output, await got(p1.wait()), p2.returncode


async def pipelineSigpipe(lib: Library) -> Any:
    p1 = lib.Popen(["yes"], stdout=lib.PIPE)
    p2 = lib.Popen(["head", "-n", "2"], stdin=p1.stdout, stdout=lib.PIPE)
    p1.stdout.close()
    return (await got(p2.communicate()))[0], await got(p1.wait())


async def shellPipeline(lib: Library) -> Any:
    return await got(lib.check_output("printf 'hda 1\nhdb 2\n' | grep hda", shell=True))


async def system(lib: Library) -> Any:
    codes = [await got(lib.call("exit" + " 3", shell=True)), await got(lib.call("kill -9 $$", shell=True))]
    try:
        await got(lib.call(["/no/such/command"]))
    except OSError as e:
        return codes, type(e), str(e)


async def spawn(lib: Library) -> Any:
    process = lib.Popen(["/bin/true", "myarg"])
    return process.pid > 0, await got(process.wait()), await got(lib.call(["/bin/false", "myarg"]))


async def spawnEnvironment(lib: Library) -> Any:
    process = lib.Popen(["env"], env={"PATH": "/usr/bin:/bin", "B\udc88": "\udcff"}, stdout=lib.PIPE)
    return await got(process.communicate())


async def popen2(lib: Library) -> Any:
    p = lib.Popen("cat", shell=True, bufsize=0, stdin=lib.PIPE, stdout=lib.PIPE, close_fds=True)
    child_stdin, child_stdout = p.stdin, p.stdout
    child_stdin.write(b"said\n")
    child_stdin.flush()
    line = await got(child_stdout.readline())
    child_stdin.close()
    rest = await got(child_stdout.read())
    child_stdout.close()
    return line, rest, await got(p.wait())


async def popen3(lib: Library) -> Any:
    p = lib.Popen("cat; echo err >&2", shell=True, stdin=lib.PIPE, stdout=lib.PIPE, stderr=lib.PIPE)
    return await got(p.communicate(b"in"))


async def popen4(lib: Library) -> Any:
    p = lib.Popen("cat; echo err >&2", shell=True, stdin=lib.PIPE, stdout=lib.PIPE, stderr=lib.STDOUT)
    return await got(p.communicate(b"in")), p.stderr


async def pipeClose(lib: Library) -> Any:
    process = lib.Popen(["sh", "-c", "read line; exit $line"], stdin=lib.PIPE, text=True)
    process.stdin.write("7\n")
    process.stdin.close()
    return await got(process.wait())


async def statusOutputs(lib: Library) -> Any:
    commands = ("ls /bin/ls", "cat /bin/junk", "/bin/junk 2>/dev/null", "/bin/kill $$", "echo")
    return [await got(lib.getstatusoutput(command)) for command in commands], await got(lib.getoutput("ls /bin/ls"))


async def shellWords(lib: Library) -> Any:
    return await got(lib.check_output(["echo $0 $1", "zero", "one"], shell=True))


async def otherShell(lib: Library) -> Any:
    return await got(lib.check_output("echo $0", shell=True, executable="/bin/sh"))


async def otherName(lib: Library) -> Any:
    return await got(lib.check_output(["named", "-c", "echo $0"], executable="/bin/sh"))


async def iteration(lib: Library) -> Any:
    async with entered(lib.Popen(["printf", "a\r\nb\rc\n\nd"], stdout=lib.PIPE, universal_newlines=True)) as p:
        return await linesOf(p.stdout)


class ExampleTests(PopenCase):
    """Of the sections of the documentation that these are named after."""

    async def test_run(self) -> None:
        """Using the subprocess module."""
        await self.both(runList, runChecked, runCaptured, runInput, runTwice, runTimeout)

    async def test_constructor(self) -> None:
        """Popen constructor: context manager, shell, executable, arguments of the shell, text."""
        await self.both(withLog, shellWords, otherShell, otherName, iteration)

    async def test_communicate(self) -> None:
        """Popen objects: communicate with a time-out, killed, its output read all the same."""
        await self.both(communicateTimeout)

    async def test_checkOutput(self) -> None:
        """Older high-level API."""
        await self.both(outputHello, outputFails, outputOfErrors, outputOfSed, outputNoInput)

    async def test_replacing(self) -> None:
        """Replacing shell command substitution, shell pipelines, os.system, the os.spawn family, os.popen2."""
        await self.both(pipeline, pipelineSigpipe, shellPipeline, system, spawn, spawnEnvironment)
        await self.both(popen2, popen3, popen4, pipeClose)

    async def test_legacy(self) -> None:
        """Legacy shell invocation functions."""
        await self.both(statusOutputs)
