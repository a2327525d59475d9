#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "tests/lib/bus/scene.h"

/* ---- a store that only writes down what it is asked ---- */

struct tape tape = {.lock = PTHREAD_MUTEX_INITIALIZER};

void tape_add(const char *word)
{
    pthread_mutex_lock(&tape.lock);
    strncat(tape.text, word, sizeof tape.text - strlen(tape.text) - 1);
    strncat(tape.text, " ", sizeof tape.text - strlen(tape.text) - 1);
    pthread_mutex_unlock(&tape.lock);
}

void tape_clear(void)
{
    pthread_mutex_lock(&tape.lock);
    tape.text[0] = '\0';
    tape.broken = tape.fail_commit = tape.fail_begin = false;
    pthread_mutex_unlock(&tape.lock);
}

bool tape_flag(bool *flag)
{
    pthread_mutex_lock(&tape.lock);
    bool set = *flag;
    pthread_mutex_unlock(&tape.lock);
    return set;
}

void tape_set(bool *flag, bool value)
{
    pthread_mutex_lock(&tape.lock);
    *flag = value;
    pthread_mutex_unlock(&tape.lock);
}

void tape_expect(const char *expected)
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

struct gate gate;
struct work_pool *pool;
_Atomic bool work_waits;
_Atomic int timer_runs, commits, begun;

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

enum err timer(struct call *call, void *argument)
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
const struct service user_service = {.name = "user",
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

static const struct op_handler product_handlers[] = {{OP_product_get, product_get}};
const struct service product_service = {.name = "product",
                                        .handlers = product_handlers,
                                        .handler_count = ARRAY_COUNT(product_handlers),
                                        .default_loops = 1,
                                        .open = plain_open}; /* and has nothing to close */
