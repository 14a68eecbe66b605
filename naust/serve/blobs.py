"""Blobs in and out: distribution specification 1.1, "Pulling blobs", "Pushing blobs", "Deleting Blobs"."""

from __future__ import annotations

import os

from common.errors import Error
from common.model import Digest
from naust.serve.answer import BYTES, Answer, Part, problem
from naust.serve.call import Call, Failed, digest_in, name_in
from naust.serve.connection import Gone, buffer
from naust.serve.head import Head, Refused
from naust.serve.ranges import Unsatisfiable, named, part, upload_part
from naust.serve.served import ServedStore
from naust.serve.tokens import Right
from naust.serve.uploads import Upload, Uploads

_ANY = "file/any"  # blobs are shared by all names; which one asks for a size does not matter


class Blobs:
    """The blobs of a store, as clients see them. `largest`: bytes that one may have; 0 is no limit."""

    def __init__(self, store: ServedStore, largest: int) -> None:
        self._store = store
        self._largest = largest
        self.uploads = Uploads(store.root)

    def read(self, call: Call, name: str, digest: Digest) -> Answer:
        """GET and HEAD of a blob, or of a part of it."""
        call.need(Right.READ, name)
        if not self._store.has(name, digest):
            raise Failed(problem(404, "BLOB_UNKNOWN", f"{name} has no blob {digest}", "Push it, or mount it"))
        if call.head.method == "HEAD" and call.holder.may(Right.WRITE, name):
            self._store.renew(digest)  # a push that finds it there counts on it
        return sent(self._store, call.head, digest).having(Docker_Content_Digest=str(digest))

    def delete(self, call: Call, name: str, digest: Digest) -> Answer:
        """DELETE of a blob: it goes from the name; its bytes stay until they are collected."""
        call.need(Right.ADMIN, name)
        if not self._store.has(name, digest):
            raise Failed(problem(404, "BLOB_UNKNOWN", f"{name} has no blob {digest}"))
        self._store.unlink(name, digest)
        if self._store.has(name, digest):
            self._store.link(name, digest)
            todo = "Take away the versions that consist of it first"
            raise Failed(problem(409, "DENIED", f"versions of {name} consist of {digest}", todo))
        return Answer(202)

    def start(self, call: Call, name: str) -> Answer:
        """POST: an upload begins, or is all of it at once, or a blob of another name is mounted."""
        call.need(Right.WRITE, name)
        head = call.head
        if head.asked("mount"):
            digest = digest_in(head.asked("mount"))
            if self._may_mount(call, digest, head.asked("from")):
                self._store.link(name, digest)
                return _created(name, digest)
            if head.asked("only"):  # ours: the client does not want an upload instead
                raise Failed(problem(404, "BLOB_UNKNOWN", f"there is no blob {digest} to mount", "Push it"))
        elif head.asked("digest"):
            digest_in(head.asked("digest"))
            return self._at_once(call, name, self.uploads.start(name))
        id = self.uploads.start(name)
        return self._so_far(202, name, id, 0)

    def _at_once(self, call: Call, name: str, id: str) -> Answer:
        """All of a blob in one request. When it fails nothing is kept, for the client does not know the upload."""
        try:
            return self.finish(call, name, id)
        except (Failed, Refused, Gone, Error):
            self.uploads.forget(name, id)
            raise

    def status(self, call: Call, name: str, id: str) -> Answer:
        """GET of an upload: how far it is."""
        call.need(Right.WRITE, name)
        return self._so_far(204, name, id, self.uploads.size(name, id))

    def cancel(self, call: Call, name: str, id: str) -> Answer:
        """DELETE of an upload."""
        call.need(Right.WRITE, name)
        with self.uploads.opened(name, id) as upload:
            self.uploads.give_up(upload)
        return Answer(204)

    def append(self, call: Call, name: str, id: str) -> Answer:
        """PATCH: the next bytes of an upload."""
        call.need(Right.WRITE, name)
        with self.uploads.opened(name, id) as upload:
            self._receive(call, upload)
            return self._so_far(202, name, id, upload.size)

    def finish(self, call: Call, name: str, id: str) -> Answer:
        """PUT: the last bytes of an upload, if any, and what all of it should be."""
        call.need(Right.WRITE, name)
        wanted = digest_in(call.head.asked("digest"))
        with self.uploads.opened(name, id) as upload:
            self._receive(call, upload)
            found = self.uploads.digest(upload, wanted.algorithm)
            if found != wanted:
                self.uploads.give_up(upload)
                told = f"what came is {found}, not {wanted}; nothing was stored"
                raise Failed(problem(400, "DIGEST_INVALID", told, "Send it again: it was damaged on the way"))
            self._store.adopt(name, self.uploads.incoming(upload), wanted)
            self.uploads.done(id)
        return _created(name, wanted)

    def _receive(self, call: Call, upload: Upload) -> None:
        size = upload.size
        self._check_place(call.head, upload, size)
        limit = self._limit(size)
        if call.head.length is not None and call.head.length > limit:
            self.uploads.give_up(upload)
            raise Failed(self._too_large())
        self._check_room(call.head.length or 0)
        call.body.limit = limit
        try:
            self.uploads.append(upload, call.body.pieces(buffer()))
        except Refused as error:
            if error.status == 413:
                self.uploads.give_up(upload)
                raise Failed(self._too_large()) from error
            raise

    def _check_place(self, head: Head, upload: Upload, size: int) -> None:
        """A chunk has to begin where the last one ended."""
        try:
            place = upload_part(head.header("content-range"))
        except ValueError:
            raise Failed(
                problem(400, "BLOB_UPLOAD_INVALID", "the Content-Range is malformed", "Write START-END")
            ) from None
        if place is None:
            return
        if place[0] != size:
            told = problem(416, "BLOB_UPLOAD_INVALID", f"the next byte to come is {size}", "Go on from there")
            raise Failed(told.having(**_place(upload.name, upload.id, size)))
        if head.length not in (None, place[1]):
            raise Failed(problem(400, "SIZE_INVALID", "Content-Range and Content-Length disagree", "Make them agree"))

    def _limit(self, size: int) -> int:
        return self._largest - size if self._largest else 1 << 62

    def _too_large(self) -> Answer:
        todo = "The operator of this server may raise the limit, with --max-upload"
        return problem(413, "SIZE_INVALID", f"a blob has at most {self._largest} bytes here", todo)

    def _check_room(self, length: int) -> None:
        room = os.statvfs(self._store.root)
        if length > room.f_bavail * room.f_frsize:
            raise Failed(problem(507, "UNKNOWN", "the store has no room left", "Tell the operator of this server"))

    def _may_mount(self, call: Call, digest: Digest, source: str) -> bool:
        """Whether the blob is there and whoever asks could read it elsewhere."""
        holder, store = call.holder, self._store
        size = store.stat(_ANY, digest)
        if size is None or call.head.asked("size") not in ("", str(size)):  # ours: one that is cut off is no use
            return False
        if source:
            return holder.may(Right.READ, name_in(source)) and store.has(source, digest)
        if holder.may_everywhere(Right.READ):
            return True
        return store.owner(digest, (each for each in store.every_name() if holder.may(Right.READ, each))) is not None

    def _so_far(self, status: int, name: str, id: str, size: int) -> Answer:
        return Answer(status).having(**_place(name, id, size))


