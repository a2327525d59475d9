#include "gateway/ws_input.h"

#include <errno.h>
#include <sys/socket.h>
#include <wslay/wslay.h>

#include "gateway/ws_peer.h"
#include "lib/base/mem.h"

enum {
    READ_TURN_SIZE = 64 * 1024, /* of one client before the others get their turn */
    FRAMES_PER_MESSAGE = 8,
    MINUTE_MS = 60 * 1000,
    MASK_SIZE = 4
};

/* ---- libwslay's callbacks ---- */

static ssize_t early_take(struct ws_input *self, uint8_t *data, size_t size)
{
    size_t left = self->early_size - self->early_used;
    size_t taken = left < size ? left : size;
    memcpy(data, self->early + self->early_used, taken);
    self->early_used += (uint32_t)taken;
    if (self->early_used == self->early_size) {
        mem_free(self->early);
        self->early = NULL;
    }
    return (ssize_t)taken;
}

static ssize_t on_recv(wslay_event_context_ptr wslay, uint8_t *data, size_t size, int flags, void *user)
{
    (void)flags;
    struct ws_input *self = user;
    if (self->read_left <= 0) {
        wslay_event_set_error(wslay, WSLAY_ERR_WOULDBLOCK);
        return -1;
    }
    ssize_t got = self->early ? early_take(self, data, size) : -1;
    while (got < 0 && (got = recv(self->fd, data, size, MSG_DONTWAIT)) < 0 && errno == EINTR) {
    }
    if (got > 0) {
        self->read_left -= got;
        self->pending_size += got;
        return got;
    }
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
        wslay_event_set_error(wslay, WSLAY_ERR_WOULDBLOCK);
        return -1;
    }
    self->heard.ended = true;
    wslay_event_set_error(wslay, WSLAY_ERR_CALLBACK_FAILURE);
    return -1;
}

static ssize_t on_send(wslay_event_context_ptr wslay, const uint8_t *data, size_t size, int flags, void *user)
{
    (void)flags;
    struct ws_input *self = user;
    if (buffer_add(self->output, data, size)) {
        return (ssize_t)size;
    }
    wslay_event_set_error(wslay, WSLAY_ERR_CALLBACK_FAILURE);
    return -1;
}

static void violate(struct ws_input *self, uint16_t code)
{
    if (self->heard.violation == 0) {
        self->heard.violation = code;
    }
    wslay_event_shutdown_read(self->wslay);
}

static int64_t frame_size_of(uint64_t payload_size)
{
    int64_t head = 2 + MASK_SIZE + (payload_size < 126 ? 0 : payload_size <= UINT16_MAX ? 2 : 8);
    return payload_size > INT32_MAX ? INT64_MAX : head + (int64_t)payload_size; /* such a frame never becomes whole */
}

static void on_frame_start(wslay_event_context_ptr wslay, const struct wslay_event_on_frame_recv_start_arg *frame,
                           void *user)
{
    (void)wslay;
    struct ws_input *self = user;
    self->frame_size = frame_size_of(frame->payload_length);
    self->is_control = wslay_is_ctrl_frame(frame->opcode);
    if (++self->frame_count > self->limits->receive_rate * FRAMES_PER_MESSAGE) {
        violate(self, WS_POLICY);
    }
    if (self->is_control) {
        if (frame->opcode == WSLAY_CONNECTION_CLOSE && frame->payload_length == 1) {
            violate(self, WS_PROTOCOL_ERROR); /* half a code; libwslay takes it for none */
        }
        return;
    }
    self->in_message = true;
    if (frame->opcode != WSLAY_CONTINUATION_FRAME) {
        self->message_size = 0;
    }
    if (frame->payload_length > (uint64_t)(self->limits->receive_size - self->message_size)) {
        violate(self, WS_TOO_BIG); /* without buffering, libwslay limits single frames only */
        return;
    }
    self->message_size += (int64_t)frame->payload_length;
}

static void on_chunk(wslay_event_context_ptr wslay, const struct wslay_event_on_frame_recv_chunk_arg *chunk, void *user)
{
    (void)wslay;
    struct ws_input *self = user;
    if (!self->hearer || self->is_control) {
        return;
    }
    size_t room = self->kept.max_size - self->kept.size;
    size_t size = chunk->data_length < room ? chunk->data_length : room;
    (void)buffer_add(&self->kept, chunk->data, size);
}

static void on_frame_end(wslay_event_context_ptr wslay, void *user)
{
    (void)wslay;
    struct ws_input *self = user;
    self->pending_size -= self->frame_size;
}

