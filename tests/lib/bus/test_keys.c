/* Keys, allowlists and the folder that they are kept in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zmq.h>

#include "lib/base/mem.h"
#include "lib/bus/credentials.h"
#include "lib/bus/main.h"

#define KEY_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define KEY_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb#<>()[]{"

static bool parse(const char *text, struct key_grants *out, char message[256])
{
    message[0] = '\0';
    return key_grants_parse(text_of(text), out, message, 256);
}

static void test_an_allowlist_is_read(void **state)
{
    (void)state;
    struct key_grants grants;
    char message[256];
    assert_true(parse("# a comment\n\n"
                      "gw-1 " KEY_B " gateway calls=*\r\n"
                      "  order-svc   " KEY_A "  worker  calls=product,event  services=order \n"
                      "tap cccccccccccccccccccccccccccccccccccccccc subscriber",
                      &grants, message));
    assert_int_equal(grants.count, 3);
    const struct key_grant *grant = key_grants_find(&grants, text_of(KEY_A));
    assert_string_equal(grant->name, "order-svc");
    assert_int_equal(grant->role, KEY_WORKER);
    assert_string_equal(grant->services, "order");
    assert_string_equal(grant->calls, "product,event");
    assert_string_equal(key_grants_find(&grants, text_of(KEY_B))->name, "gw-1");
    assert_null(key_grants_find(&grants, text_of("dddddddddddddddddddddddddddddddddddddddd")));
    assert_null(key_grants_find(&grants, text_of("")));
    key_grants_release(&grants);
    assert_true(parse("", &grants, message));
    assert_null(key_grants_find(&grants, text_of(KEY_A)));
    key_grants_release(&grants);
}

static void test_a_bad_line_is_named(void **state)
{
    (void)state;
    static const struct {
        const char *text, *said;
    } list[] = {
        {"gw", "line 1"},
        {"\n#\ngw " KEY_A, "line 3"},
        {"gw " KEY_A " king", "line 1"},
        {"gw short gateway", "Z85"},
        {"g/w " KEY_A " gateway", "name"},
        {"../gw " KEY_A " gateway", "name"},
        {"gw " KEY_A " gateway power=all", "only services="},
        {"gw " KEY_A " gateway calls=", "only services="},
        {"gw " KEY_A " gateway calls=a calls=b", "only services="},
        {"gw " KEY_A " gateway services=order", "worker"},
        {"w " KEY_A " worker", "worker"},
        {"w " KEY_A " worker services=*", "separated"},
        {"w " KEY_A " worker services=order,,user", "separated"},
        {"s " KEY_A " subscriber calls=*", "calls nothing"},
        {"a " KEY_A " gateway\nb " KEY_A " gateway", "twice"},
        {"a " KEY_A " gateway\na " KEY_B " gateway", "twice"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(list); i++) {
        struct key_grants grants = {.count = 77};
        char message[256];
        assert_false(parse(list[i].text, &grants, message));
        assert_non_null(strstr(message, list[i].said));
        assert_int_equal(grants.count, 77);
    }
}

static void test_so_many_keys_and_no_more(void **state)
{
    (void)state;
    AUTO(buffer_release) struct buffer text;
    char message[256], key[41], raw[32] = "";
    struct key_grants grants = {0};
    buffer_init(&text, 1 << 20);
    for (int i = 0; i < KEYS_MAX; i++) {
        memcpy(raw, &i, sizeof i);
        assert_non_null(zmq_z85_encode(key, (const uint8_t *)raw, sizeof raw));
        assert_true(buffer_printf(&text, "gw%d %s gateway\n", i, key));
    }
    assert_true(key_grants_parse(buffer_text(&text), &grants, message, sizeof message));
    assert_int_equal(grants.count, KEYS_MAX);
    key_grants_release(&grants);
    assert_true(buffer_printf(&text, "more " KEY_A " gateway\n"));
    assert_false(key_grants_parse(buffer_text(&text), &grants, message, sizeof message));
    assert_non_null(strstr(message, "more than 1000"));
}

static void test_what_a_role_may(void **state)
{
    (void)state;
    const struct key_grant gateway = {.role = KEY_GATEWAY, .calls = "*"};
    const struct key_grant order = {.role = KEY_WORKER, .services = "order", .calls = "product,event"};
    const struct key_grant event = {.role = KEY_WORKER, .services = "event"};
    const struct key_grant operator= {.role = KEY_OPERATOR, .calls = "mmi"};
    const struct key_grant tap = {.role = KEY_SUBSCRIBER};
    const struct {
        const struct key_grant *grant;
        bool publish, events, worker, gateway, service, operator;
    } list[] = {{&gateway, false, true, false, true, false, false},
                {&order, false, true, true, false, true, false},
                {&event, true, true, true, false, true, false},
                {&operator, false, false, false, false, false, true},
                {&tap, false, false, false, false, false, false}};
    for (size_t i = 0; i < ARRAY_COUNT(list); i++) {
        const struct key_grant *grant = list[i].grant;
        assert_int_equal(key_may_connect(grant, KEY_AT_PUBLISH), list[i].publish);
        assert_int_equal(key_may_connect(grant, KEY_AT_EVENTS), list[i].events);
        assert_true(key_may_connect(grant, KEY_AT_OUTSIDE));
        assert_int_equal(key_may_greet(grant, KEY_AT_WORKERS, TEXT("worker")), list[i].worker);
        assert_false(key_may_greet(grant, KEY_AT_CLIENTS, TEXT("worker")));
        assert_int_equal(key_may_greet(grant, KEY_AT_CLIENTS, TEXT("gateway")), list[i].gateway);
        assert_int_equal(key_may_greet(grant, KEY_AT_CLIENTS, TEXT("service")), list[i].service);
        assert_int_equal(key_may_greet(grant, KEY_AT_CLIENTS, TEXT("operator")), list[i].operator);
    }
    assert_true(key_may_serve(&order, TEXT("order")));
    assert_false(key_may_serve(&order, TEXT("orde")));
    assert_false(key_may_serve(&order, TEXT("event")));
    assert_true(key_may_call(&order, TEXT("event"), TEXT("append")));
    assert_false(key_may_call(&order, TEXT("user"), TEXT("keys")));
    assert_false(key_may_call(&order, TEXT("mmi"), TEXT("service")));
    assert_true(key_may_call(&gateway, TEXT("user"), TEXT("keys")));
    assert_true(key_may_call(&gateway, TEXT("mmi"), TEXT("metrics")));
    assert_false(key_may_call(&gateway, TEXT("mmi"), TEXT("dlq")));
    assert_true(key_may_call(&operator, TEXT("mmi"), TEXT("dlq")));
    assert_false(key_may_call(&operator, TEXT("order"), TEXT("create")));
    assert_false(key_may_call(&tap, TEXT("order"), TEXT("create")));
}

/* ---- files ---- */

