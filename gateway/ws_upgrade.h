/* The head of a WebSocket's handshake on a port of our own: strict, bounded, and pure. What civetweb lets pass and the
 * guard refuses is refused here by the parser: bare LF, folded lines, two of a kind, bodies, other versions. */
#ifndef ZMART_GATEWAY_WS_UPGRADE_H
#define ZMART_GATEWAY_WS_UPGRADE_H

#include "gateway/request.h"
#include "lib/base/buffer.h"
#include "proto/fault.h"

enum { WS_HEAD_MAX = 16 * 1024, WS_HEAD_FIELDS_MAX = 64, WS_TARGET_MAX = 8 * 1024, WS_KEY_SIZE = 24, WS_ACCEPT_SIZE = 29 };

#define WS_PATH "/ws"

/* What a handshake says, whoever has read it; texts are borrowed, data is NULL for what was not sent. */
struct ws_handshake {
    struct text path, query;
    struct text key, origin, authorization;
    struct text forwarded_for; /* the last X-Forwarded-For */
    const char *client;        /* address of the peer */
};

/* Bytes of the head with its empty line if that is there, else 0. */
size_t ws_head_size(struct text bytes);
/* head: all of it. BAD_REQUEST, METHOD_NOT_ALLOWED, URI_TOO_LONG, HEAD_TOO_LARGE, HTTP_VERSION, UPGRADE_REQUIRED;
 * out->client is not set, and out is untouched on failure. */
MUST_USE enum err ws_upgrade_read(struct text head, struct fault *fault, struct ws_handshake *out);
/* 16 bytes in base64, which is all that RFC 6455 asks of a key. */
bool ws_key_is_good(struct text key);
/* The 101; key is a good one. */
void ws_upgrade_answer(struct text key, struct buffer *out);
/* A problem+json with its head, after which the connection ends. */
void ws_upgrade_refusal(const struct fault *fault, struct buffer *out);

#endif
