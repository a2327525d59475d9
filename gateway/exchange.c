#include "gateway/exchange.h"

#include <time.h>

#include "gateway/problem.h"
#include "lib/base/clock.h"

enum { BUFFER_KEPT_SIZE = 64 * 1024 };

void exchange_init(struct exchange *exchange, struct gateway *gateway)
{
    *exchange = (struct exchange){.gateway = gateway};
    buffer_init(&exchange->reply.fields, REPLY_MAX_HEAD_SIZE);
    buffer_init(&exchange->reply.body, REPLY_MAX_BODY_SIZE);
    fault_init(&exchange->fault, &exchange->arena);
}

static void buffer_empty(struct buffer *buffer)
{
    if (buffer->capacity > BUFFER_KEPT_SIZE) {
        buffer_release(buffer);
    }
    buffer_clear(buffer);
}

void exchange_reset(struct exchange *exchange)
{
    struct reply *reply = &exchange->reply;
    arena_reset(&exchange->arena);
    buffer_empty(&reply->fields);
    buffer_empty(&reply->body);
    fault_init(&exchange->fault, &exchange->arena);
    reply->status = 0;
    reply->media_type = NULL;
    reply->policy = NULL;
    reply->fixed_body = (struct text){0};
    reply->close = false;
    reply->storable = false;
    reply->stream = (struct reply_stream){0};
    exchange->request = (struct http_request){.content_length = -1};
    exchange->route = NULL;
    exchange->signed_in = false;
    exchange->has_body = false;
    exchange->body_read = false;
    exchange->started_us = clock_now_us();
    uint8_t request_id[ID_SIZE];
    id_next(&exchange->ids, request_id);
    exchange_set_request_id(exchange, request_id);
}

void exchange_release(struct exchange *exchange)
{
    arena_release(&exchange->arena);
    buffer_release(&exchange->reply.fields);
    buffer_release(&exchange->reply.body);
}

void exchange_set_request_id(struct exchange *exchange, const uint8_t request_id[ID_SIZE])
{
    memcpy(exchange->request_id, request_id, ID_SIZE);
    id_to_hex(request_id, exchange->request_id_text);
}

void reply_add_field(struct reply *reply, const char *name, struct text value)
{
    for (uint32_t i = 0; i < value.size; i++) {
        unsigned char c = (unsigned char)value.data[i];
        if (c < 0x20 || c == 0x7f) {
            return;
        }
    }
    (void)(buffer_add_string(&reply->fields, name) && buffer_add_string(&reply->fields, ": ") &&
           buffer_add_text(&reply->fields, value) && buffer_add_string(&reply->fields, "\r\n"));
}

static void add_allowed(struct reply *reply, const struct text_list *allowed)
{
    AUTO(buffer_release) struct buffer list;
    buffer_init(&list, 200);
    for (uint32_t i = 0; i < allowed->count; i++) {
        (void)(buffer_add_string(&list, i ? ", " : "") && buffer_add_text(&list, allowed->items[i]));
    }
    reply_add_field(reply, "Allow", buffer_text(&list));
}

void reply_problem(struct exchange *exchange)
{
    struct reply *reply = &exchange->reply;
    struct fault *fault = &exchange->fault;
    int status = err_info(fault->code)->http;
    reply->status = status;
    reply->media_type = PROBLEM_MEDIA_TYPE;
    reply->policy = NULL;
    reply->storable = false;
    reply->stream = (struct reply_stream){0};
    reply->fixed_body = (struct text){0};
    buffer_clear(&reply->body);
    int64_t retry_after_s = problem_retry_after(fault);
    if (retry_after_s > 0) {
        AUTO(buffer_release) struct buffer number;
        buffer_init(&number, 24);
        (void)buffer_add_int(&number, retry_after_s);
        reply_add_field(reply, "Retry-After", buffer_text(&number));
    }
    if (status == 401) {
        reply_add_field(reply, "WWW-Authenticate",
                        exchange->request.headers[HEADER_AUTHORIZATION].data
                            ? TEXT("Bearer realm=\"zmart\", error=\"invalid_token\"")
                            : TEXT("Bearer realm=\"zmart\""));
    }
    if (status == 405) {
        add_allowed(reply, &fault->allowed);
        fault->allowed = (struct text_list){0};
    }
    if (fault->replayed) {
        reply_add_field(reply, "Idempotent-Replayed", TEXT("true"));
    }
    (void)problem_write(fault, exchange->request.path, text_of(exchange->request_id_text), &reply->body);
}