struct folder {
    char path[32];
    char message[512];
};

static int folder_setup(void **state)
{
    struct folder *folder = mem_alloc(sizeof *folder);
    snprintf(folder->path, sizeof folder->path, "/tmp/keys-test-XXXXXX");
    assert_non_null(mkdtemp(folder->path));
    *state = folder;
    return 0;
}

static int folder_teardown(void **state)
{
    static const char *const names[] = {"allowed", "a.public", "a.secret", "gw.public", "gw.secret", "broker.public",
                                        "broker.secret"};
    struct folder *folder = *state;
    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        char path[64];
        snprintf(path, sizeof path, "%s/%s", folder->path, names[i]);
        (void)unlink(path);
    }
    assert_int_equal(rmdir(folder->path), 0); /* nothing else is left behind */
    mem_free(folder);
    return 0;
}

static const char *path_of(const struct folder *folder, const char *name)
{
    static _Thread_local char path[64];
    snprintf(path, sizeof path, "%s/%s", folder->path, name);
    return path;
}

static mode_t mode_of(const struct folder *folder, const char *name)
{
    struct stat status;
    assert_int_equal(stat(path_of(folder, name), &status), 0);
    return status.st_mode & 0777;
}

static void pair_make(struct folder *folder, const char *name, struct key_pair *out)
{
    assert_true(key_pair_make(out, folder->message, sizeof folder->message));
    assert_true(key_pair_save(folder->path, name, out, folder->message, sizeof folder->message));
}