static void message_tell(struct ws_input *self, bool is_text)
{
    struct ws_said said = {.is_text = is_text,
                           .is_whole = self->message_size == (int64_t)self->kept.size,
                           .bytes = buffer_text(&self->kept)};
    self->hearer->message(self->hearer->user, self->peer, &said, self->now_ms);
    buffer_release(&self->kept);
}

static void on_message(wslay_event_context_ptr wslay, const struct wslay_event_on_msg_recv_arg *message, void *user)
{
    (void)wslay;
    struct ws_input *self = user;
    if (message->opcode == WSLAY_PONG) {
        self->heard.pong = true;
    } else if (message->opcode == WSLAY_CONNECTION_CLOSE) {
        self->heard.closed = true;
        self->heard.close_code = message->status_code ? message->status_code : WSLAY_CODE_NO_STATUS_RCVD;
    } else if (!wslay_is_ctrl_frame(message->opcode)) {
        self->in_message = false;
        if (++self->message_count > self->limits->receive_rate) {
            violate(self, WS_POLICY);
        } else if (self->hearer && !self->heard.violation) {
            message_tell(self, message->opcode == WSLAY_TEXT_FRAME);
        }
    }
}

/* ---- turns ---- */

void ws_input_init(struct ws_input *self, struct ws_peer *peer, int fd, const struct ws_limits *limits,
                   const struct ws_hearer *hearer, int64_t now_ms)
{
    *self = (struct ws_input){
        .peer = peer, .limits = limits, .hearer = hearer, .fd = fd, .now_ms = now_ms, .minute_ms = now_ms};
    buffer_init(&self->kept, (size_t)limits->keep_size);
}

void ws_input_put_early(struct ws_input *self, struct text bytes)
{
    if (bytes.size > 0) {
        self->early = mem_alloc(bytes.size);
        memcpy(self->early, bytes.data, bytes.size);
        self->early_size = bytes.size;
        self->early_used = 0;
    }
}

static void context_free(struct ws_input *self)
{
    if (self->wslay) {
        wslay_event_context_free(self->wslay);
        self->wslay = NULL;
    }
}

void ws_input_release(struct ws_input *self)
{
    context_free(self);
    buffer_release(&self->kept);
    mem_free(self->early);
    self->early = NULL;
}

static bool context_make(struct ws_input *self)
{
    static const struct wslay_event_callbacks callbacks = {
        .recv_callback = on_recv,
        .send_callback = on_send,
        .on_frame_recv_start_callback = on_frame_start,
        .on_frame_recv_chunk_callback = on_chunk,
        .on_frame_recv_end_callback = on_frame_end,
        .on_msg_recv_callback = on_message,
    };
    if (self->wslay) {
        return true;
    }
    if (wslay_event_context_server_init(&self->wslay, &callbacks, self) != 0) {
        self->wslay = NULL;
        return false;
    }
    wslay_event_config_set_no_buffering(self->wslay, 1);
    wslay_event_config_set_max_recv_msg_length(self->wslay, (uint64_t)self->limits->receive_size);
    return true;
}

struct ws_heard ws_input_turn(struct ws_input *self, int64_t now_ms)
{
    self->heard.pong = false;
    self->now_ms = now_ms;
    self->read_left = READ_TURN_SIZE;
    if (!context_make(self)) {
        self->heard.ended = true; /* no memory: there is no talking to this client */
        return self->heard;
    }
    if (wslay_event_recv(self->wslay) != 0 && !self->heard.ended && self->heard.violation == 0) {
        self->heard.violation = WS_PROTOCOL_ERROR; /* a malformed head: libwslay would close without a code */
    }
    return self->heard;
}

bool ws_input_answer(struct ws_input *self, struct buffer *out, uint16_t *out_close)
{
    *out_close = 0;
    if (!self->wslay) {
        return true;
    }
    self->output = out;
    bool sent = wslay_event_send(self->wslay) == 0;
    self->output = NULL;
    if (sent && wslay_event_get_close_sent(self->wslay)) {
        *out_close = wslay_event_get_status_code_sent(self->wslay);
    }
    return sent;
}

bool ws_input_is_over(const struct ws_input *self)
{
    return self->wslay && !wslay_event_want_read(self->wslay);
}

void ws_input_rest(struct ws_input *self)
{
    bool idle = self->pending_size == 0 && !self->in_message && !ws_input_is_over(self);
    if (idle && self->wslay && !wslay_event_want_write(self->wslay)) {
        context_free(self);
    }
}

void ws_input_tick(struct ws_input *self, int64_t now_ms)
{
    if (now_ms - self->minute_ms >= MINUTE_MS) {
        self->minute_ms = now_ms;
        self->message_count = self->frame_count = 0;
    }
}
