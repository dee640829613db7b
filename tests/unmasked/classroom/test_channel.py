"""What passes between a judge and a cage: plain data whole, and nothing but plain data."""

import math
import socket
import struct
import threading

import msgpack
import pytest
import torch

from unmasked.attempt import Foreign, Generator, Once, Part
from unmasked.classroom import channel
from unmasked.classroom.channel import ChannelError, Late, pack, receive, send, unpack


@pytest.fixture
def pair():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


@pytest.mark.parametrize(
    "value",
    [None, True, -3, 2**62, 1.5, "text", "\ud800", b"bytes", [1, [2, ()]], (1, (2, [])), {"a": (1, 2), "b": {}}],
    ids=repr,
)
def test_plain_values_arrive_as_they_are(value):
    arrived = unpack(pack(value))
    assert arrived == value and type(arrived) is type(value)


def test_numbers_that_are_none_arrive():
    nan, infinite = unpack(pack([math.nan, -math.inf]))
    assert math.isnan(nan) and infinite == -math.inf


@pytest.mark.parametrize("dtype", channel.DTYPES.values(), ids=str)
def test_tensors_of_every_kind_arrive(dtype):
    for tensor in (torch.arange(6).reshape(2, 3), torch.tensor(1), torch.empty(0, 4)):
        arrived = unpack(pack(tensor.to(dtype)))
        assert arrived.dtype == dtype and arrived.shape == tensor.shape and torch.equal(arrived, tensor.to(dtype))


def test_a_tensor_keeps_its_strides_so_that_it_is_as_awkward_as_before():
    for tensor in (torch.randn(4, 5).mT, torch.randn(3, 8)[:, ::2]):
        arrived = unpack(pack(tensor))
        assert torch.equal(arrived, tensor) and arrived.stride() == tensor.stride()


def test_a_tensor_of_one_number_arrives_whatever_its_strides():
    tensor = torch.randn(1, 1, 2)[..., 0]
    assert tensor.stride() == (2, 2)
    assert torch.equal(unpack(pack(tensor)), tensor)


def test_parameters_and_descriptions_arrive():
    weight = torch.nn.Parameter(torch.randn(2, 2))
    part = Part("Linear", (2, 2), {"weight": weight})
    arrived = unpack(pack((part, Generator(3), Foreign("a", "b"), Once([(1,), (2,)]))))
    assert arrived[1:] == (Generator(3), Foreign("a", "b"), Once([(1,), (2,)]))
    assert arrived[0].kind == "Linear" and torch.equal(arrived[0].state["weight"], weight)


@pytest.mark.parametrize(
    "value", [object(), {1, 2}, lambda: 0, torch.nn.Linear(1, 1)], ids=["object", "set", "function", "module"]
)
def test_nothing_else_can_be_sent(value):
    with pytest.raises(TypeError):
        pack(value)


def tensor_message(name="float32", shape=(2,), strides=(), data=b"\0" * 8):
    return msgpack.packb(msgpack.ExtType(channel.TENSOR, pack([name, list(shape), list(strides), data])))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        pack(1) + b"more",
        pack([1] * 5)[:-1],
        b"\x91" * 100_000,  # lists in lists
        b"\xdd\xff\xff\xff\xff",  # a list of four billion
        msgpack.packb(msgpack.ExtType(99, b"")),
        msgpack.packb(msgpack.ExtType(5, pack(["Linear", 1, 2, 3, 4, 5]))),
        tensor_message(name="object"),
        tensor_message(shape=(2**40,)),
        tensor_message(shape=(-2, -1)),
        tensor_message(shape=(2, "a")),
        tensor_message(strides=(2**40,)),
        tensor_message(strides=(1, 1)),
        tensor_message(data="text"),
    ],
)
def test_what_is_no_message_is_refused(data):
    with pytest.raises(ChannelError):
        unpack(data)


def test_a_message_that_would_fill_the_memory_is_refused_before_it_is_read(pair):
    ours, theirs = pair
    theirs.sendall(struct.pack("!Q", channel.LARGEST + 1))
    with pytest.raises(ChannelError, match="bytes"):
        receive(ours, 5)


def test_whoever_sends_drop_by_drop_is_late_all_the_same(pair):
    ours, theirs = pair
    done = threading.Event()

    def drip():
        theirs.sendall(struct.pack("!Q", 1000))
        while not done.wait(0.05):
            theirs.sendall(b"a")

    thread = threading.Thread(target=drip)
    thread.start()
    with pytest.raises(Late):
        receive(ours, 0.5)
    done.set()
    thread.join()


def test_whoever_hangs_up_is_noticed(pair):
    ours, theirs = pair
    send(theirs, [1, 2])
    theirs.close()
    assert receive(ours, 5) == [1, 2]
    with pytest.raises(ChannelError):
        receive(ours, 5)
