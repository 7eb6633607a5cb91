"""The end of a job is posted, signed, until somebody takes it: by a real service to a real receiver."""

import base64
import http.server
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from sparsebook_service.webhooks import courier
from tests.e2e import models
from tests.e2e.calls import BYTES, OCTETS, PAPER, assert_problem, submit, wait
from tests.e2e.servers import Server

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()


class Receiver(http.server.ThreadingHTTPServer):
    """Answers with the statuses in `answers`, then with 204; keeps what arrived."""

    daemon_threads = True

    def __init__(self, answers: list[int], host: str) -> None:
        self.answers, self.heard = answers, list[tuple[str, dict[str, str], bytes]]()
        self.silent = threading.Event()
        super().__init__((host, 0), _Handler)

    @property
    def url(self) -> str:
        return f"http://{self.server_address[0]!s}:{self.server_port}/hook"


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.heard.append((self.path, dict(self.headers), body))
        status = self.server.answers.pop(0) if self.server.answers else 204
        if status == 0:
            self.server.silent.wait(60)
            self.close_connection = True
            return
        self.send_response(status)
        if status == 302:
            self.send_header("Location", "/elsewhere")
        if status == 200:  # without end
            self.end_headers()
            while not self.server.silent.is_set():
                try:
                    self.wfile.write(bytes(65536))
                except OSError:
                    return
            return
        if status in (202, 410):  # the head, and a body that does not come
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"x")
            self.server.silent.wait(60)
            return
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *arguments: object) -> None:
        """Say nothing."""


@contextmanager
def receiver(*answers: int, host: str = "127.0.0.1") -> Iterator[Receiver]:
    with Receiver(list(answers), host) as listening:
        thread = threading.Thread(target=listening.serve_forever)
        thread.start()
        try:
            yield listening
        finally:
            listening.silent.set()
            listening.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def hooked(make_server: Any) -> Server:
    server: Server = make_server(
        webhook_secret=SECRET,
        webhook_allow="127.0.0.1",
        webhook_pauses="0.2,0.2,0.2,0.2",
        webhook_timeout_seconds=2,
    )
    return server


@pytest.fixture
def posted(hooked: Server) -> Iterator[httpx.Client]:
    with hooked.client() as http:
        yield http


def settled(http: httpx.Client, job_id: str) -> dict[str, Any]:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        log: dict[str, Any] = http.get(f"/jobs/{job_id}/webhook").json()
        if log["state"] in {"delivered", "failed"}:
            return log
        time.sleep(0.1)
    raise AssertionError(log)


