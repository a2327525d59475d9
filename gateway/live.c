#include "gateway/live.h"

#include "gateway/ws_event.h"
#include "gateway/ws_gate.h"
#include "gateway/ws_replay.h"
#include "lib/base/mem.h"

CONFIG_DEFINE(live_config, LIVE_CONFIG)

const struct ws_limits live_limits = {
    .queue_count = 64,
    .queue_size = 256 * 1024,
    .receive_size = 64 * 1024,
    .receive_rate = 100,
    .ping_ms = 25 * 1000,
    .close_ms = 2 * 1000,
    .age_ms = 24 * 3600 * 1000,
};

struct live {
    struct env *env;
    struct ws_limits limits;
    struct ws_quota *quota;
    struct ws_loop *loop;
    struct ws_entry entry;
    struct ws_replay *replay;
    struct ws_gate *gate;
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

struct live *live_new(struct env *env, const struct live_settings *settings)
{
    struct live *self = mem_alloc(sizeof(*self));
    self->env = env;
    self->limits = settings->limits ? *settings->limits : live_limits;
    if (!settings->limits) {
        self->limits.ping_ms = settings->config->ping_s * 1000;
    }
    self->polls = settings->polls;
    self->quota = ws_quota_new(settings->config->total_max, settings->config->user_max);
    self->replay = ws_replay_new(&(struct ws_replay_settings){
        .client = settings->client, .log = env->log, .silence_ms = settings->silence_ms, .user = settings->silence_user});
    struct ws_loop_settings loop = {
        .metrics = env->metrics, .closed = on_closed, .user = self, .ask = ws_replay_ask, .ask_user = self->replay};
    self->loop = ws_loop_new(&loop);
    if (!self->loop || !ws_replay_start(self->replay, self->loop)) {
        live_destroy(&self);
        return NULL;
    }
    self->entry.accepts = settings->accepts;
    self->entry.loop = self->loop;
    self->entry.quota = self->quota;
    atomic_init(&self->entry.next_id, 1);
    struct ws_gate_settings gate = {
        .entry = &self->entry,
        .access = settings->access,
        .replay = self->replay,
        .limits = &self->limits,
        .origins = settings->config->origins,
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
    ws_replay_stop(self->replay);
    ws_gate_destroy(&self->gate);
    ws_loop_destroy(&self->loop);
    ws_replay_destroy(&self->replay);
    ws_quota_destroy(&self->quota);
    mem_free(self);
    *self_p = NULL;
}

void live_attach(struct live *self, struct mg_context *context)
{
    ws_gate_attach(self->gate, context);
}

/* Whoever waits looks at the log; whoever listens is closed, and comes back to do so. */
static void missed(struct live *self)
{
    ws_loop_lag(self->loop);
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
        ws_loop_publish(self->loop, message);
    }
}

void live_end_sessions(struct live *self, const struct denial *denial)
{
    ws_loop_end_sessions(self->loop, denial);
    if (self->polls) {
        long_polls_wake_all(self->polls); /* each looks whether it was its session */
    }
}

enum err live_position_check(struct live *self, bool resume, int64_t after, struct fault *fault)
{
    return resume ? ws_replay_check(self->replay, after, fault) : ws_replay_hear(self->replay, fault);
}

enum err live_stream_add(struct live *self, int civetweb_fd, const char *client, struct ws_peer_settings *peer,
                         struct fault *fault)
{
    peer->limits = &self->limits;
    return ws_entry_add(&self->entry, civetweb_fd, client, peer, fault);
}

void live_stream_start(struct live *self, int civetweb_fd, const struct ws_peer_settings *peer)
{
    ws_entry_start(&self->entry, civetweb_fd, peer->fd, peer->id);
}

int64_t live_drain(struct live *self, int64_t wait_ms)
{
    return ws_loop_drain(self->loop, wait_ms);
}
