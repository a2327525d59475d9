/* Backups as files: what was written is read, and anything else than that is told and refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/archive_parts.h"
#include "cli/backup.h"
#include "cli/books.h"
#include "proto/order.h"

enum { ROWS = 20 };

static int folder_make(void **state)
{
    char *folder = strdup("/tmp/zmart-test-XXXXXX");
    *state = folder;
    return mkdtemp(folder) ? 0 : -1;
}

static int folder_drop(void **state)
{
    char command[200];
    snprintf(command, sizeof command, "rm -r '%s'", (char *)*state);
    free(*state);
    return system(command);
}

static void backup_make(const char *path)
{
    char message[ARCHIVE_MESSAGE_SIZE];
    struct archive_writer *writer = archive_writer_new(path, "sqlite:there", 1234, message);
    assert_non_null(writer);
    for (int section = 0; section < 2; section++) {
        assert_true(archive_writer_section(writer, section ? "user.users" : "order.orders", message));
        for (int i = 0; i < ROWS; i++) {
            struct archive_row row = {0};
            archive_put_int(&row, "number", i - 3);
            archive_put_text(&row, "name", ARCHIVE_TEXT, TEXT("n\xc3\xa4me"));
            archive_put_text(&row, "bytes", ARCHIVE_BYTES, (struct text){"\0\xff", 2});
            assert_true(archive_writer_row(writer, &row, message));
        }
        assert_true(archive_writer_section_end(writer, message));
    }
    assert_int_equal(archive_writer_rows(writer), 2 * ROWS);
    assert_true(archive_writer_end(&writer, message));
    assert_null(writer);
}

/* The rows of a file that is whole; -1 for one that is not. */
static int rows_of(const char *path)
{
    char message[ARCHIVE_MESSAGE_SIZE] = "";
    struct archive_reader *reader = archive_reader_new(path, message);
    int rows = 0;
    while (reader && rows >= 0) {
        enum archive_item item = archive_reader_next(reader, message);
        if (item == ARCHIVE_END) {
            break;
        }
        rows = item == ARCHIVE_BAD ? -1 : rows + (item == ARCHIVE_ROW);
    }
    rows = reader ? rows : -1;
    assert_true(rows >= 0 || strlen(message) > 10);
    assert_null(strchr(message, '\n'));
    archive_reader_destroy(&reader);
    return rows;
}

static void what_is_written_is_read(void **state)
{
    char path[200], message[ARCHIVE_MESSAGE_SIZE];
    struct stat status;
    struct text text;
    int64_t number;
    snprintf(path, sizeof path, "%s/one", (char *)*state);
    backup_make(path);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
    struct archive_reader *reader = archive_reader_new(path, message);
    assert_int_equal(archive_reader_next(reader, message), ARCHIVE_SECTION);
    assert_string_equal(archive_reader_section(reader), "order.orders");
    for (int round = 0; round < 2; round++) { /* the second one after a rewind */
        for (int i = 0; i < ROWS; i++) {
            assert_int_equal(archive_reader_next(reader, message), ARCHIVE_ROW);
            const struct archive_row *row = archive_reader_row(reader);
            assert_true(archive_get_int(row, "number", &number) && number == i - 3);
            assert_true(archive_get_text(row, "name", &text) && text_is(text, "n\xc3\xa4me"));
            assert_true(archive_get_text(row, "bytes", &text) && text.size == 2 && text.data[0] == 0);
            assert_false(archive_get_int(row, "name", &number) || archive_get_text(row, "number", &text));
            assert_null(archive_find(row, "other"));
        }
        assert_int_equal(archive_reader_next(reader, message), ARCHIVE_SECTION_END);
        assert_int_equal(archive_reader_rows(reader), ROWS);
        assert_true(archive_reader_rewind(reader, message));
        assert_int_equal(archive_reader_next(reader, message), ARCHIVE_SECTION);
    }
    archive_reader_destroy(&reader);
    assert_int_equal(rows_of(path), 2 * ROWS);
}

/* Each single byte altered, and each length that is too short or too long. */
static void nothing_else_is_believed(void **state)
{
    char path[200], other[200];
    snprintf(path, sizeof path, "%s/one", (char *)*state);
    snprintf(other, sizeof other, "%s/other", (char *)*state);
    backup_make(path);
    FILE *file = fopen(path, "rb");
    static char bytes[16 * 1024];
    size_t size = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    assert_true(size < sizeof bytes - 1);
    for (size_t at = 0; at <= 2 * size; at += 1) {
        bool alters = at < size;
        size_t cut = alters ? size : at - size;
        if (!alters && cut == size) {
            cut = size + 1; /* something behind the end */
        }
        char kept = bytes[alters ? at : 0];
        if (alters) {
            bytes[at] = (char)(bytes[at] ^ 0x40);
        }
        file = fopen(other, "wb");
        assert_int_equal(fwrite(bytes, 1, cut, file), cut);
        fclose(file);
        assert_int_equal(rows_of(other), -1);
        if (alters) {
            bytes[at] = kept;
        }
    }
}

