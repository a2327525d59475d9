/* A service and a client with a broker between them: what service.h promises. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/clock.h"
#include "lib/base/mem.h"
#include "lib/bus/main.h"
#include "tests/lib/bus/rig.h"
#include "tests/lib/bus/tiny_broker.h"

/* ---- a store that only writes down what it is asked ---- */

struct tape {
    pthread_mutex_t lock;
    char text[4096];
    bool broken, fail_commit, fail_begin;
};
static struct tape tape = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void tape_add(const char *word)
{
    pthread_mutex_lock(&tape.lock);
    strncat(tape.text, word, sizeof tape.text - strlen(tape.text) - 1);
    strncat(tape.text, " ", sizeof tape.text - strlen(tape.text) - 1);
    pthread_mutex_unlock(&tape.lock);
}

static void tape_clear(void)
{
    pthread_mutex_lock(&tape.lock);
    tape.text[0] = '\0';
    tape.broken = tape.fail_commit = tape.fail_begin = false;
    pthread_mutex_unlock(&tape.lock);
}

static bool tape_flag(bool *flag)
{
    pthread_mutex_lock(&tape.lock);
    bool set = *flag;
    pthread_mutex_unlock(&tape.lock);
    return set;
}

static void tape_set(bool *flag, bool value)
{
    pthread_mutex_lock(&tape.lock);
    *flag = value;
    pthread_mutex_unlock(&tape.lock);
}

static void tape_expect(const char *expected)
{
    pthread_mutex_lock(&tape.lock);
    char copy[sizeof tape.text];
    memcpy(copy, tape.text, sizeof copy);
    pthread_mutex_unlock(&tape.lock);
    assert_string_equal(copy, expected);
}

static enum err unit_begin(void *store, bool writes, struct fault *fault)
{
    (void)store;
    tape_add(writes ? "begin!" : "begin");
    return tape_flag(&tape.fail_begin) ? fault_set(fault, ERR_SERVICE_UNAVAILABLE, "locked") : ERR_NONE;
}

static enum err unit_commit(void *store, struct fault *fault)
{
    (void)store;
    tape_add("commit");
    return tape_flag(&tape.fail_commit) ? fault_set(fault, ERR_SERVICE_UNAVAILABLE, "disk full") : ERR_NONE;
}

static void unit_rollback(void *store)
{
    (void)store;
    tape_add("rollback");
    tape_set(&tape.broken, false);
}

static enum err unit_savepoint(void *store, struct fault *fault)
{
    (void)store, (void)fault;
    tape_add("save");
    return ERR_NONE;
}

static enum err unit_release(void *store, struct fault *fault)
{
    (void)store, (void)fault;
    tape_add("release");
    return ERR_NONE;
}

static void unit_undo(void *store)
{
    (void)store;
    tape_add("undo");
}

static bool unit_broken(void *store)
{
    (void)store;
    return tape_flag(&tape.broken);
}

static const struct unit_of_work unit = {unit_begin,   unit_commit, unit_rollback, unit_savepoint,
                                         unit_release, unit_undo,   unit_broken};

/* ---- the service "user": what its handlers do is what the ticket says ---- */

static struct gate gate;
static struct work_pool *pool;
static _Atomic int timer_runs, timer_most, commits, begun;

static void identity_fill(struct call *call, struct text user_id, struct identity *out)
{
    *out = (struct identity){.user_id = user_id, .session_id = TEXT("ses"), .issued_at = call_attempt(call)};
}

static enum err redeem(struct call *call, const void *in, void *out)
{
    const struct ticket_ref *ref = in;
    char word[80];
    snprintf(word, sizeof word, "run:%.*s", TEXT_ARG(ref->ticket));
    tape_add(word);
    begun++;
    if (text_is(ref->ticket, "fail")) {
        fault_add(call_fault(call), "/ticket", "spent", -1, "it was used");
        return fault_set(call_fault(call), ERR_CONFLICT, "used before");
    }
    if (text_is(ref->ticket, "keep")) {
        call_keep(call);
        return fault_set(call_fault(call), ERR_NOT_FOUND, "kept");
    }
    if (text_is(ref->ticket, "break")) {
        tape_set(&tape.broken, true);
        return fault_set(call_fault(call), ERR_INTERNAL, "the disk is on fire");
    }
    if (text_is(ref->ticket, "bare")) {
        return ERR_FORBIDDEN;
    }
    if (text_is(ref->ticket, "gate")) {
        gate_pass(&gate);
    }
    call_mark_replayed(call);
    identity_fill(call, ref->ticket, out);
    return ERR_NONE;
}

