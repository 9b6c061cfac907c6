"""One call of pgmq-sqlalchemy: the request is JSON on standard input, the answer JSON on standard output."""

from __future__ import annotations

import dataclasses
import json
import sys
from typing import Any

from pgmq_sqlalchemy import PGMQueue
from sqlalchemy import create_engine
from sqlalchemy.engine import URL


def answer(call: str, queue: str, **given: Any) -> Any:
    if call == "send":
        return [client.send(queue, each, given["delay"]) for each in given["messages"]]
    if call == "send_batch":
        return client.send_batch(queue, given["messages"], given["delay"])
    if call == "read":
        found = client.read_batch(queue, batch_size=given["count"], vt=given["timeout"]) or []
        return [dataclasses.asdict(each) for each in found]
    settle = client.archive_batch if call == "archive" else client.delete_batch
    return settle(queue, given["ids"])


request = json.load(sys.stdin)
address = request.pop("address")
query = {"host": address["host"], "port": str(address["port"])}
url = URL.create("postgresql+psycopg", username=address["user"], database=address["dbname"], query=query)
client = PGMQueue(engine=create_engine(url))
json.dump(answer(**request), sys.stdout, default=str)
