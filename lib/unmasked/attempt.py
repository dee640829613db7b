"""A check's only window on what the learner wrote: requests go in, plain data comes out.

`Attempt` is what a check holds. `Host` stands where the learner's object is and does what it is asked. Between them
pass only requests and replies made of plain data (tensors, numbers, strings, lists, tuples, dicts, and the descriptions
below), so that the two may stand in different processes: in a notebook they share one, in grading they don't have to.
"""

import contextlib
import inspect
import io
import os
import traceback
import warnings
from dataclasses import dataclass, field, replace

import numpy
import torch
import torch._dynamo  # the first backward and the first optimizer import it; a time limit must not cut that off
from torch import nn
from torch.overrides import TorchFunctionMode

from unmasked import parts
from unmasked.limits import BYTES, SECONDS, OutOfTime, memory_limit, time_limit


@dataclass(frozen=True)
class Generator:
    """Describes a random number generator, made new for each request, on the side of the attempt."""

    seed: int


@dataclass(frozen=True)
class Part:
    """Describes a ready-made module that the learner's object receives: a name in `unmasked.parts` or `torch.nn`."""

    kind: str
    args: tuple = ()
    state: dict | None = None


@dataclass(frozen=True)
class Once:
    """Describes an iterator over batches, tuples of tensors, all of the same sizes: it can be gone through once.

    Each batch takes the memory of the one before, so that only code that uses it in time sees it.
    """

    batches: list


@dataclass(frozen=True)
class Foreign:
    """Stands for a value that is not plain data: what it is called, and how it prints."""

    type_name: str
    text: str


@dataclass(frozen=True)
class Request:
    verb: str
    on: int = 0
    args: tuple = ()
    kwargs: dict = field(default_factory=dict)
    watched: frozenset = frozenset()


@dataclass(frozen=True)
class Error:
    """What became of the learner's code instead of a value.

    `kind` is one of: not attempted, raised, out of time, out of memory, exit, died.
    """

    kind: str
    message: str = ""
    line: str = field(default="", compare=False)


@dataclass(frozen=True)
class Reply:
    value: object = None
    error: Error | None = None
    changed: tuple = ()
    ready_made: tuple = ()
    printed: str = ""


class AttemptFailed(Exception):
    """The attempt did not give a value that a check could judge; the reply says why."""

    def __init__(self, reply):
        super().__init__(reply)
        self.reply = reply


class Attempt:
    """What a check talks to.

    `attempt(*args)` calls a function, or an object that was built; `attempt.build(*args)` makes an object from a class
    and is an attempt again. Every method raises AttemptFailed when the learner's code fails.
    """

    def __init__(self, ask, on=0, watched=frozenset(), trace=None):
        self._ask = ask
        self._on = on
        self.watched = watched
        self.trace = [] if trace is None else trace

    def _request(self, verb, *args, **kwargs):
        reply = self._ask(Request(verb, self._on, args, kwargs, self.watched))
        self.trace.append(reply)
        if reply.error or reply.changed or reply.ready_made:
            raise AttemptFailed(reply)
        return reply.value

    def __call__(self, *args, **kwargs):
        """The value of the call, gradients cut off."""
        return self._request("call", *args, **kwargs)

    def build(self, *args, **kwargs):
        """Make an object of the learner's class."""
        number = self._request("build", *args, **kwargs)
        return Attempt(self._ask, number, self.watched, self.trace)

    def parameters(self):
        """The learnable tensors of a built module, by name; those it shares appear once."""
        return self._request("parameters")

    def names(self):
        """The names of all tensors that a built module loads and saves, buffers too, in alphabetical order."""
        return self._request("names")

    def load(self, state):
        """Put tensors into the built module's parameters, by name; returns the names that don't exist or don't fit."""
        return self._request("load", state)

    def mode(self, training):
        """Switch a built module between training and evaluation; returns whether its `train` returns the module."""
        return self._request("mode", training)

    def gradients(self, *args, **kwargs):
        """Call it, and send a fixed signal back through it.

        Returns a dict: `output`, `arguments` (a gradient or None for each positional argument) and `parameters`
        (by name). The signal is sin(1), sin(2), ... laid over the output, so that no direction cancels out.
        """
        return self._request("gradients", *args, **kwargs)


