"""A system on a disk, for a data centre without the internet: artefacts, what they were made of, definitions, tools.

store/          a directory store: artefacts, all that refers to them, snapshots with every byte
systems/        the definitions: the systems that were exported, all roles and bases
tools/          wheels of smie, naust, seter and all that they need; requirements.txt with hashes
README install  for people, and for `sh install PREFIX`
MANIFEST        every other file: path, size, SHA-256
MANIFEST.sigstore.json  the signature over MANIFEST, if there was a key
SHA256SUMS      the same for `sha256sum --check`, and MANIFEST and the signature
INCOMPLETE      there while an export is under way, or after one that broke
"""
