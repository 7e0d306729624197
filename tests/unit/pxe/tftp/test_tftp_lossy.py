"""Sender and receiver against each other over a network that loses, repeats and reorders.

The laws: the file arrives as it was, whatever the network does; each block is handed on once; and no network
that repeats packets can make the sender send much more than it has to.
"""

import heapq
import itertools
import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pxe.tftp.session import Burst, Sender
from pxe.tftp.terms import Terms
from pxe.tftp.upload import Receiver
from pxe.tftp.wire import Data, Oack, build, parse

AGAIN = b"the request, once more"


class Network:
    """Carries packets with a delay; some are lost, some come twice."""

    def __init__(self, seed, loss, twice, delay=0.0005, jitter=0.0):
        self.random = random.Random(seed)
        self.loss, self.twice, self.delay, self.jitter = loss, twice, delay, jitter
        self.queue, self.order = [], itertools.count()

    def put(self, now, to, raw):
        copies = 0 if self.random.random() < self.loss else 2 if self.random.random() < self.twice else 1
        for _ in range(copies):
            arrives = now + self.delay + self.random.random() * self.jitter
            heapq.heappush(self.queue, (arrives, next(self.order), to, raw))


def transfer(data, terms, network, most_seconds=600.0):
    """Run a transfer; returns (what arrived, DATA packets sent, the sender)."""
    sender, receiver = Sender(len(data), terms), Receiver(replace(terms, accepted=()))
    arrived, packets, now, heard = bytearray(), 0, 0.0, False

    def send(action):
        nonlocal packets
        if isinstance(action, Burst):
            packets += action.blocks
            for block in range(action.first, action.first + action.blocks):
                payload = data[(block - 1) * terms.blksize : block * terms.blksize]
                network.put(now, "client", build(Data(sender.number(block), payload)))
        elif action is not None:
            network.put(now, "client", action)

    def client(raw):
        nonlocal heard
        heard = True
        packet = parse(raw)
        if isinstance(packet, Oack):
            network.put(now, "server", receiver.start(now))
        elif isinstance(packet, Data):
            kept, reply = receiver.data(packet.block, packet.payload, now)
            arrived.extend(kept)
            if reply:
                network.put(now, "server", reply)

    send(sender.start(now))
    receiver.start(now)
    while not (sender.done or sender.failed or receiver.failed) and now < most_seconds:
        wake = [sender.deadline, *([] if receiver.done else [receiver.deadline])]
        if network.queue and network.queue[0][0] <= min(wake):
            now, _, to, raw = heapq.heappop(network.queue)
            if to == "client":
                client(raw)
            else:
                send(sender.asked_again(now) if raw == AGAIN else sender.ack(parse(raw).block, now))
            continue
        now = max(now, min(wake))
        send(sender.tick(now))
        again = receiver.tick(now)
        if again:
            # A client that has heard nothing repeats its request; one that has, its last ACK.
            network.put(now, "server", again if heard else AGAIN)
    return bytes(arrived), packets, sender


WINDOWS = st.sampled_from([1, 2, 4, 16, 64])
SIZES = st.one_of(st.sampled_from([0, 511, 512, 513, 5120, 40_000, 100_000]), st.integers(0, 40_000))
DATA = SIZES.map(lambda n: random.Random(n).randbytes(n))


def terms_for(window):
    accepted = (("windowsize", str(window)),) if window > 1 else ()
    return Terms(blksize=512, windowsize=window, accepted=accepted)


@settings(deadline=None, max_examples=150)
@given(DATA, WINDOWS, st.integers(0, 2**32), st.sampled_from([0, 0.05, 0.2]), st.sampled_from([0, 0.3, 1]))
def test_whatever_the_network_does_the_file_arrives(data, window, seed, loss, twice):
    network = Network(seed, loss, twice, jitter=0.002)
    arrived, _, sender = transfer(data, terms_for(window), network)
    assert arrived == data or (loss and not sender.done and data.startswith(arrived))


@pytest.mark.parametrize("window", [1, 16])
def test_at_a_tenth_lost_nobody_fails(window):
    data = random.Random(3).randbytes(60_000)
    for seed in range(200):
        arrived, _, sender = transfer(data, terms_for(window), Network(seed, 0.1, 0))
        assert sender.done and arrived == data


@settings(deadline=None, max_examples=60)
@given(WINDOWS, st.integers(0, 2**32))
def test_repeated_packets_never_double_the_traffic(window, seed):
    data = random.Random(seed).randbytes(512 * 300)
    _, packets, sender = transfer(data, terms_for(window), Network(seed, 0, 1.0))
    assert sender.done
    assert packets <= 301 * 1.1


def test_five_percent_loss_costs_little_time():
    data = random.Random(1).randbytes(512 * 2000)
    network = Network(7, 0.05, 0)
    arrived, packets, _ = transfer(data, terms_for(16), network)
    assert arrived == data
    assert packets < 2000 * 2


def test_past_65535_blocks_under_loss():
    data = random.Random(2).randbytes(8 * 70_000 + 3)
    for rollover in (0, 1):
        terms = Terms(blksize=8, windowsize=32, rollover=rollover, accepted=(("windowsize", "32"),))
        arrived, _, sender = transfer(data, terms, Network(3, 0.001, 0.001))
        assert arrived == data and sender.done


def test_what_is_told_as_sent_has_arrived():
    """A client that lacks a part of the last window says so; silence after that is no end of it."""
    data = random.Random(100_000).randbytes(100_000)
    for seed in range(60, 120):
        arrived, _, sender = transfer(data, terms_for(64), Network(seed, 0.2, 0.3, jitter=0.002))
        assert sender.failed or arrived == data
