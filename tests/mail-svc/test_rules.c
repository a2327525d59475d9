#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "mail-svc/rules.h"

static struct event_entry entry_of(const char *type, int64_t time)
{
    struct event_entry entry = {.type = text_of(type), .time = time};
    set_has(event_entry, &entry, user_id);
    set_has(event_entry, &entry, private_data);
    return entry;
}

static void test_what_is_mailed(void **state)
{
    (void)state;
    struct event_entry entry = entry_of("order.placed", 1000);
    assert_true(entry_is_mailed(&entry, 1000, 1000));
    assert_false(entry_is_mailed(&entry, 1001, 0)); /* before mails began */
    assert_false(entry_is_mailed(&entry, 0, 1001)); /* too old */
    entry.present = 0;
    assert_false(entry_is_mailed(&entry, 0, 0)); /* nobody's */
    entry = entry_of("session.ended", 1000);
    assert_false(entry_is_mailed(&entry, 0, 0));
}

static void test_waits(void **state)
{
    (void)state;
    enum { MIN = 60000, H = 60 * MIN };
    static const int64_t waits[] = {0, MIN, 5 * MIN, 15 * MIN, H, 4 * H, 4 * H, 4 * H};
    for (int i = 0; i < 8; i++) {
        assert_int_equal(mail_wait_ms(i, 1000), waits[i]);
        assert_int_equal(mail_wait_ms(i, 1), waits[i] / 1000);
        assert_int_equal(mail_wait_ms(i, 0), 0);
    }
    assert_int_equal(mail_wait_ms(INT64_MAX, 1000), 4 * H);
}

static void test_urls(void **state)
{
    (void)state;
    assert_null(smtp_url_trouble("smtp://mail.example.com:587", true));
    assert_null(smtp_url_trouble("smtps://mail.example.com", true));
    assert_null(smtp_url_trouble("smtp://me:secret@mail.example.com", false));
    assert_non_null(smtp_url_trouble("smtp://me:secret@mail.example.com", true));
    assert_non_null(smtp_url_trouble("http://mail.example.com", false));
    assert_non_null(smtp_url_trouble("mail.example.com", false));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_what_is_mailed), cmocka_unit_test(test_waits),
                                       cmocka_unit_test(test_urls)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
