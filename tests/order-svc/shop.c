#include "tests/order-svc/shop.h"

#include <poll.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "broker/program.h"
#include "event-svc/program.h"
#include "lib/base/clock.h"
#include "order-svc/program.h"
#include "product-svc/program.h"

/* ---- programs on threads ---- */

/* words: what follows its bus. */
static void program_start(struct shop *shop, struct runner *runner, const struct program *program,
                          const char *const words[4])
{
    const char *const flags[] = {"--bus", shop->bus.bus, words[0], words[1], words[2], words[3], NULL};
    assert_int_equal(runner_start(runner, program, &shop->log, shop->context, flags), -1); /* ready, and not ended */
}

void program_stop(struct runner *runner)
{
    assert_int_equal(runner_stop(runner), 0);
}

void shop_start_products(struct shop *shop)
{
    program_start(shop, &shop->products, &product_program, (const char *const[4]){"--store", shop->url});
}

void shop_start_orders(struct shop *shop, const char *settle_ms)
{
    program_start(shop, &shop->orders, &order_program,
                 (const char *const[4]){"--store", shop->url, "--order-settle-ms", settle_ms});
}

int shop_make(void **state)
{
    struct shop *shop = calloc(1, sizeof *shop);
    char message[200];
    snprintf(shop->folder, sizeof shop->folder, "/tmp/zmart-test-XXXXXX");
    assert_non_null(mkdtemp(shop->folder));
    snprintf(shop->url, sizeof shop->url, "sqlite:%s", shop->folder);
    shop->log = (struct log){.fd = STDERR_FILENO, .level = LOG_ERROR, .program = "test"};
    shop->context = bus_context_new();
    shop->metrics = metrics_new();
    shop->bus = (struct bus_config){.bus = "inproc://shop", .heartbeat_ms = 1000};
    shop->env = (struct env){
        .log = &shop->log, .metrics = shop->metrics, .instance = "test", .bus_context = shop->context, .stop_fd = -1};
    program_start(shop, &shop->broker, &broker_program, (const char *const[4]){"--events", ""});
    program_start(shop, &shop->events, &event_program, (const char *const[4]){"--store", shop->url});
    shop_start_products(shop);
    shop_start_orders(shop, "20");
    struct bus_client_settings settings = {.bus = &shop->bus, .role = "service", .slot_count = 64};
    shop->client = bus_client_new(&shop->env, &settings, message, sizeof message);
    assert_non_null(shop->client);
    *state = shop;
    return 0;
}

int shop_drop(void **state)
{
    struct shop *shop = *state;
    char command[64];
    bus_client_destroy(&shop->client);
    program_stop(&shop->orders);
    program_stop(&shop->products);
    program_stop(&shop->events);
    program_stop(&shop->broker);
    bus_context_destroy(&shop->context);
    metrics_destroy(&shop->metrics);
    arena_release(&shop->arena);
    snprintf(command, sizeof command, "rm -r '%s'", shop->folder);
    int status = system(command);
    free(shop);
    return status;
}

/* ---- calls ---- */

struct call_meta by_user(const char *user_id)
{
    struct call_meta meta = {.user_id = text_of(user_id), .role = ROLE_CUSTOMER, .keyed = true};
    set_has(call_meta, &meta, user_id);
    set_has(call_meta, &meta, role);
    set_has(call_meta, &meta, keyed);
    return meta;
}

struct call_meta by_admin(void)
{
    struct call_meta meta = by_user("usr_admin");
    meta.role = ROLE_ADMIN;
    return meta;
}

struct call_meta by_service(void)
{
    struct call_meta meta = {.caller = TEXT("test")};
    set_has(call_meta, &meta, caller);
    return meta;
}

