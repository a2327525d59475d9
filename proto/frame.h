/* BUS/1: the frames between gateways, brokers and workers.
 *
 *     [routing id] head, then by type:
 *     HELLO    head, body (hello record)                     peer -> broker
 *     WELCOME  head, body (welcome record)                   broker -> peer
 *     REQUEST  head, route, meta (call_meta), body           client -> broker -> worker
 *     PARTIAL  head, meta (reply_meta), body                 worker -> broker -> client
 *     REPLY    head, meta (reply_meta), body                 worker -> broker -> client; body is a problem record if status is an error
 *     NACK     head, meta (empty), body (problem record)     broker -> client
 *     PING     head [, body (worker's metrics, opaque)]      peer -> broker; PONG echoes the head's t_send
 *     CREDIT PONG DRAIN BYE CANCEL   head only
 *
 * The head has a fixed layout of 64 bytes, integers big-endian; the broker parses it and the route, nothing else.
 * A route is "service.operation", or "service.operation#key": requests with one key go to one worker while they can.
 *
 *      0  4 magic "BUS1"                   24  8 corr       the sender's own number, echoed verbatim
 *      4  1 type                           32  8 t_send_us  sender's boot-time clock
 *      5  1 flags                          40  4 budget_ms  time left when it was sent
 *      6  1 priority 0..3 (0 shed first)   44  2 status     0, or an HTTP status
 *      7  1 attempt 1..                    46  2 credit     given (HELLO, CREDIT) or returned (REPLY)
 *      8 16 request id, same on a retry    48  4 epoch      of the session, from WELCOME
 *                                          52  4 queue_us   time queued in the broker
 *                                          56  8 zero */
#ifndef ZMART_PROTO_FRAME_H
#define ZMART_PROTO_FRAME_H

#include "lib/base/id.h"
#include "proto/record.h"
#include "proto/user.h"

enum { FRAME_HEAD_SIZE = 64, ROUTE_MAX_SIZE = 120, FRAME_MAX_ATTEMPTS = 3, FRAME_MAX_BODY = 4 * 1024 * 1024 };

enum frame_type {
    FRAME_HELLO = 1, FRAME_WELCOME, FRAME_REQUEST, FRAME_PARTIAL, FRAME_REPLY, FRAME_NACK, FRAME_CREDIT, FRAME_PING,
    FRAME_PONG, FRAME_DRAIN, FRAME_BYE, FRAME_CANCEL, FRAME_TYPE_COUNT
};

enum frame_flags {
    FRAME_REDELIVERED = 0x01, /* another worker may have begun it */
    FRAME_REPEATABLE = 0x02,  /* may be sent to another worker */
    FRAME_NO_REPLY = 0x04,    /* the sender waits for nothing */
    FRAME_LAST = 0x08,        /* no PARTIAL follows */
    FRAME_SERVICE = 0x10,     /* from a service: never shed */
    FRAME_SECRET = 0x20       /* has SECRET fields: no dead letter keeps its body */
};

struct frame_head {
    enum frame_type type;
    uint8_t flags;
    uint8_t priority;
    uint8_t attempt;
    uint8_t request_id[ID_SIZE];
    uint64_t corr;
    int64_t t_send_us;
    uint32_t budget_ms;
    uint16_t status;
    uint16_t credit;
    uint32_t epoch;
    uint32_t queue_us;
};

void frame_head_write(const struct frame_head *head, uint8_t out[FRAME_HEAD_SIZE]);
/* False for another size or magic, an unknown type, a priority over 3. */
MUST_USE bool frame_head_read(struct text frame, struct frame_head *out);
const char *frame_type_name(enum frame_type type);
/* Splits "service.operation#key"; key is empty without one. False if it is not of that form or has other characters
 * than [a-z0-9_.-] (key: also upper case). */
MUST_USE bool route_read(struct text route, struct text *out_service, struct text *out_operation, struct text *out_key);

#define HELLO_SERVICE_FIELDS(F, R)                                                     \
    F(R, TEXT, name,   REQ | LINE, 1, 40, none, "a service this worker serves")       \
    F(R, INT,  credit, REQ, 1, 65535, none, "requests it takes at a time")
RECORD_DECLARE(hello_service, HELLO_SERVICE_FIELDS);