static enum err check(struct call *call, const void *in, void *out)
{
    const struct token_check *token = in;
    struct token_verdict *verdict = out;
    if (text_is(token->session_id, "gate")) {
        gate_pass(&gate);
    }
    verdict->good = service_loop_index(call_loop(call)) > 0;
    return ERR_NONE;
}

static enum err ticket_done(struct call *call, enum err status, const void *reply, void *state, void *out)
{
    const struct product *product = reply;
    struct ws_ticket *ticket = out;
    tape_add("then");
    assert_ptr_equal(state, &gate);
    if (status != ERR_NONE) {
        return status;
    }
    ticket->ticket = product->name;
    ticket->expires_in = product->stock;
    if (ticket->expires_in == 7) { /* a second step */
        struct product_ref ref = {.id = TEXT("second")};
        return call_send(call, OP_product_get, "again", TEXT("key"), &ref, ticket_done, &gate);
    }
    return ERR_NONE;
}

static enum err ticket(struct call *call, const void *in, void *out)
{
    (void)in, (void)out;
    struct product_ref ref = {.id = call_meta(call)->user_id};
    tape_add("run:ticket");
    return call_send(call, OP_product_get, "look", (struct text){0}, &ref, ticket_done, &gate);
}

static _Atomic bool work_waits;

static void work(void *argument)
{
    if (work_waits) {
        gate_pass(&gate);
    }
    *(int *)argument = 42;
}

static enum err logout_done(struct call *call, enum err status, const void *reply, void *state, void *out)
{
    (void)out, (void)state, (void)call;
    return status == ERR_NONE && *(const int *)reply == 42 ? ERR_NONE : ERR_INTERNAL;
}

static enum err logout(struct call *call, const void *in, void *out)
{
    (void)in, (void)out;
    return call_offload(call, pool, work, arena_alloc(call_arena(call), sizeof(int)), logout_done, NULL);
}

static enum err set_role(struct call *call, const void *in, void *out)
{
    (void)call, (void)in, (void)out;
    return fault_set(call_fault(call), ERR_LAST_ADMIN, NULL);
}

static enum err timer_done(struct call *call, enum err status, const void *reply, void *state, void *out)
{
    const struct product *product = reply;
    (void)call, (void)state, (void)out;
    timer_runs += status == ERR_NONE && product->stock == 3;
    return status;
}

static enum err timer(struct call *call, void *argument)
{
    struct product_ref ref = {.id = TEXT("timer")};
    assert_null(argument);
    return call_send(call, OP_product_get, "tick", (struct text){0}, &ref, timer_done, NULL);
}

static enum err user_open(struct service_loop *loop, const void *config, struct fault *fault, struct loop_store *out)
{
    (void)config;
    if (tape_flag(&tape.fail_begin) && service_loop_index(loop) == 1) {
        fault_cause(fault, "as the test wishes");
        return fault_set(fault, ERR_SERVICE_UNAVAILABLE, "cannot be opened");
    }
    *out = (struct loop_store){.unit = &unit};
    return ERR_NONE;
}

static void user_close(struct service_loop *loop, void *state)
{
    (void)state;
    if (service_loop_index(loop) == 0) {
        work_pool_destroy(&pool);
    }
}

static void user_committed(struct service_loop *loop, void *state)
{
    (void)loop, (void)state;
    commits++;
}

static const struct op_handler user_handlers[] = {{OP_user_redeem, redeem},
                                                  {OP_user_check, check},
                                                  {OP_user_ticket, ticket},
                                                  {OP_user_logout, logout},
                                                  {OP_user_set_role, set_role}};
static const struct service user_service = {.name = "user",
                                            .handlers = user_handlers,
                                            .handler_count = ARRAY_COUNT(user_handlers),
                                            .default_loops = 2,
                                            .open = user_open,
                                            .close = user_close,
                                            .committed = user_committed};

