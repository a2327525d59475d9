#include "gateway/http_stream.h"

#include <civetweb.h>

#include "gateway/gateway.h"
#include "gateway/live.h"

static enum err stream_add(struct exchange *x, struct live *live, int fd, struct ws_peer_settings *out)
{
    const struct reply_stream *stream = &x->reply.stream;
    *out = (struct ws_peer_settings){.fd = -1,
                                     .kind = WS_STREAM,
                                     .bare = x->request.http_1_0,
                                     .resume = stream->resume,
                                     .after = stream->after,
                                     .types = stream->types,
                                     .identity = {.role = x->who.role,
                                                  .issued_at_ms = x->who.issued_at,
                                                  .checked_ms = stream->checked_ms}};
    if (!text_to_string(x->who.user_id, out->identity.user_id, WS_ID_SIZE) ||
        !text_to_string(x->who.session_id, out->identity.session_id, WS_ID_SIZE)) {
        return fault_set(&x->fault, ERR_UNAUTHENTICATED, NULL);
    }
    if (!text_to_string(x->request.client, out->client, sizeof(out->client))) {
        out->client[0] = '\0';
    }
    return live_stream_add(live, fd, out, &x->fault);
}

bool http_stream_begin(struct exchange *x, struct mg_connection *connection, int fd, struct buffer *head)
{
    struct live *live = atomic_load(&x->gateway->live);
    struct ws_peer_settings peer;
    enum err e = stream_add(x, live, fd, &peer);
    if (e != ERR_NONE) {
        x->fault.code = e;
        reply_problem(x);
        return false;
    }
    buffer_clear(head);
    x->reply.close = true;
    mg_disable_connection_keep_alive(connection);
    reply_write_head(x, head);
    (void)mg_write(connection, head->data, head->size);
    live_stream_start(live, fd, &peer);
    gateway_record(x);
    return true;
}
