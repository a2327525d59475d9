/* webhook-svc as it runs, over the real bus and a real store: what administrators ask of it, and what they are answered
 * when they ask again. Receivers are a port that nobody listens on, mostly: an attempt fails at once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "broker/program.h"
#include "lib/base/clock.h"
#include "lib/bus/client.h"
#include "proto/ident.h"
#include "tests/lib/bus/runner.h"
#include "webhook-svc/program.h"
#include "webhook-svc/store.h"

enum { PATIENCE_MS = 60000, PAUSE_US = 20000 };

struct world {
    char folder[64], store[80], url[64];
    int port_fd; /* has the port of url */
    struct log log;
    void *context;
    struct metrics *metrics;
    struct env env;
    struct bus_config bus;
    struct runner broker, webhooks;
    struct bus_client *client;
    struct arena arena; /* of all answers */
    struct fault fault; /* of the last call */
    bool replayed;      /* its answer was an earlier one's */
};

/* ---- the world ---- */

static void port_take(struct world *world)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    world->port_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(world->port_fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(getsockname(world->port_fd, (struct sockaddr *)&address, &size), 0);
    snprintf(world->url, sizeof world->url, "http://127.0.0.1:%d/hook", ntohs(address.sin_port));
}

static void webhooks_start(struct world *world)
{
    const char *const flags[] = {"--bus", world->bus.bus, "--store", world->store, "--webhook-insecure-loopback", NULL};
    assert_int_equal(runner_start(&world->webhooks, &webhook_program, &world->log, world->context, flags), -1);
}

static int world_make(void **state)
{
    struct world *world = calloc(1, sizeof *world);
    char message[200], path[80];
    snprintf(world->folder, sizeof world->folder, "/tmp/zmart-test-XXXXXX");
    assert_non_null(mkdtemp(world->folder));
    snprintf(world->store, sizeof world->store, "sqlite:%s", world->folder);
    snprintf(path, sizeof path, "%s/log", world->folder);
    port_take(world);
    world->log = (struct log){
        .fd = open(path, O_CREAT | O_RDWR | O_APPEND | O_CLOEXEC, 0600), .level = LOG_INFO, .program = "test"};
    assert_true(world->log.fd >= 0);
    world->context = bus_context_new();
    world->metrics = metrics_new();
    world->bus = (struct bus_config){.bus = "inproc://webhooks", .heartbeat_ms = 1000};
    world->env = (struct env){.log = &world->log, .metrics = world->metrics, .instance = "test",
                              .bus_context = world->context, .stop_fd = -1};
    /* there is no log of events here, and nobody waits for it */
    const char *const flags[] = {"--bus", world->bus.bus, "--events", "", "--service-wait-ms", "0", NULL};
    assert_int_equal(runner_start(&world->broker, &broker_program, &world->log, world->context, flags), -1);
    webhooks_start(world);
    struct bus_client_settings settings = {.bus = &world->bus, .role = "gateway", .slot_count = 8};
    world->client = bus_client_new(&world->env, &settings, message, sizeof message);
    assert_non_null(world->client);
    *state = world;
    return 0;
}

static int world_drop(void **state)
{
    struct world *world = *state;
    char command[128];
    bus_client_destroy(&world->client);
    assert_int_equal(runner_stop(&world->webhooks), 0);
    assert_int_equal(runner_stop(&world->broker), 0);
    bus_context_destroy(&world->context);
    metrics_destroy(&world->metrics);
    arena_release(&world->arena);
    close(world->log.fd);
    close(world->port_fd);
    snprintf(command, sizeof command, "rm -r '%s'", world->folder);
    int status = system(command);
    free(world);
    return status;
}

/* ---- calls ---- */

