#include "lib/bus/subscriber.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <zmq.h>

#include "lib/base/clock.h"
#include "lib/base/invariant.h"
#include "lib/base/mem.h"
#include "lib/bus/credentials.h"
#include "lib/bus/handover.h"
#include "lib/bus/stream.h"

enum {
    SUBSCRIBER_FRAMES = 4,
    SUBSCRIBER_HIGH_WATER = 10000,
    SUBSCRIBER_MAX_TOPICS = 16,
    SUBSCRIBER_PASS_MAX = 64,
    SUBSCRIBER_SILENCE_MS = 3500, /* three beacons, which come each second, and a half */
    SUBSCRIBER_RECONNECT_MS = 20,
    SUBSCRIBER_RECONNECT_MAX_MS = 500
};

/* One broker's internal events. */
struct tap {
    char address[BUS_ADDRESS_SIZE];
    void *socket;
    int64_t heard_ms;
};

struct subscriber {
    void *context;
    struct credentials credentials;
    char *topics[SUBSCRIBER_MAX_TOPICS]; /* owned */
    int topic_count;
    struct tap taps[BUS_MAX_BROKERS];
    int tap_count;
    struct stream stream; /* what has been handed on */
    struct arena arena;   /* of one event */
    subscriber_receive *receive;
    void *user;
    int stop_fd; /* eventfd */
    pthread_t thread;
    atomic_llong beacon_ms, seq, epoch;
    struct metric *events, *duplicates, *gaps;
};

static void option_set(void *socket, int option, int value)
{
    ASSERT(zmq_setsockopt(socket, option, &value, sizeof value) == 0);
}

static void tap_open(struct subscriber *self, struct tap *tap)
{
    int64_t max_size = 2 * EVENT_PAYLOAD_MAX;
    tap->socket = zmq_socket(self->context, ZMQ_SUB);
    ASSERT(tap->socket != NULL);
    option_set(tap->socket, ZMQ_RCVHWM, SUBSCRIBER_HIGH_WATER);
    option_set(tap->socket, ZMQ_LINGER, 0);
    option_set(tap->socket, ZMQ_RECONNECT_IVL, SUBSCRIBER_RECONNECT_MS);
    option_set(tap->socket, ZMQ_RECONNECT_IVL_MAX, SUBSCRIBER_RECONNECT_MAX_MS);
    option_set(tap->socket, ZMQ_TCP_KEEPALIVE, 1);
    ASSERT(zmq_setsockopt(tap->socket, ZMQ_MAXMSGSIZE, &max_size, sizeof max_size) == 0);
    for (int i = 0; i < self->topic_count; i++) {
        ASSERT(zmq_setsockopt(tap->socket, ZMQ_SUBSCRIBE, self->topics[i], strlen(self->topics[i])) == 0);
    }
    credentials_set(&self->credentials, tap->socket, tap->address);
    ASSERT(zmq_connect(tap->socket, tap->address) == 0);
    tap->heard_ms = clock_now_ms();
}

/* ---- one event ---- */

static void beacon_take(struct subscriber *self, const struct event_meta *meta, struct text data)
{
    struct stream_head head;
    struct subscriber_event event = {.topic = TEXT(STREAM_BEACON_TOPIC), .meta = meta, .gap = true};
    if (record_unpack(&stream_head_record, data, &self->arena, NULL, &head) != ERR_NONE) {
        return;
    }
    if (stream_beacon(&self->stream, &head)) {
        metric_add(self->gaps, 1);
        self->receive(self->user, &event);
    }
    atomic_store(&self->beacon_ms, clock_now_ms());
}

static void event_take(struct subscriber *self, const struct text frames[SUBSCRIBER_FRAMES])
{
    struct event_meta meta;
    if (record_unpack(&event_meta_record, frames[1], &self->arena, NULL, &meta) != ERR_NONE) {
        return;
    }
    if (text_is(frames[0], STREAM_BEACON_TOPIC)) {
        beacon_take(self, &meta, frames[2]);
    } else {
        struct subscriber_event event = {
            .topic = frames[0], .meta = &meta, .data = frames[2], .private_data = frames[3]};
        if (!stream_event(&self->stream, event.topic, &meta, &event.gap)) {
            metric_add(self->duplicates, 1);
            return;
        }
        metric_add(self->events, 1);
        metric_add(self->gaps, event.gap);
        self->receive(self->user, &event);
    }
    atomic_store(&self->seq, self->stream.newest_seq);
    atomic_store(&self->epoch, self->stream.epoch);
}

/* Reads one message; false when there is none. Another number of frames than ours is garbage. */
static bool tap_read(struct subscriber *self, struct tap *tap)
{
    zmq_msg_t parts[SUBSCRIBER_FRAMES];
    struct text frames[SUBSCRIBER_FRAMES];
    int count = 0;
    bool more = true, good = true;
    while (more) {
        zmq_msg_t extra;
        zmq_msg_t *part = count < SUBSCRIBER_FRAMES ? &parts[count] : &extra;
        zmq_msg_init(part);
        good = zmq_msg_recv(part, tap->socket, ZMQ_DONTWAIT) >= 0;
        more = good && zmq_msg_more(part);
        if (part == &extra || !good) {
            zmq_msg_close(part);
        }
        count += good;
    }
    handover_take();
    int held = count < SUBSCRIBER_FRAMES ? count : SUBSCRIBER_FRAMES;
    for (int i = 0; i < held; i++) {
        frames[i] = (struct text){zmq_msg_data(&parts[i]), (uint32_t)zmq_msg_size(&parts[i])};
    }
    if (good && count == SUBSCRIBER_FRAMES) {
        tap->heard_ms = clock_now_ms();
        event_take(self, frames);
        arena_reset(&self->arena);
    }
    for (int i = 0; i < held; i++) {
        zmq_msg_close(&parts[i]);
    }
    return count > 0;
}

