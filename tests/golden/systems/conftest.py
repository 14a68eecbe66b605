"""Programs of roles can be imported here as in their unit tests."""

from __future__ import annotations

import tests.unit.systems.conftest  # noqa: F401 - it extends the path