/* ---- the service "product": answers at once, or not at all ---- */

static enum err product_get(struct call *call, const void *in, void *out)
{
    const struct product_ref *ref = in;
    if (text_is(ref->id, "missing")) {
        return fault_set(call_fault(call), ERR_OUT_OF_STOCK, "none left");
    }
    if (text_is(ref->id, "gate")) {
        gate_pass(&gate);
    }
    *(struct product *)out = (struct product){.id = ref->id,
                                              .name = call_meta(call)->caller,
                                              .sku = TEXT("sku"),
                                              .currency = TEXT("EUR"),
                                              .version = 1,
                                              .stock = text_is(ref->id, "two") ? 7 : 3};
    return ERR_NONE;
}

static enum err plain_open(struct service_loop *loop, const void *config, struct fault *fault, struct loop_store *out)
{
    (void)loop, (void)config, (void)fault;
    *out = (struct loop_store){0};
    return ERR_NONE;
}

static void plain_close(struct service_loop *loop, void *state)
{
    (void)loop, (void)state;
}

static const struct op_handler product_handlers[] = {{OP_product_get, product_get}};
static const struct service product_service = {.name = "product",
                                               .handlers = product_handlers,
                                               .handler_count = ARRAY_COUNT(product_handlers),
                                               .default_loops = 1,
                                               .open = plain_open,
                                               .close = plain_close};

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

static int scene_open(void **state, const char *base, const struct service *service)
{
    struct scene *scene = mem_alloc(sizeof *scene);
    tape_clear();
    gate_open(&gate);
    timer_runs = timer_most = commits = begun = 0;
    pool = work_pool_new(1, 4);
    scene->context = bus_context_new();
    scene->base = base;
    scene->broker = tiny_broker_new(scene->context, base, RIG_HEARTBEAT_MS);
    rig_service_start(&scene->product, scene->context, base, &product_service, 0);
    rig_service_start(&scene->user, scene->context, base, service, 0);
    rig_service_wait(&scene->product);
    rig_service_wait(&scene->user);
    rig_env_open(&scene->rig, scene->context, base, "client");
    scene->client = rig_client(&scene->rig, 64);
    fault_init(&scene->fault, &scene->arena);
    *state = scene;
    return 0;
}

static int scene_open_inproc(void **state)
{
    return scene_open(state, "inproc://bus", &user_service);
}

static int scene_open_ipc(void **state)
{
    static char base[BUS_ADDRESS_SIZE];
    rig_ipc_make(base);
    return scene_open(state, base, &user_service);
}

static int scene_open_timer(void **state)
{
    static const struct service_timer timers[] = {{"tick", 20, 1000, timer}};
    static struct service timed;
    timed = user_service;
    timed.timers = timers;
    timed.timer_count = 1;
    return scene_open(state, "inproc://timed", &timed);
}

static int scene_close(void **state)
{
    struct scene *scene = *state;
    bus_client_destroy(&scene->client);
    rig_env_close(&scene->rig);
    assert_int_equal(rig_service_stop(&scene->user), 0);
    assert_int_equal(rig_service_stop(&scene->product), 0);
    tiny_broker_destroy(&scene->broker);
    bus_context_destroy(&scene->context);
    if (text_starts_with(text_of(scene->base), "ipc:")) {
        rig_ipc_remove(scene->base);
    }
    arena_release(&scene->arena);
    gate_close(&gate);
    mem_free(scene);
    return 0;
}

static struct call_meta meta_of_service(void)
{
    struct call_meta meta = {.caller = TEXT("test")};
    set_has(call_meta, &meta, caller);
    return meta;
}

static struct call_meta meta_of_user(const char *user_id)
{
    struct call_meta meta = {.user_id = text_of(user_id), .role = ROLE_CUSTOMER, .traceparent = TEXT("00-a-b-01")};
    set_has(call_meta, &meta, user_id);
    set_has(call_meta, &meta, role);
    set_has(call_meta, &meta, traceparent);
    return meta;
}

static enum err redeem_call(struct scene *scene, const char *ticket_text, struct identity *out)
{
    struct call_meta meta = meta_of_service();
    struct ticket_ref ref = {.ticket = text_of(ticket_text)};
    return bus_client_do(scene->client, OP_user_redeem, NULL, &meta, &ref, &scene->arena, &scene->fault, out);
}

