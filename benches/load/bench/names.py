"""A small DNS server for the churn scenario: many names, each with a set of addresses that changes at a steady rate.

Only what that needs: UDP, one question, A records. What an answer says depends on the time alone, so that nothing has to
be told to the server.
"""

import socket
import struct
import threading
import time

TTL = 1


class ChangingNames:
    """`pool-N.bench.test` for N below `names`, `nodes` addresses each; all names together change `rate` times a second.

    A change replaces one address of one name. With a rate of 0 nothing changes.
    """

    def __init__(self, names, nodes, rate):
        self.names, self.nodes, self.rate = names, nodes, rate
        self.started = time.monotonic()
        self.asked = 0
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.port = self.socket.getsockname()[1]
        self.over = False
        threading.Thread(target=self.serve, daemon=True).start()

    def addresses(self, name):
        """The addresses of a name now: 127.a.b.c, of which `c` of one slot moves on with every change."""
        period = self.names / self.rate if self.rate else 0
        # Names take turns, so that changes come evenly.
        changes = int((time.monotonic() - self.started) / period + name / self.names) if period else 0
        for slot in range(self.nodes):
            moved = (changes + self.nodes - 1 - slot) // self.nodes
            yield bytes((127, 10 + name // 250, name % 250, 1 + slot + self.nodes * (moved % 8)))

    def answer(self, question):
        number, flags = question[:2], question[2]
        end, labels = 12, []
        while question[end]:
            labels.append(question[end + 1 : end + 1 + question[end]].lower())
            end += 1 + question[end]
        kind = struct.unpack(">H", question[end + 1 : end + 3])[0]
        asked = question[12 : end + 5]
        known = len(labels) == 3 and labels[1:] == [b"bench", b"test"] and labels[0].startswith(b"pool-")
        name = int(labels[0][5:]) if known else -1
        if not 0 <= name < self.names:
            return number + bytes((0x84 | flags & 1, 3)) + struct.pack(">4H", 1, 0, 0, 0) + asked
        records = []
        if kind == 1:
            records = [b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, TTL, 4) + one for one in self.addresses(name)]
        head = number + bytes((0x84 | flags & 1, 0)) + struct.pack(">4H", 1, len(records), 0, 0)
        return head + asked + b"".join(records)

    def serve(self):
        while not self.over:
            try:
                question, client = self.socket.recvfrom(4096)
                self.asked += 1
                self.socket.sendto(self.answer(question), client)
            except (OSError, IndexError, ValueError, struct.error):
                pass

    def close(self):
        self.over = True
        # Wakes the thread.
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"", ("127.0.0.1", self.port))
