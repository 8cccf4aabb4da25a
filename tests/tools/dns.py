# SPDX-License-Identifier: Apache-2.0
"""A DNS server of a test's own, for a proxy's --resolver:

    dns = Dns()
    dns.addresses['api.example.net'] = ['10.0.0.1']
    dns.failing = True          # SERVFAIL for everything
    dns.asked                   # names, in order
"""
import socket
import struct
import threading

import sluice


class Dns:
    """Answers A from .addresses (name: list), which has no others: NXDOMAIN."""

    def __init__(self):
        self.port, self.addresses, self.failing, self.asked = sluice.port(), {}, False, []
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(('127.0.0.1', self.port))
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            packet, peer = self.socket.recvfrom(1024)
            at, labels = 12, []
            while packet[at]:
                labels.append(packet[at + 1:at + 1 + packet[at]].decode().lower())
                at += packet[at] + 1
            kind, = struct.unpack('!H', packet[at + 1:at + 3])
            name = '.'.join(labels)
            self.asked.append(name)
            known = self.addresses.get(name)
            found = known if known and kind == 1 else []
            code = 2 if self.failing else 0 if known else 3
            found = [] if code else found
            answer = packet[:2] + struct.pack('!HHHHH', 0x8180 | code, 1, len(found), 0, 0)
            answer += packet[12:at + 5]
            for address in found:
                answer += struct.pack('!HHHIH', 0xc00c, 1, 1, 0, 4) + socket.inet_aton(address)
            self.socket.sendto(answer, peer)
