/* What a client of a WebSocket says: read, parsed and checked by libwslay. It keeps 8 KiB for a connection, so it is
 * there only while something has arrived in part or is being answered. One thread; never blocks. */
#ifndef ZMART_GATEWAY_WS_INPUT_H
#define ZMART_GATEWAY_WS_INPUT_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/buffer.h"

struct ws_peer;
struct ws_limits;
struct wslay_event_context;

/* One message of a client. */
struct ws_said {
    bool is_text;      /* checked UTF-8; else binary */
    bool is_whole;     /* false: it was longer than limits.keep_size, and bytes is its beginning */
    struct text bytes; /* good during the call */
};

/* Who is told about messages. */
struct ws_hearer {
    /* On the loop's thread; may queue answers to the peer and close it. */
    void (*message)(void *user, struct ws_peer *peer, const struct ws_said *said, int64_t now_ms);
    void *user;
};

/* What became of one turn. */
struct ws_heard {
    bool ended;          /* the connection is broken or closed by the client */
    bool pong;
    bool closed;         /* the client's close frame has come */
    uint16_t close_code; /* in it; 1005: none */
    uint16_t violation;  /* close code for the rule it broke; 0: none */
};

struct ws_input {
    struct ws_peer *peer;
    const struct ws_limits *limits; /* borrowed, as hearer */
    const struct ws_hearer *hearer; /* NULL: messages are checked, counted and thrown away */
    int fd;
    struct wslay_event_context *wslay; /* NULL between frames */
    char *early; /* owned: bytes that came with the handshake */
    uint32_t early_size, early_used;
    struct buffer kept;    /* of the message that is arriving */
    struct buffer *output; /* during ws_input_answer */
    struct ws_heard heard; /* in this turn; closed and violation for good */
    int64_t now_ms, minute_ms;
    int64_t read_left;                  /* bytes of this turn */
    int64_t pending_size;               /* bytes of a frame that is not whole yet */
    int64_t frame_size, message_size;   /* of what is arriving: with its head; payload so far */
    int64_t message_count, frame_count; /* since minute_ms */
    bool in_message, is_control;
};

/* early is copied. */
void ws_input_init(struct ws_input *self, struct ws_peer *peer, int fd, const struct ws_limits *limits,
                   const struct ws_hearer *hearer, int64_t now_ms);
/* Bytes to be read before the socket's. */
void ws_input_put_early(struct ws_input *self, struct text bytes);
void ws_input_release(struct ws_input *self);
/* Reads what has come, a bounded part of it. */
struct ws_heard ws_input_turn(struct ws_input *self, int64_t now_ms);
/* Appends what is to be answered (pongs, closes) as whole frames. False if there is no memory or room for it.
 * *out_close: the code of a close frame among them, or 0. */
MUST_USE bool ws_input_answer(struct ws_input *self, struct buffer *out, uint16_t *out_close);
/* Gives up what is not needed while the client is silent. */
void ws_input_rest(struct ws_input *self);
/* Nothing more of what the client says matters: it has closed, or broken a rule. */
bool ws_input_is_over(const struct ws_input *self);
/* The limits a minute begin anew when one is over. */
void ws_input_tick(struct ws_input *self, int64_t now_ms);

#endif
