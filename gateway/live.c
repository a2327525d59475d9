#include "gateway/live.h"

#include <unistd.h>

#include "gateway/ws_change.h"
#include "gateway/ws_event.h"
#include "gateway/ws_gate.h"
#include "gateway/ws_listen.h"
#include "gateway/ws_replay.h"
#include "lib/base/clock.h"
#include "lib/base/mem.h"

CONFIG_DEFINE(live_config, LIVE_CONFIG)

enum { LIVE_LOOPS_MAX = 16, LOOPS_DEFAULT_MAX = 4 };

const struct ws_limits live_limits = {
    .queue_count = 64,
    .queue_size = 256 * 1024,
    .receive_size = 64 * 1024,
    .keep_size = WS_CHANGE_SIZE,
    .receive_rate = 100,
    .ping_ms = 25 * 1000,
    .close_ms = 2 * 1000,
    .age_ms = 24 * 3600 * 1000,
};

struct live {
    struct env *env;
    struct ws_limits limits;
    const char *listen_address;
    struct ws_quota *quota;
    struct ws_loop *loops[LIVE_LOOPS_MAX];
    uint32_t loop_count;
    struct ws_entry entry;
    struct ws_replay *replay;
    struct ws_doorman doorman;
    struct ws_gate *gate;
    struct ws_listen *listen; /* NULL: not wanted */
    struct long_polls *polls; /* NULL: nobody waits */
};

/* The access log's line of a socket or stream. */
static void on_closed(void *user, const struct ws_record *record)
{
    struct live *self = user;
    log_info(self->env->log, record->kind == WS_STREAM ? "stream.closed" : "ws.closed",
             KV_INT("socket", (int64_t)record->id), KV("user", record->identity->user_id),
             KV("session", record->identity->session_id), KV("client", record->client), KV_INT("code", record->code),
             KV_INT("events", record->events_count), KV_INT("ms", record->lived_ms));
    ws_quota_give(self->quota, text_of(record->identity->user_id));
}

static struct ws_limits limits_of(const struct live_config *config)
{
    struct ws_limits limits = live_limits;
    limits.queue_count = config->queue_count;
    limits.queue_size = config->queue_size;
    limits.receive_size = config->message_size;
    limits.receive_rate = config->messages;
    limits.ping_ms = config->ping_s * 1000;
    return limits;
}

/* So many as there are cores, up to a few: one is enough for most, and each costs a thread. */
static uint32_t loop_count_of(int64_t wanted)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    long count = wanted > 0 ? (long)wanted : cores < LOOPS_DEFAULT_MAX ? cores : LOOPS_DEFAULT_MAX;
    return count < 1 ? 1 : count > LIVE_LOOPS_MAX ? LIVE_LOOPS_MAX : (uint32_t)count;
}

static bool loops_start(struct live *self, uint32_t count)
{
    struct ws_loop_settings loop = {.metrics = self->env->metrics,
                                    .closed = on_closed,
                                    .user = self,
                                    .ask = ws_replay_ask,
                                    .ask_user = self->replay};
    while (self->loop_count < count) {
        struct ws_loop *made = ws_loop_new(&loop);
        if (!made) {
            return false;
        }
        self->loops[self->loop_count++] = made;
    }
    return true;
}

struct live *live_new(struct env *env, const struct live_settings *settings)
{
    struct live *self = mem_alloc(sizeof(*self));
    self->env = env;
    self->limits = settings->limits ? *settings->limits : limits_of(settings->config);
    self->polls = settings->polls;
    self->listen_address = settings->config->listen;
    self->quota = ws_quota_new(settings->config->total_max, settings->config->user_max);
    self->replay = ws_replay_new(&(struct ws_replay_settings){
        .client = settings->client, .log = env->log, .silence_ms = settings->silence_ms, .user = settings->silence_user,
        .access = settings->access});
    if (!loops_start(self, loop_count_of(settings->config->loops)) || !ws_replay_start(self->replay)) {
        live_destroy(&self);
        return NULL;
    }
    self->entry.accepts = settings->accepts;
    self->entry.loops = self->loops;
    self->entry.loop_count = self->loop_count;
    self->entry.quota = self->quota;
    atomic_init(&self->entry.next_id, 1);
    self->doorman = (struct ws_doorman){.access = settings->access,
                                        .replay = self->replay,
                                        .limits = &self->limits,
                                        .forwarded = settings->forwarded,
                                        .origins = settings->config->origins};
    struct ws_gate_settings gate = {
        .entry = &self->entry,
        .doorman = self->doorman,
        .refuse = settings->refuse,
        .refuse_user = settings->refuse_user,
    };
    self->gate = ws_gate_new(&gate);
    return self;
}

