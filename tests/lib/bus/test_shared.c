/* A service whose store takes writes from every loop: what the loops share, who gets which request, and that each of
 * them is told after its writes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/clock.h"
#include "lib/bus/main.h"
#include "tests/lib/bus/scene.h"

enum { LOOPS = 4 };

static int shared_thing;
enum { MOST_LOOPS = 64 }; /* that -j takes */
static _Atomic int forgotten, committed_by[MOST_LOOPS];
static _Atomic bool prepare_fails;

static enum err prepare(const void *config, struct env *env, struct fault *fault, struct service_share *out)
{
    (void)config, (void)env;
    if (prepare_fails) {
        return fault_set(fault, ERR_SERVICE_UNAVAILABLE, "cannot be prepared");
    }
    *out = (struct service_share){.shared = &shared_thing, .loops = LOOPS, .all_write = true};
    return ERR_NONE;
}

static void forget(void *shared)
{
    forgotten += shared == &shared_thing;
}

static enum err loop_open(struct service_loop *loop, const void *config, struct fault *fault, struct loop_store *out)
{
    (void)config, (void)fault;
    assert_ptr_equal(service_shared(loop), &shared_thing);
    assert_true(service_loop_writes(loop));
    *out = (struct loop_store){0};
    return ERR_NONE;
}

static void committed(struct service_loop *loop, void *state)
{
    (void)state;
    committed_by[service_loop_index(loop)]++;
}

/* Says which loop it is; "gate" waits there. */
static enum err redeem(struct call *call, const void *in, void *out)
{
    const struct ticket_ref *ref = in;
    if (text_is(ref->ticket, "gate")) {
        gate_pass(&gate);
    }
    *(struct identity *)out = (struct identity){.user_id = TEXT("usr"),
                                                .session_id = TEXT("ses"),
                                                .issued_at = service_loop_index(call_loop(call))};
    return ERR_NONE;
}

static const struct op_handler handlers[] = {{OP_user_redeem, redeem}};
static const struct service shared_service = {.name = "user",
                                              .handlers = handlers,
                                              .handler_count = ARRAY_COUNT(handlers),
                                              .default_loops = 1,
                                              .prepare = prepare,
                                              .forget = forget,
                                              .open = loop_open,
                                              .committed = committed};

static int shared_open(void **state)
{
    forgotten = 0;
    prepare_fails = false;
    for (int i = 0; i < LOOPS; i++) {
        committed_by[i] = 0;
    }
    return scene_open(state, "inproc://bus", &shared_service);
}

static int shared_close(void **state)
{
    int status = scene_close(state);
    assert_int_equal(forgotten, 1);
    return status;
}

/* Which loop answers a request with this route. */
static int loop_of(struct scene *scene, const char *route)
{
    struct call_meta meta = meta_of_service();
    struct ticket_ref ref = {.ticket = TEXT("x")};
    struct identity identity;
    struct bus_answer answer;
    assert_int_equal(raw_call(scene, route, record_pack_in(&call_meta_record, &meta, &scene->arena),
                              record_pack_in(&ticket_ref_record, &ref, &scene->arena), &answer),
                     ERR_NONE);
    assert_int_equal(record_unpack(&identity_record, answer.body, &scene->arena, &scene->fault, &identity), ERR_NONE);
    return (int)identity.issued_at;
}

static void test_a_key_stays_with_its_loop(void **state)
{
    struct scene *scene = *state;
    bool used[LOOPS] = {false};
    int used_count = 0;
    for (int key = 0; key < 32; key++) {
        char route[40];
        snprintf(route, sizeof route, "user.redeem#prd_%d", key);
        int loop = loop_of(scene, route);
        assert_int_equal(loop_of(scene, route), loop);
        used_count += !used[loop];
        used[loop] = true;
    }
    assert_int_equal(used_count, LOOPS);
}

static void test_the_idlest_takes_what_has_no_key(void **state)
{
    struct scene *scene = *state;
    struct caller held;
    struct identity identity;
    caller_start(&held, scene, "gate");
    gate_wait(&gate);
    for (int i = 0; i < 3 * LOOPS; i++) {
        assert_int_equal(redeem_call(scene, "x", &identity), ERR_NONE); /* nobody waits behind the one that is held */
    }
    sem_post(&gate.leave);
    assert_int_equal(caller_join(&held), ERR_NONE);
}

static void test_each_loop_is_told_of_its_writes(void **state)
{
    struct scene *scene = *state;
    int expected[LOOPS] = {0};
    for (int key = 0; key < 24; key++) {
        char route[40];
        snprintf(route, sizeof route, "user.redeem#prd_%d", key);
        expected[loop_of(scene, route)]++;
    }
    for (int i = 0; i < LOOPS; i++) {
        assert_true(expected[i] > 0);
        RIG_WAIT(committed_by[i] == expected[i]);
    }
}

/* -j 64: every loop works at the same time, and nobody else does. */
static void test_as_many_loops_as_there_may_be(void **state)
{
    struct scene *scene = *state;
    struct caller held[MOST_LOOPS + 1];
    assert_int_equal(rig_service_stop(&scene->user), 0);
    rig_service_start(&scene->user, scene->context, scene->base, &shared_service, MOST_LOOPS);
    rig_service_wait(&scene->user);
    forgotten = 0;
    for (int i = 0; i < MOST_LOOPS; i++) {
        caller_start(&held[i], scene, "gate");
        gate_wait(&gate);
    }
    caller_start(&held[MOST_LOOPS], scene, "gate");
    RIG_WAIT(queue_length(scene) == 1);
    for (int i = 0; i <= MOST_LOOPS; i++) {
        sem_post(&gate.leave);
    }
    for (int i = 0; i <= MOST_LOOPS; i++) {
        (void)caller_join(&held[i]); /* on a busy machine the first ones' time may be over */
    }
}

static void test_what_cannot_be_prepared_ends_the_program(void **state)
{
    struct rig_service rig;
    void *context = bus_context_new();
    (void)state;
    forgotten = 0;
    prepare_fails = true;
    rig_service_start(&rig, context, "inproc://nobody", &shared_service, 0);
    assert_int_equal(rig_service_stop(&rig), PROCESS_FAILED);
    assert_int_equal(forgotten, 0);
    bus_context_destroy(&context);
}

int main(void)
{
#define SHARED(test) cmocka_unit_test_setup_teardown(test, shared_open, shared_close)
    const struct CMUnitTest tests[] = {
        SHARED(test_a_key_stays_with_its_loop),
        SHARED(test_the_idlest_takes_what_has_no_key),
        SHARED(test_each_loop_is_told_of_its_writes),
        SHARED(test_as_many_loops_as_there_may_be),
        cmocka_unit_test(test_what_cannot_be_prepared_ends_the_program),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
