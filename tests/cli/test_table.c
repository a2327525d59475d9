#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cli/table.h"

static const struct table_column columns[] = {{"NAME", false}, {"COUNT", true}, {"STATE", false}};

static void columns_line_up(void **state)
{
    (void)state;
    AUTO(arena_release) struct arena arena = {0};
    AUTO(buffer_release) struct buffer out;
    struct table table = {.arena = &arena, .columns = columns, .column_count = 3};
    buffer_init(&out, 10000);
    table_add(&table, TEXT("Käse"));
    table_add_int(&table, 1234567);
    table_add(&table, TEXT("up"));
    table_add(&table, TEXT("x"));
    table_add_int(&table, -1);
    table_add(&table, TEXT("drains"));
    assert_true(table_write(&table, &out));
    assert_true(text_is(buffer_text(&out), "NAME    COUNT  STATE\n"
                                           "Käse  1234567  up\n"
                                           "x          -1  drains\n"));
}

static void many_rows_and_a_row_begun(void **state)
{
    (void)state;
    AUTO(arena_release) struct arena arena = {0};
    AUTO(buffer_release) struct buffer out, small;
    struct table table = {.arena = &arena, .columns = columns, .column_count = 3};
    buffer_init(&out, 100000);
    buffer_init(&small, 20);
    for (int i = 0; i < 1000; i++) {
        table_add_int(&table, i);
    }
    assert_true(table_write(&table, &out));
    assert_non_null(memmem(out.data, out.size, "\n996     997  998\n", 18));
    assert_memory_equal(out.data + out.size - 4, "999\n", 4);
    assert_false(table_write(&table, &small));
}

static void durations_are_short(void **state)
{
    (void)state;
    static const struct {
        int64_t ms;
        const char *text;
    } cases[] = {{0, "0 ms"},         {999, "999 ms"},   {1000, "1.0 s"},
                 {119999, "119.9 s"}, {120000, "2 min"}, {7200000, "2 h"}};
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        AUTO(arena_release) struct arena arena = {0};
        struct table table = {.arena = &arena, .columns = columns, .column_count = 3};
        table_add_ms(&table, cases[i].ms);
        assert_true(text_is(table.cells[0], cases[i].text));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(columns_line_up), cmocka_unit_test(many_rows_and_a_row_begun),
                                       cmocka_unit_test(durations_are_short)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
