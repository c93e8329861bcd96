import pytest
from hypothesis import settings

# The time of a property test varies with the machine's load.
settings.register_profile("unit", deadline=None, max_examples=60)
settings.load_profile("unit")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write the golden files anew")


@pytest.fixture
def update_golden(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--update-golden"))
