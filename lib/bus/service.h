/* One main loop for every service.
 *
 * A process has one I/O thread (all bus sockets: a worker's DEALER and a client's DEALER a broker; it answers PING
 * while handlers run) and N loops, each on its own thread with its own store handle. Loop 0 writes; with more loops
 * the others take the requests of OP_READ operations, so that a read never waits behind an fsync. Where the store takes
 * writes from many (service_share.all_write), every loop takes any request: those with the same key the same loop, the
 * others the idlest.
 *
 * A loop takes what waits (up to --batch), begins one unit of work, runs each handler in a savepoint (rolled back alone
 * when it fails), commits once, and only then releases all replies and outgoing calls: nothing leaves before its
 * cause is durable. If the store ended the transaction itself, the whole batch is answered SERVICE_UNAVAILABLE.
 * A store without units of work makes each write durable at once: then each call's reply leaves when the call has run.
 * A request, or a continuation, whose budget is over is not begun: EXPIRED.
 *
 * A handler is `enum err name(struct call *call, const struct REQUEST *in, struct REPLY *out)`:
 *   ERR_NONE   out is the reply; its texts may point into in or into call_arena
 *   ERR_LATER  it has started something (call_send, call_offload) whose continuation will end the call
 *   else       the reply is call_fault as a problem; its writes are rolled back unless call_keep was called */
#ifndef ZMART_BUS_SERVICE_H
#define ZMART_BUS_SERVICE_H

#include "lib/base/process.h"
#include "lib/bus/address.h"
#include "proto/fault.h"
#include "proto/ops.h"

#define SERVICE_CONFIG(X)                                                                                        \
    X(NUMBER, loops, "j", "0", 0, 64, "worker loops; 0: by store (SQLite: one writes, one reads; MongoDB: 16)") \
    X(NUMBER, batch, "batch", "64", 1, 1024, "requests that share one commit at most")                           \
    X(NUMBER, credit, "credit", "256", 1, 65535, "requests this process takes from a broker at a time")          \
    X(NUMBER, calls, "calls", "4096", 16, 65536, "calls to other services in flight at a time")                  \
    X(NUMBER, drain_ms, "service-drain-ms", "10000", 0, 600000, "time for what is under way when the service is stopped")
CONFIG_DECLARE(service_config, SERVICE_CONFIG);

struct call;
struct service_loop;

/* ---- what a handler may ask of its call ---- */

void *call_state(struct call *call);                     /* of its loop: what service.open gave */
struct service_loop *call_loop(struct call *call);
struct arena *call_arena(struct call *call);             /* lives until the reply has been sent */
struct fault *call_fault(struct call *call);
const struct call_meta *call_meta(const struct call *call); /* never NULL */
const uint8_t *call_request_id(const struct call *call); /* ID_SIZE bytes, the same on every retry */
struct text call_body(const struct call *call);          /* the packed request, for fingerprints */
int call_attempt(const struct call *call);               /* 1; more when it was sent again */
/* Another worker may have begun it: a broker or its sender sent it again, or a dead letter was. */
bool call_is_redelivered(const struct call *call);
int64_t call_left_ms(const struct call *call);           /* of its budget; 0 when it is over */
bool call_is_admin(const struct call *call);
/* True when the caller is signed in as this account, or an administrator. */
bool call_may_act_for(const struct call *call, struct text user_id);
/* The handler's writes stay although it returns an error (a stored refusal). Good for one run of a handler or
 * continuation. */
void call_keep(struct call *call);
/* The answer is an earlier one's: sets reply_meta.replayed, if the request is keyed and its first attempt. */
void call_mark_replayed(struct call *call);

/* Called in the batch after the answer came, in a unit of work of its own savepoint; returns as a handler does.
 * status is ERR_NONE and reply the unpacked reply record, or an error (call_fault says what the other side said; it is
 * cleared when the continuation succeeds). state: what was passed along. */
typedef enum err call_continue(struct call *call, enum err status, const void *reply, void *state, void *out);

/* Starts a call to another service; it leaves after this batch's commit and inherits what is left of the budget.
 * step names it within this call, so that a retry has the same request id. key (may be empty): workers' affinity.
 * Returns ERR_LATER. A call has at most one call_send or call_offload going at a time. */
MUST_USE enum err call_send(struct call *call, enum op op, const char *step, struct text key, const void *request,
                            call_continue *then, void *state);
/* Between call_send and the handler's return: the answer is waited for this long at most, then the continuation gets
 * EXPIRED while the call's own budget goes on. */
void call_wait_at_most(struct call *call, int64_t wait_ms);

/* Runs work(argument) on the pool's thread, then the continuation (reply is argument). Returns ERR_LATER, or
 * SERVICE_UNAVAILABLE with retry_after_s when the pool's queue is full. */
