"""An HTTP client of the contract, on the standard library only: calls, answers, event streams."""

import http.client
import json
import re
import threading
import time
import urllib.parse

RETRYABLE = {"quota-exceeded", "internal", "temporary-reduced-capacity", "unavailable", "idempotency-in-progress"}
PROBLEM_MEMBERS = {"type": str, "title": str, "status": int, "detail": str, "instance": str, "code": str,
                   "retryable": bool}


class Broken(Exception):
    """A promise that was not kept; says why, and by which answer if that is known."""

    def __init__(self, why, answer=None):
        super().__init__(why)
        self.answer = answer


def need(condition, why, answer=None):
    """Breaks the promise at hand unless the condition holds."""
    if not condition:
        raise Broken(why, answer)


class Deadline:
    """The time the whole walk may take; no call outlives it."""

    def __init__(self, seconds):
        self.end = time.monotonic() + seconds

    def left(self, at_most):
        """Seconds that one step may take."""
        left = self.end - time.monotonic()
        if left <= 0:
            raise Broken("the overall deadline has passed")
        return min(left, at_most)


class Answer:
    """What came back, with the request that it belongs to."""

    def __init__(self, request, status, headers, body):
        self.request, self.status, self.headers, self.body = request, status, headers, body

    def header(self, name):
        """A header's value; several lines become one list."""
        values = [value for key, value in self.headers if key.lower() == name.lower()]
        return ", ".join(values) if values else None

    def json(self):
        """The body as JSON."""
        try:
            return json.loads(self.body)
        except ValueError as error:
            raise Broken(f"the body is not JSON: {error}", self) from error

    def expect(self, status):
        """The body of an answer with this status; None when it has no content."""
        need(self.status == status, f"expected {status}, got {self.status}", self)
        if status in (204, 304):
            need(self.body == b"", f"a {status} has no body", self)
            return None
        need((self.header("Content-Type") or "").split(";")[0] == "application/json", "not application/json", self)
        return self.json()

    def problem(self, status, code):
        """The body of a problem (RFC 9457) with this status and code."""
        need(self.status == status, f"expected {status} {code}, got {self.status}", self)
        body = self.json()
        need(body.get("code") == code, f"expected the code {code}, got {body.get('code')}", self)
        return body

    def __str__(self):
        shown = self.body if len(self.body) <= 800 else self.body[:800] + b"..."
        headers = "".join(f"\n      {key}: {value}" for key, value in self.headers)
        return f"    > {self.request}\n    < {self.status}{headers}\n      {shown.decode('utf-8', 'replace')}"


class Server:
    """One listener of a deployment."""

    def __init__(self, url, deadline, patience=10.0):
        parts = urllib.parse.urlsplit(url)
        need(parts.scheme in ("http", "https") and parts.hostname, f"not an address: {url}")
        self.secure, self.host, self.port = parts.scheme == "https", parts.hostname, parts.port
        self.prefix, self.deadline, self.patience = parts.path.rstrip("/"), deadline, patience
        self.lock, self.answers, self.faults, self.local = threading.Lock(), 0, [], threading.local()

    def connect(self):
        """A connection of its own."""
        kind = http.client.HTTPSConnection if self.secure else http.client.HTTPConnection
        return kind(self.host, self.port, timeout=self.deadline.left(self.patience))

    def last(self):
        """The latest exchange of this thread."""
        return getattr(self.local, "last", None)

    def send(self, method, path, body=None, headers=None, raw=None):
        """One request and its whole answer."""
        headers = dict(headers or {})
        data = raw
        if body is not None:
            data = json.dumps(body).encode()
            headers.setdefault("Content-Type", "application/json")
        shown = {key: "Bearer ..." if key == "Authorization" else value for key, value in headers.items()}
        request = f"{method} {path} {shown} {(data or b'')[:500].decode('utf-8', 'replace')}"
        self.local.last = Answer(request, 0, [], b"(no answer)")
        connection = self.connect()
        try:
            connection.request(method, self.prefix + path, body=data, headers=headers)
            response = connection.getresponse()
            answer = Answer(request, response.status, response.getheaders(), response.read())
        except (OSError, http.client.HTTPException) as error:
            raise Broken(f"no answer: {error!r}") from error
        finally:
            connection.close()
        self.local.last = answer
        self.judge(answer, path)
        return answer

    def judge(self, answer, path):
        """What holds for every answer, whatever was asked."""
        faults = []
        if not answer.header("X-Request-Id"):
            faults.append("no X-Request-Id")
        if answer.status >= 400 and not path.startswith("/health"):
            faults += problem_faults(answer, path)
        with self.lock:
            self.answers += 1
            self.faults += [f"{fault}\n{answer}" for fault in faults]


