#!/usr/bin/python3
"""The house rules that a machine can check. Prints each breach; exit status 1 if there is one."""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
ROOMS = ["lib/base", "proto", "lib/json", "lib/bus", "lib/store", "broker", "gateway", "product-svc", "order-svc", "user-svc", "event-svc", "webhook-svc", "mail-svc", "cli",
         "tests", "bench"]
PRIVATE = {"broker", "gateway", "product-svc", "order-svc", "user-svc", "event-svc", "webhook-svc", "mail-svc"}  # nobody but cli, tests and bench may include them
BANNED = [
    (r"ZMQ_HEARTBEAT_|XPUB_NODROP|\bzmq_proxy\b", "a libzmq feature that loses or aborts"),
    (r"\b(strcpy|strcat|sprintf|vsprintf|gets|strtok|alloca)\s*\(", "an unbounded function"),
    (r"\b(TODO|FIXME|XXX)\b", "something left for later"),
    (r"\btime\s*\(\s*NULL\s*\)|\bgettimeofday\b", "the wall clock; use lib/base/clock.h"),
]
ONLY = [  # includes that belong to some rooms alone
    (r"<zmq\.h>|<czmq\.h>", ("lib/bus", "broker", "tests", "bench")),
    (r"<sqlite3\.h>|<mongoc/|<bson/", ("lib/store", "tests", "bench")),
    (r"<curl/", ("webhook-svc", "mail-svc", "tests", "bench")),
    (r"<civetweb\.h>|<jansson\.h>|<wslay/", ("gateway", "tests", "bench")),
]
MAX_FILE, MAX_FUNCTION = 500, 61  # lines
MAX_COLUMNS, TABLE_COLUMNS = 120, 150
TABLE_ROW = re.compile(r"\s*([A-Z_]+\(|enum \{| \*|/\*)|    \{|\s+\"")  # tables, lists and comments, laid out by hand
# Sources without a test file of their own, and what tests them instead.
TESTED_ELSEWHERE = {
    "tests/cli/test_archive_file.c": ["cli/archive_parts.c"],
    "tests/cli/test_backup.py": ["cli/backup.c", "cli/books.c", "cli/books_join.c", "cli/restore.c", "event-svc/archive.c", "lib/store/archive.c", "lib/store/archive_mongo.c",
                                 "lib/store/archive_record.c", "lib/store/archive_store.c", "lib/store/sqlite_pause.c", "mail-svc/archive.c",
                                 "order-svc/archive.c", "product-svc/archive.c", "user-svc/archive.c", "webhook-svc/archive.c"],
    "tests/cli/test_restore_killed.py": ["cli/restore_folder.c", "lib/store/mongo_mark.c"],
    "tests/cli/test_up.py": ["cli/child.c", "cli/ping.c", "cli/rooms.c", "cli/supervisor.c", "cli/threads.c"],
    "tests/gateway/test_http.c": ["gateway/api.c", "gateway/cors.c", "gateway/counters.c", "gateway/docs.c", "gateway/exchange.c",
                                  "gateway/gateway.c", "gateway/http_body.c", "gateway/own.c"],
    "tests/gateway/test_codec_json.c": ["lib/json/json_write.c"],
    "tests/gateway/test_live.c": ["gateway/ws_entry.c", "gateway/ws_gate.c", "gateway/ws_handshake.c"],
    "tests/system/test_rfc6455.py": ["gateway/ws_listen.c", "gateway/ws_upgrade.c"],
    "tests/gateway/test_ws_loop.c": ["gateway/ws_tasks.c"],
    "tests/gateway/test_ws_peer.c": ["gateway/ws_input.c"],
    "tests/gateway/test_ws_resume.c": ["gateway/ws_page.c"],
    "tests/system/test_stream.py": ["cli/tail.c", "gateway/event_source.c", "gateway/events.c", "gateway/http_stream.c", "gateway/ws_replay.c"],
    "tests/system/test_webhooks.py": ["webhook-svc/deliver.c", "webhook-svc/poster.c"],
    "tests/system/test_mail.py": ["mail-svc/deliver.c"],
    "tests/system/test_events.py": ["gateway/ws_access.c"],
    "tests/lib/bus/test_keys.c": ["lib/bus/credentials.c", "lib/bus/key_files.c"],
    "tests/broker/test_zap.c": ["broker/guard.c"],
    "tests/broker/test_dispatch.c": ["broker/dispatch_sweep.c"],
    "tests/broker/test_keeper.c": ["broker/dlq.c", "broker/errand.c", "proto/letter.c"],
    "tests/contract/contract_letter.c": ["event-svc/letters.c", "event-svc/letters_mongo.c", "event-svc/letters_sqlite.c"],
    "tests/contract/contract_event.c": ["event-svc/store_mongo.c", "event-svc/store_mongo_lease.c", "event-svc/store_mongo_read.c"],
    "tests/system/test_keys.py": ["cli/keys.c"],
    "tests/lib/bus/test_service.c": ["lib/bus/call.c", "lib/bus/handover.c", "lib/bus/loop.c", "lib/bus/work_pool.c"],
    "tests/lib/bus/test_client.c": ["lib/bus/courier.c"],
    "tests/lib/bus/test_keys.c": ["lib/bus/credentials.c", "lib/bus/key_files.c"],
    "tests/lib/bus/test_stream.c": ["lib/bus/publisher.c", "lib/bus/subscriber.c"],
    "tests/webhook-svc/test_handlers.c": ["webhook-svc/answers.c", "webhook-svc/shown.c"],
    "tests/contract/test_contract_mail_mongo.c": ["mail-svc/store_mongo.c"],
    "tests/contract/test_contract_webhook_mongo.c": ["webhook-svc/store_mongo.c"],
    "tests/contract/test_contract_order_mongo.c": ["order-svc/store_mongo.c"],
    "tests/lib/store/test_mongo_open.c": ["lib/store/share.c"],
    "tests/lib/store/test_mongo.c": ["lib/store/mongo_command.c"],
    "tests/contract/test_store_mongo_products.c": ["product-svc/store_mongo_retire.c"],
    "tests/contract/test_store_mongo_holds.c": ["product-svc/store_mongo_pending.c", "product-svc/store_mongo_settle.c"],
    "tests/order-svc/test_handlers.c": ["lib/store/outbox.c", "order-svc/events.c"],
    "tests/user-svc/test_session.c": ["user-svc/events.c"],
    "tests/user-svc/test_state.c": ["user-svc/shared.c"],
    "tests/user-svc/test_handlers.c": ["user-svc/guesses.c"],
    "tests/contract/test_contract_user_sqlite.c": ["user-svc/store_sqlite_answers.c", "user-svc/store_sqlite_attempts.c"],
    "tests/contract/test_contract_user_mongo.c": ["user-svc/store_mongo.c", "user-svc/store_mongo_answers.c", "user-svc/store_mongo_attempts.c", "user-svc/store_mongo_rest.c",
                                                  "user-svc/store_mongo_roles.c", "user-svc/store_mongo_session.c"],
}


