from __future__ import annotations

import pickle

import pytest

from asgi_llmgate.sealing import Sealer
from asgi_llmgate.secret_values import Secret

OLD, NEW = Secret("old" * 20), Secret("new" * 20)
CONTEXT = ("backend", "model", "provider", "issuer", "subject")


def test_what_was_sealed_is_opened_with_the_same_context() -> None:
    seal = Sealer([NEW]).bound_to(*CONTEXT)
    sealed = seal.seal(b"content")
    assert b"content" not in sealed.encode()
    assert seal.open(sealed) == b"content"
    assert Sealer([NEW]).bound_to(*CONTEXT).open(sealed) == b"content"  # another worker
    assert seal.seal(b"content") != sealed


@pytest.mark.parametrize("place", range(len(CONTEXT)))
def test_it_is_not_opened_for_another_backend_model_or_caller(place: int) -> None:
    other = [*CONTEXT]
    other[place] = "another"
    assert Sealer([NEW]).bound_to(*other).open(Sealer([NEW]).bound_to(*CONTEXT).seal(b"x")) is None


def test_parts_of_a_context_are_told_apart() -> None:
    assert Sealer([NEW]).bound_to("a", "b").open(Sealer([NEW]).bound_to("a b", "").seal(b"x")) is None


def test_a_new_secret_seals_and_the_old_one_still_opens() -> None:
    before = Sealer([OLD]).bound_to(*CONTEXT).seal(b"x")
    both = Sealer([NEW, OLD]).bound_to(*CONTEXT)
    assert both.open(before) == b"x"
    assert Sealer([OLD]).bound_to(*CONTEXT).open(both.seal(b"x")) is None
    assert Sealer([NEW]).bound_to(*CONTEXT).open(before) is None


def test_purposes_have_keys_of_their_own() -> None:
    sealed = Sealer([NEW], purpose="tokens").bound_to().seal(b"x")
    assert Sealer([NEW]).bound_to().open(sealed) is None


def test_without_a_secret_each_process_has_its_own() -> None:
    sealed = Sealer().bound_to().seal(b"x")
    assert Sealer().bound_to().open(sealed) is None


@pytest.mark.parametrize("sealed", ["", "A", "AAAA", "é", "=" * 9, "!" * 40, "A" * 200, "A" * 16])
def test_what_is_no_seal_is_not_opened(sealed: str) -> None:
    assert Sealer([NEW]).bound_to().open(sealed) is None


def test_a_changed_seal_is_not_opened() -> None:
    seal = Sealer([NEW]).bound_to()
    sealed = seal.seal(b"content")
    for place in range(len(sealed) - 1):
        changed = sealed[:place] + ("A" if sealed[place] != "A" else "B") + sealed[place + 1 :]
        assert seal.open(changed) is None


def test_nothing_shows_the_secret() -> None:
    sealer = Sealer([NEW])
    assert "new" not in repr(sealer) + repr(sealer.bound_to()) + repr(sealer.ciphers)
    with pytest.raises(TypeError):
        pickle.dumps(sealer)
