#include "broker/relay.h"

#include <errno.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <zmq.h>

#include "broker/socket.h"
#include "lib/base/invariant.h"
#include "lib/base/mem.h"
#include "proto/event.h"

enum {
    EVENT_FRAMES = 4,
    OUTSIDE_FRAMES = 3,
    MESSAGES_PER_PASS = 64,
    META_ROOM_SIZE = 64 * 1024,
    SUBSCRIPTION_MAX_SIZE = 1 + EVENT_TOPIC_SIZE
};

struct relay {
    void *publish, *events, *outside; /* XSUB, XPUB, XPUB or NULL */
    int stop_fd;                      /* an eventfd of ours */
    pthread_t thread;
    struct guard_view view;
    bool publish_guarded, events_guarded, outside_guarded;
    struct metric *inside_count, *outside_count, *garbage;
};

/* ---- one event ---- */

struct event_frames {
    zmq_msg_t list[EVENT_FRAMES];
    int count; /* that came; more than EVENT_FRAMES: too many */
};

static void frames_init(struct event_frames *self)
{
    for (int i = 0; i < EVENT_FRAMES; i++) {
        zmq_msg_init(&self->list[i]);
    }
    self->count = 0;
}

static void frames_release(struct event_frames *self)
{
    for (int i = 0; i < EVENT_FRAMES; i++) {
        zmq_msg_close(&self->list[i]);
    }
}

/* False when there is nothing to receive. */
static bool frames_receive(struct event_frames *self, void *socket)
{
    zmq_msg_t *message;
    do {
        /* what is too many overwrites the last one: it goes nowhere */
        message = &self->list[self->count < EVENT_FRAMES ? self->count : EVENT_FRAMES - 1];
        if (zmq_msg_recv(message, socket, ZMQ_DONTWAIT) < 0) {
            return false;
        }
        self->count++;
    } while (zmq_msg_more(message));
    return true;
}

/* last: nobody else gets them, so the frames themselves go. */
static void frames_send(struct event_frames *self, void *socket, int count, bool last)
{
    for (int i = 0; last && i < count; i++) {
        (void)zmq_msg_send(&self->list[i], socket, ZMQ_DONTWAIT | (i + 1 < count ? ZMQ_SNDMORE : 0));
    }
    for (int i = 0; !last && i < count; i++) {
        zmq_msg_t copy; /* of the handle: libzmq shares the bytes */
        zmq_msg_init(&copy);
        bool sent = zmq_msg_copy(&copy, &self->list[i]) == 0 &&
                    zmq_msg_send(&copy, socket, ZMQ_DONTWAIT | (i + 1 < count ? ZMQ_SNDMORE : 0)) >= 0;
        if (!sent) {
            zmq_msg_close(&copy);
        }
    }
}

/* Whether the key behind a message may send it; one that may is remembered with its connection. */
static bool speaker_is_good(struct relay *self, zmq_msg_t *frame, enum key_plane plane)
{
    const struct key_grant *grant = guard_view_grant(&self->view, frame, plane);
    if (grant) {
        guard_view_link(&self->view, frame, grant, plane);
    }
    return grant != NULL;
}

static bool event_relay(struct relay *self)
{
    struct event_frames frames;
    frames_init(&frames);
    bool received = frames_receive(&frames, self->publish);
    if (received && frames.count != EVENT_FRAMES) {
        metric_add(self->garbage, 1);
    } else if (received && (!self->publish_guarded || speaker_is_good(self, &frames.list[1], KEY_AT_PUBLISH))) {
        bool goes_out = self->outside && zmq_msg_size(&frames.list[2]) > 0;
        frames_send(&frames, self->events, EVENT_FRAMES, !goes_out);
        metric_add(self->inside_count, 1);
        if (goes_out) {
            frames_send(&frames, self->outside, OUTSIDE_FRAMES, true);
            metric_add(self->outside_count, 1);
        }
    }
    frames_release(&frames);
    return received;
}

/* ---- subscriptions ---- */

/* Only what is a subscription of a sane length goes on to the publishers; whatever else a subscriber sends is dropped.
 */
