/* libwslay parses, checks and answers (pong, echo of a close, closes for malformed frames); its output is collected
 * into whole frames and goes through the peer's own queue. Events, pings and our own closes are frames made here, so
 * that an event's bytes are shared between clients, and nothing is ever sent in the middle of another frame. */
#include "gateway/ws_peer.h"

#include <errno.h>
#include <linux/sockios.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>
#include <wslay/wslay.h>

#include "gateway/event_types.h"
#include "gateway/ws_queue.h"
#include "gateway/ws_sight.h"
#include "lib/base/buffer.h"
#include "lib/base/invariant.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"

enum {
    READ_TURN_SIZE = 64 * 1024,  /* of one client before the others get their turn */
    OUTPUT_MAX_SIZE = 64 * 1024, /* of libwslay in one turn */
    FRAMES_PER_MESSAGE = 8,
    MISSED_MAX = 2,
    CLOSE_PATIENCE = 10, /* times close_ms for a client that reads, but slowly */
    MINUTE_MS = 60 * 1000,
    STREAM_PING_MS = 20 * 1000 /* proxies end what is silent for half a minute */
};

enum peer_state {
    PEER_OPEN,
    PEER_CLOSING,   /* a close frame is queued or sent; we wait for the client's */
    PEER_LEAVING,   /* as PEER_CLOSING, but nothing the client says matters any more */
    PEER_LINGERING, /* our side is shut; what arrives is thrown away, so that no reset overtakes the close frame */
    PEER_DONE
};

struct ws_peer {
    struct ws_peer_settings settings;
    wslay_event_context_ptr wslay; /* NULL for a stream */
    enum peer_state state;
    bool held;
    struct ws_queue queue;
    struct buffer output; /* of libwslay, until it is a whole number of frames */
    int64_t events_total;
    uint16_t code;                                 /* for the log */
    uint16_t violation;                            /* close code that a callback asks for */
    bool ended;                                    /* the connection is broken or closed by the client */
    int64_t read_left;                             /* bytes of this turn */
    int64_t message_size;                          /* of the message that is arriving */
    int64_t message_count, frame_count, minute_ms; /* received since minute_ms */
    int64_t born_ms, ping_ms, deadline_ms, last_deadline_ms;
    int missed_count; /* pings without an answer */
    int unread_size;  /* bytes in the kernel that the client has not taken, as of the last tick */
    struct ws_links links;
};

/* ---- libwslay's callbacks ---- */

static ssize_t on_recv(wslay_event_context_ptr wslay, uint8_t *data, size_t size, int flags, void *user)
{
    (void)flags;
    struct ws_peer *self = user;
    if (self->read_left <= 0) {
        wslay_event_set_error(wslay, WSLAY_ERR_WOULDBLOCK);
        return -1;
    }
    ssize_t got;
    do {
        got = recv(self->settings.fd, data, size, MSG_DONTWAIT);
    } while (got < 0 && errno == EINTR);
    if (got > 0) {
        self->read_left -= got;
        return got;
    }
    if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
        wslay_event_set_error(wslay, WSLAY_ERR_WOULDBLOCK);
        return -1;
    }
    self->ended = true;
    wslay_event_set_error(wslay, WSLAY_ERR_CALLBACK_FAILURE);
    return -1;
}

static ssize_t on_send(wslay_event_context_ptr wslay, const uint8_t *data, size_t size, int flags, void *user)
{
    (void)flags;
    struct ws_peer *self = user;
    if (buffer_add(&self->output, data, size)) {
        return (ssize_t)size;
    }
    wslay_event_set_error(wslay, WSLAY_ERR_CALLBACK_FAILURE);
    return -1;
}

static void violate(struct ws_peer *self, uint16_t code)
{
    if (self->violation == 0) {
        self->violation = code;
    }
    wslay_event_shutdown_read(self->wslay);
}

static void on_frame_start(wslay_event_context_ptr wslay, const struct wslay_event_on_frame_recv_start_arg *frame,
                           void *user)
{
    (void)wslay;
    struct ws_peer *self = user;
    const struct ws_limits *limits = self->settings.limits;
    if (++self->frame_count > limits->receive_rate * FRAMES_PER_MESSAGE) {
        violate(self, WS_POLICY);
    }
    if (wslay_is_ctrl_frame(frame->opcode)) {
        if (frame->opcode == WSLAY_CONNECTION_CLOSE && frame->payload_length == 1) {
            violate(self, WS_PROTOCOL_ERROR); /* half a code; libwslay takes it for none */
        }
        return;
    }
    if (frame->opcode != WSLAY_CONTINUATION_FRAME) {
        self->message_size = 0;
    }
    if (frame->payload_length > (uint64_t)(limits->receive_size - self->message_size)) {
        violate(self, WS_TOO_BIG); /* without buffering, libwslay limits single frames only */
        return;
    }
    self->message_size += (int64_t)frame->payload_length;
}