enum err shop_ask_in(struct shop *shop, const struct ask *ask, struct arena *arena, struct fault *fault,
                     bool *out_replayed, void *out)
{
    const struct op_info *info = op_info(ask->op);
    struct bus_request request = {.route = text_of(info->route),
                                  .meta = record_pack_in(&call_meta_record, &ask->meta, arena),
                                  .body = record_pack_in(info->request, ask->in, arena),
                                  .budget_ms = ask->budget_ms ? ask->budget_ms : info->budget_ms,
                                  .priority = info->priority,
                                  .flags = FRAME_REPEATABLE};
    struct bus_answer answer;
    struct reply_meta meta = {0};
    fault_init(fault, arena);
    if (ask->request_id) {
        memcpy(request.request_id, ask->request_id, ID_SIZE);
    } else {
        id_new(request.request_id);
    }
    enum err e = bus_client_call(shop->client, &request, arena, fault, &answer);
    if (e == ERR_NONE) {
        assert_int_equal(answer.status, info->status);
        assert_int_equal(record_unpack(&reply_meta_record, answer.meta, arena, fault, &meta), ERR_NONE);
        assert_int_equal(record_unpack(info->reply, answer.body, arena, fault, out), ERR_NONE);
    }
    *out_replayed = e == ERR_NONE ? has(reply_meta, &meta, replayed) && meta.replayed : fault->replayed;
    return e;
}

enum err shop_ask(struct shop *shop, const struct ask *ask, void *out)
{
    return shop_ask_in(shop, ask, &shop->arena, &shop->fault, &shop->replayed, out);
}

struct text product_made(struct shop *shop, const char *currency, int64_t price, int64_t stock)
{
    struct product_new in = {.name = TEXT("Thing"), .currency = text_of(currency), .price = price, .stock = stock};
    struct product product;
    set_has(product_new, &in, currency);
    struct ask ask = {.op = OP_product_create, .meta = by_admin(), .in = &in};
    assert_int_equal(shop_ask(shop, &ask, &product), ERR_NONE);
    return product.id;
}

int64_t product_stock(struct shop *shop, struct text id)
{
    struct product_ref in = {.id = id};
    struct product product;
    struct ask ask = {.op = OP_product_get, .meta = by_admin(), .in = &in};
    assert_int_equal(shop_ask(shop, &ask, &product), ERR_NONE);
    return product.stock;
}

void product_restock(struct shop *shop, struct text id, int64_t delta)
{
    struct product_edit in = {.id = id, .stock_delta = delta};
    struct product product;
    set_has(product_edit, &in, stock_delta);
    struct ask ask = {.op = OP_product_update, .meta = by_admin(), .in = &in};
    assert_int_equal(shop_ask(shop, &ask, &product), ERR_NONE);
}

static void pause_briefly(void)
{
    (void)poll(NULL, 0, 5);
}

bool product_stock_becomes(struct shop *shop, struct text id, int64_t stock)
{
    int64_t deadline_ms = clock_now_ms() + PATIENCE_MS;
    while (product_stock(shop, id) != stock) {
        if (clock_now_ms() > deadline_ms) {
            return false;
        }
        pause_briefly();
    }
    return true;
}

enum err order_ask(struct shop *shop, const uint8_t *request_id, const char *user_id, struct text product_id,
                   int64_t quantity, struct order *out)
{
    struct order_item item = {.product_id = product_id, .quantity = quantity};
    struct order_new in = {.items = {&item, 1}};
    struct ask ask = {.op = OP_order_create, .request_id = request_id, .meta = by_user(user_id), .in = &in};
    return shop_ask(shop, &ask, out);
}

enum err move_ask(struct shop *shop, struct call_meta meta, struct text order_id, enum order_status to,
                  struct order *out)
{
    struct order_status_set in = {.id = order_id, .status = to};
    struct ask ask = {.op = OP_order_move, .meta = meta, .in = &in};
    return shop_ask(shop, &ask, out);
}

static int64_t count_now(struct shop *shop, const char *file, const char *sql)
{
    char path[80];
    sqlite3 *db = NULL;
    sqlite3_stmt *statement = NULL;
    snprintf(path, sizeof path, "%s/%s", shop->folder, file);
    assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
    (void)sqlite3_busy_timeout(db, PATIENCE_MS);
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &statement, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    int64_t count = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    sqlite3_close(db);
    return count;
}

int64_t count_becomes(struct shop *shop, const char *file, const char *sql, int64_t wanted)
{
    int64_t deadline_ms = clock_now_ms() + PATIENCE_MS;
    int64_t count = count_now(shop, file, sql);
    while (count != wanted && clock_now_ms() < deadline_ms) {
        pause_briefly();
        count = count_now(shop, file, sql);
    }
    return count;
}