/* A call on a thread of its own. */
struct caller {
    struct scene *scene;
    const char *ticket;
    struct identity out;
    enum err status;
    struct arena arena;
    pthread_t thread;
};

static void *caller_thread(void *argument)
{
    struct caller *caller = argument;
    struct call_meta meta = meta_of_service();
    struct ticket_ref ref = {.ticket = text_of(caller->ticket)};
    struct fault fault;
    fault_init(&fault, &caller->arena);
    caller->status = bus_client_do(caller->scene->client, OP_user_redeem, NULL, &meta, &ref, &caller->arena, &fault,
                                   &caller->out);
    return NULL;
}

static void caller_start(struct caller *caller, struct scene *scene, const char *ticket_text)
{
    *caller = (struct caller){.scene = scene, .ticket = ticket_text};
    assert_int_equal(pthread_create(&caller->thread, NULL, caller_thread, caller), 0);
}

static enum err caller_join(struct caller *caller)
{
    pthread_join(caller->thread, NULL);
    arena_release(&caller->arena);
    return caller->status;
}

/* ---- tests ---- */

static void test_reply(void **state)
{
    struct scene *scene = *state;
    struct identity identity;
    assert_int_equal(redeem_call(scene, "hello", &identity), ERR_NONE);
    assert_true(text_is(identity.user_id, "hello"));
    assert_int_equal(identity.issued_at, 1);
    tape_expect("begin! save run:hello release commit ");
    RIG_WAIT(commits == 1);
}

static void test_errors(void **state)
{
    struct scene *scene = *state;
    struct identity identity = {.issued_at = 99};
    assert_int_equal(redeem_call(scene, "fail", &identity), ERR_CONFLICT);
    assert_int_equal(identity.issued_at, 99);
    assert_string_equal(scene->fault.detail, "used before");
    assert_int_equal(scene->fault.item_count, 1);
    assert_true(text_is(scene->fault.items[0].pointer, "/ticket"));
    tape_expect("begin! save run:fail undo commit ");
    tape_clear();
    assert_int_equal(redeem_call(scene, "keep", &identity), ERR_NOT_FOUND);
    tape_expect("begin! save run:keep release commit ");
    assert_int_equal(redeem_call(scene, "bare", &identity), ERR_FORBIDDEN);
}

static enum err raw_call(struct scene *scene, const char *route, struct text meta, struct text body,
                         struct bus_answer *out)
{
    struct bus_request request = {
        .route = text_of(route), .meta = meta, .body = body, .budget_ms = 5000, .flags = FRAME_REPEATABLE};
    id_new(request.request_id);
    return bus_client_call(scene->client, &request, &scene->arena, &scene->fault, out);
}

static void test_bad_requests(void **state)
{
    struct scene *scene = *state;
    struct bus_answer answer;
    struct call_meta services = meta_of_service();
    struct text meta = record_pack_in(&call_meta_record, &services, &scene->arena);
    assert_int_equal(raw_call(scene, "user.redeem", meta, TEXT("\x80"), &answer), ERR_INVALID_BODY);
    assert_int_equal(scene->fault.item_count, 1);
    assert_int_equal(raw_call(scene, "user.redeem", TEXT("\xc1"), TEXT("\x80"), &answer), ERR_BAD_REQUEST);
    assert_int_equal(raw_call(scene, "user.nonsense", meta, TEXT("\x80"), &answer), ERR_UNKNOWN_OPERATION);
    tape_expect("");
}

