"""Plain data through a socket, between a judge and a cage: nothing in a message is ever run, not even to read it.

A message is eight bytes that say its length, then MessagePack. Tensors travel as bytes with their shape.
"""

import math
import struct
import time

import msgpack
import torch

from unmasked.attempt import Foreign, Generator, Once, Part

# Bytes of one message. A check needs a thousandth of a MB; an empty list takes one here, and 64 in the memory.
LARGEST = 8 * 2**20
TENSOR, TUPLE = 1, 2
DESCRIPTIONS = {3: Foreign, 4: Generator, 5: Part, 6: Once}
CODES = {kind: code for code, kind in DESCRIPTIONS.items()}
DTYPES = {
    str(dtype).removeprefix("torch."): dtype
    for dtype in (
        *(torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64),
        *(torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.complex64, torch.complex128),
    )
}


class ChannelError(Exception):
    """The other side is gone, is late, or sends what is no message."""


def pack(value):
    """The bytes of a piece of plain data.  Errors: TypeError if it is something else."""
    return msgpack.packb(value, default=_describe, strict_types=True, unicode_errors="surrogatepass")


def unpack(data):
    """The plain data of these bytes, wherever they come from.  Errors: ChannelError if they are no message."""
    try:
        return msgpack.unpackb(data, ext_hook=_rebuild, strict_map_key=False, unicode_errors="surrogatepass")
    except Exception as error:  # msgpack and torch have a dozen; all mean that somebody sends nonsense
        raise ChannelError(f"not a message: {type(error).__name__}") from None


def send(socket, value, seconds=None):
    """Send a message.

    Errors: Late if it is not taken in `seconds`; ChannelError if nobody takes it; TypeError or ValueError if it is no
    plain data, or too large.
    """
    data = pack(value)
    if len(data) > LARGEST:
        raise ValueError(f"it takes {len(data):,} bytes")
    try:
        socket.settimeout(seconds)
        socket.sendall(struct.pack("!Q", len(data)) + data)
    except TimeoutError:
        raise Late("not taken in time") from None
    except OSError as error:
        raise ChannelError(str(error)) from None


def receive(socket, seconds=None):
    """The next message.  Errors: Late if it is not there in `seconds`; ChannelError if there will be none."""
    deadline = None if seconds is None else time.monotonic() + seconds
    (length,) = struct.unpack("!Q", _exactly(socket, 8, deadline))
    if length > LARGEST:
        raise ChannelError(f"a message of {length} bytes")
    return unpack(_exactly(socket, length, deadline))


class Late(ChannelError):
    """The other side did not answer in time."""


def _exactly(socket, count, deadline):
    data = bytearray()
    while len(data) < count:
        try:
            # The deadline is for the whole message: a sender that drips byte by byte gains nothing.
            socket.settimeout(None if deadline is None else max(deadline - time.monotonic(), 1e-3))
            piece = socket.recv(min(count - len(data), 2**20))
        except TimeoutError:
            raise Late("no answer in time") from None
        except OSError as error:
            raise ChannelError(str(error)) from None
        if not piece:
            raise ChannelError("the other side is gone")
        data += piece
    return bytes(data)


def _describe(value):
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu().resolve_conj().resolve_neg()
        # `contiguous` would leave a tensor of one number with a stride of 2, which can't be viewed as bytes.
        flat = value.clone(memory_format=torch.contiguous_format).reshape(-1)
        data = flat.view(torch.uint8).numpy().tobytes()
        name = str(value.dtype).removeprefix("torch.")
        strides = [] if value.is_contiguous() or 0 in value.stride() else list(value.stride())
        return msgpack.ExtType(TENSOR, pack([name, list(value.shape), strides, data]))
    if isinstance(value, dict):
        return dict(value)
    if type(value) is tuple:
        return msgpack.ExtType(TUPLE, pack(list(value)))
    if type(value) in CODES:
        return msgpack.ExtType(CODES[type(value)], pack(list(vars(value).values())))
    raise TypeError(f"{type(value).__name__} is no plain data")


def _rebuild(code, data):
    fields = unpack(data)
    if code == TENSOR:
        return _tensor(*fields)
    return tuple(fields) if code == TUPLE else DESCRIPTIONS[code](*fields)


def _tensor(name, shape, strides, data):
    dtype = DTYPES[name]
    if len(data) != math.prod(shape) * dtype.itemsize or min(shape, default=0) < 0:
        raise ValueError("a tensor whose bytes do not fit its shape")
    value = torch.frombuffer(bytearray(data), dtype=dtype) if data else torch.empty(0, dtype=dtype)
    if dtype is torch.bool:
        value = value.view(torch.uint8) != 0  # a byte of 2 would be neither True nor False
    value = value.reshape(shape)
    if not strides:
        return value
    extent = 1 + sum((size - 1) * stride for size, stride in zip(shape, strides))
    if extent > 16 * value.numel():
        raise ValueError("a tensor with too many holes")  # a small message must not grow to a large memory
    return torch.empty_strided(shape, strides, dtype=dtype).copy_(value)