/* One administrator's request; key NULL: none, and the request is a fresh one. */
static enum err ask_with(struct world *world, const char *key, const char *if_match, enum op op, const void *request,
                         void *out)
{
    const struct op_info *info = op_info(op);
    struct call_meta meta = {
        .user_id = TEXT("usr_1"), .role = ROLE_ADMIN, .keyed = key != NULL, .if_match = text_of(if_match)};
    set_has(call_meta, &meta, user_id), set_has(call_meta, &meta, role), set_has(call_meta, &meta, keyed);
    if (if_match) {
        set_has(call_meta, &meta, if_match);
    }
    struct bus_request sent = {.route = text_of(info->route),
                               .meta = record_pack_in(&call_meta_record, &meta, &world->arena),
                               .body = record_pack_in(info->request, request, &world->arena),
                               .budget_ms = PATIENCE_MS,
                               .priority = info->priority};
    struct bus_answer answer = {0};
    struct reply_meta reply = {0};
    if (key) {
        request_id_from_key(TEXT("usr_1"), text_of(info->route), text_of(key), sent.request_id);
    } else {
        id_new(sent.request_id);
    }
    fault_init(&world->fault, &world->arena);
    enum err e = bus_client_call(world->client, &sent, &world->arena, &world->fault, &answer);
    world->replayed = world->fault.replayed;
    if (e == ERR_NONE) {
        assert_int_equal(answer.status, info->status);
        assert_int_equal(record_unpack(&reply_meta_record, answer.meta, &world->arena, NULL, &reply), ERR_NONE);
        world->replayed = has(reply_meta, &reply, replayed) && reply.replayed;
        assert_int_equal(record_unpack(info->reply, answer.body, &world->arena, NULL, out), ERR_NONE);
    }
    return e;
}

static enum err ask(struct world *world, const char *key, enum op op, const void *request, void *out)
{
    return ask_with(world, key, NULL, op, request, out);
}

static bool blames(const struct world *world, const char *pointer)
{
    for (uint32_t i = 0; i < world->fault.item_count; i++) {
        if (text_is(world->fault.items[i].pointer, pointer)) {
            return true;
        }
    }
    return false;
}

/* Equal records pack to equal bytes. */
static void assert_same(struct world *world, enum op op, const void *a, const void *b)
{
    const struct record *record = op_info(op)->reply;
    assert_true(text_equal(record_pack_in(record, a, &world->arena), record_pack_in(record, b, &world->arena)));
}

static struct webhook_opened made(struct world *world, const char *key)
{
    struct webhook_new in = {.url = text_of(world->url)};
    struct webhook_opened out;
    enum err e = ask(world, key, OP_webhook_create, &in, &out);
    if (e != ERR_NONE) {
        fail_msg("create: %s %s (%s)", err_info(e)->slug, world->fault.detail, world->fault.cause);
    }
    return out;
}

static enum err active_set(struct world *world, struct text id, bool active)
{
    struct webhook_edit in = {.id = id, .active = active};
    struct webhook out;
    set_has(webhook_edit, &in, active);
    return ask(world, NULL, OP_webhook_update, &in, &out);
}

static struct webhook_delivery tested(struct world *world, struct text id, const char *key)
{
    struct webhook_ref in = {.id = id};
    struct webhook_delivery out;
    assert_int_equal(ask(world, key, OP_webhook_test, &in, &out), ERR_NONE);
    return out;
}

static struct delivery_list deliveries(struct world *world, struct text id)
{
    struct delivery_query in = {.id = id};
    struct delivery_list out;
    assert_int_equal(ask(world, NULL, OP_webhook_deliveries, &in, &out), ERR_NONE);
    return out;
}

/* Waits until the newest delivery has been tried so often. */
static struct webhook_delivery tried(struct world *world, struct text webhook_id, uint32_t attempts)
{
    int64_t end_ms = clock_now_ms() + PATIENCE_MS;
    struct delivery_list list = deliveries(world, webhook_id);
    while ((list.data.count == 0 || list.data.items[0].attempts.count < attempts) && clock_now_ms() < end_ms) {
        usleep(PAUSE_US);
        list = deliveries(world, webhook_id);
    }
    assert_true(list.data.count > 0);
    assert_int_equal(list.data.items[0].attempts.count, attempts);
    return list.data.items[0];
}

/* ---- webhooks ---- */

