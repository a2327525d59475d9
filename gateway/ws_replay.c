#include "gateway/ws_replay.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>

#include "gateway/event_source.h"
#include "gateway/event_types.h"
#include "gateway/ws_event.h"
#include "lib/base/clock.h"
#include "lib/base/invariant.h"
#include "lib/base/mailbox.h"
#include "lib/base/mem.h"

enum { HEAR_POLL_MS = 10 };

struct ws_replay {
    struct ws_replay_settings settings;
    struct mailbox *asks;
    pthread_t threads[WS_REPLAY_THREADS];
    int thread_count;
    atomic_bool stopping;
};

struct ws_replay *ws_replay_new(const struct ws_replay_settings *settings)
{
    struct ws_replay *self = mem_alloc(sizeof *self);
    self->settings = *settings;
    self->asks = mailbox_new(WS_REPLAY_ASKS);
    return self;
}

/* ---- the threads ---- */

/* An entry that cannot be read stops nobody; it is a defect, and told. */
static void page_add(struct ws_replay *self, const struct event_view *view, struct ws_page *page)
{
    struct fault fault;
    fault_init(&fault, NULL);
    if (ws_event_of_view(view, &fault, &page->messages[page->count]) == ERR_NONE) {
        page->count++;
    } else {
        log_error(self->settings.log, "ws.event_unreadable", KV_TEXT("event", view->id), KV_INT("seq", view->seq),
                  KV("detail", fault.detail), KV("cause", fault.cause));
    }
}

static struct ws_page *page_of(struct ws_replay *self, const struct event_list *list)
{
    struct ws_page *page = ws_page_new();
    for (uint32_t i = 0; i < list->data.count; i++) {
        page_add(self, &list->data.items[i], page);
    }
    page->has_more = list->has_more && list->data.count > 0;
    page->last = page->has_more ? list->data.items[list->data.count - 1].seq : list->head;
    return page;
}

static void ask_answer(struct ws_replay *self, const struct ws_ask *ask)
{
    AUTO(arena_release) struct arena arena = {0};
    struct fault fault;
    struct event_list list;
    struct event_ask question = {
        .after = ask->after, .limit = WS_PAGE_COUNT, .types = ask->types, .user_id = text_of(ask->user_id)};
    fault_init(&fault, &arena);
    enum err e = event_source_page(self->settings.client, NULL, &question, &arena, &fault, &list);
    if (e != ERR_NONE) {
        log_warn(self->settings.log, "ws.replay_failed", KV_INT("after", ask->after), KV("code", err_info(e)->slug),
                 KV("cause", fault.cause));
        ws_loop_answer(ask->loop, ask, NULL);
        return;
    }
    /* A position beyond the head stays where it is: nothing is newer. */
    list.head = list.head > ask->after ? list.head : ask->after;
    ws_loop_answer(ask->loop, ask, page_of(self, &list));
}

static void permit_answer(struct ws_replay *self, const struct ws_ask *ask)
{
    AUTO(arena_release) struct arena arena = {0};
    struct fault fault;
    fault_init(&fault, &arena);
    enum err e = ws_replay_permit(self, ask, &fault);
    ws_loop_permit(ask->loop, ask, e, fault.detail);
}

static void *replay_run(void *argument)
{
    struct ws_replay *self = argument;
    struct ws_ask *ask;
    while (!atomic_load(&self->stopping)) {
        void *taken;
        if (mailbox_take(self->asks, &taken, 1, -1) == 1 && taken != self) {
            ask = taken;
            if (ask->order_count > 0) {
                permit_answer(self, ask);
            } else {
                ask_answer(self, ask);
            }
            ws_ask_destroy(&ask);
        }
    }
    return NULL;
}

bool ws_replay_start(struct ws_replay *self)
{
    if (!self->settings.client && !self->settings.access.sees) {
        return true;
    }
    while (self->thread_count < WS_REPLAY_THREADS) {
        if (pthread_create(&self->threads[self->thread_count], NULL, replay_run, self) != 0) {
            return false;
        }
        self->thread_count++;
    }
    return true;
}

/* One for each thread, so that none waits on. A full mailbox wakes them all. */
static void stop_put(struct ws_replay *self)
{
    if (!mailbox_put(self->asks, self)) {
        mailbox_wake(self->asks);
    }
}

void ws_replay_stop(struct ws_replay *self)
{
    atomic_store(&self->stopping, true);
    for (int i = 0; i < self->thread_count; i++) {
        stop_put(self);
    }
    while (self->thread_count > 0) {
        ASSERT(pthread_join(self->threads[--self->thread_count], NULL) == 0);
    }
}

void ws_replay_destroy(struct ws_replay **self)
{
    void *taken;
    if (!*self) {
        return;
    }
    while (mailbox_take((*self)->asks, &taken, 1, 0) == 1) {
        struct ws_ask *ask = taken == *self ? NULL : taken;
        ws_ask_destroy(&ask);
    }
    mailbox_destroy(&(*self)->asks);
    mem_free(*self);
    *self = NULL;
}

/* ---- asking ---- */

void ws_replay_ask(void *user, const struct ws_ask *ask)
{
    struct ws_replay *self = user;
    struct ws_ask *copy = ws_ask_copy(ask);
    if (mailbox_put(self->asks, copy)) {
        return;
    }
    ws_ask_destroy(&copy);
    if (ask->order_count > 0) {
        ws_loop_permit(ask->loop, ask, ERR_SERVICE_UNAVAILABLE, "too much is being looked up");
    } else {
        ws_loop_answer(ask->loop, ask, NULL);
    }
}

enum err ws_replay_permit(struct ws_replay *self, const struct ws_ask *ask, struct fault *fault)
{
    const struct ws_access *access = &self->settings.access;
    for (uint32_t i = 0; access->sees && i < ask->order_count; i++) {
        struct text order_id = text_of(ask->order_ids[i]);
        enum err e = access->sees(access->user, text_of(ask->user_id), text_of(ask->session_id), order_id, fault);
        if (e != ERR_NONE) {
            return fault_set(fault, e,
                             e == ERR_NOT_FOUND ? "%s is no order of this account" : "%s cannot be looked up now",
                             ask->order_ids[i]);
        }
    }
    return ERR_NONE;
}

enum err ws_replay_hear(struct ws_replay *self, struct fault *fault)
{
    int64_t until_ms = clock_now_ms() + WS_REPLAY_HEARD_MS;
    if (!self->settings.silence_ms) {
        return fault_set(fault, ERR_SERVICE_UNAVAILABLE, NULL);
    }
    while (self->settings.silence_ms(self->settings.user) == INT64_MAX) {
        if (clock_now_ms() > until_ms || atomic_load(&self->stopping)) {
            fault_cause(fault, "the event stream has not been heard yet");
            return fault_set(fault, ERR_SERVICE_UNAVAILABLE, NULL);
        }
        (void)poll(NULL, 0, HEAR_POLL_MS);
    }
    return ERR_NONE;
}

enum err ws_replay_check(struct ws_replay *self, int64_t after, struct fault *fault)
{
    AUTO(arena_release) struct arena arena = {0};
    struct event_list list;
    struct event_ask question = {.after = after, .limit = 1, .types = event_types_all()};
    enum err e =
        self->settings.client ? ws_replay_hear(self, fault) : fault_set(fault, ERR_SERVICE_UNAVAILABLE, NULL);
    return e == ERR_NONE ? event_source_page(self->settings.client, NULL, &question, &arena, fault, &list) : e;
}
