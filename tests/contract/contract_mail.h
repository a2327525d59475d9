/* What every store of mails must do, whatever it stands on. A program includes this once and sets contract_host. */
#ifndef ZMART_TESTS_CONTRACT_MAIL_H
#define ZMART_TESTS_CONTRACT_MAIL_H

#include "mail-svc/store.h"

#define DESK_STORE struct mail_store
#include "tests/contract/contract_subscriber.h"

enum { MADE_AT = 500 };

static struct mail mail_made(struct desk *desk, int n, int64_t next_at)
{
    char id[40];
    snprintf(id, sizeof id, "evt_%04d", n);
    struct mail mail = {.id = text_of(arena_copy(&desk->arena, id, strlen(id))),
                        .type = TEXT("order.placed"),
                        .user_id = TEXT("usr_1"),
                        .event_at = 1000 + n,
                        .next_at = next_at,
                        .data = TEXT("\x81\xa1"
                                     "a\x01")};
    set_has(mail, &mail, next_at);
    set_has(mail, &mail, data);
    return mail;
}

static struct mail_rows claimed(struct desk *desk, int64_t now_ms, uint32_t limit)
{
    struct mail_rows rows = {0};
    struct mail_claim claim = {.now_ms = now_ms, .until_ms = now_ms + 100, .limit = limit};
    VERB(desk, ERR_NONE, claim, &claim, &desk->arena, &desk->fault, &rows);
    return rows;
}

static void mail_ended(struct desk *desk, struct mail *mail)
{
    mail->present &= ~(UINT64_C(1) << mail_at_next_at | UINT64_C(1) << mail_at_data);
    VERB(desk, ERR_NONE, put, mail, &desk->fault);
}

static void test_a_position_is_kept(void **state)
{
    struct desk *desk = *state;
    int64_t position, since_ms;
    VERB(desk, ERR_NONE, position, &desk->fault, &position, &since_ms);
    assert_int_equal(position, 0);
    assert_int_equal(since_ms, MADE_AT);
    VERB(desk, ERR_NONE, position_set, 42, &desk->fault);
    contract_host->reopen(desk);
    VERB(desk, ERR_NONE, position, &desk->fault, &position, &since_ms);
    assert_int_equal(position, 42);
    assert_int_equal(since_ms, MADE_AT); /* the first start counts */
}

static void test_a_mail_is_added_once(void **state)
{
    struct desk *desk = *state;
    struct mail mail = mail_made(desk, 1, 5), read;
    VERB(desk, ERR_NOT_FOUND, get, mail.id, &desk->arena, &desk->fault, &read);
    VERB(desk, ERR_NOT_FOUND, put, &mail, &desk->fault);
    VERB(desk, ERR_NONE, add, &mail, &desk->fault);
    VERB(desk, ERR_NONE, get, mail.id, &desk->arena, &desk->fault, &read);
    assert_true(text_equal(record_pack_in(&mail_record, &mail, &desk->arena),
                           record_pack_in(&mail_record, &read, &desk->arena)));
    struct mail again = mail;
    again.user_id = TEXT("usr_2");
    VERB(desk, ERR_NONE, add, &again, &desk->fault);
    mail_ended(desk, &mail);
    VERB(desk, ERR_NONE, add, &again, &desk->fault); /* it has ended, and is known */
    VERB(desk, ERR_NONE, get, mail.id, &desk->arena, &desk->fault, &read);
    assert_true(text_is(read.user_id, "usr_1"));
    assert_false(has(mail, &read, data));
    assert_false(has(mail, &read, next_at));
}

static void test_what_is_due_is_claimed(void **state)
{
    struct desk *desk = *state;
    static const int64_t due_at[] = {30, 10, 20, 99};
    for (int i = 0; i < 4; i++) {
        struct mail mail = mail_made(desk, i, due_at[i]);
        VERB(desk, ERR_NONE, add, &mail, &desk->fault);
    }
    assert_int_equal(claimed(desk, 9, 10).count, 0);
    struct mail_rows rows = claimed(desk, 50, 2);
    assert_int_equal(rows.count, 2);
    assert_true(text_is(rows.items[0].id, "evt_0001"));
    assert_true(text_is(rows.items[1].id, "evt_0002"));
    rows = claimed(desk, 50, 10);
    assert_int_equal(rows.count, 1);
    assert_true(text_is(rows.items[0].id, "evt_0000"));
    mail_ended(desk, &rows.items[0]);
    rows.items[0].tries = 3;
    assert_int_equal(claimed(desk, 160, 10).count, 3); /* who had two of them has died; one has ended */
}

