/* What libwslay answers in ws_input (pong, echo of a close, closes for malformed frames) is collected into whole frames
 * and goes through the peer's own queue. Events, pings and our own closes are frames made here, so that an event's
 * bytes are shared between clients, and nothing is ever sent in the middle of another frame. */
#include "gateway/ws_peer.h"

#include <errno.h>
#include <linux/sockios.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gateway/event_types.h"
#include "gateway/ws_queue.h"
#include "gateway/ws_sight.h"
#include "lib/base/buffer.h"
#include "lib/base/invariant.h"
#include "lib/base/mem.h"
#include "lib/base/text.h"

enum {
    DISCARD_TURN_SIZE = 64 * 1024,
    OUTPUT_MAX_SIZE = 64 * 1024, /* of answers in one turn */
    CODE_NONE = 1006,            /* no close frame was sent or received */
    MISSED_MAX = 2,
    CLOSE_PATIENCE = 10, /* times close_ms for a client that reads, but slowly */
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
    enum peer_state state;
    bool held;
    struct ws_queue queue;
    struct ws_input input; /* unused by a stream */
    int64_t events_total;
    uint16_t code; /* for the log */
    int64_t born_ms, ping_ms, deadline_ms, last_deadline_ms;
    int missed_count; /* pings without an answer */
    int unread_size;  /* bytes in the kernel that the client has not taken, as of the last tick */
    struct ws_links links;
};

/* ---- life ---- */

struct ws_peer *ws_peer_new(const struct ws_peer_settings *settings, int64_t last_seq, int64_t now_ms)
{
    struct ws_peer *self = mem_alloc(sizeof(*self));
    self->settings = *settings;
    if (!settings->types) {
        self->settings.types = settings->filter.count ? EVENT_TYPES_NONE : event_types_orders();
    }
    self->links.resume = (struct ws_resume){.on = settings->resume, .after = settings->after};
    self->held = true;
    ws_input_init(&self->input, self, settings->fd, settings->limits, settings->hearer, now_ms);
    self->queue.bare = settings->bare;
    self->queue.last_seq = settings->resume ? settings->after : last_seq;
    self->code = CODE_NONE;
    self->born_ms = self->ping_ms = now_ms;
    return self;
}

void ws_peer_destroy(struct ws_peer **self_p)
{
    struct ws_peer *self = *self_p;
    if (!self) {
        return;
    }
    ws_queue_clear(&self->queue, false);
    ws_input_release(&self->input);
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

struct ws_peer_settings *ws_peer_settings(struct ws_peer *self)
{
    return &self->settings;
}

uint64_t ws_peer_types(const struct ws_peer *self)
{
    return self->settings.types | (self->settings.filter.count ? event_types_orders() : 0);
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

bool ws_peer_is_held(const struct ws_peer *self)
{
    return self->held;
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
    bool over = self->state == PEER_LEAVING || (self->state == PEER_CLOSING && ws_input_is_over(&self->input));
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
    enqueue(self, stream ? ws_message_of_comment(reason, true) : ws_message_of_close(code, text_of(reason)));
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

/* Moves what is to be answered into the queue, as whole frames. */
static void collect_output(struct ws_peer *self, int64_t now_ms)
{
    AUTO(buffer_release) struct buffer output;
    uint16_t close_code;
    buffer_init(&output, OUTPUT_MAX_SIZE);
    if (!ws_input_answer(&self->input, &output, &close_code)) {
        fail(self);
        return;
    }
    if (output.size > 0) {
        enqueue(self, ws_message_of_frames(buffer_text(&output)));
    }
    if (close_code && self->state == PEER_OPEN) {
        self->code = self->input.heard.closed ? self->input.heard.close_code : close_code;
        self->state = PEER_CLOSING;
        deadlines_set(self, now_ms);
    }
}

void ws_peer_say(struct ws_peer *self, struct ws_message *message, int64_t now_ms)
{
    if (self->state == PEER_OPEN) {
        collect_output(self, now_ms); /* pongs for what came before */
    }
    if (self->state == PEER_OPEN) {
        enqueue(self, message);
        flush(self, now_ms);
    } else {
        ws_message_drop(&message);
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
    for (int64_t left = DISCARD_TURN_SIZE; left > 0;) {
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
    struct ws_heard heard = ws_input_turn(&self->input, now_ms);
    self->missed_count = heard.pong ? 0 : self->missed_count;
    if (heard.ended) {
        fail(self);
    } else if (heard.violation != 0) {
        violation_close(self, heard.violation, now_ms);
    } else if (self->state == PEER_OPEN) {
        collect_output(self, now_ms);
    }
    if (self->state == PEER_OPEN) {
        ws_input_rest(&self->input);
    }
}

void ws_peer_start(struct ws_peer *self, struct text early, int64_t now_ms)
{
    self->held = false;
    flush(self, now_ms);
    if (early.size > 0 && self->settings.kind == WS_SOCKET && self->state == PEER_OPEN) {
        ws_input_put_early(&self->input, early);
        ws_peer_on_io(self, true, true, now_ms);
    }
}

void ws_peer_on_io(struct ws_peer *self, bool readable, bool writable, int64_t now_ms)
{
    ASSERT(!self->held);
    bool socket = self->settings.kind == WS_SOCKET;
    if (readable && socket && (self->state == PEER_OPEN || self->state == PEER_CLOSING)) {
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

/* A stream's client answers nothing: who is gone is found by the kernel (TCP_USER_TIMEOUT), and to one that does not
 * read comments would only pile up. */
static void ping(struct ws_peer *self, int64_t now_ms)
{
    bool stream = self->settings.kind == WS_STREAM;
    if (!stream && self->missed_count++ >= MISSED_MAX) {
        fail(self);
    } else if (!stream || ws_queue_is_empty(&self->queue)) {
        enqueue(self, stream ? ws_message_of_comment("", false) : ws_message_of_ping());
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
    ws_input_tick(&self->input, now_ms);
    if (now_ms - self->born_ms >= limits->age_ms) {
        ws_peer_close(self, WS_SESSION_ENDED, "sign in again", false, now_ms);
    } else if (now_ms - self->ping_ms >= ping_ms_of(self)) {
        self->ping_ms = now_ms;
        ping(self, now_ms);
    }
}