struct work_pool;
struct work_pool *work_pool_new(int thread_count, int queue_max);
void work_pool_destroy(struct work_pool **self); /* waits for what runs; the rest never runs */
MUST_USE enum err call_offload(struct call *call, struct work_pool *pool, void (*work)(void *argument), void *argument,
                               call_continue *then, void *state);

/* ---- calls without a client: timers, outbox, sweeper ---- */

/* Runs in a batch like a handler; out is NULL, errors are logged. budget_ms bounds it with its continuations. */
typedef enum err call_run(struct call *call, void *argument);
/* Queues one for the loop's next batch. Only from the loop's own thread (handlers, continuations, committed). */
void service_start(struct service_loop *loop, const char *name, uint32_t budget_ms, call_run *run, void *argument);
/* Has service.woken called on the loop's thread, once for any number of wakes before. Thread-safe; not after close. */
void service_wake(struct service_loop *loop);
struct env *service_env(struct service_loop *loop);
const void *service_config_of(struct service_loop *loop); /* the struct that --help's table filled */
int service_loop_index(const struct service_loop *loop);
/* Whether this loop may write. */
bool service_loop_writes(const struct service_loop *loop);
/* What service.prepare gave; NULL without one. */
void *service_shared(const struct service_loop *loop);

struct service_timer {
    const char *name;
    int64_t every_ms;  /* first run at start; never two of one timer at a time */
    uint32_t budget_ms;
    call_run *run;     /* argument is NULL */
};

/* ---- what a store gives the loop (lib/store implements it) ---- */

struct unit_of_work {
    enum err (*begin)(void *store, bool writes, struct fault *fault);
    enum err (*commit)(void *store, struct fault *fault);
    void (*rollback)(void *store);
    enum err (*savepoint)(void *store, struct fault *fault);
    enum err (*release)(void *store, struct fault *fault); /* keeps what was done since savepoint */
    void (*undo)(void *store);                             /* drops it */
    bool (*broken)(void *store);                           /* the store has ended the transaction itself */
};

/* One call of several that are done together. */
struct op_item {
    struct call *call;
    const void *in;
    void *out;
    enum err status; /* out: as a handler returns, but not LATER */
};

/* A handler of all requests of one operation that wait, for stores that gain by doing together what they have in
 * common. Each call keeps its own status, fault and reply. */
struct op_group {
    enum op op;
    void (*handle)(struct op_item *items, size_t count);
};

struct loop_store {
    void *state;                      /* what call_state gives; owned by the service */
    const struct unit_of_work *unit;  /* NULL: no transactions */
    void *store;                      /* first argument of unit's functions */
    const struct op_group *groups;    /* without a unit: in place of these operations' handlers; may be NULL */
    size_t group_count;
};

/* ---- a service ---- */

/* What a program's loops share. */
struct service_share {
    void *shared;   /* owned by the service */
    int loops;      /* when -j is 0; 0: the service's default */
    bool all_write; /* every loop writes, not only loop 0 */
    bool many;      /* other processes write to the same store */
};

struct op_handler { /* made by lib/bus/bind_ops.h */
    enum op op;
    enum err (*handle)(struct call *call, const void *in, void *out);
};

struct service {
    const char *name; /* "product" */
    const struct op_handler *handlers;
    size_t handler_count;
    const struct service_timer *timers; /* run on loop 0 */
    size_t timer_count;
    const struct service_timer *look; /* one more, where other processes write to the same store; may be NULL */
    int default_loops; /* when -j is 0 */
    /* Called once before the loops; may be NULL. A failure ends the process with one clear log line. */
    enum err (*prepare)(const void *config, struct env *env, struct fault *fault, struct service_share *out);
    /* After the loops have ended; may be NULL. */
    void (*forget)(void *shared);
    /* Called on each loop's own thread before it takes work. A failure ends the process with one clear log line. */
    enum err (*open)(struct service_loop *loop, const void *config, struct fault *fault, struct loop_store *out);
    /* On the same thread, when no call is left; may be NULL. */
    void (*close)(struct service_loop *loop, void *state);
    /* On each loop that wrote, after a commit and before its replies leave; may be NULL. */
    void (*committed)(struct service_loop *loop, void *state);
    /* Soon after service_wake, between two batches, unless the service is being stopped; may be NULL. */
    void (*woken)(struct service_loop *loop, void *state);
};

/* Runs until env->stop_fd is readable, then drains: no new work, finish (--service-drain-ms at most; what is left is
 * answered SERVICE_UNAVAILABLE), reply, BYE. Calls env->ready when every loop
 * has opened its store and a broker has said WELCOME. config is the program's struct; bus and own are parts of it. */
int service_run(const struct service *service, const void *config, const struct bus_config *bus,
                const struct service_config *own, struct env *env);

#endif