void live_destroy(struct live **self_p)
{
    struct live *self = *self_p;
    if (!self) {
        return;
    }
    ws_listen_destroy(&self->listen);
    ws_replay_stop(self->replay);
    ws_gate_destroy(&self->gate);
    for (uint32_t i = 0; i < self->loop_count; i++) {
        ws_loop_destroy(&self->loops[i]);
    }
    ws_replay_destroy(&self->replay);
    ws_quota_destroy(&self->quota);
    mem_free(self);
    *self_p = NULL;
}

void live_attach(struct live *self, struct mg_context *context)
{
    ws_gate_attach(self->gate, context);
}

static enum err admit(void *user, const struct ws_handshake *handshake, struct fault *fault,
                      struct ws_peer_settings *out)
{
    struct live *self = user;
    return ws_handshake_check(&self->doorman, handshake, fault, out);
}

bool live_listen(struct live *self, char *message, size_t message_size)
{
    const char *address = self->listen_address;
    struct ws_listen_settings settings = {.address = address, .entry = &self->entry, .admit = admit, .user = self};
    if (!address[0]) {
        return true;
    }
    self->listen = ws_listen_new(&settings, message, message_size);
    if (self->listen) {
        log_info(self->env->log, "ws.listening", KV("address", address), KV_INT("port", ws_listen_port(self->listen)));
    }
    return self->listen != NULL;
}

/* Whoever waits looks at the log; whoever listens is closed, and comes back to do so. */
static void missed(struct live *self)
{
    for (uint32_t i = 0; i < self->loop_count; i++) {
        ws_loop_lag(self->loops[i]);
    }
    if (self->polls) {
        long_polls_wake_all(self->polls);
    }
}

void live_publish(struct live *self, const struct subscriber_event *event)
{
    struct fault fault;
    struct ws_message *message = NULL;
    fault_init(&fault, NULL);
    if (event->gap) {
        missed(self);
    }
    if (ws_event_make(event, &fault, &message) != ERR_NONE) {
        log_error(self->env->log, "ws.event_unreadable", KV_TEXT("event", event->meta->id),
                  KV_INT("seq", event->meta->seq), KV("detail", fault.detail), KV("cause", fault.cause));
        missed(self);
        return;
    }
    if (message) {
        if (self->polls) {
            long_polls_wake(self->polls, text_of(message->user_id), message->types);
        }
        for (uint32_t i = 1; i < self->loop_count; i++) {
            ws_loop_publish(self->loops[i], ws_message_keep(message));
        }
        ws_loop_publish(self->loops[0], message);
    }
}

void live_end_sessions(struct live *self, const struct denial *denial)
{
    for (uint32_t i = 0; i < self->loop_count; i++) {
        ws_loop_end_sessions(self->loops[i], denial);
    }
    if (self->polls) {
        long_polls_wake_all(self->polls); /* each looks whether it was its session */
    }
}

enum err live_position_check(struct live *self, bool resume, int64_t after, struct fault *fault)
{
    return resume ? ws_replay_check(self->replay, after, fault) : ws_replay_hear(self->replay, fault);
}

enum err live_stream_add(struct live *self, int civetweb_fd, struct ws_peer_settings *peer, struct fault *fault)
{
    peer->limits = &self->limits;
    return ws_entry_add(&self->entry, civetweb_fd, peer, fault);
}

void live_stream_start(struct live *self, int civetweb_fd, const struct ws_peer_settings *peer)
{
    ws_entry_detach(&self->entry, civetweb_fd, peer->fd);
    ws_loop_start(ws_entry_loop(&self->entry, peer->id), peer->id, (struct text){0});
}

int64_t live_drain(struct live *self, int64_t wait_ms)
{
    int64_t until_ms = clock_now_ms() + wait_ms, left = 0;
    for (uint32_t i = 0; i < self->loop_count; i++) {
        (void)ws_loop_drain(self->loops[i], 0); /* all of them begin at once */
    }
    for (uint32_t i = 0; i < self->loop_count; i++) {
        int64_t left_ms = until_ms - clock_now_ms();
        left += ws_loop_drain(self->loops[i], left_ms > 0 ? left_ms : 0);
    }
    return left;
}
