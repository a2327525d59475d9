#include "gateway/cors.h"

struct cors {
    struct text origins; /* as given */
};

struct cors *cors_new(const char *origins)
{
    struct cors *self = mem_alloc(sizeof *self);
    self->origins = text_of(origins ? origins : "");
    return self;
}

void cors_destroy(struct cors **self)
{
    mem_free(*self);
    *self = NULL;
}

static bool origin_listed(const struct cors *self, struct text origin)
{
    struct text rest = self->origins;
    struct text one;
    while (rest.size && text_cut(&rest, ',', &one)) {
        while (one.size && one.data[0] == ' ') {
            one = (struct text){one.data + 1, one.size - 1};
        }
        while (one.size && one.data[one.size - 1] == ' ') {
            one.size--;
        }
        if (text_is(one, "*") || text_equal(one, origin)) {
            return true;
        }
    }
    return false;
}

void cors_apply(const struct cors *self, struct exchange *exchange)
{
    struct text origin = exchange->request.headers[HEADER_ORIGIN];
    bool all = text_is(self->origins, "*");
    if (self->origins.size == 0) {
        return;
    }
    if (!all) {
        reply_add_field(&exchange->reply, "Vary", TEXT("Origin"));
    }
    if (origin.size && origin_listed(self, origin)) {
        reply_add_field(&exchange->reply, "Access-Control-Allow-Origin", all ? TEXT("*") : origin);
        reply_add_field(
            &exchange->reply, "Access-Control-Expose-Headers",
            TEXT("ETag, Location, X-Request-Id, Idempotent-Replayed, Retry-After, RateLimit, RateLimit-Policy"));
    }
}

void cors_preflight(const struct cors *self, struct exchange *exchange, struct text methods)
{
    struct text origin = exchange->request.headers[HEADER_ORIGIN];
    exchange->reply.status = 204;
    if (origin.size && self->origins.size && origin_listed(self, origin)) {
        reply_add_field(&exchange->reply, "Access-Control-Allow-Methods", methods);
        reply_add_field(&exchange->reply, "Access-Control-Allow-Headers",
                        TEXT("Authorization, Content-Type, If-Match, If-None-Match, Idempotency-Key, Last-Event-ID, "
                             "traceparent"));
        reply_add_field(&exchange->reply, "Access-Control-Max-Age", TEXT("600"));
    }
}