#define HELLO_FIELDS(F, R)                                                                   \
    F(R, TEXT, role,     REQ | LINE, 1, 20, none, "worker, gateway, service or operator")   \
    F(R, TEXT, instance, REQ | LINE, 1, 60, none, "the process's name")                     \
    F(R, TEXT, version,  REQ | LINE, 1, 40, none, "of the software")                        \
    F(R, LIST, services, REQ, 0, 16, hello_service, "what a worker serves")                 \
    F(R, INT,  hb_ms,    REQ, 50, 60000, none, "it sends something at least this often")
RECORD_DECLARE(hello, HELLO_FIELDS);

#define WELCOME_FIELDS(F, R)                                                                 \
    F(R, TEXT, broker,   REQ, 1, 60, none, "the broker's instance")                         \
    F(R, INT,  epoch,    REQ, 1, UINT32_MAX, none, "of this session, for every head")       \
    F(R, INT,  hb_ms,    REQ, 50, 60000, none, "the heartbeat both keep")                   \
    F(R, INT,  max_body, REQ, 1024, INT32_MAX, none, "bytes of body a request may have")
RECORD_DECLARE(welcome, WELCOME_FIELDS);

/* Second part of every request: who asks, and how. */
#define CALL_META_FIELDS(F, R)                                                                        \
    F(R, TEXT, user_id,     OPT, 1, 40, none, "the account that asks; absent: nobody signed in")     \
    F(R, ENUM, role,        OPT, 0, 0, role, "what it may do")                                       \
    F(R, TEXT, session_id,  OPT, 1, 40, none, "its session")                                         \
    F(R, TIME, token_at,    OPT, 0, INT64_MAX, none, "when its token was issued")                    \
    F(R, BOOL, keyed,       OPT, 0, 0, none, "the request id came from an Idempotency-Key")          \
    F(R, TEXT, if_match,    OPT, 0, 200, none, "the header If-Match")                                \
    F(R, TEXT, client,      OPT, 0, 64, none, "address of the client, for limits and logs")          \
    F(R, TEXT, caller,      OPT, 0, 60, none, "the service that asks, if it is one")                 \
    F(R, TEXT, traceparent, OPT, 0, 64, none, "W3C trace context")
RECORD_DECLARE(call_meta, CALL_META_FIELDS);

#define REPLY_META_FIELDS(F, R)                                                                       \
    F(R, BOOL, replayed, OPT, 0, 0, none, "an earlier request with this key had this answer")        \
    F(R, TEXT, worker,   OPT, 0, 60, none, "who answered")
RECORD_DECLARE(reply_meta, REPLY_META_FIELDS);

/* What workers send along with PING, and what mmi.metrics answers. */
enum { METRIC_SERIES_MAX = 2000 };
#define METRIC_SERIES_FIELDS(F, R)                                                                    \
    F(R, TEXT, name,    REQ, 1, 80, none, "zmart_...")                                               \
    F(R, TEXT, labels,  REQ, 0, 400, none, "route=\"x\",status=\"200\"")                             \
    F(R, TEXT, help,    REQ, 0, 200, none, "one sentence")                                           \
    F(R, INT,  kind,    REQ, 0, 3, none, "0 counter, 1 gauge, 2 times in microseconds, 3 amounts")   \
    F(R, INT,  value,   REQ, INT64_MIN, INT64_MAX, none, "value, or sum of a histogram")             \
    F(R, TEXT, buckets, OPT, 0, 400, none, "histograms: counts by bucket, separated by blanks")
RECORD_DECLARE(metric_series, METRIC_SERIES_FIELDS);

#define METRIC_LIST_FIELDS(F, R)                                                                      \
    F(R, TEXT, instance, REQ, 1, 60, none, "whose they are")                                         \
    F(R, LIST, series,   REQ, 0, METRIC_SERIES_MAX, metric_series, "one item a series")
RECORD_DECLARE(metric_list, METRIC_LIST_FIELDS);

#define METRIC_REPORT_FIELDS(F, R) \
    F(R, LIST, processes, REQ, 0, 1000, metric_list, "the broker's own first, then its workers'")
RECORD_DECLARE(metric_report, METRIC_REPORT_FIELDS);

#endif
