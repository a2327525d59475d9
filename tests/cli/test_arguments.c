#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "cli/arguments.h"

struct sample {
    const char *host;
    bool quiet;
    int64_t loops;
};

static const struct config_row own_list[] = {
    {CONFIG_STRING, "host", offsetof(struct sample, host), "here", 0, 0, "address"},
    {CONFIG_SWITCH, "quiet", offsetof(struct sample, quiet), "no", 0, 0, "say less"},
    {CONFIG_NUMBER, "j", offsetof(struct sample, loops), "0", 0, 64, "loops"},
};
static const struct config_row left_list[] = {
    {CONFIG_STRING, "host", 0, "", 0, 0, "also here"},
    {CONFIG_NUMBER, "credit", 0, "1", 0, 9, "left's and right's"},
    {CONFIG_SWITCH, "fast", 0, "no", 0, 0, "left's"},
};
static const struct config_row right_list[] = {
    {CONFIG_NUMBER, "credit", 0, "1", 0, 9, "left's and right's"},
    {CONFIG_STRING, "bus", 0, "", 0, 0, "withheld"},
};
static const struct config_rows own_rows = {own_list, ARRAY_COUNT(own_list)};
static const struct config_rows left_rows = {left_list, ARRAY_COUNT(left_list)};
static const struct config_rows right_rows = {right_list, ARRAY_COUNT(right_list)};
static const struct config_section own_section = {"own", &own_rows, 0};
static const struct config_section left_section = {"left", &left_rows, 0};
static const struct config_section right_section = {"right", &right_rows, 0};
static const struct config_table own = {"up", "", "", &own_section, 1};
static const struct config_table left = {"left", "", "", &left_section, 1};
static const struct config_table right = {"right", "", "", &right_section, 1};
static const struct config_table *const tables[] = {&left, &right, NULL};
static const char *const withheld[] = {"bus", NULL};

static bool split(const char *const *list, struct arguments *out, char message[200])
{
    AUTO(words_release) struct words argv = {0};
    for (; *list; list++) {
        words_add(&argv, *list);
    }
    return arguments_split(&own, tables, withheld, &argv, out, message, 200);
}

static void assert_words(const struct words *words, const char *const *expected)
{
    int count = 0;
    for (; expected[count]; count++) {
        assert_true(count < words->count);
        assert_string_equal(words->items[count], expected[count]);
    }
    assert_int_equal(words->count, count);
    assert_true(count == 0 || words->items[count] == NULL);
}

#define LIST(...) ((const char *const[]){__VA_ARGS__, NULL})

static void flags_go_where_they_are_known(void **state)
{
    AUTO(arguments_release) struct arguments out = {0};
    char message[200];
    (void)state;
    assert_true(split(LIST("up", "--credit", "3", "--host=there", "--fast", "-j", "2", "--quiet", "--credit=4"), &out,
                      message));
    assert_words(&out.own, LIST("up", "--host=there", "-j", "2", "--quiet"));
    assert_words(&out.rooms[0], LIST("--credit", "3", "--fast", "--credit=4"));
    assert_words(&out.rooms[1], LIST("--credit", "3", "--credit=4"));
}

static void a_value_may_look_like_a_flag(void **state)
{
    AUTO(arguments_release) struct arguments out = {0};
    char message[200];
    (void)state;
    assert_true(split(LIST("up", "--host", "--fast"), &out, message));
    assert_words(&out.own, LIST("up", "--host", "--fast"));
    assert_int_equal(out.rooms[0].count, 0);
}

static void what_is_unknown_is_refused(void **state)
{
    static const struct {
        const char *given, *said;
    } cases[] = {{"--nothing", "unknown flag"}, {"word", "unexpected argument"}, {"-", "unexpected argument"},
                 {"--", "unexpected argument"}, {"--credit", "needs a value"},   {"--bus=x", "set by up"}};
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        AUTO(arguments_release) struct arguments out = {0};
        char message[200] = "";
        assert_false(split(LIST("up", cases[i].given), &out, message));
        assert_non_null(strstr(message, cases[i].said));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flags_go_where_they_are_known),
        cmocka_unit_test(a_value_may_look_like_a_flag),
        cmocka_unit_test(what_is_unknown_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
