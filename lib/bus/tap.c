#include "lib/bus/tap.h"

#include <stdio.h>
#include <zmq.h>

#include "lib/base/clock.h"
#include "lib/base/invariant.h"
#include "lib/bus/credentials.h"
#include "lib/bus/handover.h"

enum { TAP_FRAMES = 3, TAP_HIGH_WATER = 100000, TAP_RECONNECT_MS = 50, TAP_RECONNECT_MAX_MS = 1000, TAP_SILENCE_MS = 3500 };

struct event_tap {
    void *context, *socket;
    const char *address;
    const char *const *topics;
    struct credentials credentials;
    int64_t heard_ms;
    struct stream stream;
    struct arena arena;
    struct event_meta meta;
    struct stream_head head;
};

static bool is_wanted(const struct event_tap *self, struct text topic)
{
    bool all = !self->topics || !self->topics[0];
    for (int i = 0; !all && self->topics[i]; i++) {
        all = text_starts_with(topic, self->topics[i]);
    }
    return all;
}

/* Events that never leave towards the outside are told in the beacon all the same. */
static bool is_public(struct text topic)
{
    const struct event_info *info = topic.size ? event_find((struct text){topic.data, topic.size - 1}) : NULL;
    return info && info->payload != &nothing_record;
}

static struct stream_topic *topic_known(struct event_tap *self, struct text topic)
{
    for (int i = 0; i < self->stream.topic_count; i++) {
        if (text_is(topic, self->stream.topics[i].name)) {
            return &self->stream.topics[i];
        }
    }
    return NULL;
}

/* A beacon follows the events that it tells of: what it knows and we do not was lost on the way. */
static bool beacon_take(struct event_tap *self)
{
    bool missed = self->stream.epoch > 0 && self->head.epoch > self->stream.epoch;
    for (uint32_t i = 0; !missed && self->head.epoch == self->stream.epoch && i < self->head.topics.count; i++) {
        const struct topic_head *told = &self->head.topics.items[i];
        struct stream_topic *known = topic_known(self, told->topic);
        if (!is_wanted(self, told->topic) || !is_public(told->topic)) {
            continue;
        }
        missed = known ? told->tseq > known->tseq : self->stream.heard && told->tseq > 0;
    }
    (void)stream_beacon(&self->stream, &self->head);
    for (uint32_t i = 0; i < self->head.topics.count && self->head.epoch == self->stream.epoch; i++) {
        struct stream_topic *known = topic_known(self, self->head.topics.items[i].topic);
        if (known && known->tseq < self->head.topics.items[i].tseq) {
            known->tseq = self->head.topics.items[i].tseq;
        }
    }
    self->stream.restored = false; /* told now */
    return missed;
}

static enum tap_news message_take(struct event_tap *self, const struct text frames[TAP_FRAMES], struct tap_event *out)
{
    if (record_unpack(&event_meta_record, frames[1], &self->arena, NULL, &self->meta) != ERR_NONE) {
        return TAP_NOTHING;
    }
    int64_t epoch = self->stream.epoch;
    *out = (struct tap_event){.meta = &self->meta};
    if (text_is(frames[0], STREAM_BEACON_TOPIC)) {
        if (record_unpack(&stream_head_record, frames[2], &self->arena, NULL, &self->head) != ERR_NONE) {
            return TAP_NOTHING;
        }
        out->gap = beacon_take(self);
        out->restored = epoch > 0 && self->stream.epoch != epoch;
        return TAP_BEACON;
    }
    out->data = frames[2];
    bool is_new = stream_event(&self->stream, frames[0], &self->meta, &out->gap);
    out->restored = epoch > 0 && self->stream.epoch != epoch;
    return is_new ? TAP_EVENT : TAP_NOTHING;
}

