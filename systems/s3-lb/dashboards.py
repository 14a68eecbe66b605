"""Writes the dashboards of s3-lb for Grafana, one file each, below `dashboards/`.

    python systems/s3-lb/dashboards.py [--check]

--check writes nothing and exits with 1 when a file is not what would be written. Grafana reads them by
`dashboards/provider.yml`, or imports them by hand; the data source is asked for there. The format is that of Grafana 11
(github.com/grafana/grafana-foundation-sdk, `dashboard`), which later versions read as well.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from dashboard_panels import DASHBOARDS, Dashboard, Panel

FOLDER = Path(__file__).with_name("dashboards")
SCHEMA_VERSION = 39  # of Grafana 11
SOURCE = {"type": "prometheus", "uid": "${source}"}
WIDTH = 24  # columns of a dashboard


def model(dashboard: Dashboard) -> dict[str, Any]:
    """What Grafana reads. Pure."""
    panels: list[dict[str, Any]] = []
    top = 0
    for row in dashboard.rows:
        height = 4 if row[0].kind == "stat" else 8
        for place, panel in enumerate(row):
            position = {"x": place * WIDTH // len(row), "y": top, "w": WIDTH // len(row), "h": height}
            panels.append(_panel(panel, len(panels) + 1, position))
        top += height
    return {
        "uid": dashboard.uid,
        "title": dashboard.title,
        "tags": ["s3-lb"],
        "timezone": "browser",
        "editable": False,
        "graphTooltip": 1,
        "time": {"from": "now-6h", "to": "now"},
        "refresh": "30s",
        "schemaVersion": SCHEMA_VERSION,
        "templating": {"list": _variables(dashboard)},
        "annotations": {"list": []},
        "links": [
            {
                "title": "s3-lb", "type": "dashboards", "icon": "dashboard", "tooltip": "", "url": "",
                "tags": ["s3-lb"], "asDropdown": False, "targetBlank": False, "includeVars": True, "keepTime": True,
            }
        ],
        "panels": panels,
    }  # fmt: skip


def _variables(dashboard: Dashboard) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [
        {"name": "source", "label": "Prometheus", "type": "datasource", "query": "prometheus", "multi": False}
    ]
    if dashboard.by_node:
        query = f"label_values({dashboard.by_node}, node)"
        found.append(
            {
                "name": "node", "label": "Node", "type": "query", "datasource": SOURCE, "query": query, "refresh": 2,
                "sort": 1, "multi": True, "includeAll": True, "allValue": ".*",
                "current": {"text": "All", "value": "$__all"},
            }
        )  # fmt: skip
    return found


def _panel(panel: Panel, number: int, position: dict[str, int]) -> dict[str, Any]:
    targets = [
        {"refId": chr(ord("A") + place), "datasource": SOURCE, "expr": query}
        | ({"legendFormat": name} if name else {})
        | ({"instant": True} if panel.kind == "stat" else {"range": True})
        for place, (query, name) in enumerate(panel.queries)
    ]
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        **({"description": panel.about} if panel.about else {}),
        "datasource": SOURCE,
        "gridPos": position,
        "targets": targets,
        "fieldConfig": {"defaults": _field(panel), "overrides": []},
        "options": _options(panel),
    }


def _field(panel: Panel) -> dict[str, Any]:
    field: dict[str, Any] = {"unit": panel.unit, "min": 0}
    steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
    if panel.bad is not None:
        steps.append({"color": "red", "value": panel.bad})
    elif panel.good is not None:
        steps = [{"color": "red", "value": None}, {"color": "green", "value": panel.good}]
    field["thresholds"] = {"mode": "absolute", "steps": steps}
    if panel.kind == "timeseries":
        field["custom"] = {"lineWidth": 1, "fillOpacity": 10, "showPoints": "never"}
    if panel.unit == "dateTimeFromNow":
        del field["min"]
    return field


def _options(panel: Panel) -> dict[str, Any]:
    if panel.kind == "stat":
        reduce = {"calcs": ["lastNotNull"], "fields": "", "values": False}
        return {
            "graphMode": "none", "colorMode": "value", "justifyMode": "auto", "textMode": "auto",
            "reduceOptions": reduce, "orientation": "auto",
        }  # fmt: skip
    return {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }


def files() -> dict[Path, str]:
    """Each file with what it has to hold."""
    return {
        FOLDER / f"{dashboard.uid.removeprefix('seter-')}.json": json.dumps(model(dashboard), indent=1) + "\n"
        for dashboard in DASHBOARDS
    }


def main(argv: list[str]) -> int:
    """See the top of this file."""
    if argv not in ([], ["--check"]):
        print(__doc__, file=sys.stderr)
        return 2
    stale = [path for path, text in files().items() if not path.is_file() or path.read_text(encoding="utf-8") != text]
    for path in stale:
        if argv:
            print(f"{path.name} is stale: run python systems/s3-lb/dashboards.py", file=sys.stderr)
        else:
            path.write_text(files()[path], encoding="utf-8")
            print(f"{path.name} written", file=sys.stderr)
    return 1 if argv and stale else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