static void a_file_is_whole_or_not_there(void **state)
{
    char path[200], message[ARCHIVE_MESSAGE_SIZE];
    snprintf(path, sizeof path, "%s/one", (char *)*state);
    struct archive_writer *writer = archive_writer_new(path, "sqlite:there", 1, message);
    assert_true(archive_writer_section(writer, "order.orders", message));
    archive_writer_destroy(&writer);
    assert_int_not_equal(access(path, F_OK), 0);
    snprintf(path, sizeof path, "%s/one.part", (char *)*state);
    assert_int_not_equal(access(path, F_OK), 0);
    snprintf(path, sizeof path, "%s/none/one", (char *)*state);
    assert_null(archive_writer_new(path, "sqlite:there", 1, message));
    assert_non_null(strstr(message, "No such file"));
    assert_null(archive_reader_new(*state, message)); /* a folder */
    writer = archive_writer_new("/dev/full.x/one", "", 1, message);
    assert_null(writer);
}

static void the_oldest_go(void **state)
{
    static const char *const names[] = {"zmart-20260101T000000Z.backup", "zmart-20260102T000000Z.backup",
                                        "zmart-20260103T000000Z.backup", "zmart-mine.backup", "notes"};
    char path[200];
    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        snprintf(path, sizeof path, "%s/%s", (char *)*state, names[i]);
        FILE *file = fopen(path, "w");
        assert_non_null(file);
        fclose(file);
    }
    assert_int_equal(backup_prune(*state, 0), 0);
    assert_int_equal(backup_prune(*state, 2), 1);
    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        snprintf(path, sizeof path, "%s/%s", (char *)*state, names[i]);
        assert_int_equal(access(path, F_OK) == 0, i != 0);
    }
}

static void intervals(void **state)
{
    int64_t ms;
    (void)state;
    assert_true(backup_interval("90s", &ms) && ms == 90000);
    assert_true(backup_interval("6h", &ms) && ms == 6 * 3600 * 1000);
    assert_true(backup_interval("7d", &ms) && ms == INT64_C(7) * 24 * 3600 * 1000);
    static const char *const bad[] = {"", "h", "0h", "-1h", "6", "6 h", "6hours", "1.5h", "1000000m"};
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        assert_false(backup_interval(bad[i], &ms));
    }
}

static void sections_are_known(void **state)
{
    const struct archive_part *part;
    const struct archive_kind *kind;
    (void)state;
    assert_true(archive_kind_find("order.orders", &part, &kind) && strcmp(part->service, "order") == 0);
    assert_false(archive_kind_find("order.nothing", &part, &kind) || archive_kind_find("orders", &part, &kind) ||
                 archive_kind_find("order", &part, &kind));
}

static void holds_follow_the_order(void **state)
{
    (void)state;
    assert_int_equal(books_hold_wanted(ORDER_PENDING), BOOKS_CONFIRMED);
    assert_int_equal(books_hold_wanted(ORDER_CONFIRMED), BOOKS_CONFIRMED);
    assert_int_equal(books_hold_wanted(ORDER_SHIPPED), BOOKS_COMMITTED);
    assert_int_equal(books_hold_wanted(ORDER_DELIVERED), BOOKS_COMMITTED);
    assert_int_equal(books_hold_wanted(ORDER_CANCELLED), BOOKS_RELEASED);
}

static void a_new_orders_hold_is_not_a_forgotten_one(void **state)
{
    const int64_t hour_ms = 3600 * 1000, begun_ms = 1000 * hour_ms;
    (void)state;
    assert_true(books_may_lack(BOOKS_COMMITTED, begun_ms - 2 * hour_ms, begun_ms)); /* shipped, and forgotten since */
    assert_false(books_may_lack(BOOKS_COMMITTED, begun_ms - hour_ms / 2, begun_ms));
    assert_false(books_may_lack(BOOKS_COMMITTED, begun_ms + 1, begun_ms)); /* placed and shipped during the backup */
    assert_false(books_may_lack(BOOKS_CONFIRMED, begun_ms - 100 * hour_ms, begun_ms));
    assert_true(books_may_lack(BOOKS_RELEASED, begun_ms + 1, begun_ms));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_written_is_read, folder_make, folder_drop),
        cmocka_unit_test_setup_teardown(nothing_else_is_believed, folder_make, folder_drop),
        cmocka_unit_test_setup_teardown(a_file_is_whole_or_not_there, folder_make, folder_drop),
        cmocka_unit_test_setup_teardown(the_oldest_go, folder_make, folder_drop),
        cmocka_unit_test(intervals),
        cmocka_unit_test(sections_are_known),
        cmocka_unit_test(holds_follow_the_order),
        cmocka_unit_test(a_new_orders_hold_is_not_a_forgotten_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