class Host:
    """Holds the learner's object and does what is asked of it; nothing the object does gets past it."""

    def __init__(self, subject, namespace=None, seconds=SECONDS, extra_bytes=BYTES):
        self.objects = [subject]
        self.namespace = _namespace(subject) if namespace is None else namespace
        self.replaced = {}
        self.seconds = seconds
        self.extra_bytes = extra_bytes

    def __call__(self, request):
        """The reply to a request. Never raises, whatever the learner's code does."""
        given = _live(request.args), _live(request.kwargs)
        untouched = _plain(given)
        watch, printed = _ReadyMade(request.watched), io.StringIO()
        try:
            with self._contained(printed), watch:
                value = _plain(getattr(self, "_" + request.verb)(self.objects[request.on], *given[0], **given[1]))
            reply = Reply(value)
        except BaseException as error:  # SystemExit and KeyboardInterrupt too: a check never ends the notebook
            reply = Reply(error=_describe(error, self.seconds, self.extra_bytes))
        ready_made, text = tuple(sorted(watch.found)), printed.getvalue()[:2000]
        changed = () if reply.error else self._changed(request, untouched, given)
        return replace(reply, changed=changed, ready_made=ready_made, printed=text)

    def _changed(self, request, before, now):
        """Which arguments a call has edited in place."""
        if request.verb not in ("call", "gradients"):
            return ()
        names = [*_argument_names(self.objects[request.on], len(now[0])), *now[1]]
        old, new = ([*side[0], *side[1].values()] for side in (before, _plain(now)))
        return tuple(name for name, a, b in zip(names, old, new) if not same(a, b, exactly=True))

    @contextlib.contextmanager
    def _contained(self, printed):
        dtype, threads = torch.get_default_dtype(), torch.get_num_threads()
        try:
            with (
                contextlib.redirect_stdout(printed),
                contextlib.redirect_stderr(printed),
                warnings.catch_warnings(),
                torch.random.fork_rng(devices=[]),
                torch.enable_grad(),
                memory_limit(self.extra_bytes),
                time_limit(self.seconds),
            ):
                warnings.simplefilter("ignore")
                torch.default_generator.manual_seed(0)  # torch.manual_seed takes longer than most attempts
                yield
        finally:
            torch.set_default_dtype(dtype)
            torch.set_num_threads(threads)

    def _call(self, subject, *args, **kwargs):
        if inspect.isclass(subject) or not callable(subject):
            raise TypeError(f"a function is needed here, and this is {_called(subject)}")
        return subject(*args, **kwargs)

    def _build(self, subject, *args, **kwargs):
        if not inspect.isclass(subject):
            raise TypeError(f"a class is needed here, and this is {_called(subject)}")
        self.objects.append(subject(*args, **kwargs))
        return len(self.objects) - 1

    def _stand_in(self, subject, sources):
        """Put functions, given by their source, in the place of the learner's of these names; {} puts theirs back."""
        for name, own in self.replaced.items():
            if own is None:  # there was none
                self.namespace.pop(name, None)
            else:
                self.namespace[name] = own
        self.replaced = {name: self.namespace.get(name) for name in sources}
        for name, source in sources.items():
            own = {"torch": torch, "F": nn.functional, "nn": nn}
            exec(source, own)
            self.namespace[name] = own[name]

    def _parameters(self, module):
        _need_module(module)
        return dict(module.named_parameters())

    def _names(self, module):
        _need_module(module)
        return sorted(module.state_dict())

    def _load(self, module, state):
        _need_module(module)
        own = dict(module.named_parameters(remove_duplicate=False))
        unfit = [name for name, value in state.items() if name not in own or own[name].shape != value.shape]
        with torch.no_grad():
            for name in (name for name in state if name not in unfit):  # in order: two names may be one parameter
                own[name].copy_(state[name])
        return unfit

    def _mode(self, module, training):
        _need_module(module)
        return module.train(training) is module

    def _gradients(self, subject, *args, **kwargs):
        for argument in args:
            if isinstance(argument, torch.Tensor) and argument.is_floating_point():
                argument.requires_grad_()
        output = subject(*args, **kwargs)
        if not isinstance(output, torch.Tensor):
            return {"output": output, "arguments": [], "parameters": {}}
        if output.requires_grad:
            signal = torch.arange(1, output.numel() + 1, dtype=output.dtype).sin().view(output.shape)
            output.backward(signal)
        parameters = subject.named_parameters() if isinstance(subject, nn.Module) else ()
        return {
            "output": output,
            "arguments": [getattr(argument, "grad", None) for argument in args],
            "parameters": {name: parameter.grad for name, parameter in parameters},
        }


class _ReadyMade(TorchFunctionMode):
    """Notes which of the watched torch functions are called, also from inside torch's own modules."""

    def __init__(self, watched):
        super().__init__()
        self.watched = watched
        self.found = set()

    def __torch_function__(self, function, types, args=(), kwargs=None):
        name = getattr(function, "__name__", "")
        if name in self.watched:
            self.found.add(name)
        return function(*args, **(kwargs or {}))


def _namespace(subject):
    """The globals that a learner's function or class looks names up in."""
    functions = [subject, *vars(subject).values()] if inspect.isclass(subject) else [subject]
    return next((inspect.unwrap(f).__globals__ for f in functions if inspect.isfunction(f)), {})


