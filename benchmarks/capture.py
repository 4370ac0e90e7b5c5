"""Packets of the loopback interface, as the kernel saw them, and the round-trip times of messages in them.

The kernel writes the packets of one port into a ring of memory (packet(7), PACKET_RX_RING), stamped with its own clock
in nanoseconds. Nothing reads the ring until the capture is over, so a capture takes no processor time but the kernel's
copy of some 100 bytes a packet. Linux only, as root.
"""

from __future__ import annotations

import ctypes
import mmap
import socket
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

SOL_PACKET, PACKET_RX_RING, PACKET_STATISTICS, PACKET_VERSION, PACKET_IGNORE_OUTGOING = 263, 5, 6, 10, 23
TPACKET_V2 = 1
"""Of linux/if_packet.h."""
ETH_P_IP = 0x0800
SO_ATTACH_FILTER = 26
FRAME_BYTES = 256
"""A packet in the ring: the header of the ring, and the head of the packet."""
BLOCK_BYTES = 1 << 16
CAPTURED_BYTES = 96
"""Bytes of a packet that are kept: the headers of Ethernet, IP and TCP with its options, and the payload's start."""
ETHERNET_BYTES, IP_BYTES = 14, 20


@dataclass(frozen=True)
class WireTimes:
    """Times of a run's messages between the packet that ends the request and the one that ends the reply."""

    round_trips_ns: NDArray[np.int64]
    unanswered: int
    """Requests without a reply in the capture."""
    lost_packets: int
    """Packets for which the ring had no room; without any, the times are all there were."""


class LoopbackCapture:
    """Captures the packets from and to one TCP port on IPv4; a context manager."""

    def __init__(self, port: int, packets: int) -> None:
        """Takes room for so many packets.

        Raises:
            PermissionError: The user is not root.
        """
        blocks = -(-packets * FRAME_BYTES // BLOCK_BYTES)
        self._port = port
        self._frames = blocks * BLOCK_BYTES // FRAME_BYTES
        self._sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
        # Else each packet comes twice: as it leaves, and as it arrives.
        self._sock.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
        self._sock.setsockopt(SOL_PACKET, PACKET_VERSION, TPACKET_V2)
        self._filter()
        ring = struct.pack("=4I", BLOCK_BYTES, blocks, FRAME_BYTES, self._frames)
        self._sock.setsockopt(SOL_PACKET, PACKET_RX_RING, ring)
        self._ring = mmap.mmap(self._sock.fileno(), blocks * BLOCK_BYTES)
        self._sock.bind(("lo", ETH_P_IP))

    def _filter(self) -> None:
        """Keeps the packets of the port alone (classic BPF, as `tcpdump -dd "tcp port N"` has it)."""
        load_half, load_byte, equals, ends = 0x28, 0x30, 0x15, 0x06
        code = [
            (load_byte, 0, 0, ETHERNET_BYTES + 9),
            (equals, 0, 5, socket.IPPROTO_TCP),
            (load_half, 0, 0, ETHERNET_BYTES + IP_BYTES),
            (equals, 2, 0, self._port),
            (load_half, 0, 0, ETHERNET_BYTES + IP_BYTES + 2),
            (equals, 0, 1, self._port),
            (ends, 0, 0, CAPTURED_BYTES),
            (ends, 0, 0, 0),
        ]
        program = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *line) for line in code))
        self._sock.setsockopt(
            socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("@HP", len(code), ctypes.addressof(program))
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._sock.close()

    def wire_times(self, request_bytes: int, reply_bytes: int) -> WireTimes:
        """Pairs the messages of each connection in order.

        Args:
            request_bytes: Size of each message's frame.
            reply_bytes: Size of each reply's frame.
        """
        _, dropped = struct.unpack("=2I", self._sock.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))
        self._sock.close()
        ring = np.frombuffer(self._ring, dtype=np.uint8).reshape(self._frames, FRAME_BYTES)
        status = ring[:, 0:4].copy().view("<u4")[:, 0]
        used = ring[: int(np.count_nonzero(status))]
        packets = _Packets.of(used)
        times: list[NDArray[np.int64]] = []
        unanswered = 0
        outward = packets.destination == self._port
        peers = np.where(outward, packets.source, packets.destination)
        order = np.argsort(peers, kind="stable")
        for places in np.split(order, np.flatnonzero(np.diff(peers[order])) + 1):
            sent = packets.ends_of(places[outward[places]], request_bytes)
            done = packets.ends_of(places[~outward[places]], reply_bytes)
            count = min(len(sent), len(done))
            times.append(done[:count] - sent[:count])
            unanswered += len(sent) - count
        return WireTimes(np.concatenate(times) if times else np.zeros(0, np.int64), unanswered, dropped)


