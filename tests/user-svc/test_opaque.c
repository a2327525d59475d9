/* Refresh tokens and tickets follow from secret and request, and cannot be invented. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sodium.h>
#include <string.h>

#include "user-svc/opaque.h"

static const uint8_t secret[SERVER_SECRET_SIZE] = {1};
static const uint8_t other_secret[SERVER_SECRET_SIZE] = {2};
static const uint8_t first_request[ID_SIZE] = {1};
static const uint8_t second_request[ID_SIZE] = {2};

static void a_token_names_its_session(void **state)
{
    struct refresh_token token, read;
    char session[IDENT_SIZE], found[IDENT_SIZE];
    (void)state;
    session_id_make(first_request, session);
    assert_true(ident_is(text_of(session), "ses"));
    refresh_token_first(secret, first_request, &token);
    assert_true(refresh_token_read(secret, text_of(token.text), &read, found));
    assert_string_equal(session, found);
    assert_string_equal(token.text, read.text);
    assert_memory_equal(token.hash, read.hash, OPAQUE_HASH_SIZE);
}

static void successors_follow_from_the_request(void **state)
{
    struct refresh_token token, again, next, repeated, another, read;
    char session[IDENT_SIZE], found[IDENT_SIZE];
    (void)state;
    session_id_make(first_request, session);
    refresh_token_first(secret, first_request, &token);
    refresh_token_first(secret, first_request, &again);
    assert_string_equal(token.text, again.text);
    refresh_token_next(secret, &token, second_request, &next);
    refresh_token_next(secret, &token, second_request, &repeated);
    refresh_token_next(secret, &token, first_request, &another);
    assert_string_equal(next.text, repeated.text);
    assert_string_not_equal(next.text, token.text);
    assert_string_not_equal(next.text, another.text);
    assert_true(refresh_token_read(secret, text_of(next.text), &read, found));
    assert_string_equal(session, found);
}

static void inventions_are_refused(void **state)
{
    struct refresh_token token, read;
    char session[IDENT_SIZE], text[OPAQUE_SIZE + 2];
    (void)state;
    refresh_token_first(secret, first_request, &token);
    assert_false(refresh_token_read(other_secret, text_of(token.text), &read, session));
    size_t size = strlen(token.text);
    for (size_t i = 0; i < size; i++) {
        memcpy(text, token.text, size + 1);
        text[i] = text[i] == 'A' ? 'B' : 'A';
        assert_false(refresh_token_read(secret, text_of(text), &read, session));
    }
    memcpy(text, token.text, size);
    text[size] = 'A';
    assert_false(refresh_token_read(secret, (struct text){text, (uint32_t)size + 1}, &read, session));
    assert_false(refresh_token_read(secret, (struct text){text, (uint32_t)size - 1}, &read, session));
    assert_false(refresh_token_read(secret, TEXT(""), &read, session));
    assert_false(refresh_token_read(secret, TEXT("not a token"), &read, session));
}

static void tickets_are_of_request_and_session(void **state)
{
    char ticket[OPAQUE_SIZE], again[OPAQUE_SIZE], other[OPAQUE_SIZE];
    uint8_t hash[OPAQUE_HASH_SIZE], other_hash[OPAQUE_HASH_SIZE];
    (void)state;
    ticket_make(secret, first_request, TEXT("ses_1"), ticket);
    ticket_make(secret, first_request, TEXT("ses_1"), again);
    assert_string_equal(ticket, again);
    ticket_make(secret, first_request, TEXT("ses_2"), other);
    assert_string_not_equal(ticket, other);
    opaque_hash(text_of(ticket), hash);
    opaque_hash(text_of(other), other_hash);
    assert_memory_not_equal(hash, other_hash, OPAQUE_HASH_SIZE);
}

static void a_wiped_secret_is_gone(void **state)
{
    char bytes[] = "secret";
    static const char zeroes[sizeof bytes];
    (void)state;
    secret_wipe((struct text){bytes, sizeof bytes});
    secret_wipe((struct text){0});
    assert_memory_equal(bytes, zeroes, sizeof bytes);
}

static int start(void **state)
{
    (void)state;
    return sodium_init() >= 0 ? 0 : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_token_names_its_session), cmocka_unit_test(successors_follow_from_the_request),
        cmocka_unit_test(inventions_are_refused),    cmocka_unit_test(tickets_are_of_request_and_session),
        cmocka_unit_test(a_wiped_secret_is_gone),
    };
    return cmocka_run_group_tests(tests, start, NULL);
}
