"""What lies on a node, as a tar and read back."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import NotFound
from seter.tree import (
    File,
    NodeTree,
    add_stream,
    files_digest,
    mark_archive,
    read_archive,
    read_folder,
    read_stream,
    tree_digest,
)

KEY = b"k" * 32
FILES = {"web": (File("index.html", b"hello"), File("more/x", b"x")), "empty": ()}
SECRETS = {"web": (File("token", b"canary", 0o400, 33),)}
TREE = NodeTree(FILES, SECRETS, tree_digest(FILES), tree_digest(SECRETS, KEY), state=(("web", 33),), run=(("web", 33),))


def as_docker_gives_it(*archives: bytes) -> bytes:
    """The content of /etc/seter, every name below `seter/`."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as made:
        for archive in archives:
            with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
                for member in tar:
                    data = tar.extractfile(member) if member.isreg() else None
                    member.name = f"seter/{member.name}"
                    made.addfile(member, data)
    return buffer.getvalue()


def test_what_was_laid_is_read_back_with_equal_digests() -> None:
    lying = read_archive(as_docker_gives_it(TREE.archive()))
    assert tree_digest(lying.files) == TREE.files_digest
    assert tree_digest(lying.secrets, KEY) == TREE.secrets_digest


def test_secrets_are_readable_by_their_process_alone() -> None:
    with tarfile.open(fileobj=io.BytesIO(TREE.archive())) as tar:
        token = tar.getmember(f"{TREE.vault_name()}/web/token")
    assert (token.mode, token.uid, token.gid) == (0o400, 33, 33)


def test_files_under_their_next_name_are_not_in_use_yet() -> None:
    lying = read_archive(as_docker_gives_it(TREE.archive(suffix=".next")))
    assert not lying.files
    assert not lying.secrets


def test_the_links_come_last_so_that_a_cut_transfer_shows_as_nothing() -> None:
    with tarfile.open(fileobj=io.BytesIO(TREE.archive())) as tar:
        names = tar.getnames()
    assert names[-2:] == ["secrets", "now"]


def test_a_change_of_content_mode_owner_or_name_changes_the_digest() -> None:
    one = File("a", b"1")
    others = (File("a", b"2"), File("a", b"1", 0o600), File("a", b"1", uid=33), File("b", b"1"))
    assert len({files_digest([file]) for file in (one, *others)}) == 5


def test_the_digest_of_a_secret_depends_on_the_key() -> None:
    assert files_digest(SECRETS["web"], KEY) != files_digest(SECRETS["web"], b"another")


def test_a_file_never_shows_its_content() -> None:
    assert "canary" not in repr(TREE)


def test_marks_are_read_back() -> None:
    lying = read_archive(as_docker_gives_it(mark_archive("cluster", "web", "done"), mark_archive("loaded", "web", "x")))
    assert lying.cluster == {"web": "done"}
    assert lying.loaded == {"web": "x"}


def test_state_and_run_folders_belong_to_the_process() -> None:
    for archive, mode in ((TREE.state_archive(), 0o750), (TREE.run_archive(), 0o770)):
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            (folder,) = tar.getmembers()
        assert (folder.name, folder.mode, folder.uid, folder.gid) == ("web", mode, 33, 33)


def test_rendered_files_are_read_with_their_paths(tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "x").write_text("x")
    (tmp_path / "index.html").write_text("hello")
    assert read_folder(tmp_path) == FILES["web"]
    assert read_folder(tmp_path / "nowhere") == ()


@settings(deadline=None)
@given(st.binary(max_size=5000), st.integers(1, 700))
def test_a_stream_comes_out_of_a_tar_whatever_its_pieces(data: bytes, length: int) -> None:
    archive, sink = io.BytesIO(), io.BytesIO()
    add_stream(archive, "copy", io.BytesIO(data), len(data), uid=7)
    whole = archive.getvalue()
    pieces = [whole[start : start + length] for start in range(0, len(whole), length)]
    assert read_stream(pieces, sink) == len(data)
    assert sink.getvalue() == data


def test_a_tar_without_a_file_is_said_so() -> None:
    with pytest.raises(NotFound):
        read_stream([bytes(10240)], io.BytesIO())
