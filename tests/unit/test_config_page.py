"""docs/configuration.md is what the fields say."""

from scripts.configuration import PAGE, page


def test_the_page_is_generated() -> None:
    assert PAGE.read_text() == page(), "python scripts/configuration.py"
