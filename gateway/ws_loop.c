#include "gateway/ws_loop.h"

#include <errno.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "gateway/ws_peers.h"
#include "lib/base/clock.h"
#include "lib/base/invariant.h"
#include "lib/base/lock.h"
#include "lib/base/mailbox.h"
#include "lib/base/mem.h"

enum { EPOLL_BATCH = 256, MAILBOX_BATCH = 64 };

enum task_kind { TASK_ADD, TASK_START, TASK_PUBLISH, TASK_END, TASK_REJECT, TASK_LAG, TASK_DRAIN, TASK_STOP };

/* Owned copy of a denial, with the moment it came. */
struct ended {
    char session_id[WS_ID_SIZE], user_id[WS_ID_SIZE], except_session_id[WS_ID_SIZE];
    struct denial denial; /* its texts are the arrays above, once ended_bind was called */
    int64_t at_ms;
};

/* What the mailbox carries. */
struct loop_task {
    enum task_kind kind;
    struct ws_peer_settings settings; /* ADD */
    struct ws_message *event;         /* PUBLISH */
    struct ended ended;               /* END */
    uint64_t peer_id;                 /* START, REJECT */
};

struct ws_loop {
    struct ws_loop_settings settings;
    struct mailbox *mailbox;
    int epoll_fd;
    pthread_t thread;
    struct metric *connections, *messages, *lagging;
    atomic_bool draining; /* no more sockets */
    atomic_bool overrun;  /* the mailbox was full */
    pthread_mutex_t mutex;
    pthread_cond_t emptied;
    int64_t open_count; /* guarded by mutex: sockets, and those on their way through the mailbox */

    /* The loop's thread's own. */
    struct ws_peers peers;
    int64_t closing_count; /* as of the last tick */
    int64_t last_seq, tick_ms;
    struct ended ends[WS_LOOP_DENIALS]; /* the newest, for sockets that were checked before and added after */
    uint32_t end_count;
    bool stopping;
};

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

static void count_down(struct ws_loop *self)
{
    pthread_mutex_lock(&self->mutex);
    metric_set(self->connections, --self->open_count);
    if (self->open_count == 0) {
        pthread_cond_broadcast(&self->emptied);
    }
    pthread_mutex_unlock(&self->mutex);
}

