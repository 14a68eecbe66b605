"""Clocks that are wrong are told before anything is touched: certificates are made by ours and judged by the nodes'."""

from __future__ import annotations

from datetime import timedelta

from common.errors import Conflict
from seter.survey import Survey

# As far as signatures of S3 may be off (AWS, "Troubleshoot Amazon S3 signature issues": RequestTimeTooSkewed).
APART = timedelta(minutes=15)


def refuse_clocks(seen: Survey) -> None:
    """Raise Conflict where clocks of nodes are not ours."""
    ahead = {node: timedelta(seconds=by) for node, by in seen.observed.ahead.items()}
    wrong = {node: by for node, by in ahead.items() if abs(by) > APART}
    if not wrong:
        return
    ours = len(wrong) == len(ahead) > 1 and max(wrong.values()) - min(wrong.values()) <= APART
    what = "this machine's clock" if ours else f"the clock of {', '.join(wrong)}"
    raise Conflict(
        f"{what} seems to be wrong: it is not that of {'all nodes' if ours else 'this machine'}",
        details="\n".join(f"{node}: {_told(by)} this machine's" for node, by in wrong.items()),
        resolution="Nothing was changed. Set it, with timedatectl or date: certificates and signatures go by it.",
    )


def _told(by: timedelta) -> str:
    return f"{abs(by)} {'ahead of' if by > timedelta(0) else 'behind'}"
