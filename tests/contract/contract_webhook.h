/* What every store of webhooks must do, whatever it stands on. A program includes this once and sets contract_host. */
#ifndef ZMART_TESTS_CONTRACT_WEBHOOK_H
#define ZMART_TESTS_CONTRACT_WEBHOOK_H

#include "webhook-svc/store.h"

#define DESK_STORE struct webhook_store
#include "tests/contract/contract_subscriber.h"

enum { MADE_AT = 0 }; /* this store does not keep it */

static struct text number_text(struct desk *desk, const char *prefix, int n)
{
    char text[40];
    snprintf(text, sizeof text, "%s_%04d", prefix, n);
    return text_of(arena_copy(&desk->arena, text, strlen(text)));
}

static struct webhook_kept webhook_made(struct desk *desk, int n)
{
    struct webhook_key *keys = arena_alloc(&desk->arena, 2 * sizeof *keys);
    struct text *types = arena_alloc(&desk->arena, 2 * sizeof *types);
    keys[0] = (struct webhook_key){.secret = TEXT("whsec_new"), .request = TEXT("02")};
    keys[1] = (struct webhook_key){.secret = TEXT("whsec_old"), .request = TEXT("01"), .until = 99};
    set_has(webhook_key, &keys[1], until);
    types[0] = TEXT("order.*");
    types[1] = TEXT("product.created");
    struct webhook_kept webhook = {.id = number_text(desk, "whk", n),
                                   .url = TEXT("https://example.com/\xc3\xa4"),
                                   .types = {types, 2},
                                   .description = TEXT("what it is for"),
                                   .active = true,
                                   .created_at = 1000 + n,
                                   .updated_at = 2000,
                                   .version = 1,
                                   .waited = 7,
                                   .fingerprint = TEXT("f")};
    webhook.keys.items = keys;
    webhook.keys.count = 2;
    set_has(webhook_kept, &webhook, description);
    return webhook;
}

static struct delivery_kept delivery_made(struct desk *desk, const char *webhook_id, int n, int64_t next_at)
{
    struct delivery_kept delivery = {.id = number_text(desk, "whd", n), .webhook_id = text_of(webhook_id),
                                     .event_id = number_text(desk, "evt", n), .type = TEXT("order.placed"),
                                     .next_at = next_at, .created_at = 1000 + n / 2, .seq = n,
                                     .body = TEXT("{\"type\":\"order.placed\"}")};
    set_has(delivery_kept, &delivery, next_at);
    return delivery;
}

static void delivery_put_new(struct desk *desk, const struct delivery_kept *delivery)
{
    bool is_new = false;
    VERB(desk, ERR_NONE, delivery_add, delivery, &desk->fault, &is_new);
    assert_true(is_new);
}

/* ---- tests ---- */

static void test_a_position_is_kept(void **state)
{
    struct desk *desk = *state;
    int64_t position = 7;
    VERB(desk, ERR_NONE, position, &desk->fault, &position);
    assert_int_equal(position, 0);
    VERB(desk, ERR_NONE, position_set, 42, &desk->fault);
    VERB(desk, ERR_NONE, position, &desk->fault, &position);
    assert_int_equal(position, 42);
    VERB(desk, ERR_NONE, position_set, 3, &desk->fault); /* another log */
    contract_host->reopen(desk);
    VERB(desk, ERR_NONE, position, &desk->fault, &position);
    assert_int_equal(position, 3);
}

static void test_a_webhook_comes_back_whole(void **state)
{
    struct desk *desk = *state;
    struct webhook_kept webhook = webhook_made(desk, 1), found;
    VERB(desk, ERR_NOT_FOUND, webhook, webhook.id, &desk->arena, &desk->fault, &found);
    VERB(desk, ERR_NONE, webhook_put, &webhook, &desk->fault);
    VERB(desk, ERR_NONE, webhook, webhook.id, &desk->arena, &desk->fault, &found);
    struct text put = record_pack_in(&webhook_kept_record, &webhook, &desk->arena);
    assert_true(text_equal(put, record_pack_in(&webhook_kept_record, &found, &desk->arena)));
    VERB(desk, ERR_CONFLICT, webhook_put, &webhook, &desk->fault); /* there is one */
}