static void test_another_attempt(void **state)
{
    struct desk *desk = *state;
    struct mail mail = mail_made(desk, 1, 5), read;
    VERB(desk, ERR_NONE, add, &mail, &desk->fault);
    mail.tries = 2;
    mail.next_at = 70;
    VERB(desk, ERR_NONE, put, &mail, &desk->fault);
    assert_int_equal(claimed(desk, 69, 10).count, 0);
    assert_int_equal(claimed(desk, 70, 10).count, 1);
    VERB(desk, ERR_NONE, get, mail.id, &desk->arena, &desk->fault, &read);
    assert_int_equal(read.tries, 2);
    assert_int_equal(read.next_at, 170);
}

static void test_what_has_ended_is_forgotten(void **state)
{
    struct desk *desk = *state;
    struct mail read;
    uint32_t count = 9;
    for (int i = 0; i < 6; i++) {
        struct mail mail = mail_made(desk, i, 5);
        VERB(desk, ERR_NONE, add, &mail, &desk->fault);
        if (i != 1) {
            mail_ended(desk, &mail);
        }
    }
    VERB(desk, ERR_NONE, purge, 1000, 100, &desk->fault, &count);
    assert_int_equal(count, 0);
    VERB(desk, ERR_NONE, purge, 1005, 3, &desk->fault, &count);
    assert_int_equal(count, 3);
    VERB(desk, ERR_NONE, purge, 1005, 3, &desk->fault, &count);
    assert_int_equal(count, 1);
    VERB(desk, ERR_NONE, get, TEXT("evt_0001"), &desk->arena, &desk->fault, &read); /* not sent yet */
    VERB(desk, ERR_NONE, get, TEXT("evt_0005"), &desk->arena, &desk->fault, &read);
    VERB(desk, ERR_NOT_FOUND, get, TEXT("evt_0004"), &desk->arena, &desk->fault, &read);
}

/* ---- the N-th call fails ---- */

static enum err failing_position(struct mail_store *self, struct fault *fault, int64_t *out, int64_t *out_since_ms)
{
    FAILING(self, fault, position, fault, out, out_since_ms);
}

static enum err failing_position_set(struct mail_store *self, int64_t position, struct fault *fault)
{
    FAILING(self, fault, position_set, position, fault);
}

static enum err failing_add(struct mail_store *self, const struct mail *mail, struct fault *fault)
{
    FAILING(self, fault, add, mail, fault);
}

static enum err failing_claim(struct mail_store *self, const struct mail_claim *claim, struct arena *arena,
                              struct fault *fault, struct mail_rows *out)
{
    FAILING(self, fault, claim, claim, arena, fault, out);
}

static enum err failing_get(struct mail_store *self, struct text id, struct arena *arena, struct fault *fault,
                            struct mail *out)
{
    FAILING(self, fault, get, id, arena, fault, out);
}

static enum err failing_put(struct mail_store *self, const struct mail *mail, struct fault *fault)
{
    FAILING(self, fault, put, mail, fault);
}

static enum err failing_purge(struct mail_store *self, int64_t before_ms, uint32_t limit, struct fault *fault,
                              uint32_t *out)
{
    FAILING(self, fault, purge, before_ms, limit, fault, out);
}

static struct failing failing_over(struct mail_store *inner)
{
    static const struct mail_store_ops ops = {.position = failing_position, .position_set = failing_position_set,
                                              .add = failing_add, .claim = failing_claim, .get = failing_get,
                                              .put = failing_put, .purge = failing_purge};
    return (struct failing){.base = {.ops = &ops}, .inner = inner};
}