static void they_are_made_changed_and_removed(void **state)
{
    struct world *world = *state;
    struct webhook_opened first = made(world, NULL), second = made(world, NULL);
    struct webhook_ref ref = {.id = first.id};
    struct webhook_edit edit = {
        .id = first.id, .types = {(struct text[]){TEXT("order.*")}, 1}, .description = TEXT("stock")};
    struct webhook webhook;
    struct webhook_list list;
    struct nothing nothing;
    assert_true(text_starts_with(first.secret, "whsec_"));
    assert_false(text_equal(first.secret, second.secret));
    assert_true(first.active);
    assert_true(first.types.count == 1 && text_is(first.types.items[0], "*"));
    assert_int_equal(ask(world, NULL, OP_webhook_list, &nothing, &list), ERR_NONE);
    assert_int_equal(list.data.count, 2);
    assert_false(list.has_more);
    set_has(webhook_edit, &edit, types), set_has(webhook_edit, &edit, description);
    assert_int_equal(ask_with(world, NULL, "\"9\"", OP_webhook_update, &edit, &webhook), ERR_PRECONDITION_FAILED);
    assert_int_equal(ask_with(world, NULL, "\"1\"", OP_webhook_update, &edit, &webhook), ERR_NONE);
    assert_int_equal(webhook.version, 2);
    assert_int_equal(ask(world, NULL, OP_webhook_get, &ref, &webhook), ERR_NONE);
    assert_true(text_is(webhook.description, "stock") && text_is(webhook.types.items[0], "order.*"));
    assert_int_equal(ask_with(world, NULL, "\"1\"", OP_webhook_remove, &ref, &nothing), ERR_PRECONDITION_FAILED);
    assert_int_equal(ask_with(world, NULL, "\"2\"", OP_webhook_remove, &ref, &nothing), ERR_NONE);
    assert_int_equal(ask(world, NULL, OP_webhook_remove, &ref, &nothing), ERR_NOT_FOUND);
    assert_int_equal(ask(world, NULL, OP_webhook_get, &ref, &webhook), ERR_NOT_FOUND);
    assert_int_equal(ask(world, NULL, OP_webhook_list, &nothing, &list), ERR_NONE);
    assert_int_equal(list.data.count, 1);
}

static void bad_input_is_named_and_changes_nothing(void **state)
{
    struct world *world = *state;
    static const char *const urls[] = {"nonsense", "ftp://example.com/", "https://10.0.0.1/",
                                       "https://me:secret@example.com/"};
    struct text types[] = {TEXT("order.*"), TEXT("Order")};
    struct webhook_opened opened, webhook = made(world, NULL);
    struct webhook shown;
    struct webhook_list list;
    struct nothing nothing;
    for (size_t i = 0; i < ARRAY_COUNT(urls); i++) {
        struct webhook_new in = {.url = text_of(urls[i]), .types = {types, ARRAY_COUNT(types)}};
        struct webhook_edit edit = {.id = webhook.id, .url = in.url, .types = in.types};
        set_has(webhook_new, &in, types);
        set_has(webhook_edit, &edit, url), set_has(webhook_edit, &edit, types);
        assert_int_equal(ask(world, "bad", OP_webhook_create, &in, &opened), ERR_INVALID_BODY);
        assert_true(blames(world, "/url") && blames(world, "/types/1"));
        assert_int_equal(ask(world, NULL, OP_webhook_update, &edit, &shown), ERR_INVALID_BODY);
        assert_true(blames(world, "/url") && blames(world, "/types/1"));
    }
    assert_int_equal(ask(world, NULL, OP_webhook_list, &nothing, &list), ERR_NONE);
    assert_int_equal(list.data.count, 1);
    assert_int_equal(list.data.items[0].version, 1);
    made(world, "bad"); /* what was refused for its fields may come again, put right */
}

