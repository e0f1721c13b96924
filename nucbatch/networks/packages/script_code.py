"""Checks the code inside a TorchScript archive before PyTorch compiles it.

TorchScript is a language of its own, which can neither import nor call Python. But some of its operations
read and write files (``aten::save``, ``aten::from_file``), and methods named ``__setstate__`` run while an
archive is loaded. So the code is parsed here, and only arithmetic on tensors is let through: every name after
``torch.`` and ``ops.`` must be on a list, and so must every method, whatever it is called on.
"""

from __future__ import annotations

import ast
import re

from nucbatch.core.errors import WeightsError

OPERATIONS = frozenset(
    """
    Bool Float Int __and__ __contains__ __derive_index __getitem__ __is__ __isnot__ __not__ __or__
    __range_length _convolution _upsample_bicubic2d_aa _upsample_bilinear2d_aa _upsample_lanczos2d_aa
    _upsample_nearest_exact1d _upsample_nearest_exact2d _upsample_nearest_exact3d abs adaptive_avg_pool1d
    adaptive_avg_pool2d adaptive_avg_pool3d adaptive_max_pool2d add add_ alias alpha_dropout
    alpha_dropout_ amax amin append arange avg_pool2d batch_norm bmm bool cat ceil celu celu_
    channel_shuffle chunk clamp clamp_ clamp_max clamp_min clone constant_pad_nd contiguous conv1d conv2d
    conv_transpose2d cos detach device dim div div_ dropout dropout_ elu elu_ eq erf exp expand expand_as
    feature_dropout feature_dropout_ flatten floor floor_divide floordiv format full full_like ge gelu glu
    group_norm gt hardsigmoid hardsigmoid_ hardswish hardswish_ hardtanh hardtanh_ instance_norm item
    layer_norm le leaky_relu leaky_relu_ len linear list log log_softmax logsigmoid lt matmul max
    max_pool2d mean mish mish_ mul mul_ narrow ne neg numel ones ones_like pad permute pixel_shuffle
    pixel_unshuffle pow prelu reciprocal reflection_pad2d relu relu6 relu6_ relu_ remainder repeat
    repeat_interleave replication_pad2d reshape round rrelu rrelu_ rsqrt rsub select selu selu_ sigmoid
    sigmoid_ silu silu_ sin size slice softmax softplus split split_with_sizes sqrt squeeze stack std sub
    sub_ sum tanh tanh_ to transpose type_as unbind unsqueeze upsample_bicubic2d upsample_bilinear2d
    upsample_linear1d upsample_nearest1d upsample_nearest2d upsample_nearest3d upsample_trilinear3d var
    view warn zero_ zeros zeros_like
    """.split()  # noqa: SIM905
)
"""Operations on tensors and numbers that a network may use; none reads or writes anything."""

_INTERNAL = frozenset({"NumToTensor", "RaiseException", "dtype", "max", "min", "unchecked_cast"})
_BUILTINS = frozenset(
    "annotate bool float getattr int isinstance len max min range unchecked_cast uninitialized".split()  # noqa: SIM905
)
_METHODS = re.compile(
    r"forward\d*|_[a-z][a-z_]*_(dim|forward|impl)|_output_padding|_apply_instance_norm|_(get|handle)_no_batch_[a-z]+"
)
_SYNTAX: tuple[type[ast.AST], ...] = (
    ast.Module, ast.ClassDef, ast.FunctionDef, ast.arguments, ast.arg, ast.Assign, ast.AnnAssign, ast.Expr,
    ast.Return, ast.If, ast.For, ast.Pass, ast.Call, ast.Attribute, ast.Name, ast.Constant, ast.Tuple,
    ast.List, ast.Subscript, ast.Slice, ast.UnaryOp, ast.USub, ast.Not, ast.IfExp, ast.BoolOp, ast.And,
    ast.Or, ast.Load, ast.Store,
)  # fmt: skip
_UNUSUAL = re.compile(r"[^\x20-\x7e\n]|#|\"\"\"|'''|\\(?![nt\"'\\])")
"""What PyTorch writes into no code, and what two parsers might read differently."""