static void test_roles(void **state)
{
    struct scene *scene = *state;
    struct call_meta nobody = {0};
    struct call_meta customer = meta_of_user("usr_1");
    struct ticket_ref ref = {.ticket = TEXT("x")};
    struct user_role_set set = {.id = TEXT("usr_1"), .role = ROLE_ADMIN};
    struct nothing nothing = {0};
    struct identity identity;
    struct user user;
    struct ws_ticket ticket_out;
    struct bus_client *client = scene->client;
    struct arena *arena = &scene->arena;
    struct fault *fault = &scene->fault;
    assert_int_equal(bus_client_do(client, OP_user_redeem, NULL, &customer, &ref, arena, fault, &identity),
                     ERR_FORBIDDEN);
    assert_int_equal(bus_client_do(client, OP_user_ticket, NULL, &nobody, &nothing, arena, fault, &ticket_out),
                     ERR_UNAUTHENTICATED);
    assert_int_equal(bus_client_do(client, OP_user_set_role, NULL, NULL, &set, arena, fault, &user),
                     ERR_UNAUTHENTICATED);
    assert_int_equal(bus_client_do(client, OP_user_set_role, NULL, &customer, &set, arena, fault, &user),
                     ERR_FORBIDDEN);
    customer.role = ROLE_ADMIN;
    assert_int_equal(bus_client_do(client, OP_user_set_role, NULL, &customer, &set, arena, fault, &user),
                     ERR_LAST_ADMIN);
}

static void test_continuation(void **state)
{
    struct scene *scene = *state;
    struct call_meta meta = meta_of_user("usr_1");
    struct nothing nothing = {0};
    struct ws_ticket out;
    assert_int_equal(bus_client_do(scene->client, OP_user_ticket, NULL, &meta, &nothing, &scene->arena,
                                   &scene->fault, &out),
                     ERR_NONE);
    assert_true(text_is(out.ticket, "user")); /* who asked, as the other service saw it */
    assert_int_equal(out.expires_in, 3);
    tape_expect("begin! save run:ticket release commit begin! save then release commit ");
    tape_clear();
    meta.user_id = TEXT("two");
    assert_int_equal(bus_client_do(scene->client, OP_user_ticket, NULL, &meta, &nothing, &scene->arena,
                                   &scene->fault, &out),
                     ERR_NONE);
    tape_expect("begin! save run:ticket release commit begin! save then release commit begin! save then release "
                "commit ");
    tape_clear();
    meta.user_id = TEXT("missing");
    assert_int_equal(bus_client_do(scene->client, OP_user_ticket, NULL, &meta, &nothing, &scene->arena,
                                   &scene->fault, &out),
                     ERR_OUT_OF_STOCK);
    assert_string_equal(scene->fault.detail, "none left");
    tape_expect("begin! save run:ticket release commit begin! save then undo commit ");
}

static void test_offload(void **state)
{
    struct scene *scene = *state;
    struct call_meta meta = meta_of_user("usr_1");
    struct nothing nothing = {0};
    assert_int_equal(bus_client_do(scene->client, OP_user_logout, NULL, &meta, &nothing, &scene->arena,
                                   &scene->fault, &nothing),
                     ERR_NONE);
}

struct answered {
    _Atomic int status;
};

static void answer_note(void *user, enum err status, const struct bus_answer *answer, const struct problem *problem)
{
    struct answered *answered = user;
    (void)answer, (void)problem;
    answered->status = (int)status;
}

static void test_full_pool(void **state)
{
    enum { QUEUE = 4 }; /* of the pool, beside its one thread */
    struct scene *scene = *state;
    struct call_meta meta = meta_of_user("usr_1");
    struct nothing nothing = {0};
    struct answered answered[QUEUE + 1];
    struct bus_request request = {.route = TEXT("user.logout"),
                                  .meta = record_pack_in(&call_meta_record, &meta, &scene->arena),
                                  .body = record_pack_in(&nothing_record, &nothing, &scene->arena),
                                  .budget_ms = 20000};
    work_waits = true;
    for (int i = 0; i < QUEUE + 1; i++) {
        answered[i].status = ERR_COUNT;
        assert_int_equal(bus_client_start(scene->client, &request, answer_note, &answered[i]), ERR_NONE);
        if (i == 0) {
            gate_wait(&gate);
        }
    }
    assert_int_equal(bus_client_do(scene->client, OP_user_logout, NULL, &meta, &nothing, &scene->arena,
                                   &scene->fault, &nothing),
                     ERR_SERVICE_UNAVAILABLE);
    assert_int_equal(scene->fault.retry_after_s, 1);
    work_waits = false;
    sem_post(&gate.leave);
    for (int i = 0; i < QUEUE + 1; i++) {
        RIG_WAIT(answered[i].status == ERR_NONE);
    }
}