def room_of(path):
    return next((r for r in ROOMS if path.startswith(r + "/")), None)


def breaches(name, text, room):
    code = re.sub(r"/\*.*?\*/", lambda m: re.sub(r"[^\n]", " ", m[0]), text, flags=re.S)
    for number, line in enumerate(code.splitlines(), 1):
        for pattern, why in BANNED:
            if re.search(pattern, line) and room not in ("tests", "bench"):
                yield f"{name}:{number}: {why}: {line.strip()}"
        for pattern, rooms in ONLY:
            if re.search(r"#include\s+" + pattern, line) and room not in rooms:
                yield f"{name}:{number}: {line.strip()} does not belong to {room}"
        included = re.match(r'#include "([^"]+)"', line)
        if included:
            other = room_of(included[1])
            if not other and not (room in ("tests", "bench")):
                yield f"{name}:{number}: an include that does not start at the root: {included[1]}"
            elif other and other != room and (ROOMS.index(other) > ROOMS.index(room) or
                                              (other in PRIVATE and room not in ("cli", "tests", "bench"))):
                yield f"{name}:{number}: {room} reaches into {other}"
        if re.search(r"\b(malloc|calloc|realloc|free)\s*\(", line) and room not in ("tests", "bench") and name != "lib/base/mem.c":
            yield f"{name}:{number}: memory is lib/base/mem's: {line.strip()}"
    lines = text.splitlines()
    if len(lines) > MAX_FILE:
        yield f"{name}: {len(lines)} lines; {MAX_FILE} are a sitting"
    start = None
    for number, line in enumerate(lines, 1):
        if line.startswith("{"):
            start = number
        elif line.startswith("}") and start:
            if number - start > MAX_FUNCTION:
                yield f"{name}:{start}: a function of {number - start} lines"
            start = None
        if len(line) > (TABLE_COLUMNS if TABLE_ROW.match(line) or line.endswith("\\") else MAX_COLUMNS):
            yield f"{name}:{number}: {len(line)} columns"


def missing_tests(files):
    tests = {p.name for p in (ROOT / "tests").rglob("test_*.c")}
    elsewhere = {name for names in TESTED_ELSEWHERE.values() for name in names}
    yield from (f"{test} is said to test {names}, and is not there" for test, names in TESTED_ELSEWHERE.items()
                if not (ROOT / test).exists())
    yield from (f"{name} is said to be tested elsewhere, and is not there" for name in sorted(elsewhere) if not (ROOT / name).exists())
    for name in files:
        stem = pathlib.Path(name).stem
        if name.endswith(".c") and room_of(name) not in ("tests", "bench", None) and stem not in ("main", "program") and name not in elsewhere:
            if f"test_{stem}.c" not in tests:
                yield f"{name}: no tests/**/test_{stem}.c"


def main():
    files = sorted(str(p.relative_to(ROOT)) for room in ROOMS for p in (ROOT / room).rglob("*.[ch]"))
    found = [b for f in files for b in breaches(f, (ROOT / f).read_text(), room_of(f))]
    found += missing_tests(files)
    print(*found, sep="\n")
    print(f"{len(files)} files read, {len(found)} breaches")
    sys.exit(1 if found else 0)


main()