static void on_message(wslay_event_context_ptr wslay, const struct wslay_event_on_msg_recv_arg *message, void *user)
{
    (void)wslay;
    struct ws_peer *self = user;
    if (message->opcode == WSLAY_PONG) {
        self->missed_count = 0;
    } else if (message->opcode == WSLAY_CONNECTION_CLOSE && self->state == PEER_OPEN) {
        self->code = message->status_code ? message->status_code : WSLAY_CODE_NO_STATUS_RCVD;
    } else if (!wslay_is_ctrl_frame(message->opcode) && ++self->message_count > self->settings.limits->receive_rate) {
        violate(self, WS_POLICY);
    }
}

/* ---- life ---- */

struct ws_peer *ws_peer_new(const struct ws_peer_settings *settings, int64_t last_seq, int64_t now_ms)
{
    static const struct wslay_event_callbacks callbacks = {
        .recv_callback = on_recv,
        .send_callback = on_send,
        .on_frame_recv_start_callback = on_frame_start,
        .on_msg_recv_callback = on_message,
    };
    struct ws_peer *self = mem_alloc(sizeof(*self));
    if (settings->kind == WS_SOCKET) {
        if (wslay_event_context_server_init(&self->wslay, &callbacks, self) != 0) {
            mem_free(self);
            return NULL;
        }
        wslay_event_config_set_no_buffering(self->wslay, 1);
        wslay_event_config_set_max_recv_msg_length(self->wslay, (uint64_t)settings->limits->receive_size);
    }
    self->settings = *settings;
    self->settings.types = settings->types ? settings->types : event_types_orders();
    self->links.resume = (struct ws_resume){.on = settings->resume, .after = settings->after};
    self->held = true;
    buffer_init(&self->output, OUTPUT_MAX_SIZE);
    self->queue.last_seq = settings->resume ? settings->after : last_seq;
    self->code = WSLAY_CODE_ABNORMAL_CLOSURE;
    self->born_ms = self->ping_ms = self->minute_ms = now_ms;
    return self;
}

void ws_peer_destroy(struct ws_peer **self_p)
{
    struct ws_peer *self = *self_p;
    if (!self) {
        return;
    }
    ws_queue_clear(&self->queue, false);
    buffer_release(&self->output);
    if (self->wslay) {
        wslay_event_context_free(self->wslay);
    }
    mem_free(self->settings.filter.order_ids);
    close(self->settings.fd);
    mem_free(self);
    *self_p = NULL;
}

const struct ws_identity *ws_peer_identity(const struct ws_peer *self)
{
    return &self->settings.identity;
}

uint64_t ws_peer_id(const struct ws_peer *self)
{
    return self->settings.id;
}
int ws_peer_fd(const struct ws_peer *self)
{
    return self->settings.fd;
}

uint64_t ws_peer_types(const struct ws_peer *self)
{
    return self->settings.types;
}

bool ws_peer_sees(const struct ws_peer *self, const struct ws_message *event)
{
    return ws_settings_show(&self->settings, event);
}

bool ws_peer_has_room(const struct ws_peer *self)
{
    const struct ws_limits *limits = self->settings.limits;
    return self->queue.event_count == 0 || (self->queue.event_count < limits->queue_count / 2 &&
                                            self->queue.event_size < limits->queue_size / 2);
}

struct ws_links *ws_peer_links(struct ws_peer *self)
{
    return &self->links;
}

bool ws_peer_wants_write(const struct ws_peer *self)
{
    return !ws_queue_is_empty(&self->queue) && self->state != PEER_DONE;
}

bool ws_peer_is_closing(const struct ws_peer *self)
{
    return self->state != PEER_OPEN;
}

bool ws_peer_is_done(const struct ws_peer *self)
{
    return self->state == PEER_DONE;
}