static void test_versions_follow_one_another(void **state)
{
    struct desk *desk = *state;
    struct webhook_kept webhook = webhook_made(desk, 1), found;
    VERB(desk, ERR_NONE, webhook_put, &webhook, &desk->fault);
    webhook.version = 3;
    VERB(desk, ERR_CONFLICT, webhook_put, &webhook, &desk->fault);
    webhook.version = 2;
    webhook.active = false;
    webhook.stopped = TEXT("gone");
    webhook.quiet_until = 77;
    webhook.keys.count = 1;
    webhook.present = 0;
    set_has(webhook_kept, &webhook, stopped);
    set_has(webhook_kept, &webhook, quiet_until);
    VERB(desk, ERR_NONE, webhook_put, &webhook, &desk->fault);
    VERB(desk, ERR_CONFLICT, webhook_put, &webhook, &desk->fault);
    VERB(desk, ERR_NONE, webhook, webhook.id, &desk->arena, &desk->fault, &found);
    assert_false(found.active);
    assert_false(has(webhook_kept, &found, description));
    assert_true(text_is(found.stopped, "gone"));
    assert_true(has(webhook_kept, &found, quiet_until));
    assert_int_equal(found.quiet_until, 77);
    assert_int_equal(found.keys.count, 1);
    assert_int_equal(found.version, 2);
}

static void test_webhooks_are_listed_and_removed(void **state)
{
    struct desk *desk = *state;
    struct webhook_rows rows;
    struct webhook_kept found;
    struct delivery_kept delivery = delivery_made(desk, "whk_0001", 1, 5),
                         other = delivery_made(desk, "whk_0002", 2, 5), read;
    VERB(desk, ERR_NONE, webhooks, &desk->arena, &desk->fault, &rows);
    assert_int_equal(rows.count, 0);
    for (int i = 0; i < 3; i++) {
        struct webhook_kept webhook = webhook_made(desk, i);
        VERB(desk, ERR_NONE, webhook_put, &webhook, &desk->fault);
    }
    VERB(desk, ERR_NONE, webhooks, &desk->arena, &desk->fault, &rows);
    assert_int_equal(rows.count, 3);
    assert_true(text_is(rows.items[0].id, "whk_0002")); /* newest first */
    assert_true(text_is(rows.items[2].id, "whk_0000"));
    delivery_put_new(desk, &delivery);
    delivery_put_new(desk, &other);
    VERB(desk, ERR_NONE, webhook_remove, TEXT("whk_0001"), &desk->fault);
    VERB(desk, ERR_NOT_FOUND, webhook_remove, TEXT("whk_0001"), &desk->fault);
    VERB(desk, ERR_NOT_FOUND, webhook, TEXT("whk_0001"), &desk->arena, &desk->fault, &found);
    VERB(desk, ERR_NOT_FOUND, delivery, delivery.id, &desk->arena, &desk->fault, &read);
    VERB(desk, ERR_NONE, delivery, other.id, &desk->arena, &desk->fault, &read);
}

static void test_a_delivery_is_added_once(void **state)
{
    struct desk *desk = *state;
    struct delivery_kept delivery = delivery_made(desk, "whk_0001", 1, 5), read;
    bool is_new = true;
    delivery_put_new(desk, &delivery);
    delivery.body = TEXT("another");
    VERB(desk, ERR_NONE, delivery_add, &delivery, &desk->fault, &is_new);
    assert_false(is_new);
    VERB(desk, ERR_NONE, delivery, delivery.id, &desk->arena, &desk->fault, &read);
    assert_true(text_is(read.body, "{\"type\":\"order.placed\"}"));
    assert_int_equal(read.next_at, 5);
    assert_int_equal(read.seq, 1);
}

static struct delivery_rows claimed(struct desk *desk, const char *webhook_id, int64_t now_ms, uint32_t limit)
{
    struct delivery_rows rows = {0};
    struct delivery_claim claim = {
        .webhook_id = text_of(webhook_id), .now_ms = now_ms, .until_ms = now_ms + 100, .limit = limit};
    VERB(desk, ERR_NONE, deliveries_claim, &claim, &desk->arena, &desk->fault, &rows);
    return rows;
}

static void test_what_is_due_is_claimed_in_order(void **state)
{
    struct desk *desk = *state;
    static const int64_t due_at[] = {30, 10, 10, 20, 99};
    for (int i = 0; i < 5; i++) {
        struct delivery_kept delivery = delivery_made(desk, "whk_0001", 5 - i, due_at[i]);
        delivery_put_new(desk, &delivery);
    }
    struct delivery_kept other = delivery_made(desk, "whk_0002", 9, 1);
    delivery_put_new(desk, &other);
    assert_int_equal(claimed(desk, "whk_0001", 9, 10).count, 0);
    struct delivery_rows rows = claimed(desk, "whk_0001", 50, 3);
    assert_int_equal(rows.count, 3);
    assert_int_equal(rows.items[0].seq, 3); /* due at 10, as 4 is, and before it in the log */
    assert_int_equal(rows.items[1].seq, 4);
    assert_int_equal(rows.items[2].seq, 2);
    assert_true(text_is(rows.items[0].body, "{\"type\":\"order.placed\"}"));
    rows = claimed(desk, "whk_0001", 50, 10);
    assert_int_equal(rows.count, 1); /* the others are somebody's */
    assert_int_equal(rows.items[0].seq, 5);
    assert_int_equal(claimed(desk, "whk_0001", 98, 10).count, 0);
    rows = claimed(desk, "whk_0001", 150, 10); /* who had them has died */
    assert_int_equal(rows.count, 5);
    assert_int_equal(rows.items[0].seq, 1);
}