static void test_a_pair_is_kept(void **state)
{
    struct folder *folder = *state;
    struct key_pair pair, again;
    char public_key[KEY_TEXT_SIZE];
    size_t size = sizeof folder->message;
    assert_true(zmq_has("curve"));
    assert_true(key_folder_make(folder->path, folder->message, size));
    pair_make(folder, "a", &pair);
    assert_int_equal(mode_of(folder, "a.secret"), 0600);
    assert_true(key_secret_exists(folder->path, "a"));
    assert_true(key_pair_load(folder->path, "a", &again, folder->message, size));
    assert_string_equal(again.secret_key, pair.secret_key);
    assert_true(key_public_of(folder->path, "a", public_key, folder->message, size));
    assert_string_equal(public_key, pair.public_key);
    assert_false(key_pair_save(folder->path, "a", &again, folder->message, size)); /* never overwritten */
    assert_non_null(strstr(folder->message, "already"));
    key_pair_forget(&again);
    assert_int_equal(again.secret_key[0], 0);
    assert_false(key_pair_load(folder->path, "b", &again, folder->message, size));
    assert_false(key_pair_load(folder->path, "../a", &again, folder->message, size));
    key_files_remove(folder->path, "a");
    assert_false(key_secret_exists(folder->path, "a"));
}

static void test_a_secret_that_others_can_read_is_refused(void **state)
{
    struct folder *folder = *state;
    struct key_pair pair;
    size_t size = sizeof folder->message;
    pair_make(folder, "a", &pair);
    assert_int_equal(chmod(path_of(folder, "a.secret"), 0640), 0);
    assert_false(key_pair_load(folder->path, "a", &pair, folder->message, size));
    assert_non_null(strstr(folder->message, "a.secret can be read by others"));
    assert_null(strstr(folder->message, pair.secret_key));
    assert_int_equal(chmod(path_of(folder, "a.secret"), 0400), 0);
    assert_true(key_pair_load(folder->path, "a", &pair, folder->message, size));
    assert_int_equal(chmod(folder->path, 0777), 0);
    assert_false(key_folder_make(folder->path, folder->message, size));
    assert_non_null(strstr(folder->message, "written by others"));
}