@dataclass(frozen=True)
class _Packets:
    """Columns of the packets that carry data."""

    at_ns: NDArray[np.int64]
    source: NDArray[np.int64]
    destination: NDArray[np.int64]
    sequence: NDArray[np.int64]
    payload_bytes: NDArray[np.int64]
    is_http: NDArray[np.bool_]
    """The payload begins as the upgrade or its answer does."""

    @classmethod
    def of(cls, frames: NDArray[np.uint8]) -> _Packets:
        """Reads the frames of a ring (struct tpacket2_hdr, then the packet at tp_mac)."""
        if not len(frames):
            none = np.zeros(0, np.int64)
            return cls(none, none, none, none, none, none.astype(bool))
        header = frames[:, :24].copy().view("<u4")
        start = int(frames[0, 12:14].copy().view("<u2")[0])
        packet = frames[:, start : start + CAPTURED_BYTES].astype(np.int64)

        def number(at: int, size: int) -> NDArray[np.int64]:
            """Returns a number in network order."""
            total = packet[:, at].copy()
            for place in range(at + 1, at + size):
                total = total << 8 | packet[:, place]
            return total

        tcp = ETHERNET_BYTES + IP_BYTES
        tcp_bytes = (packet[:, tcp + 12] >> 4) * 4
        payload_bytes = number(ETHERNET_BYTES + 2, 2) - IP_BYTES - tcp_bytes
        first = packet[np.arange(len(packet)), np.minimum(tcp + tcp_bytes, CAPTURED_BYTES - 1)]
        at_ns = header[:, 4].astype(np.int64) * 1_000_000_000 + header[:, 5]
        # A frame begins with its highest bit set, HTTP with a letter: G of GET, H of HTTP.
        with_data = payload_bytes > 0
        return cls(
            at_ns=at_ns[with_data],
            source=number(tcp, 2)[with_data],
            destination=number(tcp + 2, 2)[with_data],
            sequence=number(tcp + 4, 4)[with_data],
            payload_bytes=payload_bytes[with_data],
            is_http=(first < 0x80)[with_data],
        )

    def ends_of(self, places: NDArray[np.int64], frame_bytes: int) -> NDArray[np.int64]:
        """Returns the instants of the packets that end each frame of one direction of a connection, in order."""
        if not len(places):
            return np.zeros(0, np.int64)
        first = places[~self.is_http[places]][:1]
        if not len(first):
            return np.zeros(0, np.int64)
        # Sequence numbers wrap (RFC 9293, section 3.4); what is behind the first frame is far ahead, and is HTTP.
        offset = (self.sequence[places] - self.sequence[first[0]]) & 0xFFFFFFFF
        places, offset = places[offset < 1 << 31], offset[offset < 1 << 31]
        # A packet that is sent again ends nothing new: only what goes beyond all before it does.
        reached = np.maximum.accumulate(offset + self.payload_bytes[places])
        ends = np.arange(1, reached[-1] // frame_bytes + 1) * frame_bytes
        found: NDArray[np.int64] = self.at_ns[places[np.searchsorted(reached, ends)]]
        return found
