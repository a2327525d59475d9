#include "gateway/ws_loop.h"

#include <errno.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "gateway/ws_changes.h"
#include "gateway/ws_loop_parts.h"
#include "lib/base/clock.h"
#include "lib/base/invariant.h"
#include "lib/base/lock.h"
#include "lib/base/mem.h"

enum { EPOLL_BATCH = 256 };

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
        ws_tasks_tick(self, now_ms);
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
            ws_tasks_io(self, peer, broken || (events[i].events & EPOLLIN), broken || (events[i].events & EPOLLOUT),
                        now_ms);
        }
        ws_tasks_reap(self, now_ms);
        if (tasks) {
            ws_tasks_run(self, now_ms);
        }
        tick_if_due(self, now_ms);
        ws_tasks_reap(self, now_ms);
    }
    return NULL;
}

/* ---- the outside ---- */

struct ws_loop *ws_loop_new(const struct ws_loop_settings *settings)
{
    struct ws_loop *self = mem_alloc(sizeof(*self));
    self->settings = *settings;
    self->changes = (struct ws_hearer){ws_changes_hear, self};
    self->settings.hearer = settings->hearer ? settings->hearer : &self->changes;
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
    self->open_count += taken ? 1 : 0;
    pthread_mutex_unlock(&self->mutex);
    metric_add(self->connections, taken ? 1 : 0);
    if (taken && !task_give(self, &task)) {
        ws_tasks_count_down(self);
        taken = false;
    }
    return taken;
}

void ws_loop_start(struct ws_loop *self, uint64_t peer_id, struct text early)
{
    struct loop_task task = {.kind = TASK_START, .peer_id = peer_id, .early_size = early.size};
    if (early.size > 0) {
        task.early = mem_alloc(early.size);
        memcpy(task.early, early.data, early.size);
    }
    if (!task_give(self, &task)) {
        mem_free(task.early);
        overrun_mark(self);
    }
}

void ws_loop_answer(struct ws_loop *self, const struct ws_ask *ask, struct ws_page *page)
{
    struct loop_task task = {.kind = TASK_PAGE, .peer_id = ask->peer_id, .bucket = ask->bucket, .page = page};
    if (!task_give(self, &task)) {
        ws_page_destroy(&page);
        overrun_mark(self);
    }
}

void ws_loop_permit(struct ws_loop *self, const struct ws_ask *ask, enum err code, const char *detail)
{
    struct ws_permit *permit = mem_alloc(sizeof *permit);
    struct loop_task task = {.kind = TASK_PERMIT, .peer_id = ask->peer_id, .bucket = ask->bucket, .permit = permit};
    permit->code = code;
    snprintf(permit->detail, sizeof permit->detail, "%s", detail);
    if (!task_give(self, &task)) {
        mem_free(permit);
        overrun_mark(self);
    }
}

void ws_loop_publish(struct ws_loop *self, struct ws_message *event)
{
    struct loop_task task = {.kind = TASK_PUBLISH, .event = event};
    if (!task_give(self, &task)) {
        ws_message_drop(&event);
        overrun_mark(self);
    }
}

void ws_loop_end_sessions(struct ws_loop *self, const struct denial *denial)
{
    struct loop_task task = {.kind = TASK_END, .ended = ws_ended_of(denial)};
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
            next = ws_peer_links(peer)->next;
            ws_tasks_forget(self, peer, clock_now_ms());
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
        ws_task_obey(self, left, clock_now_ms());
    }
    peers_abandon(self);
    ws_recent_clear(&self->recent);
    close(self->epoll_fd);
    mailbox_destroy(&self->mailbox);
    pthread_cond_destroy(&self->emptied);
    pthread_mutex_destroy(&self->mutex);
    mem_free(self);
    *self_p = NULL;
}