def sent(store: ServedStore, head: Head, digest: Digest, media_type: str = BYTES) -> Answer:
    """A blob that the client may have, or the part of it that was asked for; nothing if the client has it already."""
    tag = str(digest)
    fields = {"Content-Type": media_type, "ETag": f'"{tag}"', "Accept-Ranges": "bytes"}
    if head.header("if-none-match") and named(head.header("if-none-match"), tag):
        return Answer(304, fields)
    try:
        file = store.blob_path(digest).open("rb", buffering=0)
    except FileNotFoundError:
        raise Failed(problem(404, "BLOB_UNKNOWN", f"there is no blob {digest}")) from None
    size = os.fstat(file.fileno()).st_size
    whole = head.method == "HEAD" or (head.header("if-range") and not named(head.header("if-range"), tag))
    try:
        wanted = None if whole else part(head.header("range"), size)
    except Unsatisfiable:
        file.close()
        told = problem(416, "UNSUPPORTED", f"the blob has {size} bytes", "Ask for a range within them")
        raise Failed(told.having(Content_Range=f"bytes */{size}")) from None
    if wanted is None:
        return Answer(200, fields, part=Part(file, 0, size))
    fields["Content-Range"] = f"bytes {wanted[0]}-{wanted[0] + wanted[1] - 1}/{size}"
    return Answer(206, fields, part=Part(file, *wanted))


def _created(name: str, digest: Digest) -> Answer:
    return Answer(201).having(Location=f"/v2/{name}/blobs/{digest}", Docker_Content_Digest=str(digest))


def _place(name: str, id: str, size: int) -> dict[str, str]:
    # An empty upload has the range 0-0 too: that is what docker-registry says and clients expect.
    where = f"/v2/{name}/blobs/uploads/{id}"
    return {"Location": where, "Range": f"0-{max(size - 1, 0)}", "Docker_Upload_UUID": id}