static int64_t queue_length(struct scene *scene)
{
    struct metrics *metrics = scene->user.rig.env.metrics;
    return metric_value(metrics_get(metrics, METRIC_GAUGE, "zmart_service_queue_length", "", ""));
}

static void test_batch(void **state)
{
    struct scene *scene = *state;
    struct caller first, others[3];
    static const char *const tickets[] = {"one", "fail", "three"};
    caller_start(&first, scene, "gate");
    gate_wait(&gate);
    tape_clear();
    for (int i = 0; i < 3; i++) { /* one after the other, so that their order is known */
        caller_start(&others[i], scene, tickets[i]);
        RIG_WAIT(queue_length(scene) == i + 1);
    }
    sem_post(&gate.leave);
    assert_int_equal(caller_join(&first), ERR_NONE);
    assert_int_equal(caller_join(&others[0]), ERR_NONE);
    assert_int_equal(caller_join(&others[1]), ERR_CONFLICT);
    assert_int_equal(caller_join(&others[2]), ERR_NONE);
    tape_expect("release commit begin! save run:one release save run:fail undo save run:three release commit ");
}

/* Holds the loop, lets the tickets queue up behind, and lets go. */
static void queue_behind(struct scene *scene, struct caller *callers, const char *const *tickets, int count)
{
    struct caller first;
    caller_start(&first, scene, "gate");
    gate_wait(&gate);
    for (int i = 0; i < count; i++) {
        caller_start(&callers[i], scene, tickets[i]);
        RIG_WAIT(queue_length(scene) == i + 1);
    }
    tape_clear();
    sem_post(&gate.leave);
    assert_int_equal(caller_join(&first), ERR_NONE);
}

static void test_broken_store(void **state)
{
    struct scene *scene = *state;
    struct caller callers[3];
    static const char *const tickets[] = {"one", "break", "three"};
    queue_behind(scene, callers, tickets, 3);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(caller_join(&callers[i]), ERR_SERVICE_UNAVAILABLE);
    }
    tape_expect("release commit begin! save run:one release save run:break rollback ");
    struct identity identity;
    assert_int_equal(redeem_call(scene, "after", &identity), ERR_NONE);
}

static void test_failed_commit(void **state)
{
    struct scene *scene = *state;
    struct call_meta meta = meta_of_user("usr_1");
    struct nothing nothing = {0};
    struct identity identity;
    struct ws_ticket out;
    tape_set(&tape.fail_commit, true);
    assert_int_equal(redeem_call(scene, "one", &identity), ERR_SERVICE_UNAVAILABLE);
    assert_int_equal(scene->fault.retry_after_s, 1);
    int given = tiny_broker_given(scene->broker);
    assert_int_equal(bus_client_do(scene->client, OP_user_ticket, NULL, &meta, &nothing, &scene->arena,
                                   &scene->fault, &out),
                     ERR_SERVICE_UNAVAILABLE);
    assert_int_equal(bus_client_do(scene->client, OP_user_logout, NULL, &meta, &nothing, &scene->arena,
                                   &scene->fault, &nothing),
                     ERR_SERVICE_UNAVAILABLE);
    assert_int_equal(tiny_broker_given(scene->broker), given + 2); /* the call to product never left */
    tape_clear();
    tape_set(&tape.fail_begin, true);
    assert_int_equal(redeem_call(scene, "one", &identity), ERR_SERVICE_UNAVAILABLE);
    tape_expect("begin! ");
    assert_int_equal(commits, 0);
}

static void test_reads_beside_writes(void **state)
{
    struct scene *scene = *state;
    struct caller writer;
    struct call_meta meta = meta_of_service();
    struct token_check token = {.session_id = TEXT("s"), .user_id = TEXT("u")};
    struct token_verdict verdict;
    caller_start(&writer, scene, "gate");
    gate_wait(&gate);
    tape_clear();
    assert_int_equal(bus_client_do(scene->client, OP_user_check, NULL, &meta, &token, &scene->arena, &scene->fault,
                                   &verdict),
                     ERR_NONE);
    assert_true(verdict.good);
    tape_expect("begin commit ");
    sem_post(&gate.leave);
    assert_int_equal(caller_join(&writer), ERR_NONE);
}

