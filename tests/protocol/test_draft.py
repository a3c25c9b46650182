from __future__ import annotations

from asgi_llmgate.protocol.draft import Report


def test_each_name_is_reported_once_in_order_of_sight() -> None:
    report = Report()
    for name in ("b", "a", "b"):
        report.add(name)
    assert report.names == ("b", "a")


def test_names_from_callers_are_harmless_and_few() -> None:
    report = Report()
    report.add('x"\n{a}' + "y" * 1000)
    for number in range(1000):
        report.add(f"field{number}")
    assert report.names[0].startswith("x___a_yy")
    assert max(map(len, report.names)) <= 80
    assert len(report.names) == 50
