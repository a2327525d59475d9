#include "lib/bus/log_reader.h"

#include <stdatomic.h>
#include <stdio.h>

#include "lib/base/clock.h"
#include "lib/base/invariant.h"
#include "lib/base/mem.h"
#include "lib/bus/subscriber.h"

enum { SILENCE_MS = 3000, TOPIC_SIZE = EVENT_TOPIC_SIZE };

struct log_reader {
    struct service_loop *loop;
    struct log_reader_settings settings;
    struct subscriber *subscriber; /* owned */
    struct metric *entries;
    char topics[LOG_READER_MAX_TYPES][TOPIC_SIZE];
    atomic_bool news;          /* something was published since the last look began */
    int64_t looking_until_ms;  /* a look is under way, or was given up after this; 0: none */
    int64_t position;          /* as last stored; -1: not read yet */
    int64_t epoch;             /* of the log that was read last; 0: none was */
};

static void look_start(struct log_reader *self);

/* ---- a page ---- */

static enum err page_take(struct log_reader *self, struct call *call, const struct log_page *page)
{
    enum err e = self->settings.take(call, page);
    if (e == ERR_NONE) {
        metric_add(self->entries, page->count);
        self->position = page->position;
    }
    return e;
}

/* Entries that we have not seen were dropped from the log: there is nothing to do but to go on, and to say so. */
static enum err position_lost(struct log_reader *self, struct call *call)
{
    struct log_page page = {.position = call_fault(call)->head};
    if (page.position < 0) {
        return ERR_POSITION_LOST;
    }
    log_error(service_env(self->loop)->log, "log.position_lost", KV_INT("position", self->position),
              KV_INT("goes_on_at", page.position));
    return page_take(self, call, &page);
}

static enum err page_came(struct call *call, enum err status, const void *reply, void *state, void *out)
{
    struct log_reader *self = state;
    const struct event_page *page = reply;
    (void)out;
    self->looking_until_ms = 0;
    if (status == ERR_POSITION_LOST) {
        return position_lost(self, call);
    }
    if (status != ERR_NONE) {
        return status;
    }
    bool lies_before = page->head < self->position;
    if (lies_before && page->epoch == self->epoch) {
        log_warn(service_env(self->loop)->log, "log.lags", KV_INT("position", self->position),
                 KV_INT("head", page->head));
        return ERR_NONE;
    }
    self->epoch = page->epoch;
    struct log_page taken = {.entries = page->data.items, .count = page->data.count, .position = page->head};
    if (lies_before) {
        log_error(service_env(self->loop)->log, "log.is_another", KV_INT("position", self->position),
                  KV_INT("head", page->head));
        taken.position = 0;
    } else if (page->has_more && taken.count > 0) {
        taken.position = taken.entries[taken.count - 1].seq;
    }
    bool more = taken.position < page->head;
    enum err e = ERR_NONE;
    if (taken.position != self->position || taken.count > 0) {
        e = page_take(self, call, &taken);
    }
    if (e == ERR_NONE && (more || atomic_load(&self->news))) {
        look_start(self);
    }
    return e;
}

static enum err look_run(struct call *call, void *argument)
{
    struct log_reader *self = argument;
    struct text *types = arena_alloc(call_arena(call), LOG_READER_MAX_TYPES * sizeof *types);
    struct event_replay replay = {.limit = EVENT_BATCH_MAX, .types = {.items = types}};
    for (int i = 0; self->settings.types[i]; i++) {
        types[replay.types.count++] = text_of(self->settings.types[i]);
    }
    atomic_store(&self->news, false);
    enum err e = self->settings.position(call, &replay.after);
    if (e == ERR_NONE) {
        self->position = replay.after;
        set_has(event_replay, &replay, limit);
        set_has(event_replay, &replay, types);
        e = call_send(call, OP_event_replay, "replay", (struct text){0}, &replay, page_came, self);
    }
    if (e != ERR_LATER) {
        self->looking_until_ms = 0;
    }
    return e;
}

static void look_start(struct log_reader *self)
{
    int64_t now_ms = clock_now_ms();
    if (now_ms >= self->looking_until_ms && !env_stopping(service_env(self->loop))) {
        /* a look whose answer never comes is given up: what it would have taken is read again */
        self->looking_until_ms = now_ms + 2 * LOG_READER_BUDGET_MS;
        service_start(self->loop, "log.look", LOG_READER_BUDGET_MS, look_run, self);
    }
}

void log_reader_woken(struct log_reader *self)
{
    if (atomic_load(&self->news)) {
        look_start(self);
    }
}

void log_reader_look(struct log_reader *self)
{
    if (self->position < 0 || subscriber_seq(self->subscriber) > self->position ||
        subscriber_silence_ms(self->subscriber) > SILENCE_MS) {
        look_start(self);
    }
}

/* ---- making and ending ---- */

/* On the subscriber's thread. */
static void event_heard(void *user, const struct subscriber_event *event)
{
    struct log_reader *self = user;
    (void)event;
    atomic_store(&self->news, true);
    service_wake(self->loop);
}

struct log_reader *log_reader_new(struct service_loop *loop, const struct bus_config *bus,
                                  const struct log_reader_settings *settings, char *message, size_t message_size)
{
    const char *topics[LOG_READER_MAX_TYPES + 1] = {NULL};
    struct log_reader *self = mem_alloc(sizeof *self);
    self->loop = loop;
    self->settings = *settings;
    self->position = -1;
    for (int i = 0; settings->types[i]; i++) {
        ASSERT(i < LOG_READER_MAX_TYPES);
        snprintf(self->topics[i], TOPIC_SIZE, "%.*s", (int)strcspn(settings->types[i], "*"), settings->types[i]);
        topics[i] = self->topics[i];
    }
    self->entries = metrics_get(service_env(loop)->metrics, METRIC_COUNTER, "zmart_log_entries_taken_total", "",
                                "Entries of the event log that were taken.");
    self->subscriber = subscriber_new(service_env(loop), bus, topics, event_heard, self, message, message_size);
    if (!self->subscriber) {
        mem_free(self);
        return NULL;
    }
    return self;
}

void log_reader_destroy(struct log_reader **self)
{
    if (*self) {
        subscriber_destroy(&(*self)->subscriber);
        mem_free(*self);
        *self = NULL;
    }
}