void ws_peer_record(const struct ws_peer *self, int64_t now_ms, struct ws_record *out)
{
    *out = (struct ws_record){
        .id = self->settings.id,
        .kind = self->settings.kind,
        .identity = &self->settings.identity,
        .client = self->settings.client,
        .code = self->code,
        .events_count = self->events_total,
        .lived_ms = now_ms - self->born_ms,
    };
}

/* ---- sending ---- */

static void fail(struct ws_peer *self)
{
    self->state = PEER_DONE;
    ws_queue_clear(&self->queue, false);
}

/* Takes over the caller's reference. */
static void enqueue(struct ws_peer *self, struct ws_message *message)
{
    ws_queue_add(&self->queue, message);
    if (self->queue.control_count > WS_CONTROL_MAX) {
        fail(self); /* it asks for answers and does not read them */
    }
}

static void deadlines_set(struct ws_peer *self, int64_t now_ms)
{
    self->deadline_ms = now_ms + self->settings.limits->close_ms;
    self->last_deadline_ms = now_ms + CLOSE_PATIENCE * self->settings.limits->close_ms;
}

/* A client that reads slowly but does read shall see the close frame. */
static void deadline_extend(struct ws_peer *self, int64_t now_ms)
{
    int64_t later = now_ms + self->settings.limits->close_ms;
    self->deadline_ms = later < self->last_deadline_ms ? later : self->last_deadline_ms;
}

/* When our close frame is out: waits for the client's, or hangs up. */
static void finish_if_flushed(struct ws_peer *self, int64_t now_ms)
{
    bool over = self->state == PEER_LEAVING || (self->state == PEER_CLOSING && !wslay_event_want_read(self->wslay));
    if (over && ws_queue_is_empty(&self->queue)) {
        shutdown(self->settings.fd, SHUT_WR);
        self->state = PEER_LINGERING;
        deadline_extend(self, now_ms);
    }
}

static void flush(struct ws_peer *self, int64_t now_ms)
{
    if (self->held) {
        return;
    }
    if (!ws_queue_send(&self->queue, self->settings.fd)) {
        fail(self);
    }
    finish_if_flushed(self, now_ms);
}

void ws_peer_start(struct ws_peer *self, int64_t now_ms)
{
    self->held = false;
    flush(self, now_ms);
}

bool ws_peer_is_held(const struct ws_peer *self)
{
    return self->held;
}

void ws_peer_close(struct ws_peer *self, uint16_t code, const char *reason, bool drop_queue, int64_t now_ms)
{
    if (self->state != PEER_OPEN) {
        return;
    }
    bool stream = self->settings.kind == WS_STREAM;
    self->state = stream ? PEER_LEAVING : PEER_CLOSING;
    self->code = code;
    deadlines_set(self, now_ms);
    if (drop_queue) {
        ws_queue_clear(&self->queue, true);
    }
    enqueue(self, stream ? ws_message_of_comment(reason) : ws_message_of_close(code, text_of(reason)));
    flush(self, now_ms);
}

void ws_peer_lag(struct ws_peer *self, int64_t now_ms)
{
    const struct ws_message *first = ws_queue_first(&self->queue);
    if (self->queue.last_seq == 0 && first && first->event) {
        self->queue.last_seq = first->seq - 1;
    }
    char reason[48];
    snprintf(reason, sizeof(reason), "last seq %lld", (long long)self->queue.last_seq);
    ws_peer_close(self, WS_LAGGING, reason, true, now_ms);
}

bool ws_peer_send(struct ws_peer *self, struct ws_message *shared, int64_t now_ms)
{
    const struct ws_limits *limits = self->settings.limits;
    struct ws_message *event = self->settings.kind == WS_STREAM ? shared->plain : shared;
    ASSERT(event != NULL);
    if (self->state != PEER_OPEN) {
        return true;
    }
    bool room = self->queue.event_count < limits->queue_count &&
                (self->queue.event_count == 0 || self->queue.event_size + event->size <= limits->queue_size);
    if (!room) {
        ws_peer_lag(self, now_ms);
        return false;
    }
    self->events_total++;
    enqueue(self, ws_message_keep(event));
    flush(self, now_ms);
    return true;
}

/* ---- receiving ---- */

/* Moves what libwslay wants to say into the queue, as whole frames. */
static void collect_output(struct ws_peer *self, int64_t now_ms)
{
    buffer_clear(&self->output);
    if (wslay_event_send(self->wslay) != 0) {
        fail(self);
        return;
    }
    if (self->output.size > 0) {
        enqueue(self, ws_message_of_frames(buffer_text(&self->output)));
    }
    if (wslay_event_get_close_sent(self->wslay) && self->state == PEER_OPEN) {
        uint16_t code = wslay_event_get_status_code_sent(self->wslay);
        self->code = wslay_event_get_close_received(self->wslay) ? self->code : code;
        self->state = PEER_CLOSING;
        deadlines_set(self, now_ms);
    }
}