static void test_what_waits_is_counted(void **state)
{
    struct desk *desk = *state;
    uint32_t count = 9;
    VERB(desk, ERR_NONE, deliveries_pending, TEXT("whk_0001"), 10, &desk->fault, &count);
    assert_int_equal(count, 0);
    for (int i = 0; i < 6; i++) {
        struct delivery_kept delivery = delivery_made(desk, "whk_0001", i, 5),
                             other = delivery_made(desk, "whk_0002", 10 + i, 5);
        delivery_put_new(desk, &delivery);
        delivery_put_new(desk, &other);
        if (i == 0) {
            delivery.state = DELIVERY_FAILED;
            delivery.present = 0;
            VERB(desk, ERR_NONE, delivery_put, &delivery, &desk->fault);
        }
    }
    VERB(desk, ERR_NONE, deliveries_pending, TEXT("whk_0001"), 10, &desk->fault, &count);
    assert_int_equal(count, 5);
    VERB(desk, ERR_NONE, deliveries_pending, TEXT("whk_0001"), 3, &desk->fault, &count);
    assert_int_equal(count, 3);
}

static void test_an_end_is_kept(void **state)
{
    struct desk *desk = *state;
    struct delivery_kept delivery = delivery_made(desk, "whk_0001", 1, 5), read;
    struct delivery_attempt attempts[2] = {{.at = 6, .status = 500, .duration_ms = 3},
                                           {.at = 9, .error = TEXT("no answer")}};
    set_has(delivery_attempt, &attempts[0], status);
    set_has(delivery_attempt, &attempts[1], error);
    VERB(desk, ERR_NOT_FOUND, delivery_put, &delivery, &desk->fault);
    delivery_put_new(desk, &delivery);
    delivery.state = DELIVERY_FAILED;
    delivery.tries = 2;
    delivery.attempts.items = attempts;
    delivery.attempts.count = 2;
    delivery.request = TEXT("0a");
    delivery.present = 0;
    set_has(delivery_kept, &delivery, request);
    VERB(desk, ERR_NONE, delivery_put, &delivery, &desk->fault);
    VERB(desk, ERR_NONE, delivery, delivery.id, &desk->arena, &desk->fault, &read);
    assert_true(text_equal(record_pack_in(&delivery_kept_record, &delivery, &desk->arena),
                           record_pack_in(&delivery_kept_record, &read, &desk->arena)));
    assert_int_equal(claimed(desk, "whk_0001", INT64_MAX - 1000, 10).count, 0);
    delivery.state = DELIVERY_PENDING; /* asked for again */
    delivery.next_at = 20;
    set_has(delivery_kept, &delivery, next_at);
    VERB(desk, ERR_NONE, delivery_put, &delivery, &desk->fault);
    assert_int_equal(claimed(desk, "whk_0001", 20, 10).count, 1);
}

static void test_pages(void **state)
{
    struct desk *desk = *state;
    struct delivery_rows rows;
    for (int i = 0; i < 7; i++) {
        struct delivery_kept delivery = delivery_made(desk, "whk_0001", i, 5);
        delivery_put_new(desk, &delivery);
        if (i % 2) {
            delivery.state = DELIVERY_DELIVERED;
            delivery.present = 0;
            VERB(desk, ERR_NONE, delivery_put, &delivery, &desk->fault);
        }
    }
    struct delivery_kept other = delivery_made(desk, "whk_0002", 9, 5);
    delivery_put_new(desk, &other);
    struct delivery_page_query query = {
        .webhook_id = TEXT("whk_0001"), .state = -1, .before_at = INT64_MAX, .limit = 3};
    int expected = 6;
    do {
        VERB(desk, ERR_NONE, deliveries, &query, &desk->arena, &desk->fault, &rows);
        for (uint32_t i = 0; i < rows.count; i++) {
            assert_int_equal(rows.items[i].seq, expected--); /* two share a time: their ids decide */
            assert_int_equal(rows.items[i].body.size, 0);
        }
        if (rows.count > 0) {
            query.before_at = rows.items[rows.count - 1].created_at;
            query.before_id = rows.items[rows.count - 1].id;
        }
    } while (rows.count > 0);
    assert_int_equal(expected, -1);
    query = (struct delivery_page_query){
        .webhook_id = TEXT("whk_0001"), .state = DELIVERY_DELIVERED, .before_at = INT64_MAX, .limit = 10};
    VERB(desk, ERR_NONE, deliveries, &query, &desk->arena, &desk->fault, &rows);
    assert_int_equal(rows.count, 3);
}

