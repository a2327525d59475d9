/* A loop's inside, for ws_loop.c (its thread and its face) and ws_tasks.c (what the thread does with its peers). */
#ifndef ZMART_GATEWAY_WS_LOOP_PARTS_H
#define ZMART_GATEWAY_WS_LOOP_PARTS_H

#include <pthread.h>
#include <stdatomic.h>

#include "gateway/ws_ended.h"
#include "gateway/ws_loop.h"
#include "gateway/ws_peers.h"
#include "gateway/ws_recent.h"
#include "lib/base/mailbox.h"

enum task_kind {
    TASK_ADD,
    TASK_START,
    TASK_PAGE,
    TASK_PUBLISH,
    TASK_END,
    TASK_PERMIT,
    TASK_LAG,
    TASK_DRAIN,
    TASK_STOP
};

/* What became of a look-up. */
struct ws_permit {
    enum err code;
    char detail[160];
};

/* What the mailbox carries. */
struct loop_task {
    enum task_kind kind;
    struct ws_peer_settings settings; /* ADD */
    struct ws_message *event;         /* PUBLISH */
    struct ws_page *page;             /* PAGE; NULL: there is none */
    uint32_t bucket;                  /* PAGE, PERMIT */
    struct ws_permit *permit;         /* PERMIT */
    char *early;                      /* START; owned, may be NULL */
    uint32_t early_size;
    struct ws_ended ended;            /* END */
    uint64_t peer_id;                 /* START, PAGE, PERMIT */
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
    struct ws_recent recent;
    struct ws_hearer changes; /* hears what its clients want to follow */
    int64_t closing_count; /* as of the last tick */
    int64_t last_seq, tick_ms;
    struct ws_ends ends;
    bool stopping;
};

/* All on the loop's thread. */

/* Takes one batch of tasks from the mailbox. */
void ws_tasks_run(struct ws_loop *self, int64_t now_ms);
/* One task, which is freed. */
void ws_task_obey(struct ws_loop *self, struct loop_task *task, int64_t now_ms);
/* The peer's socket can be read or written. */
void ws_tasks_io(struct ws_loop *self, struct ws_peer *peer, bool readable, bool writable, int64_t now_ms);
/* To be called once a tick for all peers. */
void ws_tasks_tick(struct ws_loop *self, int64_t now_ms);
/* Destroys the peers that are done. */
void ws_tasks_reap(struct ws_loop *self, int64_t now_ms);
/* Destroys one that is in no list but its bucket. */
void ws_tasks_forget(struct ws_loop *self, struct ws_peer *peer, int64_t now_ms);
/* One socket less. Any thread. */
void ws_tasks_count_down(struct ws_loop *self);

#endif