def test_the_end_of_a_job_is_told(posted: httpx.Client) -> None:
    with receiver() as listening:
        job_id = submit(posted, BYTES, params={"webhook": listening.url})["id"]
        log = settled(posted, job_id)
    assert (log["url"], log["state"], log["next"]) == (listening.url, "delivered", None)
    assert [(each["status"], each["error"]) for each in log["attempts"]] == [(204, None)]
    ((path, headers, body),) = listening.heard
    assert path == "/hook"
    message = Webhook(SECRET).verify(body, headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(body.replace(b"succeeded", b"cancelled"), headers)
    assert message["type"] == "job.succeeded"
    assert message["data"] == posted.get(f"/jobs/{job_id}").json()
    assert message["timestamp"] == message["data"]["times"]["finished"]


@pytest.mark.parametrize(("end", "state"), [("cancel", "cancelled"), ("fail", "failed")])
def test_other_ends_are_told_too(posted: httpx.Client, end: str, state: str) -> None:
    with receiver() as listening:
        content = models.slow() if end == "cancel" else b"no model"
        params = {**PAPER, "webhook": listening.url}
        job_id = submit(posted, content, params=params)["id"]
        if end == "cancel":
            assert posted.get(f"/jobs/{job_id}/webhook").json()["state"] == "waiting"
            posted.post(f"/jobs/{job_id}/cancel")
        assert settled(posted, job_id)["state"] == "delivered"
    assert json.loads(listening.heard[0][2])["type"] == f"job.{state}"


def test_it_is_tried_again(posted: httpx.Client) -> None:
    # A redirect is not followed, silence and an answer without end are cut.
    with receiver(500, 302, 0, 200, 204) as listening:
        job_id = submit(posted, BYTES, params={"webhook": listening.url})["id"]
        log = settled(posted, job_id)
        heard = list(listening.heard)
    # What has no end still has its status.
    assert [each["status"] for each in log["attempts"]] == [500, 302, None, 200]
    assert log["state"] == "delivered"
    assert log["attempts"][2]["error"] == "no answer within 2 seconds"
    assert {path for path, _, _ in heard} == {"/hook"}
    assert {headers["webhook-id"] for _, headers, _ in heard} == {f"msg_{job_id}"}
    assert len({body for _, _, body in heard}) == 1


@pytest.mark.parametrize(("answers", "attempts"), [([410], 1), ([500] * 9, 5)])
def test_it_is_given_up(posted: httpx.Client, answers: list[int], attempts: int) -> None:
    with receiver(*answers) as listening:
        job_id = submit(posted, BYTES, params={"webhook": listening.url})["id"]
        log = settled(posted, job_id)
        assert len(listening.heard) == attempts
    assert (log["state"], len(log["attempts"])) == ("failed", attempts)
    assert f"status {answers[0]}" in log["attempts"][-1]["error"]


def test_a_status_stands_though_its_body_never_comes(posted: httpx.Client) -> None:
    """The receiver has said that it has the message: to send it again would only make it twice."""
    with receiver(202) as listening:
        job_id = submit(posted, BYTES, params={"webhook": listening.url})["id"]
        log = settled(posted, job_id)
        assert len(listening.heard) == 1
    assert log["state"] == "delivered"
    assert [(each["status"], each["error"]) for each in log["attempts"]] == [(202, None)]


def test_a_name_of_a_private_address_is_not_connected_to(posted: httpx.Client) -> None:
    # 127.0.0.2 is not what the settings name; as a number it passes for a name until it is looked up.
    with receiver() as listening:
        url = f"http://2130706434:{listening.server_port}/"
        log = settled(posted, submit(posted, BYTES, params={"webhook": url})["id"])
        assert listening.heard == []
    assert (log["state"], len(log["attempts"])) == ("failed", 1)
    assert "127.0.0.2 is no public address" in log["attempts"][0]["error"]


def test_an_address_that_lets_everybody_wait_holds_up_no_other(make_server: Any) -> None:
    server: Server = make_server(
        webhook_secret=SECRET, webhook_allow="127.0.0.0/8", webhook_timeout_seconds=300
    )
    many = 20
    with receiver(*[0] * many) as silent, receiver(host="127.0.0.2") as other:
        with server.client() as http:
            for _ in range(many):  # all but the first from the cache
                job_id = submit(http, BYTES, params={"webhook": silent.url})["id"]
            wait(http, job_id)
            job_id = submit(http, BYTES, params={"webhook": other.url})["id"]
            assert settled(http, job_id)["state"] == "delivered"
        assert 0 < len(silent.heard) <= courier.MOST_OF_OWNER


def test_it_outlives_crashes(make_server: Any) -> None:
    server: Server = make_server(
        webhook_secret=SECRET,
        webhook_allow="127.0.0.0/8",
        webhook_pauses="1,1,1,1,1,1,1,1",
        webhook_timeout_seconds=2,
    )
    with receiver(0) as listening:
        with server.client() as http:
            job_id = submit(http, BYTES, params={"webhook": listening.url})["id"]
            deadline = time.monotonic() + 60
            while not listening.heard and time.monotonic() < deadline:
                time.sleep(0.05)
        server.kill()  # it waits for the answer to the first attempt
        server.start(again=True)
        with server.client() as http:
            log = settled(http, job_id)
            assert wait(http, job_id)["state"] == "succeeded"
    assert log["state"] == "delivered"
    assert len(listening.heard) == 2


def test_what_is_refused(posted: httpx.Client, http: httpx.Client) -> None:
    def send(to: httpx.Client, url: str, **headers: str) -> httpx.Response:
        return to.post(
            "/compress", content=BYTES, headers={**OCTETS, **headers}, params={"webhook": url}
        )

    for url in ("nonsense", "ftp://example.org", "http://169.254.169.254/", "http://10.0.0.1/"):
        assert "webhook" in assert_problem(send(posted, url), 400, "bad-value")
    unsigned = assert_problem(send(http, "https://example.org/"), 400, "bad-value")
    assert "SPARSEBOOK_WEBHOOK_SECRET" in unsigned
    with receiver() as listening:
        job = send(posted, listening.url, **{"Idempotency-Key": "hooked"}).json()
        again = send(posted, listening.url, **{"Idempotency-Key": "hooked"})
        assert (again.status_code, again.json()["id"]) == (202, job["id"])
        other = send(posted, listening.url + "/other", **{"Idempotency-Key": "hooked"})
        assert_problem(other, 409, "idempotency-conflict")
        settled(posted, job["id"])
        assert len(listening.heard) == 1
    posted.delete(f"/jobs/{job['id']}")
    assert_problem(posted.get(f"/jobs/{job['id']}/webhook"), 404, "unknown-job")
    plain = submit(posted, BYTES)["id"]
    assert_problem(posted.get(f"/jobs/{plain}/webhook"), 404, "not-found")