def same(a, b, exactly=False):
    """Whether two pieces of plain data are equal, tensors up to rounding unless `exactly`."""
    if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor):
        if a.shape != b.shape or a.dtype != b.dtype:
            return False
        exactly = exactly or not a.is_floating_point()
        return torch.allclose(a, b, rtol=0 if exactly else 1e-4, atol=0 if exactly else 1e-5, equal_nan=True)
    if type(a) is not type(b):
        return False
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(same(x, y, exactly) for x, y in zip(a, b))
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key], exactly) for key in a)
    if isinstance(a, float):
        return a == b or (a != a and b != b) or (not exactly and abs(a - b) <= 1e-5 + 1e-4 * abs(b))
    return a == b


def _live(value):
    """The values a request describes, made new: copies of its tensors, its generators and its modules."""
    if isinstance(value, torch.Tensor):
        if 0 in value.stride():
            return value.clone()
        # Strides are kept, because code that needs contiguous input must not be spared non-contiguous input.
        return torch.empty_strided(value.shape, value.stride(), dtype=value.dtype).copy_(value)
    if isinstance(value, Generator):
        return torch.Generator().manual_seed(value.seed)
    if isinstance(value, Part):
        module = getattr(parts, value.kind, None) or getattr(nn, value.kind)
        module = module(*_live(value.args))
        module.load_state_dict(value.state or {}, strict=value.state is not None)
        return module
    if isinstance(value, Once):
        return _one_by_one(value.batches)
    if isinstance(value, (list, tuple)):
        return type(value)(_live(item) for item in value)
    if isinstance(value, dict):
        return {key: _live(item) for key, item in value.items()}
    return value


def _one_by_one(batches):
    """The batches that `Once` describes."""
    place = _live(batches[0])
    for batch in batches:
        for tensor, values in zip(place, batch):
            tensor.copy_(values)
        yield place


def _plain(value):
    """Plain data that says what a value is: what can leave the side of the attempt."""
    if isinstance(value, torch.Tensor) and value.layout == torch.strided and not value.is_quantized:
        return value.detach().cpu().as_subclass(torch.Tensor).clone()
    if isinstance(value, (list, tuple)):
        return (tuple if isinstance(value, tuple) else list)(_plain(item) for item in value)
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, numpy.generic) and type(value.item()) in (bool, int, float, str):
        value = value.item()  # one of NumPy's numbers is a number
    if type(value) is int and abs(value) >= 2**63:
        return Foreign("int", str(value.bit_length()) + " bits")
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, (torch.Generator, nn.Module)):
        return Foreign(type(value).__name__, "")
    return Foreign(f"{type(value).__module__}.{type(value).__qualname__}", _printed(value))


def _printed(value):
    try:
        return repr(value)[:200]
    except Exception:
        return "?"


def _need_module(thing):
    if not isinstance(thing, nn.Module):
        raise TypeError(f"the class must be an nn.Module, and this is {_called(thing)}")


def _called(thing):
    """What to call an object in a sentence."""
    if thing is None:
        return "None"
    if inspect.isclass(thing):
        return f"the class {thing.__name__}"
    name = type(thing).__name__
    return ("an " if name[:1].lower() in "aeiou" else "a ") + name


def _argument_names(function, count):
    """The names of the first `count` parameters, as the learner wrote them; their numbers if they can't be told."""
    try:
        function = function.forward if isinstance(function, nn.Module) else function
        names = [f"`{name}`" for name in inspect.signature(function).parameters]
    except (TypeError, ValueError):
        names = []
    return names[:count] if len(names) >= count else [f"number {i + 1}" for i in range(count)]


def _describe(error, seconds, extra_bytes):
    if isinstance(error, NotImplementedError) and not error.args:  # the stub's; torch raises it with a message
        return Error("not attempted")
    if isinstance(error, OutOfTime):
        return Error("out of time", f"{seconds:g} seconds")
    said = _said(error)
    if isinstance(error, MemoryError) or "can't allocate memory" in said:
        return Error("out of memory", f"{extra_bytes / 2**30:g} GB")
    if isinstance(error, (SystemExit, KeyboardInterrupt, GeneratorExit)):
        return Error("exit", type(error).__name__)
    return Error("raised", f"{_kind_of(error)}: {said}"[:600], line_of(error))


def _kind_of(error):
    """The name of the class of an error; of one that Python doesn't have, also which of Python's it is."""
    builtin = next(kind for kind in type(error).__mro__ if kind.__module__ == "builtins")
    name = type(error).__name__
    return name if builtin in (type(error), Exception, BaseException) else f"{name} (a {builtin.__name__})"


def _said(error):
    try:
        return str(error)
    except Exception:  # an exception of the learner's own may have no text
        return ""


def line_of(error):
    """The innermost line outside of installed packages and of ours: where the learner can do something."""
    if isinstance(error, SyntaxError):  # the line never ran
        return str(error.text or "").strip()
    frames = traceback.extract_tb(error.__traceback__)
    ours = os.path.dirname(os.path.dirname(__file__))  # nanobert's too
    lines = [f.line or "" for f in frames if not f.filename.startswith(ours) and "site-packages" not in f.filename]
    return lines[-1] if lines else ""