const char *http_reason(int status)
{
    static const struct {
        int status;
        const char *reason;
    } reasons[] = {
        {200, "OK"},
        {201, "Created"},
        {204, "No Content"},
        {304, "Not Modified"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {410, "Gone"},
        {412, "Precondition Failed"},
        {413, "Content Too Large"},
        {414, "URI Too Long"},
        {415, "Unsupported Media Type"},
        {422, "Unprocessable Content"},
        {426, "Upgrade Required"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {502, "Bad Gateway"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
        {505, "HTTP Version Not Supported"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(reasons); i++) {
        if (reasons[i].status == status) {
            return reasons[i].reason;
        }
    }
    return "Unknown";
}

/* Made once a second: a date costs more than the rest of a head. */
static void add_date(struct exchange *exchange, struct buffer *out)
{
    struct tm tm;
    time_t now = (time_t)(clock_wall_ms() / 1000);
    if (now != exchange->date_s && gmtime_r(&now, &tm) &&
        strftime(exchange->date_text, DATE_SIZE, "%a, %d %b %Y %H:%M:%S GMT", &tm) > 0) {
        exchange->date_s = now;
    }
    if (now == exchange->date_s) {
        (void)(buffer_add_string(out, "Date: ") && buffer_add_string(out, exchange->date_text) &&
               buffer_add_string(out, "\r\n"));
    }
}

static struct text whole_body(const struct reply *reply)
{
    return reply->fixed_body.data ? reply->fixed_body : buffer_text(&reply->body);
}

static bool status_has_body(int status)
{
    return status >= 200 && status != 204 && status != 304;
}

void reply_write_head(struct exchange *exchange, struct buffer *out)
{
    const struct reply *reply = &exchange->reply;
    bool added = buffer_add_string(out, "HTTP/1.1 ") && buffer_add_int(out, reply->status) &&
                 buffer_add_char(out, ' ') && buffer_add_string(out, http_reason(reply->status)) &&
                 buffer_add_string(out, "\r\n");
    add_date(exchange, out);
    if (status_has_body(reply->status)) {
        if (!reply->stream.on) {
            added = added && buffer_add_string(out, "Content-Length: ") &&
                    buffer_add_int(out, whole_body(reply).size) && buffer_add_string(out, "\r\n");
        } else if (!exchange->request.http_1_0) { /* so that readers of blocks get each event as it comes */
            added = added && buffer_add_string(out, "Transfer-Encoding: chunked\r\n");
        }
        if (reply->media_type) {
            added = added && buffer_add_string(out, "Content-Type: ") && buffer_add_string(out, reply->media_type) &&
                    buffer_add_string(out, "\r\n");
        }
    }
    added = added && buffer_add_string(out, "X-Request-Id: ") && buffer_add_string(out, exchange->request_id_text) &&
            buffer_add_string(out, reply->storable ? "\r\nCache-Control: max-age=60" : "\r\nCache-Control: no-store") &&
            buffer_add_string(out, "\r\nX-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\n"
                                   "Content-Security-Policy: ") &&
            buffer_add_string(out, reply->policy ? reply->policy : "default-src 'none'; frame-ancestors 'none'") &&
            buffer_add_string(out, "\r\n") && buffer_add_text(out, buffer_text(&reply->fields));
    if (reply->close) {
        added = added && buffer_add_string(out, "Connection: close\r\n");
    } else if (exchange->request.http_1_0) {
        added = added && buffer_add_string(out, "Connection: keep-alive\r\n");
    }
    (void)(added && buffer_add_string(out, "\r\n"));
}

struct text reply_body(const struct exchange *exchange)
{
    if (exchange->request.verb == VERB_HEAD || !status_has_body(exchange->reply.status)) {
        return (struct text){0};
    }
    return whole_body(&exchange->reply);
}