static bool subscription_relay(struct relay *self, void *from)
{
    bool guarded = from == self->events ? self->events_guarded : self->outside_guarded;
    enum key_plane plane = from == self->events ? KEY_AT_EVENTS : KEY_AT_OUTSIDE;
    zmq_msg_t message;
    zmq_msg_init(&message);
    bool single = true, received = false, more = true;
    while (more && zmq_msg_recv(&message, from, ZMQ_DONTWAIT) >= 0) {
        more = zmq_msg_more(&message);
        single = single && !(more || received);
        received = true;
    }
    size_t size = received ? zmq_msg_size(&message) : 0;
    const uint8_t *data = zmq_msg_data(&message);
    bool good = single && size >= 1 && size <= SUBSCRIPTION_MAX_SIZE && data[0] <= 1;
    if (good && guarded && data[0] == 1) { /* the key of an unsubscription may be gone: that one must go on */
        (void)speaker_is_good(self, &message, plane);
    }
    if (received && !good) {
        metric_add(self->garbage, 1);
    }
    if (!good || zmq_msg_send(&message, self->publish, ZMQ_DONTWAIT) < 0) {
        zmq_msg_close(&message);
    }
    return received;
}

/* ---- the thread ---- */

static void *relay_run(void *user)
{
    struct relay *self = user;
    zmq_pollitem_t items[] = {{.fd = self->stop_fd, .events = ZMQ_POLLIN},
                              {.socket = self->publish, .events = ZMQ_POLLIN},
                              {.socket = self->events, .events = ZMQ_POLLIN},
                              {.socket = self->outside, .events = ZMQ_POLLIN}};
    int count = self->outside ? 4 : 3;
    long wait_ms = self->view.guard ? GUARD_LOOK_EVERY_MS : -1;
    while (zmq_poll(items, count, wait_ms) >= 0 || zmq_errno() == EINTR) {
        if (items[0].revents) {
            break;
        }
        if (guard_view_refresh(&self->view)) {
            (void)guard_view_cut(&self->view);
        }
        for (int i = 2; i < count; i++) {
            for (int n = 0; n < MESSAGES_PER_PASS && subscription_relay(self, items[i].socket); n++) {
            }
        }
        for (int n = 0; n < MESSAGES_PER_PASS && event_relay(self); n++) {
        }
    }
    return NULL;
}

static bool sockets_open(struct relay *self, const struct relay_settings *settings, char *message, size_t size)
{
    struct socket_settings in = {.context = settings->context,
                                 .type = ZMQ_XSUB,
                                 .hwm = settings->hwm,
                                 .max_size = EVENT_PAYLOAD_MAX + META_ROOM_SIZE,
                                 .guard = settings->guard,
                                 .plane = KEY_AT_PUBLISH};
    struct socket_settings out = in;
    out.type = ZMQ_XPUB;
    out.max_size = META_ROOM_SIZE;
    out.plane = KEY_AT_EVENTS;
    guard_view_open(&self->view, settings->guard);
    self->publish_guarded = socket_is_guarded(settings->guard, settings->publish);
    self->events_guarded = socket_is_guarded(settings->guard, settings->events);
    self->outside_guarded = socket_is_guarded(settings->guard, settings->outside);
    self->publish = socket_open(&in, settings->publish, message, size);
    self->events = self->publish ? socket_open(&out, settings->events, message, size) : NULL;
    if (!self->events || !settings->outside[0]) {
        return self->events != NULL;
    }
    out.plane = KEY_AT_OUTSIDE;
    self->outside = socket_open(&out, settings->outside, message, size);
    return self->outside != NULL;
}

static void sockets_close(struct relay *self)
{
    socket_close(&self->publish, 0);
    socket_close(&self->events, 0);
    socket_close(&self->outside, 0);
    guard_view_release(&self->view);
}

struct relay *relay_new(const struct relay_settings *settings, char *message, size_t size)
{
    struct relay *self = mem_alloc(sizeof *self);
    if (!sockets_open(self, settings, message, size)) {
        sockets_close(self);
        mem_free(self);
        return NULL;
    }
    self->inside_count =
        metrics_get(settings->metrics, METRIC_COUNTER, "zmart_broker_events_total", "to=\"inside\"", "Events relayed.");
    self->outside_count = metrics_get(settings->metrics, METRIC_COUNTER, "zmart_broker_events_total", "to=\"outside\"",
                                      "Events relayed.");
    self->garbage = metrics_get(settings->metrics, METRIC_COUNTER, "zmart_broker_garbage_events_total", "",
                                "Messages on the event sockets that are neither events nor subscriptions.");
    self->stop_fd = eventfd(0, EFD_CLOEXEC);
    ASSERT(self->stop_fd >= 0);
    ASSERT(pthread_create(&self->thread, NULL, relay_run, self) == 0);
    return self;
}

void relay_destroy(struct relay **self)
{
    struct relay *relay = *self;
    if (!relay) {
        return;
    }
    ASSERT(eventfd_write(relay->stop_fd, 1) == 0);
    ASSERT(pthread_join(relay->thread, NULL) == 0);
    close(relay->stop_fd);
    sockets_close(relay);
    mem_free(relay);
    *self = NULL;
}
