#include "tests/user-svc/shop.h"

#include <fcntl.h>
#include <jansson.h>
#include <sodium.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "broker/program.h"
#include "lib/base/mem.h"

const struct who nobody = {0};
const struct who a_gateway = {.service = true};

int shop_start(struct shop *shop, const char *const *flags)
{
    const char *words[RUNNER_MAX_WORDS] = {
        "--bus", shop->bus.bus, "--store", shop->url, "--argon-memory-kib", "64", "--argon-passes", "1",
        "--password-threads", "2", "--password-queue", "1000"};
    size_t count = 0;
    while (words[count]) {
        count++;
    }
    for (; flags && *flags; flags++) {
        assert_true(count + 1 < RUNNER_MAX_WORDS);
        words[count++] = *flags;
    }
    return runner_start(&shop->users, &user_program, &shop->log, shop->context, words);
}

void shop_stop(struct shop *shop)
{
    bool ran = shop->users.running && shop->users.status == -1;
    runner_stop(&shop->users);
    if (ran) {
        assert_int_equal(shop->users.status, 0);
    }
}

void shop_restart(struct shop *shop, const char *const *flags)
{
    shop_stop(shop);
    assert_int_equal(shop_start(shop, flags), -1);
}

int shop_open(void **state)
{
    const char *const *flags = *state;
    struct shop *shop = mem_alloc(sizeof *shop);
    char message[200];
    snprintf(shop->folder, sizeof shop->folder, "/tmp/zmart-test-XXXXXX");
    assert_non_null(mkdtemp(shop->folder));
    snprintf(shop->url, sizeof shop->url, "sqlite:%s", shop->folder);
    snprintf(shop->log_path, sizeof shop->log_path, "%s/log", shop->folder);
    shop->log_fd = open(shop->log_path, O_CREAT | O_RDWR | O_APPEND | O_CLOEXEC, 0600);
    assert_true(shop->log_fd >= 0);
    shop->log = (struct log){.fd = shop->log_fd, .level = LOG_INFO, .program = "test"};
    shop->context = bus_context_new();
    shop->metrics = metrics_new();
    shop->bus = (struct bus_config){.bus = "inproc://users", .heartbeat_ms = 1000};
    shop->env = (struct env){.log = &shop->log, .metrics = shop->metrics, .instance = "test",
                             .bus_context = shop->context, .stop_fd = -1};
    /* nobody takes the events: that is not waited for */
    const char *const broker[] = {"--bus", shop->bus.bus, "--events", "", "--service-wait-ms", "0", NULL};
    assert_int_equal(runner_start(&shop->broker, &broker_program, &shop->log, shop->context, broker), -1);
    assert_int_equal(shop_start(shop, flags), -1);
    struct bus_client_settings settings = {.bus = &shop->bus, .role = "gateway", .slot_count = 128};
    shop->client = bus_client_new(&shop->env, &settings, message, sizeof message);
    assert_non_null(shop->client);
    *state = shop;
    return 0;
}

int shop_close(void **state)
{
    struct shop *shop = *state;
    char command[128];
    bus_client_destroy(&shop->client);
    shop_stop(shop);
    runner_stop(&shop->broker);
    bus_context_destroy(&shop->context);
    metrics_destroy(&shop->metrics);
    close(shop->log_fd);
    arena_release(&shop->arena);
    snprintf(command, sizeof command, "rm -r '%s'", shop->folder);
    int status = system(command);
    mem_free(shop);
    return status;
}

bool shop_log_has(struct shop *shop, const char *words)
{
    static char lines[256 * 1024];
    ssize_t size = pread(shop->log_fd, lines, sizeof lines - 1, 0);
    lines[size > 0 ? size : 0] = '\0';
    return strstr(lines, words) != NULL;
}

