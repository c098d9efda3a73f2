"""The load: closed loop by wrk, open loop by h2load, and idle connections by this process."""

import os
import re
import socket
import ssl
import subprocess
import time
from pathlib import Path

from . import machine

# How wrk asks: words of its command line.
KEEP_ALIVE = ()
CLOSE = ("--header", "Connection: close")
BROWSER = ("--script", Path(__file__).with_name("browser.lua"))

UNITS = {"us": 1e-3, "ms": 1.0, "s": 1e3, "m": 6e4}


def pinned(cpu):
    return lambda: os.sched_setaffinity(0, {cpu})


def milliseconds(text):
    number, unit = re.fullmatch(r"([\d.]+)(us|ms|s|m)", text).groups()
    return float(number) * UNITS[unit]


def closed_loop(url, connections, seconds, manner, cpu):
    """wrk for so many seconds, asking in this manner. Returns requests, requests/s, and what went wrong ('' = nothing)."""
    words = ["wrk", "--threads", "1", "--connections", connections, "--duration", f"{seconds}s", "--latency"]
    done = subprocess.run([str(word) for word in [*words, *manner, url]], capture_output=True, text=True, preexec_fn=pinned(cpu))
    text = done.stdout
    total = re.search(r"(\d+) requests in", text)
    if not total or not int(total[1]):
        return 0, 0.0, f"no request got through: {(done.stderr or text).strip()[-300:]}"
    faults = re.findall(r"Non-2xx or 3xx responses: \d+|Socket errors: [^\n]*", text)
    return int(total[1]), float(re.search(r"Requests/sec:\s+([\d.]+)", text)[1]), "; ".join(faults)


def open_loop(url, rate, connections, seconds, cpu, folder, share):
    """h2load with HTTP/1.1 at a fixed rate. Returns the latencies in milliseconds, sorted, and what went wrong.

    Each connection has its own schedule of `rate / connections` requests per second. An answer that takes longer than
    the distance of two of them delays the next one, and h2load does not count the time that one waits. With enough
    connections the distance is far above the latencies that are compared; a run in which it is not, up to the quantile
    `share` that is compared, is marked.
    """
    log = folder / "requests.log"
    log.unlink(missing_ok=True)
    # h2load counts the rate per connection and in whole numbers.
    per_connection = max(1, round(rate / connections))
    words = ["h2load", "--h1", "--threads=1", f"--clients={connections}", f"--rps={per_connection}"]
    words += [f"--requests={connections * per_connection * seconds}", f"--log-file={log}", url]
    done = subprocess.run(words, capture_output=True, text=True, preexec_fn=pinned(cpu))
    counts = re.search(r"requests: (\d+) total, \d+ started, \d+ done, (\d+) succeeded", done.stdout)
    if not counts or not log.exists():
        return [], f"h2load: {(done.stderr or done.stdout).strip()[-300:]}"
    taken, wrong = [], 0
    first = last = None
    for line in log.read_text().splitlines():
        start, status, lasted = line.split("\t")[:3]
        if not status.startswith("2"):
            wrong += 1
            continue
        start = int(start)
        first = start if first is None else min(first, start)
        last = start if last is None else max(last, start)
        taken.append((start, int(lasted) / 1e3))
    faults = []
    if counts[1] != counts[2] or wrong:
        faults.append(f"{int(counts[1]) - int(counts[2])} requests failed, {wrong} were not answered with 2xx")
    span = (last - first) / 1e6 if taken else 0
    if not taken or span > seconds * 1.05 + 0.2:
        faults.append(f"the rate was not kept up: {span:.1f} s instead of {seconds} s")
    # The first half second is connecting and warming up.
    latencies = sorted(lasted for start, lasted in taken if start - first > 500_000)
    if quantile(latencies, share) > 1e3 / per_connection:
        faults.append("answers took longer than the distance of requests: the latencies are lower bounds")
    return latencies, "; ".join(faults)


def quantile(ordered, share):
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


class IdleClients:
    """Connections that have had one answer each and then keep still."""

    def __init__(self, port, tls, path="/128"):
        self.port, self.path, self.open = port, path, []
        # Of the last answer's body, bytes.
        self.length = 0
        self.context = None
        if tls:
            self.context = ssl.create_default_context()
            self.context.check_hostname = False
            self.context.verify_mode = ssl.CERT_NONE

    def add(self, count):
        request = f"GET {self.path} HTTP/1.1\r\nHost: bench.test\r\n\r\n".encode()
        for _ in range(count):
            one = socket.create_connection(("127.0.0.1", self.port), timeout=10)
            if self.context:
                one = self.context.wrap_socket(one, server_hostname="bench.test")
            one.sendall(request)
            answer = b""
            while b"\r\n\r\n" not in answer:
                answer += self._piece(one)
            head, _, body = answer.partition(b"\r\n\r\n")
            self.length = self._body(one, head, body)
            self.open.append(one)

    def _body(self, one, head, begun):
        """Reads the whole body; returns how long it is without its chunks' lines."""
        if length := re.search(rb"(?i)\r\ncontent-length: *(\d+)", head):
            while len(begun) < int(length[1]):
                begun += self._piece(one)
            return len(begun)
        total = 0
        while True:
            while b"\r\n" not in begun:
                begun += self._piece(one)
            line, _, begun = begun.partition(b"\r\n")
            size = int(line, 16)
            while len(begun) < size + 2:
                begun += self._piece(one)
            begun = begun[size + 2 :]
            if not size:
                return total
            total += size

    def _piece(self, one):
        piece = one.recv(65536)
        if not piece:
            raise machine.Unusable(f"connection {len(self.open) + 1} was closed before its whole answer")
        return piece

    def still_open(self):
        """How many the other side has not closed."""
        count = 0
        for one in self.open:
            one.setblocking(False)
            try:
                count += bool(one.recv(1))
            except (BlockingIOError, ssl.SSLWantReadError):
                count += 1
            except OSError:
                pass
        return count

    def close(self):
        for one in self.open:
            one.close()
        self.open = []


def settled(read, seconds=6.0, step=0.5):
    """The value of `read` once it stands still within 1 %, or after so many seconds."""
    deadline, before = time.monotonic() + seconds, read()
    while time.monotonic() < deadline:
        time.sleep(step)
        now = read()
        if abs(now - before) <= 0.01 * before:
            return now
        before = now
    return before
