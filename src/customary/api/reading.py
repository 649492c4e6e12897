"""Reads what a caller sent into a typed body and names everything that is wrong with it at once.

Most bodies are sound, and msgspec finds that out in no time (`soundness`). It stops at the first fault, though, so
what it does not take is read again here, from the same type information that the OpenAPI documents are made from.
"""

from collections.abc import Callable, Iterable
from functools import cache
from typing import Any, TypeAlias, TypeVar, cast

import msgspec
from msgspec import UNSET, inspect

from customary.api import soundness
from customary.api.wire import Check, Wire
from customary.errors import Invalid, Problem

Body = TypeVar("Body", bound=Wire)


class _Bad:
    """Stands for a value with a problem that is already noted."""


_BAD = _Bad()

Reader: TypeAlias = Callable[[object, str, list[Problem]], Any]
Parameters: TypeAlias = dict[str, list[str]]
ParameterReader: TypeAlias = Callable[[Parameters, str, list[Problem]], Any]


def read_body(body: type[Body], value: object) -> Body:
    """The body in this parsed JSON value. Raises `Invalid` with a problem for every failing field."""
    if not isinstance(value, dict):
        message = "The body must be a JSON object."
        raise Invalid(message, (Problem("", "type", message),))
    sound = soundness.read(body, cast("dict[str, object]", value))
    return sound if sound is not None else read_thoroughly(body, cast("dict[str, object]", value))


def read_thoroughly(body: type[Body], value: dict[str, object]) -> Body:
    """The body in this object, by the reader that knows what is wrong with it. Raises as `read_body` does."""
    problems: list[Problem] = []
    result = _body_reader(body)(value, "", problems)
    if problems:
        raise _invalid(problems)
    return result


def read_query(query: type[Body], parameters: Parameters) -> Body:
    """The query in these parameters, unknown ones left out. Raises `Invalid` with a problem for every failing one."""
    problems: list[Problem] = []
    found: dict[str, Any] = {}
    for name, (field, reader) in _query_readers(query).items():
        value = reader(parameters, name, problems)
        if value is not UNSET:
            found[field] = value
    if problems:
        raise _invalid(problems)
    return query(**found)


def flag(parameters: Parameters, name: str) -> bool:
    """Whether this parameter is set to true. Raises `Invalid` for anything but true or false, given once."""
    given = parameters.get(name, ["false"])
    if len(given) > 1 or given[0] not in _BOOLEANS:
        raise _invalid([Problem(name, "type", "This must be true or false, given once.")])
    return _BOOLEANS[given[0]]


def _invalid(problems: list[Problem]) -> Invalid:
    named = ", ".join(dict.fromkeys(problem.key for problem in problems))
    return Invalid(f"The request is not valid: {named}.", tuple(problems))


@cache
def _body_reader(body: type[Wire]) -> Reader:
    return _reader(inspect.type_info(body))


@cache
def _query_readers(query: type[Wire]) -> dict[str, tuple[str, ParameterReader]]:
    """For each parameter of a query its field and its reader."""
    info = inspect.type_info(query)
    assert isinstance(info, inspect.StructType)  # noqa: S101 - a Wire is a Struct
    return {field.encode_name: (field.name, _parameter(field.type)) for field in info.fields}


def _parameter(info: inspect.Type) -> ParameterReader:
    """A reader of a parameter, UNSET where it is not given: one value, or as many as its name has keys."""
    inner = info.type if isinstance(info, inspect.Metadata) else info
    if isinstance(inner, inspect.DictType):
        return _members(_mapping(inner, "{}[{}]"))
    reader = _text_reader(info)

    def read(parameters: Parameters, name: str, problems: list[Problem]) -> object:
        return reader(_once(parameters, name, problems), name, problems) if name in parameters else UNSET

    return read


def _members(reader: Reader) -> ParameterReader:
    """A reader of all parameters `name[key]=value` of one name as one object."""

    def read(parameters: Parameters, name: str, problems: list[Problem]) -> object:
        found: dict[str, str] = {}
        for parameter in parameters:
            if parameter.startswith(f"{name}[") and parameter.endswith("]"):
                found[parameter[len(name) + 1 : -1]] = _once(parameters, parameter, problems)
            elif parameter == name or parameter.startswith(f"{name}["):
                _note(problems, parameter, "type", f"Write this parameter as {name}[key]=value.")
        return reader(found, name, problems) if found else UNSET

    return read


def _once(parameters: Parameters, name: str, problems: list[Problem]) -> str:
    given = parameters[name]
    if len(given) > 1:
        _note(problems, name, "repeated", "This parameter must be given at most once.")
    return given[0]


def _text_reader(info: inspect.Type) -> Reader:
    """A reader of a value that a URL writes as text."""
    inner = info.type if isinstance(info, inspect.Metadata) else info
    reader = _reader(info)
    if isinstance(inner, inspect.IntType):
        return lambda value, key, problems: reader(_integer(value), key, problems)
    if isinstance(inner, inspect.BoolType):
        return lambda value, key, problems: reader(_BOOLEANS.get(str(value), value), key, problems)
    if isinstance(inner, inspect.ListType):
        return lambda value, key, problems: reader(str(value).split(","), key, problems)
    return reader


_BOOLEANS = {"true": True, "false": False}


def _integer(value: object) -> object:
    text = str(value)
    return int(text) if text.isascii() and text.removeprefix("-").isdigit() and len(text) < 20 else value  # noqa: PLR2004 - the digits of 64 bits