static void peers_reap(struct ws_loop *self, int64_t now_ms)
{
    struct ws_peer *peer;
    while ((peer = ws_peers_take_done(&self->peers)) != NULL) {
        struct ws_record record;
        ws_peer_record(peer, now_ms, &record);
        self->settings.closed(self->settings.user, &record);
        ws_peer_destroy(&peer);
        count_down(self);
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
    if (ws_peer_is_closing(peer) || !ws_peer_sees(peer, event)) {
        return;
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

static void act_end(struct ws_loop *self, struct ws_peer *peer, const void *argument, int64_t now_ms)
{
    (void)self;
    if (ws_identity_is_denied(ws_peer_identity(peer), argument)) {
        ws_peer_close(peer, WS_SESSION_ENDED, "session ended", true, now_ms);
    }
}

static void act_reject(struct ws_loop *self, struct ws_peer *peer, const void *argument, int64_t now_ms)
{
    (void)self;
    if (ws_peer_id(peer) == *(const uint64_t *)argument) {
        ws_peer_close(peer, WS_PROTOCOL_ERROR, "bytes before the handshake's end", true, now_ms);
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

static void ended_bind(struct ended *ended)
{
    ended->denial.session_id = text_of(ended->session_id);
    ended->denial.user_id = text_of(ended->user_id);
    ended->denial.except_session_id = text_of(ended->except_session_id);
}

static void task_add(struct ws_loop *self, const struct ws_peer_settings *settings, int64_t now_ms)
{
    struct ws_peer *peer = ws_peer_new(settings, self->last_seq, now_ms);
    if (!peer) {
        struct ws_record record = {
            .id = settings->id, .identity = &settings->identity, .client = settings->client, .code = 1006};
        self->settings.closed(self->settings.user, &record);
        close(settings->fd);
        mem_free(settings->filter.order_ids);
        count_down(self);
        return;
    }
    ws_peers_add(&self->peers, peer);
    for (uint32_t i = 0; i < self->end_count && i < WS_LOOP_DENIALS; i++) {
        if (self->ends[i].at_ms >= settings->identity.checked_ms) {
            act_end(self, peer, &self->ends[i].denial, now_ms);
        }
    }
    if (atomic_load(&self->draining)) {
        act_leave(self, peer, NULL, now_ms);
    }
    peer_settle(self, peer);
}

static void task_start(struct ws_loop *self, uint64_t id, int64_t now_ms)
{
    struct ws_peer *peer = ws_peers_take_held(&self->peers, id);
    if (!peer) {
        return; /* it was held for too long */
    }
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = peer};
    ASSERT(epoll_ctl(self->epoll_fd, EPOLL_CTL_ADD, ws_peer_fd(peer), &event) == 0);
    ws_peer_start(peer, now_ms);
    peer_settle(self, peer);
}

static void task_publish(struct ws_loop *self, struct ws_message *event, int64_t now_ms)
{
    struct ws_identity owner = {.role = ROLE_CUSTOMER};
    memcpy(owner.user_id, event->user_id, sizeof(owner.user_id));
    peers_of_bucket(self, ws_peers_bucket(&owner), act_send, event, now_ms);
    peers_of_bucket(self, WS_ADMIN_BUCKET, act_send, event, now_ms);
    self->last_seq = event->seq;
}

static void task_end(struct ws_loop *self, const struct ended *ended, int64_t now_ms)
{
    struct ended *kept = &self->ends[self->end_count % WS_LOOP_DENIALS];
    *kept = *ended;
    kept->at_ms = now_ms;
    ended_bind(kept);
    /* Once all places are taken the count only has to stay beyond them. */
    self->end_count = self->end_count == 2 * WS_LOOP_DENIALS - 1 ? WS_LOOP_DENIALS : self->end_count + 1;
    peers_of_all(self, act_end, &kept->denial, now_ms);
}

static void task_obey(struct ws_loop *self, struct loop_task *task, int64_t now_ms)
{
    switch (task->kind) {
    case TASK_ADD: task_add(self, &task->settings, now_ms); break;
    case TASK_START: task_start(self, task->peer_id, now_ms); break;
    case TASK_PUBLISH:
        task_publish(self, task->event, now_ms);
        ws_message_drop(&task->event);
        break;
    case TASK_END: task_end(self, &task->ended, now_ms); break;
    case TASK_REJECT: peers_of_all(self, act_reject, &task->peer_id, now_ms); break;
    case TASK_LAG: peers_of_all(self, act_lag, NULL, now_ms); break;
    case TASK_DRAIN: peers_of_all(self, act_leave, NULL, now_ms); break;
    case TASK_STOP: self->stopping = true; break;
    }
    mem_free(task);
}

static void mailbox_empty(struct ws_loop *self, int64_t now_ms)
{
    void *tasks[MAILBOX_BATCH];
    size_t count = mailbox_take(self->mailbox, tasks, MAILBOX_BATCH, 0);
    for (size_t i = 0; i < count; i++) {
        task_obey(self, tasks[i], now_ms);
    }
    if (atomic_exchange(&self->overrun, false)) {
        peers_of_all(self, act_lag, NULL, now_ms);
    }
}

/* ---- the thread ---- */

static int wait_ms_of(const struct ws_loop *self)
{
    if (self->peers.count == 0) {
        return -1;
    }
    return self->closing_count > 0 ? WS_CLOSING_TICK_MS : WS_TICK_MS;
}

static void tick_if_due(struct ws_loop *self, int64_t now_ms)
{
    if (self->peers.count > 0 && now_ms - self->tick_ms >= wait_ms_of(self)) {
        self->tick_ms = now_ms;
        self->closing_count = 0;
        peers_of_all(self, act_tick, NULL, now_ms);
    }
}

static void *loop_run(void *argument)
{
    struct ws_loop *self = argument;
    struct epoll_event events[EPOLL_BATCH];
    while (!self->stopping) {
        int count = epoll_wait(self->epoll_fd, events, EPOLL_BATCH, wait_ms_of(self));
        ASSERT(count >= 0 || errno == EINTR);
        int64_t now_ms = clock_now_ms();
        bool tasks = false;
        for (int i = 0; i < count; i++) {
            struct ws_peer *peer = events[i].data.ptr;
            if (!peer) {
                tasks = true;
                continue;
            }
            bool broken = (events[i].events & (EPOLLHUP | EPOLLERR)) != 0;
            ws_peer_on_io(peer, broken || (events[i].events & EPOLLIN), broken || (events[i].events & EPOLLOUT),
                          now_ms);
            peer_settle(self, peer);
        }
        peers_reap(self, now_ms);
        if (tasks) {
            mailbox_empty(self, now_ms);
        }
        tick_if_due(self, now_ms);
        peers_reap(self, now_ms);
    }
    return NULL;
}

/* ---- the outside ---- */

struct ws_loop *ws_loop_new(const struct ws_loop_settings *settings)
{
    struct ws_loop *self = mem_alloc(sizeof(*self));
    self->settings = *settings;
    self->mailbox = mailbox_new(WS_LOOP_MAILBOX);
    self->connections = metrics_get(settings->metrics, METRIC_GAUGE, "zmart_ws_connections", "", "WebSockets open.");
    self->messages =
        metrics_get(settings->metrics, METRIC_COUNTER, "zmart_ws_messages_total", "", "Events queued to WebSockets.");
    self->lagging = metrics_get(settings->metrics, METRIC_COUNTER, "zmart_ws_dropped_total", "",
                                "WebSockets closed because events could not be delivered.");
    condition_init(&self->emptied);
    ASSERT(pthread_mutex_init(&self->mutex, NULL) == 0);
    self->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    bool started = self->epoll_fd >= 0 &&
                   epoll_ctl(self->epoll_fd, EPOLL_CTL_ADD, mailbox_fd(self->mailbox), &event) == 0 &&
                   pthread_create(&self->thread, NULL, loop_run, self) == 0;
    if (!started) {
        if (self->epoll_fd >= 0) {
            close(self->epoll_fd);
        }
        mailbox_destroy(&self->mailbox);
        pthread_cond_destroy(&self->emptied);
        pthread_mutex_destroy(&self->mutex);
        mem_free(self);
        return NULL;
    }
    return self;
}

/* False when the mailbox is full; the task is then gone, not what it carries. */
static bool task_give(struct ws_loop *self, const struct loop_task *task)
{
    struct loop_task *copy = mem_alloc(sizeof(*copy));
    *copy = *task;
    if (mailbox_put(self->mailbox, copy)) {
        return true;
    }
    mem_free(copy);
    return false;
}

/* The mailbox is full: the loop comes by and sees the mark. */
static void overrun_mark(struct ws_loop *self)
{
    atomic_store(&self->overrun, true);
    mailbox_wake(self->mailbox);
}

static void task_give_or_overrun(struct ws_loop *self, const struct loop_task *task)
{
    if (!task_give(self, task)) {
        overrun_mark(self);
    }
}

bool ws_loop_add(struct ws_loop *self, const struct ws_peer_settings *settings)
{
    struct loop_task task = {.kind = TASK_ADD, .settings = *settings};
    pthread_mutex_lock(&self->mutex);
    bool taken = !atomic_load(&self->draining);
    if (taken) {
        metric_set(self->connections, ++self->open_count);
    }
    pthread_mutex_unlock(&self->mutex);
    if (taken && !task_give(self, &task)) {
        count_down(self);
        taken = false;
    }
    return taken;
}

void ws_loop_start(struct ws_loop *self, uint64_t peer_id)
{
    struct loop_task task = {.kind = TASK_START, .peer_id = peer_id};
    task_give_or_overrun(self, &task);
}

void ws_loop_publish(struct ws_loop *self, struct ws_message *event)
{
    struct loop_task task = {.kind = TASK_PUBLISH, .event = event};
    if (!task_give(self, &task)) {
        ws_message_drop(&event);
        overrun_mark(self);
    }
}

static void id_copy(struct text id, char out[WS_ID_SIZE])
{
    if (!text_to_string(id, out, WS_ID_SIZE)) {
        out[0] = '\0';
    }
}

void ws_loop_end_sessions(struct ws_loop *self, const struct denial *denial)
{
    struct loop_task task = {.kind = TASK_END};
    task.ended.denial = *denial;
    id_copy(has(denial, denial, session_id) ? denial->session_id : text_of(""), task.ended.session_id);
    id_copy(has(denial, denial, user_id) ? denial->user_id : text_of(""), task.ended.user_id);
    id_copy(has(denial, denial, except_session_id) ? denial->except_session_id : text_of(""),
            task.ended.except_session_id);
    task_give_or_overrun(self, &task);
}

void ws_loop_reject(struct ws_loop *self, uint64_t peer_id)
{
    struct loop_task task = {.kind = TASK_REJECT, .peer_id = peer_id};
    task_give_or_overrun(self, &task);
}

void ws_loop_lag(struct ws_loop *self)
{
    struct loop_task task = {.kind = TASK_LAG};
    task_give_or_overrun(self, &task);
}

int64_t ws_loop_drain(struct ws_loop *self, int64_t wait_ms)
{
    ASSERT(self != NULL); /* else compilers that check for it warn of what would follow */
    struct timespec until = condition_after(wait_ms);
    struct loop_task task = {.kind = TASK_DRAIN};
    pthread_mutex_lock(&self->mutex);
    atomic_store(&self->draining, true);
    pthread_mutex_unlock(&self->mutex);
    task_give_or_overrun(self, &task);
    pthread_mutex_lock(&self->mutex);
    int result = 0;
    while (self->open_count > 0 && result == 0) {
        result = pthread_cond_timedwait(&self->emptied, &self->mutex, &until);
    }
    int64_t left = self->open_count;
    pthread_mutex_unlock(&self->mutex);
    return left;
}

static void peers_abandon(struct ws_loop *self)
{
    for (uint32_t bucket = 0; bucket <= WS_ADMIN_BUCKET; bucket++) {
        for (struct ws_peer *peer = self->peers.buckets[bucket], *next; peer; peer = next) {
            struct ws_record record;
            next = ws_peer_links(peer)->next;
            ws_peer_record(peer, clock_now_ms(), &record);
            self->settings.closed(self->settings.user, &record);
            ws_peer_destroy(&peer);
            count_down(self);
        }
    }
}

void ws_loop_destroy(struct ws_loop **self_p)
{
    struct ws_loop *self = *self_p;
    if (!self) {
        return;
    }
    struct loop_task stop = {.kind = TASK_STOP};
    atomic_store(&self->draining, true);
    while (!task_give(self, &stop)) {
        struct timespec pause = {.tv_nsec = 1000000};
        nanosleep(&pause, NULL); /* a full mailbox is being emptied */
    }
    ASSERT(pthread_join(self->thread, NULL) == 0);
    /* What came after the stop. */
    void *left;
    while (mailbox_take(self->mailbox, &left, 1, 0) == 1) {
        task_obey(self, left, clock_now_ms());
    }
    peers_abandon(self);
    close(self->epoll_fd);
    mailbox_destroy(&self->mailbox);
    pthread_cond_destroy(&self->emptied);
    pthread_mutex_destroy(&self->mutex);
    mem_free(self);
    *self_p = NULL;
}
