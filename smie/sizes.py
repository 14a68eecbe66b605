"""How large an artefact is, and why: by layer, by package, and the largest files that are no package's."""

from __future__ import annotations

from collections.abc import Mapping

from smie.contents import Contents
from smie.layer import Layer, Scan

MEDIA_TYPE = "application/vnd.smie.sizes.v1+json"
FORMAT = 1


def sizes(found: Contents) -> Mapping[str, object]:
    """All sizes in bytes, the largest first. A layer has its size as a tar, and that of the files in it."""
    whole = found.sizes
    packages = [
        {"name": each.name, "version": each.version, "bytes": whole.get(each.name, 0)} for each in found.packages
    ]
    return {
        "format": FORMAT,
        "layers": [_layer(layer, scan) for layer, scan in found.layers],
        "packages": sorted(packages, key=lambda each: (-int(str(each["bytes"])), str(each["name"]))),
    }


def _layer(layer: Layer, scan: Scan) -> Mapping[str, object]:
    by_size = sorted(scan.sizes.items(), key=lambda each: (-each[1], each[0]))
    return {
        "digest": str(layer.blob.digest),
        "made_by": layer.made_by,
        "size": layer.blob.size,
        "files": scan.files,
        "bytes": scan.size,
        "packages": [{"name": name, "bytes": size} for name, size in by_size],
        "others": scan.loose_size,
        "largest_others": [{"path": f"/{path}", "bytes": size} for path, size in scan.loose],
    }
