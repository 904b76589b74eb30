#!/usr/bin/env python3
"""Hands videos to `chunkferry serve` and waits for their ends. Nothing but Python's standard library.

    python3 service.py SOCKET ACCOUNT=FILE [ACCOUNT=FILE ...]

A line for each job as it ends: its id of yours, the outcome, and TikTok's name of the draft.
"""

import http.client
import json
import os
import socket
import sys
import time


class Refused(Exception):
    """The service will not take this request, whenever it is sent."""


class Service:
    def __init__(self, path):
        self.path = path

    def _once(self, method, target, body, headers):
        connection = http.client.HTTPConnection("localhost", timeout=90)
        connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.sock.settimeout(90)
        try:
            connection.sock.connect(self.path)
            connection.request(method, target, body, headers)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read() or b"null")
        finally:
            connection.close()

    def call(self, method, target, body=None, headers={}):
        """Asks until there is an answer: the service may be restarted at any moment."""
        while True:
            try:
                status, answer = self._once(method, target, body, headers)
            except (OSError, http.client.HTTPException, ValueError):
                time.sleep(0.2)
                continue
            if status < 300:
                return answer
            if status in (429, 503):
                time.sleep(0.2)
                continue
            raise Refused(f"{answer.get('code')}: {answer.get('detail')}")

    def submit(self, job_id, **job):
        """Submits a job. Your own id makes it safe to ask again: the same job under it is one job, whatever became of it."""
        headers = {"Content-Type": "application/json", "Idempotency-Key": job_id}
        return self.call("POST", "/v1/jobs", json.dumps(job), headers)

    def events(self, after):
        """All that ended, or began to wait for a person, after this number."""
        page = self.call("GET", f"/v1/events?after={after}&limit=1000")
        return page["events"], page["next"]


def main():
    path, wishes = sys.argv[1], [text.split("=", 1) for text in sys.argv[2:]]
    service, waiting, after = Service(path), set(), 0
    for account, file in wishes:
        job_id = os.path.basename(file)
        job = service.submit(job_id, account=account, file=os.path.abspath(file))
        waiting.add(job["id"])
        print("accepted", job_id, flush=True)
    while waiting:
        # A real pipeline stores `after` together with its own results, and begins with the stored number after a restart.
        events, after = service.events(after)
        for event in events:
            if event["job"] not in waiting or event["kind"] == "unparked":
                continue
            end = event["end"]
            print(event["caller_id"], end["outcome"], end["publish_id"] or end["why"], flush=True)
            if event["kind"] == "ended":
                waiting.discard(event["job"])
        if not events:
            time.sleep(0.2)


if __name__ == "__main__":
    main()