/* ---- the thread ---- */

static void tap_work(struct subscriber *self, struct tap *tap, bool readable)
{
    for (int i = 0; readable && i < SUBSCRIBER_PASS_MAX; i++) {
        readable = tap_read(self, tap);
    }
    if (clock_now_ms() - tap->heard_ms > SUBSCRIBER_SILENCE_MS) {
        /* a publisher whose host was switched off says nothing, not even that the connection has ended */
        zmq_close(tap->socket);
        tap_open(self, tap);
    }
}

static void *subscriber_thread(void *argument)
{
    struct subscriber *self = argument;
    zmq_pollitem_t items[BUS_MAX_BROKERS + 1];
    do {
        for (int i = 0; i < self->tap_count; i++) {
            items[i] = (zmq_pollitem_t){.socket = self->taps[i].socket, .events = ZMQ_POLLIN};
        }
        items[self->tap_count] = (zmq_pollitem_t){.fd = self->stop_fd, .events = ZMQ_POLLIN};
        zmq_poll(items, self->tap_count + 1, SUBSCRIBER_SILENCE_MS / 4);
        for (int i = 0; i < self->tap_count; i++) {
            tap_work(self, &self->taps[i], items[i].revents & ZMQ_POLLIN);
        }
    } while (!(items[self->tap_count].revents & ZMQ_POLLIN));
    return NULL;
}

/* ---- making and ending ---- */

static void topics_copy(struct subscriber *self, const char *const *topics)
{
    self->topics[self->topic_count++] = mem_copy_string(STREAM_BEACON_TOPIC);
    self->stream.whole = !topics;
    if (!topics) {
        self->topics[self->topic_count++] = mem_copy_string("");
    }
    for (int i = 0; topics && topics[i]; i++) {
        ASSERT(self->topic_count < SUBSCRIBER_MAX_TOPICS);
        self->topics[self->topic_count++] = mem_copy_string(topics[i]);
    }
}

struct subscriber *subscriber_new(struct env *env, const struct bus_config *bus, const char *const *topics,
                                  subscriber_receive *receive, void *user, char *message, size_t message_size)
{
    char bases[BUS_MAX_BROKERS][BUS_ADDRESS_SIZE];
    int base_count = bus_addresses(bus->bus, bases);
    if (base_count < 1) {
        snprintf(message, message_size, "--bus is no list of broker addresses: %.200s", bus->bus);
        return NULL;
    }
    struct credentials credentials;
    if (!credentials_load(env, bus, &credentials, message, message_size)) {
        return NULL;
    }
    struct subscriber *self = mem_alloc(sizeof *self);
    self->credentials = credentials;
    credentials_forget(&credentials);
    self->context = env->bus_context;
    self->receive = receive;
    self->user = user;
    self->tap_count = base_count;
    self->events = metrics_get(env->metrics, METRIC_COUNTER, "zmart_events_received_total", "", "Events received.");
    self->duplicates = metrics_get(env->metrics, METRIC_COUNTER, "zmart_events_duplicate_total", "",
                                   "Events dropped because they had been received before.");
    self->gaps = metrics_get(env->metrics, METRIC_COUNTER, "zmart_events_gaps_total", "",
                             "Times that events before a received one were missed.");
    atomic_store(&self->beacon_ms, -1);
    topics_copy(self, topics);
    self->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    ASSERT(self->stop_fd >= 0);
    for (int i = 0; i < base_count; i++) {
        ASSERT(bus_address(bases[i], BUS_EVENTS, self->taps[i].address));
        tap_open(self, &self->taps[i]);
    }
    ASSERT(pthread_create(&self->thread, NULL, subscriber_thread, self) == 0);
    return self;
}

void subscriber_destroy(struct subscriber **self)
{
    struct subscriber *subscriber = *self;
    if (!subscriber) {
        return;
    }
    uint64_t one = 1;
    ASSERT(write(subscriber->stop_fd, &one, sizeof one) == (ssize_t)sizeof one);
    pthread_join(subscriber->thread, NULL);
    close(subscriber->stop_fd);
    for (int i = 0; i < subscriber->tap_count; i++) {
        zmq_close(subscriber->taps[i].socket);
    }
    for (int i = 0; i < subscriber->topic_count; i++) {
        mem_free(subscriber->topics[i]);
    }
    arena_release(&subscriber->arena);
    credentials_forget(&subscriber->credentials);
    mem_free(subscriber);
    *self = NULL;
}

int64_t subscriber_silence_ms(struct subscriber *self)
{
    int64_t beacon_ms = atomic_load(&self->beacon_ms);
    return beacon_ms < 0 ? INT64_MAX : clock_now_ms() - beacon_ms;
}

int64_t subscriber_seq(struct subscriber *self)
{
    return atomic_load(&self->seq);
}

int64_t subscriber_epoch(struct subscriber *self)
{
    return atomic_load(&self->epoch);
}