static void what_is_not_there_is_not_found(void **state)
{
    struct world *world = *state;
    struct webhook_opened one = made(world, NULL), other = made(world, NULL), opened;
    struct webhook_delivery delivery = tested(world, one.id, NULL), out;
    struct webhook_ref ref = {.id = TEXT("whk_none")};
    struct webhook_edit edit = {.id = ref.id};
    struct delivery_query query = {.id = ref.id};
    struct delivery_ref cases[] = {{.id = ref.id, .delivery_id = delivery.id},
                                   {.id = one.id, .delivery_id = TEXT("whd_none")},
                                   {.id = other.id, .delivery_id = delivery.id}}; /* another webhook's */
    struct webhook webhook;
    struct delivery_list list;
    assert_int_equal(ask(world, NULL, OP_webhook_get, &ref, &webhook), ERR_NOT_FOUND);
    assert_int_equal(ask(world, NULL, OP_webhook_update, &edit, &webhook), ERR_NOT_FOUND);
    assert_int_equal(ask(world, "r", OP_webhook_rotate, &ref, &opened), ERR_NOT_FOUND);
    assert_int_equal(ask(world, "t", OP_webhook_test, &ref, &out), ERR_NOT_FOUND);
    assert_int_equal(ask(world, NULL, OP_webhook_deliveries, &query, &list), ERR_NOT_FOUND);
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        assert_int_equal(ask(world, "d", OP_webhook_redeliver, &cases[i], &out), ERR_NOT_FOUND);
    }
}

static void more_than_a_hundred_are_refused(void **state)
{
    struct world *world = *state;
    struct webhook_new in = {.url = text_of(world->url)};
    struct webhook_opened opened = {0};
    struct nothing nothing;
    for (int i = 0; i < WEBHOOK_MAX; i++) {
        opened = made(world, NULL);
    }
    assert_int_equal(ask(world, "k", OP_webhook_create, &in, &opened), ERR_CONFLICT);
    assert_false(world->replayed);
    struct webhook_ref ref = {.id = opened.id};
    assert_int_equal(ask(world, NULL, OP_webhook_remove, &ref, &nothing), ERR_NONE);
    assert_int_equal(ask(world, "k", OP_webhook_create, &in, &opened), ERR_CONFLICT); /* the first answer */
    assert_true(world->replayed);
    assert_non_null(strstr(world->fault.detail, "There are 100 webhooks"));
    made(world, "another");
}

/* ---- asked for again ---- */

static void creating_again_is_answered_as_first(void **state)
{
    struct world *world = *state;
    struct webhook_opened first = made(world, "k"), again, out;
    struct webhook_new other = {.url = text_of(world->url), .description = TEXT("another")};
    struct webhook_list list;
    struct nothing nothing;
    assert_false(world->replayed);
    assert_int_equal(active_set(world, first.id, false), ERR_NONE); /* it is another one by now */
    again = made(world, "k");
    assert_true(world->replayed);
    assert_same(world, OP_webhook_create, &first, &again);
    set_has(webhook_new, &other, description);
    assert_int_equal(ask(world, "k", OP_webhook_create, &other, &out), ERR_IDEMPOTENCY_KEY_REUSED);
    assert_int_equal(runner_stop(&world->webhooks), 0); /* and after a restart */
    webhooks_start(world);
    again = made(world, "k");
    assert_same(world, OP_webhook_create, &first, &again);
    assert_int_equal(ask(world, NULL, OP_webhook_list, &nothing, &list), ERR_NONE);
    assert_int_equal(list.data.count, 1);
    struct webhook_ref ref = {.id = first.id};
    struct webhook_new in = {.url = text_of(world->url)};
    assert_int_equal(ask(world, NULL, OP_webhook_remove, &ref, &nothing), ERR_NONE);
    assert_int_equal(ask(world, "k", OP_webhook_create, &in, &out), ERR_CONFLICT); /* it does not come back */
    assert_non_null(strstr(world->fault.detail, "signs no more"));
}

static void rotating_again_is_answered_as_first(void **state)
{
    struct world *world = *state;
    struct webhook_opened one = made(world, NULL), other = made(world, NULL), first, second, again;
    struct webhook_ref ref = {.id = one.id}, to_other = {.id = other.id};
    assert_int_equal(ask(world, "a", OP_webhook_rotate, &ref, &first), ERR_NONE);
    assert_int_equal(ask(world, "b", OP_webhook_rotate, &ref, &second), ERR_NONE);
    assert_false(text_equal(first.secret, one.secret) || text_equal(first.secret, second.secret));
    assert_int_equal(ask(world, "a", OP_webhook_rotate, &ref, &again), ERR_NONE);
    assert_true(world->replayed);
    assert_same(world, OP_webhook_rotate, &first, &again);
    assert_int_equal(ask(world, "a", OP_webhook_rotate, &to_other, &again), ERR_IDEMPOTENCY_KEY_REUSED);
    for (int i = 0; i < 4; i++) { /* its secret goes, for others that sign */
        assert_int_equal(ask(world, NULL, OP_webhook_rotate, &ref, &again), ERR_NONE);
    }
    assert_int_equal(ask(world, "a", OP_webhook_rotate, &ref, &again), ERR_CONFLICT);
    struct webhook shown;
    assert_int_equal(ask(world, NULL, OP_webhook_get, &ref, &shown), ERR_NONE);
    assert_int_equal(shown.version, 7); /* made, and rotated six times */
}

