"""docs/configuration.md is what the fields say."""

from scripts.configuration import PAGE, page


def test_the_page_is_generated() -> None:
    assert PAGE.read_text() == page(), "python scripts/configuration.py"


def test_what_is_deep_down_has_a_meaning() -> None:
    fields = page().partition("## Fields")[2].partition("## Other names")[0]
    rows = [line.split("|") for line in fields.splitlines() if line.startswith("| `")]
    meanings = {row[1].strip(" `"): row[3].replace("**live**", "").strip() for row in rows}
    deep = {field: meaning for field, meaning in meanings.items() if field.count(".") == 2}
    deep = {field: meaning for field, meaning in deep.items() if "{exchange}" not in field}
    assert {"rate_limiting.priority_multiplier.low", "collection.max_age.ticker_s"} <= deep.keys()
    assert all(deep.values())
