/* A service and a client with a broker between them: what a handler gets and gives. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/base/clock.h"
#include "lib/bus/main.h"
#include "tests/lib/bus/scene.h"

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
    fault_init(&scene->fault, &scene->arena);
    assert_int_equal(raw_call(scene, "user.redem#K", meta, TEXT("\x80"), &answer), ERR_UNKNOWN_OPERATION);
    assert_int_equal(scene->fault.allowed.count, 1);
    assert_true(text_is(scene->fault.allowed.items[0], "user.redeem"));
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
    assert_int_equal(
        bus_client_do(scene->client, OP_user_ticket, NULL, &meta, &nothing, &scene->arena, &scene->fault, &out),
        ERR_NONE);
    assert_true(text_is(out.ticket, "user")); /* who asked, as the other service saw it */
    assert_int_equal(out.expires_in, 3);
    tape_expect("begin! save run:ticket release commit begin! save then release commit ");
    tape_clear();
    meta.user_id = TEXT("two");
    assert_int_equal(
        bus_client_do(scene->client, OP_user_ticket, NULL, &meta, &nothing, &scene->arena, &scene->fault, &out),
        ERR_NONE);
    tape_expect("begin! save run:ticket release commit begin! save then release commit begin! save then release "
                "commit ");
    tape_clear();
    meta.user_id = TEXT("missing");
    assert_int_equal(
        bus_client_do(scene->client, OP_user_ticket, NULL, &meta, &nothing, &scene->arena, &scene->fault, &out),
        ERR_OUT_OF_STOCK);
    assert_string_equal(scene->fault.detail, "none left");
    tape_expect("begin! save run:ticket release commit begin! save then undo commit ");
}

static void test_offload(void **state)
{
    struct scene *scene = *state;
    struct call_meta meta = meta_of_user("usr_1");
    struct nothing nothing = {0};
    assert_int_equal(
        bus_client_do(scene->client, OP_user_logout, NULL, &meta, &nothing, &scene->arena, &scene->fault, &nothing),
        ERR_NONE);
}

static void test_full_pool(void **state)
{
    pool_fill(*state);
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
        assert_int_equal(raw_call(scene, "user.redeem#some-Key",
                                  record_pack_in(&call_meta_record, &meta, &scene->arena),
                                  record_pack_in(&ticket_ref_record, &ref, &scene->arena), &answer),
                         ERR_NONE);
        assert_int_equal(answer.status, 200);
        assert_int_equal(answer.queue_us, 17);
        assert_int_equal(record_unpack(&reply_meta_record, answer.meta, &scene->arena, &scene->fault, &reply_meta),
                         ERR_NONE);
        assert_int_equal(has(reply_meta, &reply_meta, replayed) && reply_meta.replayed, keyed);
        assert_true(text_is(reply_meta.worker, "user"));
    }
}

/* --calls and --credit: what is over them is refused, and what was under way goes on. */
static void test_no_more_than_it_takes(void **state)
{
    struct scene *scene = *state;
    struct nothing nothing = {0};
    struct ticket_ref ref = {.ticket = TEXT("gate")};
    struct answered first, second, third, fourth, fifth;
    assert_int_equal(rig_service_stop(&scene->user), 0);
    pool = work_pool_new(1, 4);
    rig_service_start_small(&scene->user, scene->context, scene->base, &user_service, 3, 2);
    rig_service_wait(&scene->user);
    call_start(scene, "user.ticket", "gate", &nothing_record, &nothing, &first);
    gate_wait(&gate); /* the other service has it */
    call_start(scene, "user.ticket", "x", &nothing_record, &nothing, &second);
    call_start(scene, "user.ticket", "x", &nothing_record, &nothing, &third);
    RIG_WAIT(third.status == ERR_SERVICE_UNAVAILABLE);
    call_start(scene, "user.redeem", "x", &ticket_ref_record, &ref, &fourth);
    gate_wait(&gate);
    call_start(scene, "user.redeem", "x", &ticket_ref_record, &ref, &fifth);
    RIG_WAIT(fifth.status == ERR_QUEUE_FULL);
    sem_post(&gate.leave);
    sem_post(&gate.leave);
    RIG_WAIT(first.status == ERR_NONE && second.status == ERR_NONE && fourth.status == ERR_NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE(test_reply),     SCENE_IPC(test_reply),    SCENE(test_errors),           SCENE(test_bad_requests),
        SCENE(test_roles),     SCENE(test_continuation), SCENE_IPC(test_continuation), SCENE(test_offload),
        SCENE(test_no_more_than_it_takes), SCENE(test_full_pool), SCENE(test_replayed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