static void a_test_again_is_answered_as_first(void **state)
{
    struct world *world = *state;
    struct webhook_opened webhook = made(world, NULL), other = made(world, NULL);
    struct webhook_delivery first = tested(world, webhook.id, "k"), out;
    struct webhook_ref ref = {.id = webhook.id}, to_other = {.id = other.id};
    assert_false(world->replayed);
    assert_int_equal(first.state, DELIVERY_PENDING);
    assert_int_equal(tried(world, webhook.id, 1).state, DELIVERY_FAILED); /* a test is tried once */
    struct webhook_delivery again = tested(world, webhook.id, "k");
    assert_true(world->replayed);
    assert_same(world, OP_webhook_test, &first, &again);
    assert_int_equal(deliveries(world, webhook.id).data.count, 1);
    assert_int_equal(ask(world, "k", OP_webhook_test, &to_other, &out), ERR_IDEMPOTENCY_KEY_REUSED);
    assert_int_equal(active_set(world, webhook.id, false), ERR_NONE);
    assert_int_equal(ask(world, "refused", OP_webhook_test, &ref, &out), ERR_CONFLICT);
    assert_int_equal(active_set(world, webhook.id, true), ERR_NONE);
    assert_int_equal(ask(world, "refused", OP_webhook_test, &ref, &out), ERR_CONFLICT); /* a refusal is an answer */
    assert_true(world->replayed);
    assert_string_equal(world->fault.detail, "The webhook is not active.");
    assert_int_equal(deliveries(world, webhook.id).data.count, 1);
    tested(world, webhook.id, "allowed");
}

static void redelivering_again_is_answered_as_first(void **state)
{
    struct world *world = *state;
    struct webhook_opened webhook = made(world, NULL);
    struct webhook_delivery test = tested(world, webhook.id, NULL), first, second, again;
    struct delivery_ref ref = {.id = webhook.id, .delivery_id = test.id};
    tried(world, webhook.id, 1);
    assert_int_equal(ask(world, "a", OP_webhook_redeliver, &ref, &first), ERR_NONE);
    assert_int_equal(first.state, DELIVERY_PENDING);
    assert_int_equal(first.tries, 0);
    assert_int_equal(first.attempts.count, 1);
    tried(world, webhook.id, 2);
    assert_int_equal(ask(world, "a", OP_webhook_redeliver, &ref, &again), ERR_NONE);
    assert_true(world->replayed);
    assert_same(world, OP_webhook_redeliver, &first, &again);
    assert_int_equal(ask(world, "b", OP_webhook_redeliver, &ref, &second), ERR_NONE);
    assert_false(world->replayed);
    assert_int_equal(second.attempts.count, 2);
    tried(world, webhook.id, 3);
    assert_int_equal(ask(world, "a", OP_webhook_redeliver, &ref, &again), ERR_NONE); /* although another came since */
    assert_same(world, OP_webhook_redeliver, &first, &again);
    assert_int_equal(tried(world, webhook.id, 3).state, DELIVERY_FAILED); /* nothing is under way again */
    assert_int_equal(active_set(world, webhook.id, false), ERR_NONE);
    assert_int_equal(ask(world, "refused", OP_webhook_redeliver, &ref, &again), ERR_CONFLICT);
    assert_int_equal(active_set(world, webhook.id, true), ERR_NONE);
    assert_int_equal(ask(world, "refused", OP_webhook_redeliver, &ref, &again), ERR_CONFLICT);
    assert_true(world->replayed);
    assert_int_equal(ask(world, "b", OP_webhook_redeliver, &ref, &again), ERR_NONE);
    assert_same(world, OP_webhook_redeliver, &second, &again);
}

