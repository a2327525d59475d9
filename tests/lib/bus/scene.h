/* Two services over a broker that does as it is told, and a client: what the tests of a service play with.
 * The service "user" does what the ticket of user.redeem says, and writes down on a tape what its store is asked. */
#ifndef ZMART_TESTS_SCENE_H
#define ZMART_TESTS_SCENE_H

#include "tests/lib/bus/rig.h"
#include "tests/lib/bus/tiny_broker.h"

/* ---- the store of "user": only writes down what it is asked ---- */

struct tape {
    pthread_mutex_t lock;
    char text[4096];
    bool broken, fail_commit, fail_begin;
};
extern struct tape tape;
void tape_add(const char *word);
void tape_clear(void);
bool tape_flag(bool *flag);
void tape_set(bool *flag, bool value);
/* Fails the test if anything else was asked of the store since the last tape_clear. */
void tape_expect(const char *expected);

/* ---- the services ---- */

extern struct gate gate;        /* where a handler waits whose ticket or id says "gate" */
extern struct work_pool *pool;  /* of user.logout: one thread, four in its queue */
extern _Atomic bool work_waits; /* its work waits at the gate */
extern _Atomic int timer_runs, commits, begun;
extern const struct service user_service, product_service;
enum err timer(struct call *call, void *argument); /* asks product.get, counts timer_runs */

/* ---- all of it together ---- */

struct scene {
    void *context;
    char ipc[BUS_ADDRESS_SIZE];
    const char *base;
    struct tiny_broker *broker;
    struct rig_env rig;
    struct rig_service user, product;
    struct bus_client *client;
    struct arena arena;
    struct fault fault;
};
int scene_open(void **state, const char *base, const struct service *service);
int scene_open_inproc(void **state);
int scene_open_ipc(void **state);
int scene_close(void **state);
#define SCENE(test)     cmocka_unit_test_setup_teardown(test, scene_open_inproc, scene_close)
#define SCENE_IPC(test) cmocka_unit_test_setup_teardown(test, scene_open_ipc, scene_close)

struct call_meta meta_of_service(void);
struct call_meta meta_of_user(const char *user_id);
/* user.redeem */
enum err redeem_call(struct scene *scene, const char *ticket_text, struct identity *out);
enum err raw_call(struct scene *scene, const char *route, struct text meta, struct text body, struct bus_answer *out);

/* A call on a thread of its own. */
struct caller {
    struct scene *scene;
    const char *ticket;
    struct identity out;
    enum err status;
    struct arena arena;
    pthread_t thread;
};
void caller_start(struct caller *caller, struct scene *scene, const char *ticket_text);
enum err caller_join(struct caller *caller);

/* What bus_client_start is to note. */
struct answered {
    _Atomic int status;
};
void answer_note(void *user, enum err status, const struct bus_answer *answer, const struct problem *problem);
/* Sends the request of this user, whose end is noted. */
void call_start(struct scene *scene, const char *route, const char *user, const struct record *record, const void *in,
                struct answered *out);

/* Offloads as many calls as the pool takes, and one more, which must be refused. */
void pool_fill(struct scene *scene);

/* Calls that wait for "user"'s loops. */
int64_t queue_length(struct scene *scene);
/* Holds the loop, lets the tickets queue up behind, and lets go. */
void queue_behind(struct scene *scene, struct caller *callers, const char *const *tickets, int count);

#endif
