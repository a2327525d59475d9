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

#include "cli/folders.h"

static void names_follow_from_the_data(void **state)
{
    char first[RUNTIME_PATH_SIZE], same[RUNTIME_PATH_SIZE], other[RUNTIME_PATH_SIZE];
    (void)state;
    assert_true(runtime_folder_name("/run", "/srv/shop", first));
    assert_true(runtime_folder_name("/run", "/srv/shop", same));
    assert_true(runtime_folder_name("/run", "/srv/shop2", other));
    assert_string_equal(first, same);
    assert_string_not_equal(first, other);
    assert_int_equal(strncmp(first, "/run/zmart-", 11), 0);
    assert_true(strlen(first) + strlen("/7/workers") <= 107);
}

static void names_too_long_for_ipc_are_refused(void **state)
{
    char base[200], name[RUNTIME_PATH_SIZE];
    (void)state;
    memset(base, 'x', sizeof base - 1);
    base[0] = '/';
    base[sizeof base - 1] = '\0';
    assert_false(runtime_folder_name(base, "/srv/shop", name));
}

struct place {
    char folder[64];
    char data[128];
};

static int place_make(void **state)
{
    struct place *place = calloc(1, sizeof *place);
    snprintf(place->folder, sizeof place->folder, "/tmp/zmart-test-XXXXXX");
    assert_non_null(mkdtemp(place->folder));
    snprintf(place->data, sizeof place->data, "%s/deep/data", place->folder);
    *state = place;
    return 0;
}

static int place_drop(void **state)
{
    struct place *place = *state;
    char command[128];
    snprintf(command, sizeof command, "rm -r '%s'", place->folder);
    int status = system(command);
    free(place);
    return status;
}

static void a_data_folder_has_one_owner(void **state)
{
    struct place *place = *state;
    struct stat status;
    char path[FOLDER_PATH_SIZE], message[300];
    int first_fd = -1, second_fd = -1;
    assert_true(data_folder_take(place->data, path, &first_fd, message, sizeof message));
    assert_int_equal(path[0], '/');
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0700);
    assert_false(data_folder_take(place->data, path, &second_fd, message, sizeof message));
    assert_non_null(strstr(message, "in use"));
    assert_int_equal(second_fd, -1);
    close(first_fd);
    assert_true(data_folder_take(place->data, path, &second_fd, message, sizeof message));
    close(second_fd);
}

static void a_file_is_no_data_folder(void **state)
{
    struct place *place = *state;
    char path[FOLDER_PATH_SIZE], message[300] = "";
    int fd = -1;
    assert_false(data_folder_take("/dev/null/data", path, &fd, message, sizeof message));
    assert_true(strlen(message) > 0);
    (void)place;
}

static void a_runtime_folder_is_ours_alone(void **state)
{
    struct place *place = *state;
    struct stat status;
    char made[RUNTIME_PATH_SIZE], found[RUNTIME_PATH_SIZE], inner[RUNTIME_PATH_SIZE + 16], message[200];
    assert_int_equal(setenv("XDG_RUNTIME_DIR", place->folder, 1), 0);
    assert_true(runtime_folder_make("/srv/shop", made, message, sizeof message));
    assert_int_equal(strncmp(made, place->folder, strlen(place->folder)), 0);
    assert_int_equal(stat(made, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0700);
    assert_true(runtime_folder_find("/srv/shop", found));
    assert_string_equal(found, made);
    snprintf(inner, sizeof inner, "%s/0", made);
    assert_int_equal(mkdir(inner, 0700), 0);
    runtime_folder_remove(made);
    assert_int_not_equal(stat(made, &status), 0);
    /* what others can enter is not taken */
    assert_int_equal(mkdir(made, 0777), 0);
    assert_int_equal(chmod(made, 0777), 0);
    if (runtime_folder_make("/srv/shop", found, message, sizeof message)) {
        assert_string_not_equal(found, made);
        runtime_folder_remove(found);
    }
    assert_int_equal(unsetenv("XDG_RUNTIME_DIR"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_follow_from_the_data),
        cmocka_unit_test(names_too_long_for_ipc_are_refused),
        cmocka_unit_test_setup_teardown(a_data_folder_has_one_owner, place_make, place_drop),
        cmocka_unit_test_setup_teardown(a_file_is_no_data_folder, place_make, place_drop),
        cmocka_unit_test_setup_teardown(a_runtime_folder_is_ours_alone, place_make, place_drop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