/* ---- posts ---- */

/* Posts to a webhook that was removed are still under way, and another may have come in its place. */
static void a_hundred_are_posted_to_at_a_time(void **state)
{
    struct world *world = *state;
    const struct timeval patience = {.tv_sec = PATIENCE_MS / 1000};
    struct webhook_opened webhook = {0};
    struct nothing nothing;
    assert_int_equal(setsockopt(world->port_fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience), 0);
    assert_int_equal(listen(world->port_fd, 2 * WEBHOOK_MAX), 0);
    for (int i = 0; i < WEBHOOK_MAX; i++) {
        webhook = made(world, NULL);
        tested(world, webhook.id, NULL);
    }
    struct webhook_ref ref = {.id = webhook.id};
    assert_int_equal(ask(world, NULL, OP_webhook_remove, &ref, &nothing), ERR_NONE);
    webhook = made(world, NULL);
    tested(world, webhook.id, NULL);
    for (int i = 0; i <= WEBHOOK_MAX; i++) { /* the first that ends lets the last begin */
        assert_int_equal(close(accept(world->port_fd, NULL, NULL)), 0);
    }
    assert_int_equal(tried(world, webhook.id, 1).state, DELIVERY_FAILED);
}

/* ---- pages ---- */

static void deliveries_come_in_pages(void **state)
{
    enum { COUNT = 5, LIMIT = 2 };
    struct world *world = *state;
    struct webhook_opened webhook = made(world, NULL), other = made(world, NULL);
    struct delivery_query query = {.id = webhook.id, .limit = LIMIT};
    struct delivery_list page;
    struct text seen[COUNT];
    uint32_t count = 0;
    set_has(delivery_query, &query, limit);
    for (int i = 0; i < COUNT; i++) {
        tested(world, webhook.id, NULL);
    }
    do {
        assert_int_equal(ask(world, NULL, OP_webhook_deliveries, &query, &page), ERR_NONE);
        for (uint32_t i = 0; i < page.data.count; i++) {
            assert_true(count < COUNT);
            for (uint32_t k = 0; k < count; k++) {
                assert_false(text_equal(seen[k], page.data.items[i].id));
            }
            seen[count++] = page.data.items[i].id;
        }
        query.cursor = page.next_cursor;
        set_has(delivery_query, &query, cursor);
    } while (page.has_more);
    assert_int_equal(count, COUNT);
    assert_false(has(delivery_list, &page, next_cursor));
    query = (struct delivery_query){.id = webhook.id, .limit = LIMIT};
    set_has(delivery_query, &query, limit);
    assert_int_equal(ask(world, NULL, OP_webhook_deliveries, &query, &page), ERR_NONE);
    query.cursor = page.next_cursor;
    query.id = other.id; /* it belongs to another query */
    set_has(delivery_query, &query, cursor);
    assert_int_equal(ask(world, NULL, OP_webhook_deliveries, &query, &page), ERR_BAD_CURSOR);
    query.cursor = TEXT("nonsense");
    assert_int_equal(ask(world, NULL, OP_webhook_deliveries, &query, &page), ERR_BAD_CURSOR);
    query = (struct delivery_query){.id = webhook.id, .state = DELIVERY_DELIVERED};
    set_has(delivery_query, &query, state);
    assert_int_equal(ask(world, NULL, OP_webhook_deliveries, &query, &page), ERR_NONE);
    assert_int_equal(page.data.count, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, world_make, world_drop)
    const struct CMUnitTest tests[] = {
        TEST(they_are_made_changed_and_removed),   TEST(bad_input_is_named_and_changes_nothing),
        TEST(what_is_not_there_is_not_found),      TEST(more_than_a_hundred_are_refused),
        TEST(creating_again_is_answered_as_first), TEST(rotating_again_is_answered_as_first),
        TEST(a_test_again_is_answered_as_first),   TEST(redelivering_again_is_answered_as_first),
        TEST(a_hundred_are_posted_to_at_a_time),   TEST(deliveries_come_in_pages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
