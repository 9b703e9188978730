"""fetch against a local server that fails in every way a server can."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tertia import download as download_module
from tertia.download import Patience, download
from tertia.errors import InputError
from tertia.fetch import fetch, source_of
from tests.structures import pdb_text, polymer

CONTENT = gzip.compress(pdb_text([polymer(200, seed=1)]).encode(), mtime=0)


@dataclass
class Site:
    """Files of a test server, the troubles it makes (one a request, in order), and the requests it saw."""

    files: dict[str, bytes]
    troubles: list[str] = field(default_factory=list)
    seen: list[tuple[str, str]] = field(default_factory=list)  # (path, Range)
    headers: dict[str, str] = field(default_factory=dict)
    url: str = ""


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_) -> None:
        pass

    def do_GET(self) -> None:
        site: Site = self.server.site
        trouble = site.troubles.pop(0) if site.troubles else ""
        asked = self.headers.get("Range", "")
        site.seen.append((self.path, asked))
        body = site.files.get(self.path)
        if trouble.isdigit():
            self.answer(int(trouble), b"", {"Retry-After": "7"} if trouble == "429" else {})
        elif body is None:
            self.answer(404, b"", {})
        else:
            self.send(body, asked, trouble, site)

    def send(self, body: bytes, asked: str, trouble: str, site: Site) -> None:
        etag = '"' + hashlib.sha1(body).hexdigest()[:12] + '"'
        headers = {"ETag": etag, **site.headers}
        start = 0
        if asked and self.headers.get("If-Range") == etag and trouble != "no ranges":
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
            if start >= len(body):
                return self.answer(416, b"", {})
            headers["Content-Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
        part = body[start:]
        if trouble == "flip":
            part = part[:-9] + bytes([part[-9] ^ 1]) + part[-8:]
        sent = part[: len(part) // 2] if trouble == "cut" else part
        self.answer(206 if "Content-Range" in headers else 200, sent, headers, len(part))

    def answer(self, status: int, body: bytes, headers: dict[str, str], length: int | None = None) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = True


@pytest.fixture
def site():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.site = Site({"/1abc.cif.gz": CONTENT})
    server.site.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server.site
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(autouse=True)
def pauses(monkeypatch) -> list[float]:
    """Pauses that the code asked for; none of them is waited."""
    asked: list[float] = []
    monkeypatch.setattr(download_module.time, "sleep", asked.append)
    return asked


def get(site: Site, folder: Path, ids=("1ABC",), **options):
    return fetch(list(ids), folder, base_url=site.url + "/{entry}.cif.gz", jobs=1, progress=False, **options)


def test_a_file_arrives_whole_and_is_not_asked_for_twice(site, tmp_path):
    report = get(site, tmp_path)
    assert report.fetched == (tmp_path / "1abc.cif.gz",)
    assert report.fetched[0].read_bytes() == CONTENT
    again = get(site, tmp_path)
    assert (again.fetched, again.present, again.failed) == ((), report.fetched, ())
    assert len(site.seen) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["1abc.cif.gz"]


def test_overload_is_retried_with_growing_pauses(site, tmp_path, pauses):
    site.troubles = ["503", "500", "429"]
    assert get(site, tmp_path).paths[0].read_bytes() == CONTENT
    assert pauses == [1.0, 2.0, 7.0]


def test_a_cut_transfer_goes_on_where_it_stopped(site, tmp_path):
    site.troubles = ["cut", "cut"]
    assert get(site, tmp_path).paths[0].read_bytes() == CONTENT
    half = len(CONTENT) // 2
    assert [asked for _, asked in site.seen] == ["", f"bytes={half}-", f"bytes={half + (len(CONTENT) - half) // 2}-"]


def test_a_later_run_goes_on_too(site, tmp_path):
    site.troubles = ["cut"]
    report = get(site, tmp_path, retries=0)
    assert report.paths == ()
    assert "of" in report.failed[0][1]
    assert not (tmp_path / "1abc.cif.gz").exists()
    assert get(site, tmp_path).fetched[0].read_bytes() == CONTENT
    assert site.seen[1][1] == f"bytes={len(CONTENT) // 2}-"


def test_a_file_that_changed_in_between_is_begun_anew(site, tmp_path):
    site.troubles = ["cut"]
    get(site, tmp_path, retries=0)
    other = gzip.compress(b"changed" * 999, mtime=0)
    site.files["/1abc.cif.gz"] = other
    assert get(site, tmp_path).paths[0].read_bytes() == other


def test_servers_without_ranges_and_finished_parts(site, tmp_path):
    site.troubles = ["cut", "no ranges"]
    assert get(site, tmp_path).paths[0].read_bytes() == CONTENT
    # Killed between the last byte and the move: all is there, nothing is left to ask for.
    part = tmp_path / "late" / "1abc.cif.gz.part"
    part.parent.mkdir()
    part.write_bytes(CONTENT)
    etag = '"' + hashlib.sha1(CONTENT).hexdigest()[:12] + '"'
    part.with_name(part.name + ".json").write_text(json.dumps({"version": etag}))
    assert get(site, tmp_path / "late").paths[0].read_bytes() == CONTENT


def test_a_flipped_bit_is_found_by_the_gzip_sum(site, tmp_path):
    site.troubles = ["flip"]
    assert get(site, tmp_path).paths[0].read_bytes() == CONTENT
    assert [asked for _, asked in site.seen] == ["", ""]


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-MD5": base64.b64encode(b"0" * 16).decode()},
        {"x-goog-hash": "crc32c=AAAAAA==,md5=" + base64.b64encode(b"0" * 16).decode()},
        {"Server": "AmazonS3", "ETag": '"' + "0" * 32 + '"'},
    ],
)
def test_a_wrong_sum_is_refused_and_a_right_one_taken(site, tmp_path, headers, monkeypatch):
    monkeypatch.setattr(Handler, "send_header", _own_server_name(headers))
    site.headers = {name: value for name, value in headers.items() if name != "Server"}
    with pytest.raises(InputError, match="MD5"):
        download(site.url + "/1abc.cif.gz", tmp_path / "x.cif", patience=Patience(1))
    assert list(tmp_path.iterdir()) == []
    right = hashlib.md5(CONTENT)
    zero = {
        base64.b64encode(b"0" * 16).decode(): base64.b64encode(right.digest()).decode(),
        "0" * 32: right.hexdigest(),
    }
    for wrong, value in zero.items():
        site.headers = {name: text.replace(wrong, value) for name, text in site.headers.items()}
    download(site.url + "/1abc.cif.gz", tmp_path / "x.cif", patience=Patience(1))
    assert (tmp_path / "x.cif").read_bytes() == CONTENT


def _own_server_name(headers):
    real = BaseHTTPRequestHandler.send_header

    def send_header(self, name, value):
        real(self, name, headers.get("Server", value) if name == "Server" else value)

    return send_header


def test_one_that_fails_does_not_stop_the_others(site, tmp_path, pauses):
    report = get(site, tmp_path, ids=["9zzz", "not/an/id", "1abc", "1abc"])
    assert [identifier for identifier, _ in report.failed] == ["9zzz", "not/an/id"]
    assert "404" in report.failed[0][1]
    assert "no identifier" in report.failed[1][1]
    assert report.fetched == (tmp_path / "1abc.cif.gz",)
    assert pauses == []


def test_a_server_that_is_not_there(tmp_path, pauses):
    report = fetch("1abc", tmp_path, base_url="http://127.0.0.1:9/{entry}", retries=2, progress=False)
    assert "3 tries" in report.failed[0][1]
    assert pauses == [1.0, 2.0]


def test_alphafold_models_come_from_the_addresses_that_the_api_names(site, tmp_path):
    names = ["AF-P69905-F1-model_v9.cif", "AF-P69905-2-F1-model_v9.cif"]
    answer = [{"cifUrl": f"{site.url}/files/{name}", "entryId": name} for name in names]
    answer += [{"cifUrl": "file:///etc/passwd"}, {"cifUrl": None}, "odd"]
    site.files["/api/P69905"] = json.dumps(answer).encode()
    for name in names:
        site.files[f"/files/{name}"] = name.encode()
    options = {"base_url": site.url + "/api/{entry}", "progress": False}
    report = fetch(["p69905", "AF-P69905-F1"], tmp_path / "all", **options)
    assert sorted(path.name for path in report.fetched) == sorted(names)
    assert report.failed == ()
    one = fetch("AF-P69905-F1", tmp_path / "one", **options)
    assert [path.name for path in one.paths] == [names[0]]
    wrong = fetch("P69905", tmp_path / "none", format="bcif", **options)
    assert "lists no bcif file" in wrong.failed[0][1]


def test_an_api_that_answers_no_json_is_retried(site, tmp_path, pauses):
    site.files["/api/P69905"] = b"<html>maintenance</html>"
    report = fetch("P69905", tmp_path, base_url=site.url + "/api/{entry}", retries=1, progress=False)
    assert "no JSON (2 tries)" in report.failed[0][1]
    assert pauses == [1.0]


def test_names_that_lead_out_of_the_folder_are_refused(site, tmp_path):
    site.files["/api/P69905"] = json.dumps([{"cifUrl": f"{site.url}/files/.."}]).encode()
    report = fetch("P69905", tmp_path / "in", base_url=site.url + "/api/{entry}", progress=False)
    assert "does not end in a file name" in report.failed[0][1]


@pytest.mark.parametrize(
    ("identifier", "source"),
    [("1abc", "pdb"), ("7OK9", "pdb"), ("pdb_00001abc", "pdb"), ("P69905", "afdb"), ("A0A024R1R8", "afdb"),
     ("AF-P69905-F1", "afdb"), ("AF-P69905-F1-model_v4", "afdb")],
)  # fmt: skip
def test_the_form_of_an_id_tells_its_source(identifier, source):
    assert source_of(identifier) == source


def test_unknown_sources_are_refused(tmp_path):
    for options in ({"source": "emdb"}, {"format": "pdb"}):
        with pytest.raises(InputError, match="not known"):
            fetch("1abc", tmp_path, progress=False, **options)
