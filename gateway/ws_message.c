#include "gateway/ws_message.h"

#include <stdio.h>

#include "lib/base/buffer.h"
#include "lib/base/invariant.h"
#include "lib/base/mem.h"

enum { FIN = 0x80, OPCODE_CLOSE = 8, OPCODE_PING = 9 };

static struct ws_message *message_new(size_t size)
{
    struct ws_message *message = mem_alloc(sizeof(*message) + size);
    atomic_init(&message->users, 1);
    message->size = (uint32_t)size;
    return message;
}

/* Returns the size of the head (2, 4 or 10 bytes). */
static size_t head_write(uint8_t first, size_t payload_size, uint8_t out[10])
{
    out[0] = first;
    if (payload_size < 126) {
        out[1] = (uint8_t)payload_size;
        return 2;
    }
    size_t length_size = payload_size <= UINT16_MAX ? 2 : 8;
    out[1] = length_size == 2 ? 126 : 127;
    for (size_t i = 0; i < length_size; i++) {
        out[2 + i] = (uint8_t)((uint64_t)payload_size >> 8 * (length_size - 1 - i));
    }
    return 2 + length_size;
}

void ws_frame_write(uint8_t first, const void *payload, size_t size, struct buffer *out)
{
    uint8_t head[14] = {0};
    size_t head_size = head_write(first, size, head);
    head[1] |= 0x80; /* masked; the key behind is zero */
    if (buffer_add(out, head, head_size + 4)) {
        (void)buffer_add(out, payload, size);
    }
}

static void id_write(struct text id, char out[WS_ID_SIZE])
{
    size_t size = id.size < WS_ID_SIZE ? id.size : WS_ID_SIZE - 1;
    if (size > 0) {
        memcpy(out, id.data, size);
    }
    out[size] = '\0';
}

struct ws_message *ws_message_of_data(enum ws_opcode opcode, struct text payload)
{
    uint8_t head[10];
    size_t head_size = head_write((uint8_t)(FIN | opcode), payload.size, head);
    struct ws_message *message = message_new(head_size + payload.size);
    memcpy(message->bytes, head, head_size);
    if (payload.size > 0) {
        memcpy(message->bytes + head_size, payload.data, payload.size);
    }
    return message;
}

struct ws_message *ws_message_of_event(struct text json, int64_t seq, struct text user_id, struct text order_id)
{
    ASSERT(json.size <= WS_MESSAGE_MAX);
    struct ws_message *message = ws_message_of_data(WS_TEXT, json);
    message->event = true;
    message->seq = seq;
    id_write(user_id, message->user_id);
    id_write(order_id, message->order_id);
    return message;
}

/* The bytes as a chunk of HTTP/1.1, and behind it what is given. */
static struct ws_message *message_of_chunk(struct text bytes, const char *behind)
{
    char lead[12];
    int lead_size = snprintf(lead, sizeof lead, "%x\r\n", (unsigned)bytes.size);
    size_t tail_size = 2 + strlen(behind);
    struct ws_message *message = message_new((size_t)lead_size + bytes.size + tail_size);
    uint8_t *at = message->bytes + lead_size;
    memcpy(message->bytes, lead, (size_t)lead_size);
    memcpy(at, bytes.data, bytes.size);
    memcpy(at + bytes.size, "\r\n", 2);
    memcpy(at + bytes.size + 2, behind, tail_size - 2);
    message->lead_size = (uint8_t)lead_size;
    message->tail_size = (uint8_t)tail_size;
    return message;
}

void ws_message_set_plain(struct ws_message *message, struct text bytes)
{
    ASSERT(!message->plain && bytes.size > 0);
    struct ws_message *plain = message_of_chunk(bytes, "");
    plain->event = true;
    plain->seq = message->seq;
    message->plain = plain;
}

struct ws_message *ws_message_of_frames(struct text frames)
{
    struct ws_message *message = message_new(frames.size);
    memcpy(message->bytes, frames.data, frames.size);
    return message;
}

struct ws_message *ws_message_of_ping(void)
{
    static const char ping[] = {(char)(FIN | OPCODE_PING), 0};
    return ws_message_of_frames((struct text){ping, sizeof(ping)});
}

struct ws_message *ws_message_of_comment(const char *words, bool last)
{
    char line[WS_REASON_MAX + 4];
    int size = snprintf(line, sizeof line, ":%.*s\n\n", WS_REASON_MAX, words);
    return message_of_chunk((struct text){line, (uint32_t)size}, last ? "0\r\n\r\n" : "");
}

struct ws_message *ws_message_of_close(uint16_t code, struct text reason)
{
    size_t reason_size = reason.size < WS_REASON_MAX ? reason.size : WS_REASON_MAX;
    struct ws_message *message = message_new(4 + reason_size);
    message->bytes[0] = FIN | OPCODE_CLOSE;
    message->bytes[1] = (uint8_t)(2 + reason_size);
    message->bytes[2] = (uint8_t)(code >> 8);
    message->bytes[3] = (uint8_t)code;
    if (reason_size > 0) {
        memcpy(message->bytes + 4, reason.data, reason_size);
    }
    return message;
}

struct ws_message *ws_message_keep(struct ws_message *message)
{
    atomic_fetch_add_explicit(&message->users, 1, memory_order_relaxed);
    return message;
}

void ws_message_drop(struct ws_message **message_p)
{
    struct ws_message *message = *message_p;
    if (message && atomic_fetch_sub_explicit(&message->users, 1, memory_order_acq_rel) == 1) {
        ws_message_drop(&message->plain);
        mem_free(message);
    }
    *message_p = NULL;
}