static void file_put(const struct folder *folder, const char *name, const char *text)
{
    int fd = open(path_of(folder, name), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

static void test_a_garbled_pair_is_refused(void **state)
{
    struct folder *folder = *state;
    struct key_pair pair, other;
    char text[512];
    size_t size = sizeof folder->message;
    pair_make(folder, "a", &pair);
    assert_true(key_pair_make(&other, folder->message, size));
    snprintf(text, sizeof text, "public %s\nsecret %s\n", pair.public_key, other.secret_key);
    const char *const list[] = {"", "public x\nsecret y\n", "nonsense", text};
    for (size_t i = 0; i < ARRAY_COUNT(list); i++) {
        file_put(folder, "a.secret", list[i]);
        assert_false(key_pair_load(folder->path, "a", &other, folder->message, size));
        assert_non_null(strstr(folder->message, "a.secret"));
    }
}

static struct key_grant grant_of(const char *name, const char *key)
{
    struct key_grant grant = {.role = KEY_GATEWAY, .calls = "*"};
    snprintf(grant.name, sizeof grant.name, "%s", name);
    snprintf(grant.key, sizeof grant.key, "%s", key);
    return grant;
}

static void test_the_allowlist_is_changed(void **state)
{
    struct folder *folder = *state;
    struct key_grants grants;
    struct key_stamp before, after;
    char text[256] = "";
    size_t size = sizeof folder->message;
    assert_false(key_allowed_load(folder->path, &grants, folder->message, size));
    assert_false(key_allowed_stamp(folder->path, &before));
    file_put(folder, "allowed", "# mine\n\nold " KEY_A " gateway calls=*"); /* as an editor leaves it */
    assert_true(key_allowed_stamp(folder->path, &before));
    struct key_grant grant = grant_of("gw", KEY_B);
    assert_true(key_allowed_add(folder->path, &grant, folder->message, size));
    assert_true(key_allowed_stamp(folder->path, &after));
    assert_false(key_stamp_equal(&before, &after));
    assert_false(key_allowed_add(folder->path, &grant, folder->message, size));
    assert_non_null(strstr(folder->message, "twice"));
    assert_true(key_allowed_load(folder->path, &grants, folder->message, size));
    assert_int_equal(grants.count, 2);
    key_grants_release(&grants);
    assert_true(key_allowed_remove(folder->path, "old", folder->message, size));
    assert_false(key_allowed_remove(folder->path, "old", folder->message, size));
    assert_non_null(strstr(folder->message, "old"));
    int fd = open(path_of(folder, "allowed"), O_RDONLY);
    assert_true(read(fd, text, sizeof text - 1) > 0);
    close(fd);
    assert_string_equal(text, "# mine\n\ngw " KEY_B " gateway calls=*\n"); /* what people wrote stays */
    assert_int_equal(chmod(path_of(folder, "allowed"), 0666), 0);
    assert_false(key_allowed_load(folder->path, &grants, folder->message, size));
    assert_non_null(strstr(folder->message, "written by others"));
}

static void test_the_allowlist_has_a_size(void **state)
{
    struct folder *folder = *state;
    struct key_grants grants;
    char *text = mem_alloc(KEYS_FILE_MAX_SIZE + 2);
    for (int over = 0; over <= 1; over++) {
        memset(text, '#', KEYS_FILE_MAX_SIZE + (size_t)over);
        for (size_t at = 99; at < KEYS_FILE_MAX_SIZE; at += 100) {
            text[at] = '\n';
        }
        file_put(folder, "allowed", text);
        assert_int_equal(key_allowed_load(folder->path, &grants, folder->message, sizeof folder->message), !over);
        if (!over) {
            key_grants_release(&grants);
        }
    }
    assert_non_null(strstr(folder->message, "is too long"));
    mem_free(text);
}

/* ---- what a process shows ---- */

static void test_tcp_needs_keys(void **state)
{
    struct folder *folder = *state;
    struct log log = {.fd = -1, .program = "gw"};
    struct env env = {.log = &log};
    struct credentials credentials;
    struct key_pair own, broker;
    char *message = folder->message;
    size_t size = sizeof folder->message;
    struct bus_config bus = {.bus = "ipc:///x,inproc://y", .keys = "", .key = ""};
    assert_true(credentials_load(&env, &bus, &credentials, message, size));
    assert_false(credentials.known);
    bus.bus = "ipc:///x,tcp://127.0.0.1:5570";
    assert_false(credentials_load(&env, &bus, &credentials, message, size));
    assert_non_null(strstr(message, "--keys"));
    assert_non_null(strstr(message, "zmart keys new"));
    bus.insecure_loopback = true;
    assert_true(credentials_load(&env, &bus, &credentials, message, size));
    assert_false(credentials.known);
    bus.bus = "tcp://10.0.0.1:5570";
    assert_false(credentials_load(&env, &bus, &credentials, message, size));
    bus.keys = folder->path;
    assert_false(credentials_load(&env, &bus, &credentials, message, size));
    assert_non_null(strstr(message, "gw.secret"));
    pair_make(folder, "gw", &own);
    assert_false(credentials_load(&env, &bus, &credentials, message, size));
    assert_non_null(strstr(message, "broker.public"));
    pair_make(folder, "broker", &broker);
    assert_true(credentials_load(&env, &bus, &credentials, message, size));
    assert_true(credentials.known);
    assert_string_equal(credentials.broker, broker.public_key);
    assert_string_equal(credentials.own.secret_key, own.secret_key);
    void *context = bus_context_new();
    void *socket = zmq_socket(context, ZMQ_DEALER);
    int mechanism;
    size_t int_size = sizeof mechanism;
    credentials_set(&credentials, socket, "tcp://10.0.0.1:5570");
    assert_int_equal(zmq_getsockopt(socket, ZMQ_MECHANISM, &mechanism, &int_size), 0);
    assert_int_equal(mechanism, ZMQ_CURVE);
    credentials_set(&credentials, socket, "ipc:///x");
    assert_int_equal(zmq_getsockopt(socket, ZMQ_MECHANISM, &mechanism, &int_size), 0);
    assert_int_equal(mechanism, ZMQ_NULL);
    zmq_close(socket);
    bus_context_destroy(&context);
    credentials_forget(&credentials);
    assert_int_equal(credentials.own.secret_key[0], 0);
}

#define WITH_FOLDER(test) cmocka_unit_test_setup_teardown(test, folder_setup, folder_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_an_allowlist_is_read),
                                       cmocka_unit_test(test_a_bad_line_is_named),
                                       cmocka_unit_test(test_so_many_keys_and_no_more),
                                       cmocka_unit_test(test_what_a_role_may),
                                       WITH_FOLDER(test_a_pair_is_kept),
                                       WITH_FOLDER(test_a_secret_that_others_can_read_is_refused),
                                       WITH_FOLDER(test_a_garbled_pair_is_refused),
                                       WITH_FOLDER(test_the_allowlist_is_changed),
                                       WITH_FOLDER(test_the_allowlist_has_a_size),
                                       WITH_FOLDER(test_tcp_needs_keys)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
