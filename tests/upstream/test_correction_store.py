from __future__ import annotations

from asgi_llmgate.protocol.servers.corrections.changes import NO_CORRECTIONS, Corrections, SchemaRewrite
from asgi_llmgate.upstream.correction_store import LIFETIME, MAX_SCHEMAS, CorrectionStore
from asgi_llmgate.upstream.expiring_cache import MAX_VALUES

SHORT = Corrections(max_output_tokens=50)


def test_a_lesson_is_about_one_model_and_lasts_for_a_while() -> None:
    clock = [100.0]
    lessons = CorrectionStore(now=lambda: clock[0])
    lessons.keep("a", SHORT)
    assert (lessons.about("a"), lessons.about("b")) == (SHORT, NO_CORRECTIONS)
    clock[0] += LIFETIME - 1
    assert lessons.about("a") == SHORT
    clock[0] += 1
    assert lessons.about("a") == NO_CORRECTIONS


def test_a_new_lesson_makes_all_of_them_last() -> None:
    clock = [0.0]
    lessons = CorrectionStore(now=lambda: clock[0])
    lessons.keep("a", SHORT)
    clock[0] = LIFETIME - 1
    lessons.keep("a", Corrections(max_images=1))
    clock[0] = LIFETIME + 1
    assert lessons.about("a") == Corrections(max_output_tokens=50, max_images=1)


def test_of_too_many_models_the_oldest_is_forgotten() -> None:
    lessons = CorrectionStore()
    for number in range(MAX_VALUES + 1):
        lessons.keep(f"m{number}", SHORT)
    assert (lessons.about("m0"), lessons.about("m1"), lessons.about(f"m{MAX_VALUES}")) == (NO_CORRECTIONS, SHORT, SHORT)


def test_of_too_many_schemas_the_earlier_ones_are_forgotten() -> None:
    lessons = CorrectionStore()
    for number in range(MAX_SCHEMAS + 1):
        schemas = frozenset({SchemaRewrite(f"digest{number}", "plain")})
        lessons.keep("m", Corrections(schemas=schemas, max_images=1))
    assert lessons.about("m") == Corrections(schemas=schemas, max_images=1)
