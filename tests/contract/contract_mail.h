/* What every store of mails must do, whatever it stands on. A program includes this once and sets contract_host. */
#ifndef ZMART_TESTS_CONTRACT_MAIL_H
#define ZMART_TESTS_CONTRACT_MAIL_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mail-svc/store.h"

enum { MADE_AT = 500 };

struct desk {
    struct mail_store *store;
    void *host; /* the host's own */
    struct arena arena;
    struct fault fault;
};

struct contract_host {
    void (*open)(struct desk *desk);   /* a fresh store, made at MADE_AT */
    void (*reopen)(struct desk *desk); /* the same data, later */
    void (*close)(struct desk *desk);
};

static const struct contract_host *contract_host;

static int desk_setup(void **state)
{
    struct desk *desk = calloc(1, sizeof *desk);
    contract_host->open(desk);
    fault_init(&desk->fault, &desk->arena);
    *state = desk;
    return 0;
}

static int desk_teardown(void **state)
{
    struct desk *desk = *state;
    contract_host->close(desk);
    arena_release(&desk->arena);
    free(desk);
    return 0;
}

/* One verb, in a unit of work of its own. */
#define VERB(desk, expected, verb, ...)                                                                      \
    do {                                                                                                     \
        const struct unit_of_work *unit = (desk)->store->unit;                                               \
        void *handle = (desk)->store->handle;                                                                \
        fault_init(&(desk)->fault, &(desk)->arena);                                                          \
        assert_true(!unit || unit->begin(handle, true, &(desk)->fault) == ERR_NONE);                         \
        enum err got = (desk)->store->ops->verb((desk)->store, __VA_ARGS__);                                 \
        if (got != (expected)) {                                                                             \
            fail_msg(#verb ": %d instead of %d (%s)", got, expected, (desk)->fault.cause);                   \
        }                                                                                                    \
        assert_true(!unit || unit->commit(handle, &(desk)->fault) == ERR_NONE);                              \
    } while (0)

static struct mail mail_made(struct desk *desk, int n, int64_t next_at)
{
    char id[40];
    snprintf(id, sizeof id, "evt_%04d", n);
    struct mail mail = {.id = text_of(arena_copy(&desk->arena, id, strlen(id))), .type = TEXT("order.placed"),
                        .user_id = TEXT("usr_1"), .event_at = 1000 + n, .next_at = next_at, .data = TEXT("\x81\xa1" "a\x01")};
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
    assert_true(text_equal(record_pack_in(&mail_record, &mail, &desk->arena), record_pack_in(&mail_record, &read, &desk->arena)));
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

#define CONTRACT_TEST(test) cmocka_unit_test_setup_teardown(test, desk_setup, desk_teardown)
#define CONTRACT_TESTS                                                                                  \
    CONTRACT_TEST(test_a_position_is_kept), CONTRACT_TEST(test_a_mail_is_added_once),                   \
        CONTRACT_TEST(test_what_is_due_is_claimed), CONTRACT_TEST(test_another_attempt),                \
        CONTRACT_TEST(test_what_has_ended_is_forgotten)

#endif