/* A page of the log: as mail-svc takes it. */
static enum err step_page(struct desk *desk, struct mail_store *store)
{
    int64_t position, since_ms;
    enum err e = store->ops->position(store, &desk->fault, &position, &since_ms);
    for (int i = 1; e == ERR_NONE && i <= 3; i++) {
        struct mail mail = mail_made(desk, i, 5);
        e = store->ops->add(store, &mail, &desk->fault);
    }
    return e == ERR_NONE ? store->ops->position_set(store, 3, &desk->fault) : e;
}

/* Claims what is due: the first attempt fails, the second ends it. */
static enum err due_send(struct desk *desk, struct mail_store *store, uint32_t *out_count)
{
    struct mail_rows rows;
    struct mail_claim claim = {.now_ms = desk->now_ms, .until_ms = desk->now_ms + 100, .limit = 2};
    enum err e = store->ops->claim(store, &claim, &desk->arena, &desk->fault, &rows);
    for (uint32_t i = 0; e == ERR_NONE && i < rows.count; i++) {
        struct mail mail;
        e = store->ops->get(store, rows.items[i].id, &desk->arena, &desk->fault, &mail);
        if (e == ERR_NONE) {
            mail.present &= ~(mail.tries++ > 0 ? UINT64_C(1) << mail_at_next_at | UINT64_C(1) << mail_at_data : 0);
            e = store->ops->put(store, &mail, &desk->fault);
        }
    }
    if (e == ERR_NONE) {
        *out_count = rows.count;
    }
    return e;
}

/* Each claim is later than those before run out: also one that was made without our hearing of it, which is why nothing
 * must be due twice in a row. */
static enum err step_send(struct desk *desk, struct mail_store *store)
{
    uint32_t count;
    enum err e = ERR_NONE;
    for (int idle = 0; e == ERR_NONE && idle < 2; idle = count > 0 ? 0 : idle + 1) {
        desk->now_ms += 200;
        count = 0;
        e = due_send(desk, store, &count);
    }
    return e;
}

static enum err step_purge(struct desk *desk, struct mail_store *store)
{
    uint32_t count;
    return store->ops->purge(store, 1002, 10, &desk->fault, &count);
}

/* All were tried twice at least and have ended, and the oldest is forgotten. */
static enum err step_check(struct desk *desk, struct mail_store *store)
{
    struct mail_claim claim = {.now_ms = INT64_MAX / 2, .until_ms = INT64_MAX / 2 + 1, .limit = 10};
    struct mail_rows rows;
    struct mail mail;
    int64_t position, since_ms;
    enum err e = store->ops->position(store, &desk->fault, &position, &since_ms);
    e = e == ERR_NONE ? store->ops->claim(store, &claim, &desk->arena, &desk->fault, &rows) : e;
    if (e != ERR_NONE) {
        return e;
    }
    assert_int_equal(position, 3);
    assert_int_equal(since_ms, MADE_AT);
    assert_int_equal(rows.count, 0);
    for (int i = 1; i <= 3; i++) {
        e = store->ops->get(store, mail_made(desk, i, 5).id, &desk->arena, &desk->fault, &mail);
        if (e == ERR_SERVICE_UNAVAILABLE) {
            return e;
        }
        assert_int_equal(e, i == 1 ? ERR_NOT_FOUND : ERR_NONE);
        assert_true(i == 1 || (mail.tries >= 2 && !has(mail, &mail, next_at) && !has(mail, &mail, data)));
    }
    return ERR_NONE;
}

static const struct scenario scenario = {{step_page, step_send}, step_purge, step_check};

static void test_every_call_fails_once(void **state)
{
    (void)state;
    failing_from_first_to_last(false, 20);
    failing_from_first_to_last(true, 20);
}

#define CONTRACT_TESTS                                                                                  \
    CONTRACT_TEST(test_a_position_is_kept), CONTRACT_TEST(test_a_mail_is_added_once),                   \
        CONTRACT_TEST(test_what_is_due_is_claimed), CONTRACT_TEST(test_another_attempt),                \
        CONTRACT_TEST(test_what_has_ended_is_forgotten), cmocka_unit_test(test_every_call_fails_once)

#endif
