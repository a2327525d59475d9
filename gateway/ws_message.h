/* One frame towards clients, built once and shared by every queue that it stands in. A server's frames are not masked,
 * so the bytes are the same for everybody. Thread-safe by its count; never changed after it was made. */
#ifndef ZMART_GATEWAY_WS_MESSAGE_H
#define ZMART_GATEWAY_WS_MESSAGE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/base/text.h"

enum { WS_ID_SIZE = 41, WS_REASON_MAX = 123, WS_MESSAGE_MAX = 1024 * 1024 };

enum ws_opcode { WS_TEXT = 1, WS_BINARY = 2 };

struct buffer;
/* A frame as a client sends it, whose first byte (FIN, RSV, opcode) is given; masked with zeroes. */
void ws_frame_write(uint8_t first, const void *payload, size_t size, struct buffer *out);

struct ws_message {
    atomic_int users;
    bool event;               /* carries an event; otherwise ping, pong or close */
    uint64_t types;           /* of the event, as in event_types.h */
    struct ws_message *plain; /* the event as a stream of Server-Sent Events has it; owned, NULL if not made */
    int64_t seq;              /* of the event */
    char user_id[WS_ID_SIZE]; /* whose event it is; empty: administrators only */
    char order_id[WS_ID_SIZE];
    uint32_t size;
    uint8_t lead_size, tail_size; /* of a stream's bytes: what makes a chunk of HTTP/1.1 of those between */
    uint8_t bytes[];              /* the whole frame, or chunk */
};

/* A text frame; json is at most WS_MESSAGE_MAX. user_id and order_id are cut at 40 bytes. */
struct ws_message *ws_message_of_event(struct text json, int64_t seq, struct text user_id, struct text order_id);
/* The same event as a chunk for streams: id and data. message is not shared yet. */
void ws_message_set_plain(struct ws_message *message, struct text bytes);
/* An unfragmented message that is no event. */
struct ws_message *ws_message_of_data(enum ws_opcode opcode, struct text payload);
/* Bytes that are frames already. */
struct ws_message *ws_message_of_frames(struct text frames);
struct ws_message *ws_message_of_ping(void);
/* A comment of a stream, which clients pass over; with the last one the body ends. The words are cut at WS_REASON_MAX
 * bytes. */
struct ws_message *ws_message_of_comment(const char *words, bool last);
/* The reason is cut at WS_REASON_MAX bytes. */
struct ws_message *ws_message_of_close(uint16_t code, struct text reason);
struct ws_message *ws_message_keep(struct ws_message *message);
/* Fit for AUTO; frees with the last user. */
void ws_message_drop(struct ws_message **message);

#endif
