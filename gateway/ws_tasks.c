#include <sys/epoll.h>
#include <unistd.h>

#include "gateway/ws_changes.h"
#include "gateway/ws_loop_parts.h"
#include "gateway/ws_resume.h"
#include "lib/base/invariant.h"
#include "lib/base/mem.h"

enum { MAILBOX_BATCH = 64 };

/* ---- the loop's peers ---- */

/* After anything was done with a peer: watches what it waits for, or lists it for the end of the round (other
 * events of this round may still point to it). */
static void peer_settle(struct ws_loop *self, struct ws_peer *peer)
{
    struct ws_links *links = ws_peer_links(peer);
    if (ws_peer_is_done(peer)) {
        ws_peers_list_done(&self->peers, peer);
        return;
    }
    if (ws_peer_is_closing(peer)) {
        self->closing_count = self->closing_count > 0 ? self->closing_count : 1;
    }
    bool write = ws_peer_wants_write(peer);
    if (!ws_peer_is_held(peer) && write != links->watched_write) {
        struct epoll_event event = {.events = EPOLLIN | (write ? (uint32_t)EPOLLOUT : 0), .data.ptr = peer};
        ASSERT(epoll_ctl(self->epoll_fd, EPOLL_CTL_MOD, ws_peer_fd(peer), &event) == 0);
        links->watched_write = write;
    }
}

void ws_tasks_count_down(struct ws_loop *self)
{
    pthread_mutex_lock(&self->mutex);
    metric_add(self->connections, -1);
    if (--self->open_count == 0) {
        pthread_cond_broadcast(&self->emptied);
    }
    pthread_mutex_unlock(&self->mutex);
}

static void page_ask(void *user, const struct ws_ask *ask)
{
    struct ws_loop *self = user;
    struct ws_ask own = *ask;
    own.loop = self;
    self->settings.ask(self->settings.ask_user, &own);
}

static struct ws_resumer resumer_of(struct ws_loop *self, int64_t *events_count)
{
    return (struct ws_resumer){.recent = &self->recent, .ask = page_ask, .user = self, .events_count = events_count};
}

/* A peer that catches up goes on as far as it can. */
static void peer_resume(struct ws_loop *self, struct ws_peer *peer, int64_t now_ms)
{
    int64_t count = 0;
    struct ws_resumer resumer = resumer_of(self, &count);
    ws_resume_step(&resumer, peer, ws_peers_bucket(ws_peer_identity(peer)), now_ms);
    metric_add(self->messages, count);
}

void ws_tasks_forget(struct ws_loop *self, struct ws_peer *peer, int64_t now_ms)
{
    struct ws_record record;
    ws_peer_record(peer, now_ms, &record);
    self->settings.closed(self->settings.user, &record);
    ws_resume_release(peer);
    ws_changes_release(peer);
    ws_peer_destroy(&peer);
    ws_tasks_count_down(self);
}

void ws_tasks_reap(struct ws_loop *self, int64_t now_ms)
{
    struct ws_peer *peer;
    while ((peer = ws_peers_take_done(&self->peers)) != NULL) {
        ws_tasks_forget(self, peer, now_ms);
    }
}

typedef void peer_act(struct ws_loop *self, struct ws_peer *peer, const void *argument, int64_t now_ms);

static void peers_of_bucket(struct ws_loop *self, uint32_t bucket, peer_act *act, const void *argument, int64_t now_ms)
{
    for (struct ws_peer *peer = self->peers.buckets[bucket]; peer; peer = ws_peer_links(peer)->next) {
        act(self, peer, argument, now_ms);
        peer_settle(self, peer);
    }
}

static void peers_of_all(struct ws_loop *self, peer_act *act, const void *argument, int64_t now_ms)
{
    for (uint32_t bucket = 0; bucket <= WS_ADMIN_BUCKET; bucket++) {
        peers_of_bucket(self, bucket, act, argument, now_ms);
    }
}

/* ---- what is done to a peer ---- */

static void act_send(struct ws_loop *self, struct ws_peer *peer, const void *argument, int64_t now_ms)
{
    /* Sharing changes the count of users only. */
    struct ws_message *event = (struct ws_message *)(uintptr_t)argument;
    const struct ws_resume *resume = &ws_peer_links(peer)->resume;
    if (ws_peer_is_closing(peer) || resume->on || event->seq <= resume->after || !ws_peer_sees(peer, event)) {
        return; /* the log is ahead of what is published: it may have been found there */
    }
    metric_add(ws_peer_send(peer, event, now_ms) ? self->messages : self->lagging, 1);
}

static void act_lag(struct ws_loop *self, struct ws_peer *peer, const void *argument, int64_t now_ms)
{
    (void)argument;
    if (!ws_peer_is_closing(peer)) {
        metric_add(self->lagging, 1);
        ws_peer_lag(peer, now_ms);
    }
}

static void end(struct ws_peer *peer, int64_t now_ms)
{
    ws_peer_close(peer, WS_SESSION_ENDED, "session ended", true, now_ms);
}

static void act_end(struct ws_loop *self, struct ws_peer *peer, const void *argument, int64_t now_ms)
{
    (void)self;
    if (ws_identity_is_denied(ws_peer_identity(peer), argument)) {
        end(peer, now_ms);
    }
}

static void act_leave(struct ws_loop *self, struct ws_peer *peer, const void *argument, int64_t now_ms)
{
    (void)self;
    (void)argument;
    ws_peer_close(peer, WS_GOING_AWAY, "restarting", false, now_ms);
}

