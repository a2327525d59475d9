/* One request on its way through the gateway, and the reply that is being made for it. Free of civetweb, so that
 * everything between the guard and the socket can be tried without one. Lives in a worker; used by one thread. */
#ifndef ZMART_GATEWAY_EXCHANGE_H
#define ZMART_GATEWAY_EXCHANGE_H

#include <time.h>

#include "gateway/request.h"
#include "gateway/router.h"
#include "lib/base/buffer.h"
#include "lib/base/id.h"
#include "lib/base/mem.h"
#include "proto/fault.h"
#include "proto/user.h"

enum { REPLY_MAX_BODY_SIZE = 16 * 1024 * 1024, REPLY_MAX_HEAD_SIZE = 16 * 1024 };
enum { IDEMPOTENCY_KEY_MAX_SIZE = 255, IF_MATCH_MAX_SIZE = 200 }; /* of the headers, in characters */

/* What follows the head of an answer without an end. */
struct reply_stream {
    bool on;
    bool resume;    /* begins behind after, else with what comes */
    int64_t after;
    uint64_t types; /* as in event_types.h */
    int64_t checked_ms; /* clock_now_ms() before it was checked who asks */
};

struct reply {
    int status;
    const char *media_type; /* NULL: no body */
    const char *policy;     /* Content-Security-Policy; NULL: that of an API */
    struct buffer fields;   /* further header lines, each with its CR LF */
    struct buffer body;
    struct text fixed_body; /* used instead of body when its data is not NULL; borrowed */
    bool close;             /* the connection ends with this reply */
    struct reply_stream stream;
    bool storable;          /* caches may keep it for some time (pages that never change while we run) */
};

struct gateway;

enum { DATE_SIZE = 32 };

struct exchange {
    struct gateway *gateway;
    struct http_request request;
    const struct route *route; /* NULL until one was found */
    struct route_match match;
    struct arena arena; /* everything that the request needs */
    struct fault fault;
    uint8_t request_id[ID_SIZE];
    char request_id_text[ID_HEX_SIZE];
    bool signed_in;
    struct identity who; /* if signed_in */
    struct reply reply;
    int64_t started_us;
    bool has_body;  /* something may follow the head */
    bool body_read; /* all of it was read */
    /* Reads the whole body into the arena, at most max_size bytes of it; fills the fault. Called at most once. */
    enum err (*read_body)(struct exchange *exchange, size_t max_size, struct text *out);
    void *connection; /* for read_body */
    struct id_source ids;
    time_t date_s; /* the second that date_text tells */
    char date_text[DATE_SIZE];
};

/* For reuse by the next request: arena and buffers are emptied, not freed (big ones are). */
void exchange_init(struct exchange *exchange, struct gateway *gateway);
void exchange_reset(struct exchange *exchange);
void exchange_release(struct exchange *exchange);
void exchange_set_request_id(struct exchange *exchange, const uint8_t request_id[ID_SIZE]);

/* Adds "name: value"; a value with a control character is left out. */
void reply_add_field(struct reply *reply, const char *name, struct text value);
/* The fault as problem+json; whatever was in the reply's body is dropped, its fields stay. */
void reply_problem(struct exchange *exchange);
/* The head of the reply, status line to empty line. */
void reply_write_head(struct exchange *exchange, struct buffer *out);
/* What is sent behind the head; empty for HEAD, 204 and 304. */
struct text reply_body(const struct exchange *exchange);
const char *http_reason(int status);

#endif
