# mypy: ignore-errors
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable
from typing import ClassVar as _ClassVar, Optional as _Optional

DESCRIPTOR: _descriptor.FileDescriptor

class Agreement(_message.Message):
    __slots__ = ("version", "functionality", "parties", "result_parties", "columns", "scale", "max_abs", "max_rows", "modulus_bits")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    FUNCTIONALITY_FIELD_NUMBER: _ClassVar[int]
    PARTIES_FIELD_NUMBER: _ClassVar[int]
    RESULT_PARTIES_FIELD_NUMBER: _ClassVar[int]
    COLUMNS_FIELD_NUMBER: _ClassVar[int]
    SCALE_FIELD_NUMBER: _ClassVar[int]
    MAX_ABS_FIELD_NUMBER: _ClassVar[int]
    MAX_ROWS_FIELD_NUMBER: _ClassVar[int]
    MODULUS_BITS_FIELD_NUMBER: _ClassVar[int]
    version: int
    functionality: str
    parties: _containers.RepeatedScalarFieldContainer[str]
    result_parties: _containers.RepeatedScalarFieldContainer[str]
    columns: _containers.RepeatedScalarFieldContainer[str]
    scale: int
    max_abs: str
    max_rows: int
    modulus_bits: int
    def __init__(self, version: _Optional[int] = ..., functionality: _Optional[str] = ..., parties: _Optional[_Iterable[str]] = ..., result_parties: _Optional[_Iterable[str]] = ..., columns: _Optional[_Iterable[str]] = ..., scale: _Optional[int] = ..., max_abs: _Optional[str] = ..., max_rows: _Optional[int] = ..., modulus_bits: _Optional[int] = ...) -> None: ...

class ShareVector(_message.Message):
    __slots__ = ("modulus_bits", "count", "values")
    MODULUS_BITS_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    modulus_bits: int
    count: int
    values: bytes
    def __init__(self, modulus_bits: _Optional[int] = ..., count: _Optional[int] = ..., values: _Optional[bytes] = ...) -> None: ...
