#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mail-svc/letter.h"

typedef bool write_text(struct text text, struct buffer *out);

static void written(write_text *write, const char *in, const char *expected)
{
    struct buffer out;
    buffer_init(&out, 4096);
    assert_true(write(text_of(in), &out));
    if (!text_is(buffer_text(&out), expected)) {
        fail_msg("\"%s\" is written \"%.*s\"", in, TEXT_ARG(buffer_text(&out)));
    }
    buffer_release(&out);
}

static void test_words(void **state)
{
    (void)state;
    written(words_write, "Your order 7K3F9-Q2M4X", "Your order 7K3F9-Q2M4X");
    written(words_write, "K\xc3\xa4se", "=?UTF-8?B?S8Okc2U=?=");
    written(words_write,
            "=?UTF-8?B?S8Okc2U=?=", "=?UTF-8?B?PT9VVEYtOD9CP1M4T2tjMlU9Pz0=?="); /* not read as what it looks like */
    written(words_write, "a\r\nBcc: x", "=?UTF-8?B?YQ0KQmNjOiB4?=");
    /* words break between characters: 22 of two bytes fit 45 bytes */
    char many[51] = "";
    for (int i = 0; i < 25; i++) {
        memcpy(many + (size_t)i * 2, "\xc3\xa4", 2);
    }
    written(words_write, many,
            "=?UTF-8?B?w6TDpMOkw6TDpMOkw6TDpMOkw6TDpMOkw6TDpMOkw6TDpMOkw6TDpMOkw6Q=?=\r\n =?UTF-8?B?w6TDpMOk?=");
}

static void test_phrases(void **state)
{
    (void)state;
    written(phrase_write, "Ada Lovelace", "\"Ada Lovelace\"");
    written(phrase_write, "Ada \"the\" \\Countess", "\"Ada \\\"the\\\" \\\\Countess\"");
    written(phrase_write, "Zo\xc3\xab <x@y>", "=?UTF-8?B?Wm/DqyA8eEB5Pg==?=");
    written(phrase_write, "Ada\r\nBcc: x@y", "=?UTF-8?B?QWRhDQpCY2M6IHhAeQ==?=");
}

static void test_quoted(void **state)
{
    (void)state;
    written(quoted_write, "plain\ntext\n", "plain\r\ntext\r\n");
    written(quoted_write, "1+1=2 K\xc3\xa4se", "1+1=3D2 K=C3=A4se");
    written(quoted_write, "end \nand\t\nlast ", "end=20\r\nand=09\r\nlast=20");
    written(quoted_write, "a\rb", "a=0Db");
    struct buffer out;
    char longer[500];
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    for (int i = 70; i < 80; i++) {
        longer[i] = '='; /* an escape is never cut */
    }
    buffer_init(&out, 4096);
    assert_true(quoted_write(text_of(longer), &out));
    struct text rest = buffer_text(&out), line;
    while (text_cut(&rest, '\n', &line)) {
        assert_true(line.size <= 77); /* with its CR */
        for (uint32_t i = 0; i < line.size; i++) {
            bool escape = line.data[i] == '=' && line.data[i + 1] != '\r';
            assert_true(!escape || (line.data[i + 1] == '3' && line.data[i + 2] == 'D'));
        }
    }
    buffer_release(&out);
}

static void test_dates(void **state)
{
    (void)state;
    struct buffer out;
    buffer_init(&out, 100);
    assert_true(date_write(INT64_C(1614265330) * 1000, &out));
    assert_true(text_is(buffer_text(&out), "Thu, 25 Feb 2021 15:02:10 +0000"));
    buffer_clear(&out);
    assert_true(date_write(0, &out));
    assert_true(text_is(buffer_text(&out), "Thu, 01 Jan 1970 00:00:00 +0000"));
    buffer_release(&out);
}