static void act_tick(struct ws_loop *self, struct ws_peer *peer, const void *argument, int64_t now_ms)
{
    (void)argument;
    ws_peer_on_tick(peer, now_ms);
    self->closing_count += ws_peer_is_closing(peer) ? 1 : 0;
}

/* ---- tasks ---- */

static void task_add(struct ws_loop *self, struct ws_peer_settings *settings, int64_t now_ms)
{
    settings->hearer = self->settings.hearer;
    struct ws_peer *peer = ws_peer_new(settings, self->last_seq, now_ms);
    ws_peers_add(&self->peers, peer);
    if (ws_ends_hit(&self->ends, &settings->identity)) {
        end(peer, now_ms);
    }
    if (atomic_load(&self->draining)) {
        act_leave(self, peer, NULL, now_ms);
    }
    peer_settle(self, peer);
}

static void task_start(struct ws_loop *self, const struct loop_task *task, int64_t now_ms)
{
    struct ws_peer *peer = ws_peers_take_held(&self->peers, task->peer_id);
    if (!peer) {
        return; /* it was held for too long */
    }
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = peer};
    ASSERT(epoll_ctl(self->epoll_fd, EPOLL_CTL_ADD, ws_peer_fd(peer), &event) == 0);
    ws_peer_start(peer, (struct text){task->early, task->early_size}, now_ms);
    peer_resume(self, peer, now_ms);
    peer_settle(self, peer);
}

/* NULL if it has gone meanwhile. */
static struct ws_peer *peer_find(const struct ws_loop *self, uint32_t bucket, uint64_t id)
{
    struct ws_peer *peer = self->peers.buckets[bucket];
    while (peer && ws_peer_id(peer) != id) {
        peer = ws_peer_links(peer)->next;
    }
    return peer;
}

static void task_page(struct ws_loop *self, const struct loop_task *task, int64_t now_ms)
{
    int64_t count = 0;
    struct ws_resumer resumer = resumer_of(self, &count);
    struct ws_page *page = task->page;
    struct ws_peer *peer = peer_find(self, task->bucket, task->peer_id);
    if (!peer || ws_peer_is_closing(peer)) {
        ws_page_destroy(&page);
        return;
    }
    if (!page) {
        metric_add(self->lagging, 1);
    }
    ws_resume_take(&resumer, peer, task->bucket, page, now_ms);
    metric_add(self->messages, count);
    peer_settle(self, peer);
}

static void task_permit(struct ws_loop *self, const struct loop_task *task, int64_t now_ms)
{
    struct ws_peer *peer = peer_find(self, task->bucket, task->peer_id);
    if (peer) {
        ws_changes_permit(self, peer, task->permit, now_ms);
        peer_resume(self, peer, now_ms);
        peer_settle(self, peer);
    }
}

static void task_publish(struct ws_loop *self, struct ws_message *event, int64_t now_ms)
{
    struct ws_identity owner = {.role = ROLE_CUSTOMER};
    memcpy(owner.user_id, event->user_id, sizeof(owner.user_id));
    peers_of_bucket(self, ws_peers_bucket(&owner), act_send, event, now_ms);
    peers_of_bucket(self, WS_ADMIN_BUCKET, act_send, event, now_ms);
    ws_recent_add(&self->recent, event);
    self->last_seq = event->seq;
}

/* Those that catch up are closed too: what they wait for may be what was missed. */
static void task_lag(struct ws_loop *self, int64_t now_ms)
{
    ws_recent_clear(&self->recent);
    peers_of_all(self, act_lag, NULL, now_ms);
}

static void task_end(struct ws_loop *self, const struct ws_ended *ended, int64_t now_ms)
{
    struct denial denial = ws_ended_denial(ended);
    ws_ends_add(&self->ends, ended, now_ms);
    peers_of_all(self, act_end, &denial, now_ms);
}

void ws_task_obey(struct ws_loop *self, struct loop_task *task, int64_t now_ms)
{
    switch (task->kind) {
    case TASK_ADD: task_add(self, &task->settings, now_ms); break;
    case TASK_START:
        task_start(self, task, now_ms);
        mem_free(task->early);
        break;
    case TASK_PAGE: task_page(self, task, now_ms); break;
    case TASK_PUBLISH:
        task_publish(self, task->event, now_ms);
        ws_message_drop(&task->event);
        break;
    case TASK_END: task_end(self, &task->ended, now_ms); break;
    case TASK_PERMIT:
        task_permit(self, task, now_ms);
        mem_free(task->permit);
        break;
    case TASK_LAG: task_lag(self, now_ms); break;
    case TASK_DRAIN: peers_of_all(self, act_leave, NULL, now_ms); break;
    case TASK_STOP: self->stopping = true; break;
    }
    mem_free(task);
}

void ws_tasks_run(struct ws_loop *self, int64_t now_ms)
{
    void *tasks[MAILBOX_BATCH];
    size_t count = mailbox_take(self->mailbox, tasks, MAILBOX_BATCH, 0);
    for (size_t i = 0; i < count; i++) {
        ws_task_obey(self, tasks[i], now_ms);
    }
    if (atomic_exchange(&self->overrun, false)) {
        task_lag(self, now_ms);
    }
}

void ws_tasks_io(struct ws_loop *self, struct ws_peer *peer, bool readable, bool writable, int64_t now_ms)
{
    ws_peer_on_io(peer, readable, writable, now_ms);
    peer_resume(self, peer, now_ms);
    peer_settle(self, peer);
}

void ws_tasks_tick(struct ws_loop *self, int64_t now_ms)
{
    self->closing_count = 0;
    peers_of_all(self, act_tick, NULL, now_ms);
}
