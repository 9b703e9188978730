"""Download files over HTTP: retry with growing pauses, go on where a transfer broke, check, move into place."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import os
import re
import time
import urllib.error
import urllib.request
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tertia.errors import InputError

_AGENT = "tertia"
_TIMEOUT = 60.0
"""Seconds without a byte after which a transfer counts as broken."""
_CHUNK = 1 << 20
_PASSING = {408, 425, 429, 500, 502, 503, 504}
"""Answers that may be different in a moment."""
_LONGEST_PAUSE = 60.0


@dataclass(frozen=True)
class Patience:
    """How often and after how long a broken transfer is tried again."""

    retries: int = 5
    pause: float = 1.0  # seconds before the first retry; doubled before each further one

    def wait(self, attempt: int, asked: float | None) -> None:
        """Pause before the retry that follows an attempt (0, 1, ...); a server may ask for longer."""
        time.sleep(min(max(self.pause * 2**attempt, asked or 0.0), _LONGEST_PAUSE))


class _Broken(Exception):
    """A transfer that is worth another try."""

    def __init__(self, found: str, asked: float | None = None) -> None:
        super().__init__(found)
        self.asked = asked


def download(url: str, path: Path, *, patience: Patience | None = None) -> None:
    """Download a file; what exists under `path` afterwards is whole and checked.

    The part that has arrived waits beside it as `.part`, with the version it belongs to in `.part.json`: the next
    attempt, also of a later run, asks for the rest only. Checked are the size, the MD5 sum where the server names one,
    and the sums inside gzip files.

    Raises
    ------
    InputError: refused by the server, or still broken after all retries.
    """
    patience = patience or Patience()
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    _retried(lambda: _transfer(url, part, path.suffix == ".gz"), url, patience)
    os.replace(part, path)
    _version_file(part).unlink(missing_ok=True)


def fetch_json(url: str, *, patience: Patience | None = None) -> object:
    """Return the JSON that a server answers with; errors as in `download`."""

    def ask() -> object:
        with _opened(url, {}) as answer:
            try:
                return json.loads(_whole(answer))
            except ValueError:
                raise _Broken("the answer is no JSON") from None

    return _retried(ask, url, patience or Patience())


def _retried(action: Callable[[], object], url: str, patience: Patience) -> object:
    for attempt in range(patience.retries + 1):
        try:
            return action()
        except _Broken as broken:
            reason = broken
            if attempt < patience.retries:
                patience.wait(attempt, broken.asked)
    tries = patience.retries + 1
    raise InputError(url, found=f"{reason} ({tries} tries)", hint="repeat the same command: it continues") from None


def _opened(url: str, headers: dict[str, str]):
    try:
        return urllib.request.urlopen(
            urllib.request.Request(url, headers={"User-Agent": _AGENT, "Accept-Encoding": "identity", **headers}),
            timeout=_TIMEOUT,
        )
    except urllib.error.HTTPError as error:
        error.close()
        found = f"the server answered {error.code} {error.reason}"
        if error.code == 416:
            raise _Broken(found) from None
        if error.code not in _PASSING:
            hint = "there is no such entry" if error.code in (404, 410) else ""
            raise InputError(url, found=found, hint=hint) from None
        asked = error.headers.get("Retry-After", "")
        raise _Broken(found, float(asked) if asked.isdigit() else None) from None
    except (OSError, ValueError) as error:
        raise _Broken(f"cannot be reached ({getattr(error, 'reason', error)})") from None


def _whole(answer) -> bytes:
    try:
        return answer.read()
    except Exception as error:  # http.client raises its own family of errors when a body ends early
        raise _Broken(f"the transfer broke ({type(error).__name__})") from None


def _transfer(url: str, part: Path, packed: bool) -> None:
    """Download into `part`, behind what is there already when the server still has the same version, and check it."""
    have, version = _begun(part)
    headers = {"Range": f"bytes={have}-", "If-Range": version} if have else {}
    try:
        answer = _opened(url, headers)
    except _Broken as broken:
        if "416" in str(broken):
            _forget(part)
        raise
    with answer:
        goes_on = answer.status == 206
        if goes_on and not (answer.headers.get("Content-Range") or "").startswith(f"bytes {have}-"):
            _forget(part)
            raise _Broken("the server sent another part than asked for")
        _remember(part, answer.headers.get("ETag") or answer.headers.get("Last-Modified") or "")
        with open(part, "ab" if goes_on else "wb") as handle:
            _copy(answer, handle)
            handle.flush()
            os.fsync(handle.fileno())
        _check(part, answer.headers, goes_on, packed)


def _copy(answer, handle) -> None:
    expected = answer.headers.get("Content-Length")
    received = 0
    while True:
        try:
            chunk = answer.read1(_CHUNK)
        except Exception as error:
            raise _Broken(f"the transfer broke ({type(error).__name__})") from None
        if not chunk:
            break
        handle.write(chunk)
        received += len(chunk)
    if expected is not None and received != int(expected):
        handle.flush()
        raise _Broken(f"the transfer ended after {received:,} of {int(expected):,} bytes")


def _check(part: Path, headers, goes_on: bool, packed: bool) -> None:
    """Compare size and sums; a file that fails is forgotten, for its wrong part is not known."""
    size = part.stat().st_size
    expected = (headers.get("Content-Range") or "").rpartition("/")[2] if goes_on else headers.get("Content-Length")
    wrong = ""
    if expected and expected.isdigit() and size != int(expected):
        wrong = f"{size:,} bytes arrived instead of {int(expected):,}"
    elif (stated := _stated_md5(headers)) and stated != hashlib.md5(part.read_bytes()).hexdigest():
        wrong = "the MD5 sum differs from the server's"
    elif packed and not _sound_gzip(part):
        wrong = "the sums inside the gzip file do not fit"
    elif not size:
        wrong = "the file is empty"
    if wrong:
        _forget(part)
        raise _Broken(wrong)


def _stated_md5(headers) -> str:
    """Return the MD5 sum of the whole file that a server states, "" where it does not.

    An ETag is one only on object stores (32 digits; with a dash it is the sum of something else).
    """
    sums = re.findall(r"md5=([A-Za-z0-9+/=]{24})", ",".join(headers.get_all("x-goog-hash") or []))
    sums += [headers["Content-MD5"].strip()] if headers.get("Content-MD5") and not headers.get("Content-Range") else []
    if sums:
        try:
            return base64.b64decode(sums[0], validate=True).hex()
        except ValueError:
            return ""
    etag = (headers.get("ETag") or "").strip('"').lower()
    is_sum = headers.get("Server", "").startswith("AmazonS3") and re.fullmatch(r"[0-9a-f]{32}", etag)
    return etag if is_sum else ""


def _sound_gzip(path: Path) -> bool:
    try:
        with gzip.open(path, "rb") as handle:
            while handle.read(_CHUNK):
                pass
    except (OSError, EOFError, zlib.error):
        return False
    return True


def _version_file(part: Path) -> Path:
    return part.with_name(part.name + ".json")


def _begun(part: Path) -> tuple[int, str]:
    """Return how many bytes wait, and the version they belong to; none where the version is unknown or weak."""
    try:
        version = json.loads(_version_file(part).read_text())["version"]
        size = part.stat().st_size
    except (OSError, ValueError, KeyError, TypeError):
        return 0, ""
    return (size, version) if version and not version.startswith("W/") else (0, "")


def _remember(part: Path, version: str) -> None:
    _version_file(part).write_text(json.dumps({"version": version}))


def _forget(part: Path) -> None:
    part.unlink(missing_ok=True)
    _version_file(part).unlink(missing_ok=True)