/* Opens DIR/user.db and goes to the query's first row. */
static sqlite3 *query_open(struct shop *shop, const char *sql, sqlite3_stmt **out)
{
    char path[100];
    sqlite3 *handle;
    snprintf(path, sizeof path, "%s/user.db", shop->folder);
    assert_int_equal(sqlite3_open_v2(path, &handle, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
    (void)sqlite3_busy_timeout(handle, 10000);
    assert_int_equal(sqlite3_prepare_v2(handle, sql, -1, out, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(*out), SQLITE_ROW);
    return handle;
}

static void query_close(sqlite3 *handle, sqlite3_stmt *statement)
{
    sqlite3_finalize(statement);
    sqlite3_close(handle);
}

int64_t shop_query(struct shop *shop, const char *sql)
{
    sqlite3_stmt *statement;
    sqlite3 *handle = query_open(shop, sql, &statement);
    int64_t number = sqlite3_column_int64(statement, 0);
    query_close(handle, statement);
    return number;
}

struct text shop_blob(struct shop *shop, const char *sql)
{
    sqlite3_stmt *statement;
    sqlite3 *handle = query_open(shop, sql, &statement);
    const void *bytes = sqlite3_column_blob(statement, 0);
    uint32_t size = (uint32_t)sqlite3_column_bytes(statement, 0);
    struct text copy = {arena_copy(&shop->arena, bytes, size), size};
    query_close(handle, statement);
    return copy;
}

/* ---- calls ---- */

static struct call_meta meta_of(const struct who *who)
{
    struct call_meta meta = {
        .user_id = who->user_id, .role = who->role, .session_id = who->session_id, .token_at = who->token_at};
    if (who->user_id.size > 0) {
        set_has(call_meta, &meta, user_id);
        set_has(call_meta, &meta, role);
        set_has(call_meta, &meta, session_id);
        set_has(call_meta, &meta, token_at);
    }
    if (who->service) {
        meta.caller = TEXT("gateway");
        set_has(call_meta, &meta, caller);
    }
    return meta;
}

enum err shop_do_in(struct shop *shop, enum op op, const struct who *who, const uint8_t *request_id,
                    const void *request, struct arena *arena, struct fault *fault, void *out)
{
    struct call_meta meta = meta_of(who);
    fault_init(fault, arena);
    return bus_client_do(shop->client, op, request_id, &meta, request, arena, fault, out);
}

enum err shop_do(struct shop *shop, enum op op, const struct who *who, const uint8_t *request_id, const void *request,
                 void *out)
{
    return shop_do_in(shop, op, who, request_id, request, &shop->arena, &shop->fault, out);
}

enum err shop_do_if(struct shop *shop, enum op op, const struct who *who, const char *if_match, const void *request,
                    void *out)
{
    struct call_meta meta = meta_of(who);
    meta.if_match = text_of(if_match);
    set_has(call_meta, &meta, if_match);
    fault_init(&shop->fault, &shop->arena);
    return bus_client_do(shop->client, op, NULL, &meta, request, &shop->arena, &shop->fault, out);
}

bool shop_blames(const struct shop *shop, const char *pointer)
{
    for (uint32_t i = 0; i < shop->fault.item_count; i++) {
        if (text_is(shop->fault.items[i].pointer, pointer)) {
            return true;
        }
    }
    return false;
}

struct user_session shop_register(struct shop *shop, const char *email, const char *password)
{
    struct user_register request = {.email = text_of(email), .password = text_of(password), .name = TEXT("Test User")};
    struct user_session session;
    assert_int_equal(shop_do(shop, OP_user_register, &nobody, NULL, &request, &session), ERR_NONE);
    return session;
}

enum err shop_try_login(struct shop *shop, const char *email, const char *password)
{
    struct user_login request = {.email = text_of(email), .password = text_of(password)};
    struct user_session session;
    return shop_do(shop, OP_user_login, &nobody, NULL, &request, &session);
}

struct user_session shop_login(struct shop *shop, const char *email, const char *password)
{
    struct user_login request = {.email = text_of(email), .password = text_of(password)};
    struct user_session session;
    assert_int_equal(shop_do(shop, OP_user_login, &nobody, NULL, &request, &session), ERR_NONE);
    return session;
}

static struct text claim(struct shop *shop, json_t *payload, const char *name)
{
    const char *value = json_string_value(json_object_get(payload, name));
    assert_non_null(value);
    return text_of(arena_copy(&shop->arena, value, strlen(value)));
}

struct who who_of(struct shop *shop, const struct user_session *session)
{
    struct text rest = session->token, payload;
    char bytes[2048];
    size_t size;
    int role;
    assert_true(text_cut(&rest, '.', &payload) && text_cut(&rest, '.', &payload));
    assert_int_equal(sodium_base642bin((unsigned char *)bytes, sizeof bytes, payload.data, payload.size, NULL, &size,
                                       NULL, sodium_base64_VARIANT_URLSAFE_NO_PADDING), 0);
    json_t *json = json_loadb(bytes, size, 0, NULL);
    struct who who = {.user_id = claim(shop, json, "sub"),
                      .session_id = claim(shop, json, "sid"),
                      .token_at = json_integer_value(json_object_get(json, "at"))};
    assert_true(enum_find(&role_names, claim(shop, json, "role"), &role));
    who.role = (enum role)role;
    json_decref(json);
    return who;
}

bool shop_token_good(struct shop *shop, const struct who *who)
{
    struct token_check check = {.session_id = who->session_id, .user_id = who->user_id, .issued_at = who->token_at};
    struct token_verdict verdict;
    assert_int_equal(shop_do(shop, OP_user_check, &a_gateway, NULL, &check, &verdict), ERR_NONE);
    return verdict.good;
}
