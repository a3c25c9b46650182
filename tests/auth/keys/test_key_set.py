from __future__ import annotations

import logging
from typing import Any

import pytest

from asgi_llmgate.auth.keys.key_set import BadKeySet, has_roca_fingerprint, read_keys


def test_the_good_keys_of_a_hostile_document_are_kept(published: Any) -> None:
    found = read_keys(published, origin="test")
    assert set(found.by_kid) == {"rsa", "any", "ec", "ec384", "ec521", "ed"}
    assert len(found.usable) == 6


def test_every_listed_kid_is_known_though_its_key_is_not_used(published: Any) -> None:
    listed = read_keys(published, origin="test").listed
    assert {"weak", "oct", "roca", "leaked", "enc", "quantum", "e1"} <= listed


def test_a_published_private_key_is_called_an_emergency(published: Any, caplog: pytest.LogCaptureFixture) -> None:
    read_keys(published, origin="test")
    loud = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    assert any("PRIVATE" in line for line in loud)
    assert any("shared secret" in line for line in loud)


def test_a_key_for_encryption_is_passed_over_in_silence(keys: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    assert read_keys({"keys": [keys["enc"].as_dict(private=False)]}, origin="test").usable == ()
    assert caplog.records == []


def test_a_key_without_kid_is_usable(keys: Any) -> None:
    entry = {name: value for name, value in keys["ec"].as_dict(private=False).items() if name != "kid"}
    found = read_keys({"keys": [entry]}, origin="test")
    assert (len(found.usable), found.by_kid, found.listed) == (1, {}, frozenset())


def test_no_more_than_a_thousand_keys_are_read(caplog: pytest.LogCaptureFixture) -> None:
    entries = [{"kty": "RSA", "kid": str(number), "use": "enc"} for number in range(1500)]
    assert len(read_keys({"keys": entries}, origin="test").listed) == 1000
    assert "1500 keys" in caplog.text


@pytest.mark.parametrize(
    "document", [b"", b"[]", b"null", b"{}", b'{"keys": null}', b'{"keys": {}}', b"\xff", {}, {"keys": 5}]
)
def test_what_is_no_key_set_is_said_to_be_none(document: Any) -> None:
    with pytest.raises(BadKeySet):
        read_keys(document, origin="test")


def test_a_healthy_modulus_has_no_roca_fingerprint(keys: Any) -> None:
    assert not has_roca_fingerprint(keys["rsa"].public_key.public_numbers().n)


def test_keys_show_nothing_of_themselves(published: Any) -> None:
    assert "rsa" not in repr(read_keys(published, origin="test"))
