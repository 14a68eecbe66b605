"""Addresses and signatures of S3 requests, and what is loaded for them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from common.errors import BadInput, Denied
from common.model import Secret
from naust.store import open_store
from naust.store.access import Access
from naust.store.s3 import S3Store
from naust.store.s3_signing import Signer
from tests.conftest import ROOT

ACCESS = Access(endpoint="http://s3.example.org:7480/", access_key="KEY", secret_key=Secret("hidden/secret+"))


def test_a_bucket_is_in_the_path_or_in_the_hosts_name() -> None:
    path = Signer("b", ACCESS)
    assert path.url("a+b c/d~é", {"x": "+ &", "a": ""}) == (
        "http://s3.example.org:7480/b/a%2Bb%20c/d~%C3%A9?a=&x=%2B%20%26"
    )
    assert path.url("") == "http://s3.example.org:7480/b"
    host = Signer(
        "b", Access(endpoint="https://s3.example.org", access_key="K", secret_key=Secret("s"), virtual_host=True)
    )
    assert (host.url("k"), host.url("", {"q": "1"})) == ("https://b.s3.example.org/k", "https://b.s3.example.org/?q=1")


def test_signatures_hold_the_key_and_never_the_secret() -> None:
    headers = Signer("b", ACCESS).headers("GET", "http://s3.example.org:7480/b/k", {"If-Match": "e"})
    assert "Credential=KEY/" in headers["Authorization"] and "/us-east-1/s3/aws4_request" in headers["Authorization"]
    assert "host;if-match;x-amz-content-sha256;x-amz-date" in headers["Authorization"]
    assert "hidden" not in str(headers) and "hidden" not in repr(ACCESS)


def test_a_region_is_said_or_is_the_usual_one() -> None:
    assert Signer("b", ACCESS).region == "us-east-1"
    elsewhere = Access(endpoint=ACCESS.endpoint, access_key="K", secret_key=Secret("s"), region="eu-north-1")
    assert Signer("b", elsewhere).region == "eu-north-1"


def test_what_the_settings_do_not_say_comes_from_where_boto3_looks(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    with pytest.raises(Denied):
        Signer("b", Access(endpoint="http://h")).headers("GET", "http://h/b", {})
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://elsewhere:9000")
    (tmp_path / "config").write_text("[default]\nregion = eu-west-3\n")
    (tmp_path / "credentials").write_text("[default]\naws_access_key_id = FILED\naws_secret_access_key = s\n")
    signer = Signer("b", Access())
    assert signer.url("k") == "http://elsewhere:9000/b/k"
    assert "Credential=FILED/" in signer.headers("GET", signer.url("k"), {})["Authorization"]
    assert signer.region == "eu-west-3"


@pytest.mark.parametrize(
    "access", [Access(access_key="K"), Access(endpoint="ftp://h", access_key="K", secret_key=Secret("s"))]
)
def test_half_of_the_keys_and_impossible_addresses_are_refused(access: Access) -> None:
    with pytest.raises(BadInput):
        Signer("b", access).url("k")


@pytest.mark.parametrize(
    "url", ["s3://", "s3:///x", "s3://b/../x", "s3://b//x", "s3://b/x\n", "s3://b ad/x", "s3://b?q"]
)
def test_urls_that_name_no_bucket_are_refused(url: str) -> None:
    with pytest.raises(BadInput):
        S3Store.from_url(url)


@pytest.mark.parametrize(
    ("url", "said"), [("s3://bucket", "s3://bucket"), ("s3://bucket/a b+c/d/", "s3://bucket/a b+c/d")]
)
def test_a_store_knows_its_url(url: str, said: str) -> None:
    assert S3Store.from_url(url).url == said
    assert open_store(url).url == said


def test_listing_and_reading_load_no_boto3() -> None:
    script = (
        "import sys\nfrom common.model import Secret\nfrom naust.store.access import Access\n"
        "from naust.store.s3 import S3Store\nfrom common.errors import Unavailable\n"
        "from naust.wire import patience\n"
        "patience.sleep = lambda seconds: None\n"
        "access = Access(endpoint='http://127.0.0.1:9', access_key='K', secret_key=Secret('s'))\n"
        "try:\n    list(S3Store.from_url('s3://bucket', access).rows())\nexcept Unavailable:\n    print('tried')\n"
        "print(sorted({'boto3', 'rich', 'hcl2', 'requests'} & set(sys.modules)))\n"
    )
    ended = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ended.stdout.split("\n")[:2] == ["tried", "[]"]
