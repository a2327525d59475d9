#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "gateway/ws_message.h"

static void heads_have_the_shortest_form(void **state)
{
    (void)state;
    static const struct {
        uint32_t size;
        uint8_t head[10];
        uint32_t head_size;
    } cases[] = {
        {0, {0x81, 0}, 2},
        {125, {0x81, 125}, 2},
        {126, {0x81, 126, 0, 126}, 4},
        {65535, {0x81, 126, 0xff, 0xff}, 4},
        {65536, {0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0}, 10},
        {WS_MESSAGE_MAX, {0x81, 127, 0, 0, 0, 0, 0, 16, 0, 0}, 10},
    };
    char *json = malloc(WS_MESSAGE_MAX);
    memset(json, 'x', WS_MESSAGE_MAX);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct ws_message *message =
            ws_message_of_event((struct text){json, cases[i].size}, 7, TEXT("usr_1"), TEXT("ord_1"));
        assert_int_equal(message->size, cases[i].head_size + cases[i].size);
        assert_memory_equal(message->bytes, cases[i].head, cases[i].head_size);
        assert_memory_equal(message->bytes + cases[i].head_size, json, cases[i].size);
        assert_true(message->event);
        assert_int_equal(message->seq, 7);
        assert_string_equal(message->user_id, "usr_1");
        assert_string_equal(message->order_id, "ord_1");
        ws_message_drop(&message);
        assert_null(message);
    }
    free(json);
}

static void the_last_user_frees(void **state)
{
    (void)state;
    struct ws_message *first = ws_message_of_ping(), *second = ws_message_keep(first);
    assert_ptr_equal(first, second);
    ws_message_drop(&first);
    assert_memory_equal(second->bytes, "\x89\0", 2);
    assert_int_equal(second->size, 2);
    assert_false(second->event);
    ws_message_drop(&second);
    ws_message_drop(&second); /* nothing is nothing */
}

static void closes_carry_code_and_a_short_reason(void **state)
{
    (void)state;
    char reason[200];
    memset(reason, 'r', sizeof(reason));
    struct ws_message *message = ws_message_of_close(4008, TEXT("last seq 9"));
    assert_int_equal(message->size, 14);
    assert_memory_equal(message->bytes, "\x88\x0c\x0f\xa8last seq 9", 14);
    ws_message_drop(&message);
    message = ws_message_of_close(1001, (struct text){reason, sizeof(reason)});
    assert_int_equal(message->size, 2 + 125);
    assert_int_equal(message->bytes[1], 125);
    ws_message_drop(&message);
}

static void long_ids_are_cut(void **state)
{
    (void)state;
    static const char id[] = "0123456789012345678901234567890123456789012345678901234567890123456789";
    struct ws_message *message = ws_message_of_event(TEXT("{}"), 1, text_of(id), text_of(NULL));
    assert_int_equal(strlen(message->user_id), WS_ID_SIZE - 1);
    assert_string_equal(message->order_id, "");
    ws_message_drop(&message);
}

static void what_streams_get_is_a_chunk(void **state)
{
    (void)state;
    static const char event[] = "15\r\nid: 7\ndata: {\"a\":1}\n\n\r\n", comment[] = "3\r\n:\n\n\r\n",
                      last[] = "7\r\n:over\n\n\r\n0\r\n\r\n";
    struct ws_message *message = ws_message_of_event(TEXT("{}"), 7, TEXT("usr_1"), TEXT("ord_1"));
    ws_message_set_plain(message, TEXT("id: 7\ndata: {\"a\":1}\n\n"));
    assert_true(message->plain->event);
    assert_int_equal(message->plain->seq, 7);
    assert_int_equal(message->plain->size, sizeof event - 1);
    assert_memory_equal(message->plain->bytes, event, sizeof event - 1);
    ws_message_drop(&message);
    message = ws_message_of_comment("", false);
    assert_int_equal(message->size, sizeof comment - 1);
    assert_memory_equal(message->bytes, comment, sizeof comment - 1);
    ws_message_drop(&message);
    message = ws_message_of_comment("over", true);
    assert_int_equal(message->size, sizeof last - 1);
    assert_memory_equal(message->bytes, last, sizeof last - 1);
    ws_message_drop(&message);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(heads_have_the_shortest_form),
        cmocka_unit_test(the_last_user_frees),
        cmocka_unit_test(closes_carry_code_and_a_short_reason),
        cmocka_unit_test(long_ids_are_cut),
        cmocka_unit_test(what_streams_get_is_a_chunk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