static void test_expired_is_not_begun(void **state)
{
    struct scene *scene = *state;
    struct caller first;
    struct bus_answer answer;
    struct call_meta services = meta_of_service();
    struct ticket_ref ref = {.ticket = TEXT("late")};
    struct bus_request request = {.route = TEXT("user.redeem"),
                                  .meta = record_pack_in(&call_meta_record, &services, &scene->arena),
                                  .body = record_pack_in(&ticket_ref_record, &ref, &scene->arena),
                                  .budget_ms = 100,
                                  .flags = FRAME_REPEATABLE};
    caller_start(&first, scene, "gate");
    gate_wait(&gate);
    int64_t start_ms = clock_now_ms();
    assert_int_equal(bus_client_call(scene->client, &request, &scene->arena, &scene->fault, &answer), ERR_EXPIRED);
    assert_true(clock_now_ms() - start_ms >= 99);
    RIG_WAIT(tiny_broker_cancels(scene->broker) == 1);
    sem_post(&gate.leave);
    assert_int_equal(caller_join(&first), ERR_NONE);
    struct identity identity;
    assert_int_equal(redeem_call(scene, "next", &identity), ERR_NONE);
    assert_int_equal(begun, 2);
}

static void test_drain(void **state)
{
    struct scene *scene = *state;
    struct caller first, second;
    struct identity identity;
    caller_start(&first, scene, "gate");
    gate_wait(&gate);
    caller_start(&second, scene, "second");
    RIG_WAIT(tiny_broker_given(scene->broker) == 2);
    uint64_t one = 1;
    assert_int_equal(write(scene->user.rig.stop_fd, &one, sizeof one), sizeof one);
    sem_post(&gate.leave);
    assert_int_equal(caller_join(&first), ERR_NONE);
    assert_int_equal(caller_join(&second), ERR_NONE);
    RIG_WAIT(tiny_broker_workers(scene->broker) == 1);
    pthread_join(scene->user.thread, NULL);
    assert_int_equal(scene->user.status, 0);
    rig_env_close(&scene->user.rig);
    /* another one takes over what arrives meanwhile */
    struct caller third;
    caller_start(&third, scene, "third");
    pool = work_pool_new(1, 4);
    rig_service_start(&scene->user, scene->context, scene->base, &user_service, 0);
    assert_int_equal(caller_join(&third), ERR_NONE);
    assert_int_equal(redeem_call(scene, "fourth", &identity), ERR_NONE);
    assert_int_equal(identity.issued_at, 1);
}

static void test_drain_waits_for_answers(void **state)
{
    struct scene *scene = *state;
    struct call_meta meta = meta_of_user("gate");
    struct nothing nothing = {0};
    struct answered answered = {.status = ERR_COUNT};
    struct bus_request request = {.route = TEXT("user.ticket"),
                                  .meta = record_pack_in(&call_meta_record, &meta, &scene->arena),
                                  .body = record_pack_in(&nothing_record, &nothing, &scene->arena),
                                  .budget_ms = 5000};
    assert_int_equal(bus_client_start(scene->client, &request, answer_note, &answered), ERR_NONE);
    gate_wait(&gate); /* the other service has the call */
    uint64_t one = 1;
    assert_int_equal(write(scene->user.rig.stop_fd, &one, sizeof one), sizeof one);
    RIG_WAIT(tiny_broker_draining(scene->broker) == 1);
    sem_post(&gate.leave);
    RIG_WAIT(answered.status == ERR_NONE);
    pthread_join(scene->user.thread, NULL);
    assert_int_equal(scene->user.status, 0);
    rig_env_close(&scene->user.rig);
    pool = work_pool_new(1, 4);
    rig_service_start(&scene->user, scene->context, scene->base, &user_service, 0);
    rig_service_wait(&scene->user);
}

