#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "cli/bus.h"

static enum config_result read_words(const char *const *list, struct words *words, struct bus_command *out,
                                     char message[BUS_COMMAND_MESSAGE_SIZE])
{
    AUTO(words_release) struct words argv = {0};
    words_add(&argv, "bus");
    for (; *list; list++) {
        words_add(&argv, *list);
    }
    message[0] = '\0';
    return bus_command_read(&argv, words, out, message);
}

#define LIST(...) ((const char *const[]){__VA_ARGS__, NULL})
#define ID        "00112233445566778899aabbccddeeff"

static void good_words(void **state)
{
    (void)state;
    struct words words[1] = {0};
    struct bus_command command;
    char message[BUS_COMMAND_MESSAGE_SIZE];
    assert_int_equal(read_words(LIST("status"), &words[0], &command, message), CONFIG_OK);
    assert_true(command.topic == BUS_STATUS && command.config.watch_s == 0 && !command.config.json);
    words_release(&words[0]);
    assert_int_equal(read_words(LIST("--watch", "queues", "--json"), &words[0], &command, message), CONFIG_OK);
    assert_true(command.topic == BUS_TOPIC_QUEUES && command.config.watch_s == 2 && command.config.json);
    words_release(&words[0]);
    assert_int_equal(read_words(LIST("workers", "--watch", "7"), &words[0], &command, message), CONFIG_OK);
    assert_true(command.topic == BUS_TOPIC_WORKERS && command.config.watch_s == 7);
    words_release(&words[0]);
    assert_int_equal(read_words(LIST("dlq"), &words[0], &command, message), CONFIG_OK);
    assert_true(command.topic == BUS_TOPIC_DLQ && command.action == MMI_DLQ_LIST);
    words_release(&words[0]);
    assert_int_equal(read_words(LIST("dlq", "requeue", ID, "--budget-ms", "9"), &words[0], &command, message),
                     CONFIG_OK);
    assert_true(command.action == MMI_DLQ_REQUEUE && command.config.budget_ms == 9);
    assert_string_equal(command.request_id, ID);
    words_release(&words[0]);
    assert_int_equal(read_words(LIST("status", "--help"), &words[0], &command, message), CONFIG_HELP);
    words_release(&words[0]);
}

static void bad_words(void **state)
{
    (void)state;
    static const struct {
        const char *words[5];
        const char *told;
    } cases[] = {{{NULL}, "status, workers"},
                 {{"nonsense"}, "status, workers"},
                 {{"status", "more"}, "status, workers"},
                 {{"status", "--nonsense"}, "--nonsense"},
                 {{"dlq", "burn", ID}, "requeue ID"},
                 {{"dlq", "drop"}, "requeue ID"},
                 {{"dlq", "drop", "12"}, "32 hexadecimal"},
                 {{"dlq", "drop", ID, "--watch"}, "--watch"},
                 {{"status", "--watch", "100000"}, "--watch"}};
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        AUTO(words_release) struct words words = {0};
        struct bus_command command;
        char message[BUS_COMMAND_MESSAGE_SIZE];
        assert_int_equal(read_words(cases[i].words, &words, &command, message), CONFIG_BAD);
        assert_non_null(strstr(message, cases[i].told));
    }
}

int main(void)
{
    (void)unsetenv("ZMART_WATCH");
    const struct CMUnitTest tests[] = {cmocka_unit_test(good_words), cmocka_unit_test(bad_words)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