def _reader(info: inspect.Type) -> Reader:  # noqa: C901, PLR0911 - one return for each kind of type
    match info:
        case inspect.Metadata():
            return _checked(_reader(info.type), cast("dict[str, Check]", info.extra or {}))
        case inspect.StructType():
            return _struct(info)
        case inspect.StrType():
            return _sized_text(info)
        case inspect.EnumType():
            return _choice({member.value: member for member in info.cls})
        case inspect.LiteralType():
            return _choice({value: value for value in info.values})
        case inspect.ListType() | inspect.VarTupleType():
            return _list(info)
        case inspect.DictType():
            return _mapping(info)
        case inspect.BoolType():
            return _boolean
        case inspect.IntType():
            return _sized_integer(info)
        case inspect.UnionType():
            return _nullable(info)
        case _:
            message = f"No reader for {info}"
            raise NotImplementedError(message)


def _note(problems: list[Problem], key: str, code: str, message: str) -> _Bad:
    problems.append(Problem(key, code, message))
    return _BAD


def _checked(reader: Reader, extra: dict[str, Check]) -> Reader:
    check = extra.get("check")
    if check is None:
        return reader

    def read(value: object, key: str, problems: list[Problem]) -> object:
        result = reader(value, key, problems)
        if result is not _BAD:
            problems.extend(_below(key, check(result)))
        return result

    return read


def _below(key: str, problems: Iterable[Problem]) -> Iterable[Problem]:
    for problem in problems:
        joined = key + problem.key if problem.key.startswith("[") or not problem.key else f"{key}.{problem.key}"
        yield msgspec.structs.replace(problem, key=joined.removeprefix("."))


def _struct(info: inspect.StructType) -> Reader:
    fields = [(each.name, each.encode_name, each.required, _reader(each.type)) for each in info.fields]

    def read(value: object, key: str, problems: list[Problem]) -> object:
        if not isinstance(value, dict):
            return _note(problems, key, "type", "This must be an object.")
        members = cast("dict[str, object]", value)
        before = len(problems)
        found: dict[str, Any] = {}
        for field, name, is_required, reader in fields:
            given = members.get(name, UNSET)
            if given is not UNSET:
                found[field] = reader(given, f"{key}.{name}" if key else name, problems)
            elif is_required:
                _note(problems, f"{key}.{name}" if key else name, "required", "This field is required.")
        return _BAD if len(problems) > before else info.cls(**found)

    return read


def _nullable(info: inspect.UnionType) -> Reader:
    """A reader that takes null too, as None: no body has another kind of union."""
    (inner,) = (each for each in info.types if not isinstance(each, inspect.NoneType))
    reader = _reader(inner)
    return lambda value, key, problems: None if value is None else reader(value, key, problems)


def _sized_text(info: inspect.StrType) -> Reader:
    least, most = info.min_length or 0, info.max_length

    def read(value: object, key: str, problems: list[Problem]) -> object:
        if not isinstance(value, str):
            return _note(problems, key, "type", "This must be a string.")
        if len(value) < least:
            message = "This must not be empty." if least == 1 else f"This must have at least {least} characters."
            return _note(problems, key, "tooShort", message)
        if most is not None and len(value) > most:
            return _note(problems, key, "tooLong", f"This has {len(value)} characters; at most {most} are allowed.")
        return value

    return read


def _choice(choices: dict[Any, object]) -> Reader:
    shown = ", ".join(map(str, choices)) if len(choices) <= 20 else "the published codes"  # noqa: PLR2004 - a sentence

    def read(value: object, key: str, problems: list[Problem]) -> object:
        if isinstance(value, str) and value in choices:
            return choices[value]
        return _note(problems, key, "enum", f"This must be one of {shown}.")

    return read


def _list(info: inspect.ListType | inspect.VarTupleType) -> Reader:
    reader, least, most = _reader(info.item_type), info.min_length or 0, info.max_length
    is_list = isinstance(info, inspect.ListType)

    def read(value: object, key: str, problems: list[Problem]) -> object:
        if not isinstance(value, list):
            return _note(problems, key, "type", "This must be a list.")
        entries = cast("list[object]", value)
        if len(entries) < least:
            return _note(problems, key, "tooFew", f"This needs at least {least}.")
        if most is not None and len(entries) > most:
            return _note(problems, key, "tooMany", f"This has {len(entries)} entries; at most {most} are allowed.")
        before = len(problems)
        items: list[Any] = [reader(entry, f"{key}[{position}]", problems) for position, entry in enumerate(entries)]
        if len(problems) > before:
            return _BAD
        return items if is_list else tuple(items)

    return read


def _mapping(info: inspect.DictType, path_form: str = "{}.{}") -> Reader:
    read_key, read_value, most = _reader(info.key_type), _reader(info.value_type), info.max_length

    def read(value: object, key: str, problems: list[Problem]) -> object:
        if not isinstance(value, dict):
            return _note(problems, key, "type", "This must be an object.")
        members = cast("dict[str, object]", value)
        if most is not None and len(members) > most:
            return _note(problems, key, "tooMany", f"This has {len(members)} keys; at most {most} are allowed.")
        before = len(problems)
        items: dict[str, Any] = {}
        for name, item in members.items():
            path = path_form.format(key, name)
            read_key(name, path, problems)
            items[name] = read_value(item, path, problems)
        return _BAD if len(problems) > before else items

    return read


def _boolean(value: object, key: str, problems: list[Problem]) -> object:
    return value if isinstance(value, bool) else _note(problems, key, "type", "This must be true or false.")


def _sized_integer(info: inspect.IntType) -> Reader:
    least, most = info.ge, info.le

    def read(value: object, key: str, problems: list[Problem]) -> object:
        if not isinstance(value, int) or isinstance(value, bool):
            return _note(problems, key, "type", "This must be a whole number.")
        if (least is not None and value < least) or (most is not None and value > most):
            return _note(problems, key, "range", f"This must be from {least} to {most}.")
        return value

    return read
