/* Answers and files; SMTP itself is tested against a server by tests/system/test_mail.py. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <curl/curl.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mail-svc/carrier.h"

static void test_answers(void **state)
{
    (void)state;
    assert_int_equal(carried_judge(CURLE_OK, 250), CARRIED_GOOD);
    assert_int_equal(carried_judge(CURLE_SEND_ERROR, 550), CARRIED_NEVER);
    assert_int_equal(carried_judge(CURLE_WEIRD_SERVER_REPLY, 554), CARRIED_NEVER);
    assert_int_equal(carried_judge(CURLE_SEND_ERROR, 451), CARRIED_AGAIN);
    assert_int_equal(carried_judge(CURLE_COULDNT_CONNECT, 0), CARRIED_AGAIN);
    assert_int_equal(carried_judge(CURLE_OPERATION_TIMEDOUT, 250), CARRIED_AGAIN);
    assert_int_equal(carried_judge(CURLE_LOGIN_DENIED, 535), CARRIED_AGAIN); /* ours to put right */
    assert_int_equal(carried_judge(CURLE_USE_SSL_FAILED, 502), CARRIED_AGAIN);
    assert_int_equal(carried_judge(CURLE_ABORTED_BY_CALLBACK, 550), CARRIED_STOPPED); /* we did not wait for the end */
}

static void test_files(void **state)
{
    (void)state;
    char data[64] = "/tmp/zmart-test-XXXXXX", path[128], message[400], read_back[100];
    assert_non_null(mkdtemp(data));
    struct mail_config config = {.data = data, .url = ""};
    struct carriage carriage = {.config = &config, .id = "evt_1", .letter = TEXT("Subject: x\r\n\r\nbody\r\n")};
    carriage_run(&carriage); /* no folder yet */
    assert_int_equal(carriage.carried, CARRIED_AGAIN);
    assert_string_not_equal(carriage.error, "");
    assert_true(mail_folder_make(&config, message, sizeof message));
    assert_true(mail_folder_make(&config, message, sizeof message));
    for (int i = 0; i < 2; i++) { /* again, it is the same file */
        carriage_run(&carriage);
        assert_int_equal(carriage.carried, CARRIED_GOOD);
        snprintf(path, sizeof path, "%s/mail/evt_1.eml", data);
        FILE *file = fopen(path, "r");
        assert_non_null(file);
        size_t size = fread(read_back, 1, sizeof read_back, file);
        fclose(file);
        assert_true(text_equal(carriage.letter, (struct text){read_back, (uint32_t)size}));
    }
    struct stat info;
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
    assert_int_equal(unlink(path), 0);
    snprintf(path, sizeof path, "%s/mail", data);
    assert_int_equal(rmdir(path), 0); /* nothing else is in it */
    FILE *blocks = fopen(path, "w"); /* a file where the folder should be */
    assert_non_null(blocks);
    fclose(blocks);
    carriage_run(&carriage);
    assert_int_equal(carriage.carried, CARRIED_AGAIN);
    unlink(path);
    rmdir(data);
    config.data = "/proc/none/data";
    assert_false(mail_folder_make(&config, message, sizeof message));
    assert_non_null(strstr(message, "/proc/none/data"));
}

/* Beyond --mail-files the oldest go, and nothing that is no mail. */
static void test_files_trimmed(void **state)
{
    (void)state;
    static const char *const names[] = {"b.eml", "d.eml", "a.eml", "c.eml", "other.txt"};
    char data[64] = "/tmp/zmart-test-XXXXXX", path[128], message[400];
    assert_non_null(mkdtemp(data));
    struct mail_config config = {.data = data, .url = "", .files = 4};
    assert_int_equal(mail_files_trim(&config), 0); /* no folder */
    assert_true(mail_folder_make(&config, message, sizeof message));
    for (int i = 0; i < 5; i++) {
        struct timespec times[2] = {{.tv_sec = 1000 + i}, {.tv_sec = 1000 + i}};
        snprintf(path, sizeof path, "%s/mail/%s", data, names[i]);
        FILE *file = fopen(path, "w");
        assert_non_null(file);
        fclose(file);
        assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
    }
    assert_int_equal(mail_files_trim(&config), 0);
    config.files = 2;
    assert_int_equal(mail_files_trim(&config), 2);
    assert_int_equal(mail_files_trim(&config), 0);
    for (int i = 0; i < 5; i++) {
        snprintf(path, sizeof path, "%s/mail/%s", data, names[i]);
        assert_int_equal(unlink(path), i < 2 ? -1 : 0);
    }
    snprintf(path, sizeof path, "%s/mail", data);
    rmdir(path);
    rmdir(data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_answers), cmocka_unit_test(test_files),
                                       cmocka_unit_test(test_files_trimmed)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