static void test_addresses(void **state)
{
    (void)state;
    static const char *const good[] = {"a@b", "test@example.com", "a.b+c_d-e@x.example", "o'brien@example.com",
                                       "=?x@example.com"};
    static const char *const bad[] = {"",
                                      "a",
                                      "@b",
                                      "a@",
                                      "a@b@c",
                                      "a b@c",
                                      "a@b\r\nBcc: x@y",
                                      "<a@b>",
                                      "a@b>",
                                      "\"a\"@b",
                                      "a,b@c",
                                      "a@b,c@d",
                                      "z\xc3\xab@example.com",
                                      "a@[127.0.0.1]",
                                      "a;b@c",
                                      "a:b@c",
                                      "a\\b@c",
                                      "a\x7f@b"};
    for (size_t i = 0; i < ARRAY_COUNT(good); i++) {
        if (!address_is_plain(text_of(good[i]))) {
            fail_msg("%s is refused", good[i]);
        }
    }
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        if (address_is_plain(text_of(bad[i]))) {
            fail_msg("%s is taken", bad[i]);
        }
    }
    char longer[LETTER_ADDRESS_MAX + 2];
    memset(longer, 'x', sizeof longer);
    longer[1] = '@';
    assert_true(address_is_plain((struct text){longer, LETTER_ADDRESS_MAX}));
    assert_false(address_is_plain((struct text){longer, LETTER_ADDRESS_MAX + 1}));
}

static struct order order_made(struct order_line *line)
{
    struct order order = {.number = TEXT("7K3F9-Q2M4X"), .currency = TEXT("JPY"), .total = 2400};
    *line = (struct order_line){.name = TEXT("Tea"), .quantity = 2, .total = 2400};
    order.lines.items = line;
    order.lines.count = 1;
    return order;
}

static void test_a_letter(void **state)
{
    (void)state;
    struct order_line line;
    struct order order = order_made(&line);
    struct letter letter = {.event_id = TEXT("evt_1"),
                            .type = TEXT("order.placed"),
                            .time_ms = 0,
                            .from = TEXT("shop@example.com"),
                            .to = TEXT("ada@example.org"),
                            .shop = TEXT("Tea shop"),
                            .name = TEXT("Ada {{total}}"), /* what is filled in is not looked at again */
                            .order = &order};
    struct buffer out;
    buffer_init(&out, LETTER_MAX_SIZE);
    assert_true(letter_write(&letter, &out));
    assert_true(
        text_is(buffer_text(&out),
                "Date: Thu, 01 Jan 1970 00:00:00 +0000\r\n"
                "From: \"Tea shop\"\r\n <shop@example.com>\r\n"
                "To: \"Ada {{total}}\"\r\n <ada@example.org>\r\n"
                "Subject: Your order 7K3F9-Q2M4X\r\n"
                "Message-ID: <evt_1@example.com>\r\n"
                "Auto-Submitted: auto-generated\r\n"
                "MIME-Version: 1.0\r\n"
                "Content-Type: text/plain; charset=utf-8\r\n"
                "Content-Transfer-Encoding: quoted-printable\r\n\r\n"
                "Hello Ada {{total}},\r\n\r\nthank you for your order 7K3F9-Q2M4X.\r\n\r\n  2 x Tea, 2400 JPY\r\n\r\n"
                "Total: 2400 JPY\r\n\r\nWe will write again when it is confirmed.\r\n\r\nTea shop\r\n"));
    buffer_release(&out);
    buffer_init(&out, 300);
    assert_false(letter_write(&letter, &out));
    buffer_release(&out);
}

static void test_every_template_can_be_filled(void **state)
{
    (void)state;
    static const char *const types[] = {"order.placed", "order.confirmed", "order.shipped", "order.delivered",
                                        "order.cancelled"};
    struct order_line line;
    struct order order = order_made(&line);
    for (size_t i = 0; i < ARRAY_COUNT(types); i++) {
        struct buffer out;
        struct letter letter = {.event_id = TEXT("e"),
                                .type = text_of(types[i]),
                                .from = TEXT("a@b"),
                                .to = TEXT("c@d"),
                                .shop = TEXT("S"),
                                .name = TEXT("N"),
                                .order = &order};
        buffer_init(&out, LETTER_MAX_SIZE);
        assert_true(letter_has_template(text_of(types[i])));
        assert_true(letter_write(&letter, &out));
        assert_null(memmem(out.data, out.size, "{{", 2));
        buffer_release(&out);
    }
    assert_false(letter_has_template(TEXT("order.lost")));
    assert_false(letter_has_template(TEXT("session.ended")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_words),
                                       cmocka_unit_test(test_phrases),
                                       cmocka_unit_test(test_quoted),
                                       cmocka_unit_test(test_dates),
                                       cmocka_unit_test(test_addresses),
                                       cmocka_unit_test(test_a_letter),
                                       cmocka_unit_test(test_every_template_can_be_filled)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