static bool socket_open(struct event_tap *self)
{
    static const int options[][2] = {{ZMQ_RCVHWM, TAP_HIGH_WATER},
                                     {ZMQ_LINGER, 0},
                                     {ZMQ_RECONNECT_IVL, TAP_RECONNECT_MS},
                                     {ZMQ_RECONNECT_IVL_MAX, TAP_RECONNECT_MAX_MS},
                                     {ZMQ_TCP_KEEPALIVE, 1}};
    self->socket = zmq_socket(self->context, ZMQ_SUB);
    ASSERT(self->socket != NULL);
    for (size_t i = 0; i < ARRAY_COUNT(options); i++) {
        ASSERT(zmq_setsockopt(self->socket, options[i][0], &options[i][1], sizeof(int)) == 0);
    }
    ASSERT(zmq_setsockopt(self->socket, ZMQ_SUBSCRIBE, STREAM_BEACON_TOPIC, strlen(STREAM_BEACON_TOPIC)) == 0);
    for (int i = 0; self->topics && self->topics[i]; i++) {
        ASSERT(zmq_setsockopt(self->socket, ZMQ_SUBSCRIBE, self->topics[i], strlen(self->topics[i])) == 0);
    }
    if (!self->topics || !self->topics[0]) {
        ASSERT(zmq_setsockopt(self->socket, ZMQ_SUBSCRIBE, "", 0) == 0);
    }
    self->heard_ms = clock_now_ms();
    credentials_set(&self->credentials, self->socket, self->address);
    return zmq_connect(self->socket, self->address) == 0;
}

/* Whether something is to be read. */
static bool tap_wait(struct event_tap *self, int wait_ms)
{
    zmq_pollitem_t item = {.socket = self->socket, .events = ZMQ_POLLIN};
    int64_t left_ms = self->heard_ms + TAP_SILENCE_MS - clock_now_ms();
    left_ms = left_ms < 0 ? 0 : left_ms;
    bool readable = zmq_poll(&item, 1, wait_ms >= 0 && wait_ms < left_ms ? wait_ms : left_ms) > 0;
    int64_t now_ms = clock_now_ms();
    if (readable) {
        self->heard_ms = now_ms;
    } else if (now_ms - self->heard_ms >= TAP_SILENCE_MS) {
        zmq_close(self->socket);
        ASSERT(socket_open(self)); /* as it could be before */
    }
    return readable;
}

enum tap_news tap_next(struct event_tap *self, int wait_ms, struct tap_event *out)
{
    struct text frames[TAP_FRAMES] = {{0}};
    int count = 0;
    bool more = tap_wait(self, wait_ms);
    bool good = more;
    arena_reset(&self->arena);
    while (more) {
        zmq_msg_t part;
        zmq_msg_init(&part);
        good = zmq_msg_recv(&part, self->socket, ZMQ_DONTWAIT) >= 0;
        more = good && zmq_msg_more(&part);
        if (good && count < TAP_FRAMES) {
            uint32_t size = (uint32_t)zmq_msg_size(&part);
            frames[count] = (struct text){arena_copy(&self->arena, zmq_msg_data(&part), size), size};
        }
        count += good;
        zmq_msg_close(&part);
    }
    handover_take();
    return good && count == TAP_FRAMES ? message_take(self, frames, out) : TAP_NOTHING;
}

struct event_tap *tap_new(const struct env *env, const struct tap_settings *settings, char *message,
                          size_t message_size)
{
    struct bus_config where = {
        .bus = settings->address, .keys = settings->keys, .key = settings->key, .insecure_loopback = true};
    struct event_tap *self = mem_alloc(sizeof *self);
    *self = (struct event_tap){.context = env->bus_context, .address = settings->address, .topics = settings->topics};
    if (bus_is_tcp(settings->address) && !credentials_load(env, &where, &self->credentials, message, message_size)) {
        tap_destroy(&self);
        return NULL;
    }
    if (!socket_open(self)) {
        snprintf(message, message_size, "--events takes an address such as tcp://HOST:PORT, not \"%.200s\"",
                 settings->address);
        tap_destroy(&self);
    }
    return self;
}

void tap_destroy(struct event_tap **self)
{
    if (*self) {
        if ((*self)->socket) {
            zmq_close((*self)->socket);
        }
        credentials_forget(&(*self)->credentials);
        arena_release(&(*self)->arena);
        mem_free(*self);
        *self = NULL;
    }
}
