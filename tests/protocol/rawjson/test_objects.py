from __future__ import annotations

import pytest

from asgi_llmgate.errors import InvalidRequest
from asgi_llmgate.protocol.rawjson import objects
from asgi_llmgate.protocol.rawjson.body import open_body


def test_readers_say_what_is_wrong_and_where() -> None:
    fields = open_body(b'{"n":1,"s":"x","l":[{},2],"o":{},"e":"","z":null,"huge":1e999}').fields
    with pytest.raises(InvalidRequest, match=r"^q: Field required$"):
        objects.require_raw_str(fields, "q")
    with pytest.raises(InvalidRequest, match=r"^n: Input should be a valid string$"):
        objects.require_raw_str(fields, "n")
    with pytest.raises(InvalidRequest, match=r"^q: Field required$"):
        objects.require_str(fields, "q")
    with pytest.raises(InvalidRequest, match=r"^n: Input should be a valid string$"):
        objects.require_str(fields, "n")
    with pytest.raises(InvalidRequest, match=r"^n: Input should be a valid list$"):
        objects.require_objects(fields["n"], "n")
    with pytest.raises(InvalidRequest, match=r"^l\.1: Input should be an object$"):
        objects.require_objects(fields["l"], "l")


def test_tolerant_readers_give_nothing_for_what_they_cannot_use() -> None:
    fields = open_body(b'{"n":1,"s":"x","l":[{},2],"o":{},"e":"","z":null,"huge":1e999}').fields
    assert objects.get_raw(fields, "z") is None
    assert objects.get_raw(fields, "q") is None
    assert [objects.read_raw_str(fields, name) for name in ("q", "n", "e")] == [None, None, None]
    assert bytes(objects.read_raw_str(fields, "s") or b"") == b'"x"'
    assert objects.read_object(fields["n"]) is None
    assert objects.read_object(fields["o"]) == {}
    assert objects.read_str(fields["n"]) == ""
    assert objects.read_objects(None) == []
    assert objects.read_objects(fields["l"]) == []
    assert objects.read_value(fields["huge"]) is None
    assert objects.read_value(None) is None


def test_json_is_made_compact_without_being_changed() -> None:
    fields = open_body(b'{"a": { "b" : 1.50 , "a" : [ 1 , "x  y" ] } }').fields
    assert objects.compact(fields["a"]) == b'{"b":1.50,"a":[1,"x  y"]}'
