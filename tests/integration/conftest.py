"""Programs of roles are plain files, as they lie on a node: every role's `files` folder is a place to import from."""

from __future__ import annotations

import sys
from pathlib import Path

ROLES = Path(__file__).parents[2] / "systems" / "roles"

sys.path[:0] = [str(folder) for folder in sorted(ROLES.glob("*/files")) if str(folder) not in sys.path]