def problem_faults(answer, path):
    """What is wrong with a problem's form."""
    if (answer.header("Content-Type") or "").split(";")[0] != "application/problem+json":
        return ["an error that is not application/problem+json"]
    try:
        body = json.loads(answer.body)
    except ValueError:
        return ["a problem that is not JSON"]
    wrong = [name for name, kind in PROBLEM_MEMBERS.items() if not isinstance(body.get(name), kind)]
    if wrong:
        return [f"a problem without a good {', '.join(wrong)}"]
    faults = []
    if body["status"] != answer.status:
        faults.append("a problem whose status is not the answer's")
    if body["retryable"] != (body["code"] in RETRYABLE):
        faults.append("a problem whose retryable is wrong")
    if body["instance"] != urllib.parse.urlsplit(path).path:
        faults.append("a problem whose instance is not the path")
    if answer.status == 401 and "bearer" not in (answer.header("WWW-Authenticate") or "").lower():
        faults.append("a 401 without WWW-Authenticate")
    if answer.status == 429 and not re.fullmatch(r"[1-9][0-9]*", answer.header("Retry-After") or ""):
        faults.append("a 429 without a Retry-After of whole seconds above 0")
    return faults


class Event:
    """One event of a stream."""

    def __init__(self, name, data, last_id, has_id):
        self.name, self.text, self.id, self.has_id = name, data, last_id, has_id

    def data(self):
        """The data as JSON."""
        try:
            return json.loads(self.text)
        except ValueError as error:
            raise Broken(f"an event whose data is not JSON: {self.text[:200]}") from error


class Stream:
    """An event stream, parsed as the HTML standard says (section 9.2)."""

    def __init__(self, server, path, headers, patience):
        shown = {key: "Bearer ..." if key == "Authorization" else value for key, value in headers.items()}
        self.request, self.server = f"GET {path} {shown}", server
        server.local.last = Answer(self.request, 0, [], b"(no answer)")
        self.connection, self.until = server.connect(), time.monotonic() + server.deadline.left(patience)
        try:
            self.connection.request("GET", server.prefix + path, headers={"Accept": "text/event-stream", **headers})
            self.response = self.connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            self.connection.close()
            raise Broken(f"no answer: {error!r}") from error
        self.status, self.retry, self.comments, self.buffer, self.last_id = self.response.status, None, 0, b"", ""
        if self.status != 200:
            self.answer = Answer(self.request, self.status, self.response.getheaders(), self.response.read())
            server.local.last = self.answer
            server.judge(self.answer, path)
            self.connection.close()
            return
        self.answer = Answer(self.request, 200, self.response.getheaders(), b"(a stream)")
        server.local.last = self.answer

    def lines(self):
        """Lines as they come; ends with the stream."""
        first, after_cr = True, False
        while True:
            left = self.until - time.monotonic()
            need(left > 0, "the stream neither told what was awaited nor ended in time")
            if self.connection.sock is not None:
                self.connection.sock.settimeout(left)
            try:
                chunk = self.response.read1(65536)
            except TimeoutError as error:
                raise Broken("the stream neither told what was awaited nor ended in time") from error
            except (OSError, http.client.HTTPException) as error:
                raise Broken(f"the stream broke off: {error!r}") from error
            if not chunk:
                return
            if first and chunk.startswith(b"\xef\xbb\xbf"):
                chunk = chunk[3:]
            # A CR ends a line at once; an LF that follows it, perhaps in the next piece, belongs to it.
            if after_cr and chunk.startswith(b"\n"):
                chunk = chunk[1:]
            first, after_cr = False, chunk.endswith(b"\r")
            whole = re.split(rb"\r\n|\n|\r", self.buffer + chunk)
            self.buffer = whole.pop()
            for line in whole:
                yield line.decode("utf-8", "replace")

    def __iter__(self):
        name, data, has_id = "", [], False
        for line in self.lines():
            if line == "":
                if data:
                    yield Event(name or "message", "\n".join(data), self.last_id, has_id)
                name, data, has_id = "", [], False
                continue
            if line.startswith(":"):
                self.comments += 1
                continue
            field, _, value = line.partition(":")
            value = value[1:] if value.startswith(" ") else value
            if field == "event":
                name = value
            elif field == "data":
                data.append(value)
            elif field == "id" and "\0" not in value:
                self.last_id, has_id = value, True
            elif field == "retry" and value.isdigit():
                self.retry = int(value)

    def close(self):
        """Hangs up."""
        self.connection.close()