static void test_broker_forgets(void **state)
{
    struct scene *scene = *state;
    struct identity identity;
    struct caller first;
    caller_start(&first, scene, "gate");
    gate_wait(&gate);
    tiny_broker_forget(scene->broker);
    RIG_WAIT(tiny_broker_workers(scene->broker) == 2); /* they have come back */
    RIG_WAIT(tiny_broker_taken(scene->broker) == 2);   /* the client has sent it again */
    sem_post(&gate.leave);                             /* this reply is unwanted */
    gate_wait(&gate);
    sem_post(&gate.leave);
    assert_int_equal(caller_join(&first), ERR_NONE);
    assert_int_equal(first.out.issued_at, 2);
    assert_int_equal(redeem_call(scene, "next", &identity), ERR_NONE);
}

static void test_timer(void **state)
{
    struct scene *scene = *state;
    (void)scene;
    RIG_WAIT(timer_runs >= 3);
}

static void test_replayed(void **state)
{
    struct scene *scene = *state;
    struct call_meta meta = meta_of_service();
    struct ticket_ref ref = {.ticket = TEXT("x")};
    struct reply_meta reply_meta;
    struct bus_answer answer;
    for (int keyed = 0; keyed < 2; keyed++) {
        meta.keyed = keyed;
        set_has(call_meta, &meta, keyed);
        assert_int_equal(raw_call(scene, "user.redeem#some-Key", record_pack_in(&call_meta_record, &meta, &scene->arena),
                                  record_pack_in(&ticket_ref_record, &ref, &scene->arena), &answer),
                         ERR_NONE);
        assert_int_equal(answer.status, 200);
        assert_int_equal(answer.queue_us, 17);
        assert_int_equal(
            record_unpack(&reply_meta_record, answer.meta, &scene->arena, &scene->fault, &reply_meta), ERR_NONE);
        assert_int_equal(has(reply_meta, &reply_meta, replayed) && reply_meta.replayed, keyed);
        assert_true(text_is(reply_meta.worker, "user"));
    }
}

static void test_metrics_travel(void **state)
{
    struct scene *scene = *state;
    struct identity identity;
    assert_int_equal(redeem_call(scene, "one", &identity), ERR_NONE);
    RIG_WAIT(tiny_broker_ping_size(scene->broker) > 300);
    assert_int_equal(metric_value(metrics_get(scene->user.rig.env.metrics, METRIC_COUNTER,
                                              "zmart_service_requests_total", "op=\"user.redeem\",code=\"ok\"", "")),
                     1);
}

static void test_open_fails(void **state)
{
    (void)state;
    struct rig_service rig;
    void *context = bus_context_new();
    tape_clear();
    tape_set(&tape.fail_begin, true);
    pool = NULL;
    rig_service_start(&rig, context, "inproc://nowhere", &user_service, 2);
    assert_int_equal(rig_service_stop(&rig), PROCESS_FAILED);
    bus_context_destroy(&context);
    tape_clear();
}

static void test_stop_without_broker(void **state)
{
    (void)state;
    struct rig_service rig;
    void *context = bus_context_new();
    rig_service_start(&rig, context, "ipc:///tmp/zmart-nobody-is-here", &product_service, 0);
    assert_int_equal(rig_service_stop(&rig), 0);
    bus_context_destroy(&context);
}

#define SCENE(test) cmocka_unit_test_setup_teardown(test, scene_open_inproc, scene_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE(test_reply),
        cmocka_unit_test_setup_teardown(test_reply, scene_open_ipc, scene_close),
        SCENE(test_errors),
        SCENE(test_bad_requests),
        SCENE(test_roles),
        SCENE(test_continuation),
        cmocka_unit_test_setup_teardown(test_continuation, scene_open_ipc, scene_close),
        SCENE(test_offload),
        SCENE(test_full_pool),
        SCENE(test_batch),
        SCENE(test_broken_store),
        SCENE(test_failed_commit),
        SCENE(test_reads_beside_writes),
        SCENE(test_expired_is_not_begun),
        SCENE(test_drain),
        cmocka_unit_test_setup_teardown(test_drain, scene_open_ipc, scene_close),
        SCENE(test_drain_waits_for_answers),
        cmocka_unit_test_setup_teardown(test_broker_forgets, scene_open_ipc, scene_close),
        cmocka_unit_test_setup_teardown(test_timer, scene_open_timer, scene_close),
        SCENE(test_replayed),
        SCENE(test_metrics_travel),
        cmocka_unit_test(test_open_fails),
        cmocka_unit_test(test_stop_without_broker),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