static void test_what_is_old_goes(void **state)
{
    struct desk *desk = *state;
    uint32_t count = 9;
    struct delivery_kept read;
    for (int i = 0; i < 8; i++) { /* made at 1000, 1000, 1001, 1001 ... */
        struct delivery_kept delivery = delivery_made(desk, "whk_0001", i, 5);
        delivery_put_new(desk, &delivery);
    }
    VERB(desk, ERR_NONE, deliveries_purge, 1000, 100, &desk->fault, &count);
    assert_int_equal(count, 0);
    VERB(desk, ERR_NONE, deliveries_purge, 1003, 4, &desk->fault, &count);
    assert_int_equal(count, 4);
    VERB(desk, ERR_NONE, deliveries_purge, 1003, 4, &desk->fault, &count);
    assert_int_equal(count, 2);
    VERB(desk, ERR_NOT_FOUND, delivery, TEXT("whd_0005"), &desk->arena, &desk->fault, &read);
    VERB(desk, ERR_NONE, delivery, TEXT("whd_0006"), &desk->arena, &desk->fault, &read);
}

static struct answer_kept answer_made(struct desk *desk, int n)
{
    struct answer_kept answer = {
        .id = number_text(desk, "req", n), .fingerprint = TEXT("f"), .at = 1000 + n, .reply = TEXT("\x81\xa1" "a\x01")};
    set_has(answer_kept, &answer, reply);
    return answer;
}

static void test_the_first_answer_stays(void **state)
{
    struct desk *desk = *state;
    struct answer_kept answer = answer_made(desk, 1), refused = answer_made(desk, 2), read;
    uint32_t count = 9;
    VERB(desk, ERR_NOT_FOUND, answer, answer.id, &desk->arena, &desk->fault, &read);
    VERB(desk, ERR_NONE, answer_add, &answer, &desk->fault);
    VERB(desk, ERR_NONE, answer, answer.id, &desk->arena, &desk->fault, &read);
    struct text put = record_pack_in(&answer_kept_record, &answer, &desk->arena);
    assert_true(text_equal(put, record_pack_in(&answer_kept_record, &read, &desk->arena)));
    answer.reply = TEXT("\x80");
    VERB(desk, ERR_CONFLICT, answer_add, &answer, &desk->fault);
    VERB(desk, ERR_NONE, answer, answer.id, &desk->arena, &desk->fault, &read);
    assert_int_equal(read.reply.size, 4);
    refused.present = 0;
    refused.refusal = TEXT("\x80");
    set_has(answer_kept, &refused, refusal);
    VERB(desk, ERR_NONE, answer_add, &refused, &desk->fault);
    VERB(desk, ERR_NONE, answer, refused.id, &desk->arena, &desk->fault, &read);
    assert_true(has(answer_kept, &read, refusal) && !has(answer_kept, &read, reply));
    for (int i = 3; i < 6; i++) {
        answer = answer_made(desk, i);
        VERB(desk, ERR_NONE, answer_add, &answer, &desk->fault);
    }
    VERB(desk, ERR_NONE, answers_purge, 1001, 100, &desk->fault, &count);
    assert_int_equal(count, 0);
    VERB(desk, ERR_NONE, answers_purge, 1005, 3, &desk->fault, &count);
    assert_int_equal(count, 3);
    VERB(desk, ERR_NONE, answers_purge, 1005, 3, &desk->fault, &count);
    assert_int_equal(count, 1);
    VERB(desk, ERR_NOT_FOUND, answer, refused.id, &desk->arena, &desk->fault, &read);
    VERB(desk, ERR_NONE, answer, answer.id, &desk->arena, &desk->fault, &read); /* of that very moment */
}

#include "tests/contract/contract_webhook_failing.h"

#define CONTRACT_TESTS                                                                                                  \
    CONTRACT_TEST(test_a_position_is_kept), CONTRACT_TEST(test_a_webhook_comes_back_whole),                             \
        CONTRACT_TEST(test_versions_follow_one_another), CONTRACT_TEST(test_webhooks_are_listed_and_removed),           \
        CONTRACT_TEST(test_a_delivery_is_added_once), CONTRACT_TEST(test_what_is_due_is_claimed_in_order),              \
        CONTRACT_TEST(test_what_waits_is_counted), CONTRACT_TEST(test_an_end_is_kept), CONTRACT_TEST(test_pages),       \
        CONTRACT_TEST(test_what_is_old_goes), CONTRACT_TEST(test_the_first_answer_stays),                               \
        cmocka_unit_test(test_every_call_fails_once)

#endif