static void violation_close(struct ws_peer *self, uint16_t code, int64_t now_ms)
{
    if (self->state == PEER_OPEN) {
        ws_peer_close(self, code, "", true, now_ms);
    }
    if (self->state == PEER_CLOSING) {
        self->state = PEER_LEAVING;
    }
}

static void discard_input(struct ws_peer *self)
{
    char bytes[2048];
    for (int64_t left = READ_TURN_SIZE; left > 0;) {
        ssize_t got = recv(self->settings.fd, bytes, sizeof(bytes), MSG_DONTWAIT);
        if (got == 0 || (got < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)) {
            self->state = PEER_DONE;
            return;
        }
        if (got < 0) {
            return;
        }
        left -= got;
    }
}

static void receive(struct ws_peer *self, int64_t now_ms)
{
    self->read_left = READ_TURN_SIZE;
    int result = wslay_event_recv(self->wslay);
    if (self->ended) {
        fail(self);
        return;
    }
    if (self->violation != 0) {
        violation_close(self, self->violation, now_ms);
    } else if (result != 0) {
        /* A malformed head: libwslay would close without a code. */
        violation_close(self, WS_PROTOCOL_ERROR, now_ms);
    } else if (self->state == PEER_OPEN) {
        collect_output(self, now_ms);
    }
}

void ws_peer_on_io(struct ws_peer *self, bool readable, bool writable, int64_t now_ms)
{
    ASSERT(!self->held);
    if (readable && self->wslay && (self->state == PEER_OPEN || self->state == PEER_CLOSING)) {
        receive(self, now_ms);
    } else if (readable && self->state != PEER_DONE) { /* a stream's client has nothing to say */
        discard_input(self);
    }
    if (self->state != PEER_DONE && (writable || !ws_queue_is_empty(&self->queue) || self->state != PEER_OPEN)) {
        flush(self, now_ms);
    }
}

/* The kernel takes more from us only when much has gone, so what it still holds is asked for. */
static void tick_closing(struct ws_peer *self, int64_t now_ms)
{
    int unread_size = 0;
    if (ioctl(self->settings.fd, SIOCOUTQ, &unread_size) == 0) {
        if (unread_size < self->unread_size) {
            deadline_extend(self, now_ms);
        }
        self->unread_size = unread_size;
    }
    if (now_ms >= self->deadline_ms) {
        self->state = PEER_DONE;
    }
}

static int64_t ping_ms_of(const struct ws_peer *self)
{
    int64_t ping_ms = self->settings.limits->ping_ms;
    return self->settings.kind == WS_STREAM && ping_ms > STREAM_PING_MS ? STREAM_PING_MS : ping_ms;
}

/* A stream's client answers nothing: who is gone is found by the kernel (TCP_USER_TIMEOUT), and to one that does not read
 * comments would only pile up. */
static void ping(struct ws_peer *self, int64_t now_ms)
{
    bool stream = self->settings.kind == WS_STREAM;
    if (!stream && self->missed_count++ >= MISSED_MAX) {
        fail(self);
    } else if (!stream || ws_queue_is_empty(&self->queue)) {
        enqueue(self, stream ? ws_message_of_comment("") : ws_message_of_ping());
        flush(self, now_ms);
    }
}

void ws_peer_on_tick(struct ws_peer *self, int64_t now_ms)
{
    const struct ws_limits *limits = self->settings.limits;
    if (self->held) {
        if (now_ms - self->born_ms >= WS_HOLD_MS) {
            fail(self);
        }
        return;
    }
    if (self->state != PEER_OPEN) {
        tick_closing(self, now_ms);
        return;
    }
    if (now_ms - self->minute_ms >= MINUTE_MS) {
        self->minute_ms = now_ms;
        self->message_count = self->frame_count = 0;
    }
    if (now_ms - self->born_ms >= limits->age_ms) {
        ws_peer_close(self, WS_SESSION_ENDED, "sign in again", false, now_ms);
    } else if (now_ms - self->ping_ms >= ping_ms_of(self)) {
        self->ping_ms = now_ms;
        ping(self, now_ms);
    }
}
