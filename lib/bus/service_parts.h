/* What the files behind service.h share; nobody else includes it.
 *
 *     service.c   starts and ends it all          loop.c    a loop's thread: what waits, timers
 *     worker.c    the I/O thread                  batch.c   one unit of work
 *     call.c      what a handler may ask          work_pool.c
 *
 * A request is two things: its ticket, which belongs to the I/O thread and is what the broker waits for, and its call,
 * which belongs to a loop. They part when the reply is packed: the ticket carries it back, the call is freed. */
#ifndef ZMART_BUS_SERVICE_PARTS_H
#define ZMART_BUS_SERVICE_PARTS_H

#include <pthread.h>
#include <stdatomic.h>

#include "lib/base/mailbox.h"
#include "lib/bus/courier.h"
#include "lib/bus/service.h"
#include "lib/bus/slots.h"

enum {
    SERVICE_MAX_LOOPS = 64,
    SERVICE_MAX_BATCH = 1024,
    SERVICE_MAX_INTERNAL = 4096, /* calls without a client that wait or run in one loop */
    SERVICE_RETRY_AFTER_S = 1
};

struct ticket {
    struct ticket *prev, *next; /* the I/O thread's list */
    struct ticket *chain;       /* of one release */
    int peer;                   /* index of the broker it came from */
    uint64_t session;           /* of that peer: a reply to an earlier one is unwanted */
    struct frame_head head;     /* of the request */
    atomic_bool cancelled;      /* nobody waits for it: not to be begun */
    struct message reply;
};

/* What a batch gives to the I/O thread when it has been committed. */
struct release {
    struct ticket *tickets; /* answered; by chain */
    struct flight *flights; /* to be sent; by next */
};

enum call_wait { WAIT_NOTHING, WAIT_CALL, WAIT_OFFLOAD };

struct loop_timer;

struct call {
    struct call *prev, *next; /* the loop's list that it is in, if any */
    struct service_loop *loop;
    struct ticket *ticket; /* NULL: no client */
    /* a request */
    const struct op_handler *handler;
    const struct op_info *info;
    struct message request;
    const void *in;
    void *out;
    /* a call without a client */
    const char *name;
    call_run *run;
    void *argument;
    struct loop_timer *timer;
    /* either */
    uint8_t request_id[ID_SIZE];
    int64_t arrived_us, deadline_ms;
    int attempt;
    bool redelivered;
    struct call_meta meta;
    struct arena arena;
    struct fault fault;
    enum err status; /* of the last run */
    bool began;      /* a handler has run: writes may exist */
    bool ran;        /* in this batch */
    bool keep, replayed;
    /* what it waits for, and what came */
    enum call_wait wait;
    bool continued; /* the answer is there */
    call_continue *then;
    void *then_state;
    enum op sent_op;
    struct flight *flight; /* until it is released */
    enum err answer_status;
    struct message answer;
    bool answer_came;
    struct work_pool *pool;
    void (*work)(void *argument);
    void *work_argument;
};

struct loop_timer {
    const struct service_timer *timer;
    int64_t next_ms;
    bool running;
};

/* An operation's metrics in one loop; made at first use. */
struct op_metrics {
    struct metric *seconds;
    struct metric *by_code[ERR_COUNT];
};

enum loop_state { LOOP_OPENING, LOOP_OPEN, LOOP_FAILED };

struct service_loop {
    struct service_host *host;
    int index;
    pthread_t thread;
    bool started;
    atomic_int load; /* calls given to it and not ended; the I/O thread reads it */
    atomic_bool woken; /* service.woken is to be called */
    atomic_int offloaded; /* calls that a pool has; its thread touches neither call nor loop after counting down */
    struct mailbox *inbox; /* struct call */
    struct loop_store store;
    struct call *own;   /* calls without a client, not yet begun */
    int internal_count; /* calls without a client that have not ended */
    struct call *later; /* begun, waiting for an answer */
    struct loop_timer *timers;
    size_t timer_count;
    struct op_metrics *op_metrics; /* by handler */
    struct buffer packed;          /* scratch */
    enum loop_state state;         /* guarded by host->lock */
    struct fault open_fault;
};

struct service_host {
    const struct service *service;
    const void *config;
    const struct bus_config *bus;
    const struct service_config *own;
    struct env *env;
    struct credentials credentials;
    struct service_loop *loops;
    int loop_count;
    struct slots *slots;       /* of calls to other services */
    struct mailbox *released;  /* struct release, to the I/O thread */
    struct service_share share;
    int remote_max;            /* requests taken at a time */
    atomic_int open_count;     /* calls that have not ended */
    atomic_bool draining;      /* no timer starts any more */
    atomic_bool stopping;      /* loops end */
    atomic_int ended_count;    /* loops that have ended and answered what they had left */
    struct text plain_meta;    /* a packed reply_meta; most replies have this one */
    struct metric *batch_size, *queue_length;
    pthread_mutex_t lock;      /* of the loops' states */
    pthread_cond_t changed;
};

/* ---- worker.c ---- */
/* The I/O thread's whole life: sessions, requests, replies; returns after the drain. Loops run. */
void worker_run(struct service_host *host);

/* What is not to be sent any more. The calls that wait for it stay with their loops. */
void release_drop_flights(struct release *release);

/* ---- loop.c ---- */
void loop_start(struct service_loop *loop);
/* After host->stopping was set: lets it notice. */
void loop_wake(struct service_loop *loop);
/* After host->stopping was set: waits for its end. */
void loop_join(struct service_loop *loop);
/* Gives a call to its loop. It always fits: the number of calls is bounded before. Thread-safe. */
void loop_give(struct service_loop *loop, struct call *call);
/* Where one loop writes, what only reads goes to the idlest of the others, if there are others. */
struct service_loop *loop_choose(struct service_host *host, const struct op_info *info, struct text route);

/* ---- batch.c ---- */
/* Runs the calls as one unit of work and releases what comes of it. Frees those that have ended. */
void batch_run(struct service_loop *loop, struct call **calls, size_t count);
/* Ends a call that cannot go on with SERVICE_UNAVAILABLE, but leaves its memory: a pool's thread may still have it. */
void call_abandon(struct call *call);

/* ---- call.c ---- */
struct call *call_new(struct service_loop *loop);
void call_destroy(struct call **self);
/* Gives back what a call has prepared and will not send. */
void call_unprepare(struct call *call);
/* Index of its operation among the service's handlers. */
int call_op_index(const struct call *call);

/* ---- work_pool.c ---- */
/* False when the queue is full. What was reserved is submitted or given back. */
bool work_pool_reserve(struct work_pool *self);
void work_pool_unreserve(struct work_pool *self);
/* The call goes to its loop when its work is done. */
void work_pool_submit(struct work_pool *self, struct call *call);

/* ---- metrics_pack.c ---- */
/* A packed metric_list of the registry; empty if it does not fit. Lives in arena. */
struct text metrics_pack(struct metrics *metrics, const char *instance, struct arena *arena);

#endif