def require_harmless(name: str, code: bytes) -> None:
    """Checks one file of code.

    Raises:
        WeightsError: it contains something else than arithmetic on tensors.
    """
    try:
        text = code.decode("ascii")
        if _UNUSUAL.search(text):
            raise ValueError("it contains characters that PyTorch doesn't write")
        tree = ast.parse(text)
        _check(tree)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise WeightsError(
            f"the TorchScript code {name} is refused: {error or type(error).__name__}. nucbatch runs "
            "networks of known operations on tensors alone."
        ) from error


def _check(tree: ast.AST) -> None:
    calls = 0
    for function in (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)):
        aliases = _aliases(function)
        for node in ast.walk(function):
            if isinstance(node, ast.Call):
                _check_call(node, aliases)
                calls += 1
    if calls != sum(isinstance(node, ast.Call) for node in ast.walk(tree)):
        raise ValueError("it calls something outside of functions, or in nested ones")
    inner = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    for node in ast.walk(tree):
        if not isinstance(node, _SYNTAX):
            raise ValueError(f"{type(node).__name__} is not known")
        if isinstance(node, ast.FunctionDef) and re.fullmatch("__(?!len__).*", node.name):
            raise ValueError(f"method {node.name} could run while it is loaded")
        if isinstance(node, ast.For) and not _is_range(node.iter):
            raise ValueError("a loop without range() is not known")
        if isinstance(node, ast.Attribute) and id(node) not in inner:
            _check_chain(_chain(node))


def _aliases(function: ast.FunctionDef) -> set[str]:
    """Local names that stand for the archive's own functions, and for nothing else."""
    bound = [argument.arg for argument in function.args.args]
    own: set[str] = set()
    for node in ast.walk(function):
        if isinstance(node, ast.Assign) and _chain(node.value)[:1] == ["__torch__"]:
            own |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.Assign | ast.AnnAssign | ast.For):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            bound += [one.id for target in targets for one in ast.walk(target) if isinstance(one, ast.Name)]
    return own - set(bound)


def _check_chain(parts: list[str]) -> None:
    """Checks a dotted name that begins at ``torch``, ``ops`` or ``__torch__``; others are fields."""
    if parts[:1] == ["torch"] and not (len(parts) == 2 and parts[1] in OPERATIONS):
        raise ValueError(f"operation {'.'.join(parts)} is not known")
    if parts[:1] == ["ops"] and not (
        len(parts) == 3
        and (parts[1], parts[2] in (_INTERNAL if parts[1] == "prim" else OPERATIONS))
        in (("prim", True), ("aten", True))
    ):
        raise ValueError(f"operation {'.'.join(parts)} is not known")
    if parts[:3] == ["__torch__", "torch", "classes"]:
        raise ValueError(f"{'.'.join(parts)} is a class of a C++ library")


def _check_call(node: ast.Call, aliases: set[str]) -> None:
    if isinstance(node.func, ast.Name):
        if node.func.id not in _BUILTINS and node.func.id not in aliases:
            raise ValueError(f"function {node.func.id} is not known")
    elif isinstance(node.func, ast.Attribute):
        parts = _chain(node.func)
        inside = parts[:1] == ["__torch__"] and not parts[-1].startswith("__")
        known = node.func.attr in OPERATIONS or _METHODS.fullmatch(node.func.attr)
        if parts[:1] not in (["torch"], ["ops"]) and not (inside or known):
            raise ValueError(f"method {node.func.attr} is not known")
    else:
        raise ValueError("it calls something without a name")


def _is_range(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "range"


def _chain(node: ast.AST) -> list[str]:
    """A dotted name in parts; empty if it does not begin with a name."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return [*([node.id] if isinstance(node, ast.Name) else [""]), *reversed(parts)] if parts else []
