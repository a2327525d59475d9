/* What the driver alone does: the commands that orders cost product-svc and order-svc, or those of product reads, from
 * THREADS threads at once; prints orders or reads a second.
 *
 *     commands orders|reads URL THREADS SECONDS
 *
 * In a shop's own database, by its indexes, after the shop has stopped: there must be an order, its hold, and at least
 * as many products as threads. Each thread sells a product of its own, so no compare-and-set is lost.
 *
 * An order: read the product, look for its hold, take the piece by compare-and-set, write the hold, write the order.
 * Behind 64 of them, as the shop does in one round trip each: confirm the holds (what is due, the products' entries,
 * the holds, the change), mark the orders as told, read their events, take them out. */
#include <mongoc/mongoc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/invariant.h"
#include "lib/base/mem.h"

enum { THREADS_MAX = 256, TOGETHER = 64, ID_ROOM = 48, SECOND_US = 1000000 };

struct bare {
    mongoc_client_pool_t *pool;
    const char *database;
    bson_t order, hold; /* to be copied */
    bool orders;
    int64_t end_us;
    atomic_long done;
};

struct buyer {
    struct bare *bare;
    pthread_t thread;
    int number;
    char product[ID_ROOM];
    mongoc_collection_t *products, *holds, *all_orders;
    char bought[TOGETHER][ID_ROOM];
    int bought_count;
    long count;
};

static mongoc_collection_t *collection(mongoc_client_t *client, const struct bare *bare, const char *name)
{
    mongoc_collection_t *found = mongoc_client_get_collection(client, bare->database, name);
    mongoc_write_concern_t *concern = mongoc_write_concern_new();
    mongoc_write_concern_set_wmajority(concern, 0);
    mongoc_write_concern_set_journal(concern, true);
    mongoc_collection_set_write_concern(found, concern);
    mongoc_write_concern_destroy(concern);
    return found;
}

/* How many there were; copies the last one if it is asked for. */
static int look(mongoc_collection_t *in, bson_t *filter, int limit, bson_t *out)
{
    bson_t *options = BCON_NEW("limit", BCON_INT64(limit));
    mongoc_cursor_t *rows = mongoc_collection_find_with_opts(in, filter, options, NULL);
    const bson_t *row;
    bson_error_t error;
    int count = 0;
    while (mongoc_cursor_next(rows, &row)) {
        if (out && count == 0) {
            bson_copy_to(row, out);
        }
        count++;
    }
    ASSERT(!mongoc_cursor_error(rows, &error));
    mongoc_cursor_destroy(rows);
    bson_destroy(options);
    bson_destroy(filter);
    return count;
}

static void change(mongoc_collection_t *in, bson_t *filter, bson_t *update, bool many)
{
    bson_error_t error;
    ASSERT(many ? mongoc_collection_update_many(in, filter, update, NULL, NULL, &error)
                : mongoc_collection_update_one(in, filter, update, NULL, NULL, &error));
    bson_destroy(filter);
    bson_destroy(update);
}

static void copy_insert(mongoc_collection_t *to, const bson_t *sample, const char *id, const char *order)
{
    bson_t document;
    bson_error_t error;
    bson_init(&document);
    BSON_APPEND_UTF8(&document, "_id", id);
    bson_copy_to_excluding_noinit(sample, &document, "_id", "order", "open_at", "due", "due_at", "outbox", NULL);
    if (order) {
        BSON_APPEND_UTF8(&document, "order", order);
        BSON_APPEND_INT64(&document, "open_at", clock_wall_ms());
    } else {
        bson_t array, event;
        bson_iter_t iter;
        uint8_t packed[512] = {0};
        ASSERT(bson_iter_init_find(&iter, sample, "order"));
        bson_append_iter(&document, NULL, 0, &iter);
        BSON_APPEND_UTF8(&document, "due", "confirm");
        BSON_APPEND_INT64(&document, "due_at", clock_wall_ms());
        BSON_APPEND_ARRAY_BEGIN(&document, "outbox", &array);
        BSON_APPEND_DOCUMENT_BEGIN(&array, "0", &event);
        BSON_APPEND_UTF8(&event, "id", id);
        BSON_APPEND_INT64(&event, "at", clock_wall_ms());
        BSON_APPEND_BINARY(&event, "event", BSON_SUBTYPE_BINARY, packed, sizeof packed);
        bson_append_document_end(&array, &event);
        bson_append_array_end(&document, &array);
    }
    ASSERT(mongoc_collection_insert_one(to, &document, NULL, NULL, &error));
    bson_destroy(&document);
}

static void put_in(bson_t *to, const char *name, const struct buyer *buyer)
{
    bson_t in, list;
    BSON_APPEND_DOCUMENT_BEGIN(to, name, &in);
    BSON_APPEND_ARRAY_BEGIN(&in, "$in", &list);
    for (int i = 0; i < buyer->bought_count; i++) {
        char key[16];
        snprintf(key, sizeof key, "%d", i);
        BSON_APPEND_UTF8(&list, key, buyer->bought[i]);
    }
    bson_append_array_end(&in, &list);
    bson_append_document_end(to, &in);
}

static bson_t *bought(const char *name, const struct buyer *buyer)
{
    bson_t *filter = bson_new();
    put_in(filter, name, buyer);
    return filter;
}

/* Bulk writes with one update for each order's hold. */
static void holds_confirm(struct buyer *buyer)
{
    mongoc_bulk_operation_t *bulk = mongoc_collection_create_bulk_operation_with_opts(buyer->holds, NULL);
    bson_t *update = BCON_NEW("$set", "{", "state", BCON_INT64(1), "}", "$unset", "{", "open_at", BCON_INT32(1), "}");
    bson_error_t error;
    for (int i = 0; i < buyer->bought_count; i++) {
        char id[2 * ID_ROOM + 1];
        snprintf(id, sizeof id, "%s/%s", buyer->bought[i], buyer->product);
        bson_t *filter = BCON_NEW("_id", BCON_UTF8(id), "state", "{", "$lte", BCON_INT64(1), "}");
        ASSERT(mongoc_bulk_operation_update_one_with_opts(bulk, filter, update, NULL, &error));
        bson_destroy(filter);
    }
    ASSERT(mongoc_bulk_operation_execute(bulk, NULL, &error));
    mongoc_bulk_operation_destroy(bulk);
    bson_destroy(update);
}

static void settle(struct buyer *buyer)
{
    (void)look(buyer->all_orders, bought("_id", buyer), TOGETHER, NULL); /* what is due */
    (void)look(buyer->products, bought("pending.order", buyer), TOGETHER, NULL);
    (void)look(buyer->holds, bought("order", buyer), TOGETHER, NULL);
    holds_confirm(buyer);
    change(buyer->all_orders, bought("_id", buyer),
           BCON_NEW("$unset", "{", "due", BCON_INT32(1), "due_at", BCON_INT32(1), "}"), true);
    (void)look(buyer->all_orders, bought("_id", buyer), TOGETHER, NULL); /* their events */
    change(buyer->all_orders, bought("_id", buyer), BCON_NEW("$unset", "{", "outbox", BCON_INT32(1), "}"), true);
    buyer->bought_count = 0;
}

static void buy(struct buyer *buyer)
{
    char id[ID_ROOM], hold[2 * ID_ROOM + 1];
    bson_t product;
    bson_iter_t iter;
    snprintf(id, sizeof id, "ord_bare%04d%018ld", buyer->number, buyer->count + (long)getpid() * 1000000);
    snprintf(hold, sizeof hold, "%s/%s", id, buyer->product);
    ASSERT(look(buyer->products, BCON_NEW("_id", "{", "$in", "[", BCON_UTF8(buyer->product), "]", "}"), 1, &product) ==
           1);
    ASSERT(bson_iter_init_find(&iter, &product, "ver"));
    int64_t ver = bson_iter_as_int64(&iter);
    (void)look(buyer->holds, BCON_NEW("_id", "{", "$in", "[", BCON_UTF8(hold), "]", "}"), 1, NULL);
    change(buyer->products, BCON_NEW("_id", BCON_UTF8(buyer->product), "ver", BCON_INT64(ver)),
           BCON_NEW("$set", "{", "ver", BCON_INT64(ver + 1), "news", BCON_BOOL(true), "}", "$inc", "{", "stock",
                    BCON_INT64(-1), "changes", BCON_INT64(1), "}"),
           false);
    copy_insert(buyer->holds, &buyer->bare->hold, hold, id);
    copy_insert(buyer->all_orders, &buyer->bare->order, id, NULL);
    bson_destroy(&product);
    memcpy(buyer->bought[buyer->bought_count++], id, sizeof id);
    if (buyer->bought_count == TOGETHER) {
        settle(buyer);
    }
}

static void *buyer_run(void *argument)
{
    struct buyer *buyer = argument;
    struct bare *bare = buyer->bare;
    mongoc_client_t *client = mongoc_client_pool_pop(bare->pool);
    buyer->products = collection(client, bare, "products");
    buyer->holds = collection(client, bare, "holds");
    buyer->all_orders = collection(client, bare, "orders");
    while (clock_now_us() < bare->end_us) {
        if (bare->orders) {
            buy(buyer);
        } else {
            ASSERT(look(buyer->products, BCON_NEW("_id", BCON_UTF8(buyer->product)), 1, NULL) == 1);
        }
        buyer->count++;
    }
    atomic_fetch_add(&bare->done, buyer->count);
    mongoc_collection_destroy(buyer->products);
    mongoc_collection_destroy(buyer->holds);
    mongoc_collection_destroy(buyer->all_orders);
    mongoc_client_pool_push(bare->pool, client);
    return NULL;
}

/* A sample of what is copied, and a product for each buyer. */
static void prepare(struct bare *bare, struct buyer *buyers, int count)
{
    mongoc_client_t *client = mongoc_client_pool_pop(bare->pool);
    mongoc_collection_t *products = collection(client, bare, "products"), *holds = collection(client, bare, "holds");
    mongoc_collection_t *orders = collection(client, bare, "orders");
    bson_t *any = BCON_NEW("live", BCON_BOOL(true)), *options = BCON_NEW("limit", BCON_INT64(count));
    mongoc_cursor_t *rows = mongoc_collection_find_with_opts(products, any, options, NULL);
    const bson_t *row;
    bson_iter_t iter;
    for (int i = 0; i < count; i++) {
        ASSERT(mongoc_cursor_next(rows, &row) && bson_iter_init_find(&iter, row, "_id"));
        buyers[i] = (struct buyer){.bare = bare, .number = i};
        snprintf(buyers[i].product, sizeof buyers[i].product, "%s", bson_iter_utf8(&iter, NULL));
    }
    ASSERT(look(orders, BCON_NEW("kind", "placed"), 1, &bare->order) == 1);
    ASSERT(look(holds, bson_new(), 1, &bare->hold) == 1);
    mongoc_cursor_destroy(rows);
    bson_destroy(any);
    bson_destroy(options);
    mongoc_collection_destroy(products);
    mongoc_collection_destroy(holds);
    mongoc_collection_destroy(orders);
    mongoc_client_pool_push(bare->pool, client);
}

int main(int argc, char **argv)
{
    if (argc != 5 || atoi(argv[3]) < 1 || atoi(argv[3]) > THREADS_MAX) {
        fprintf(stderr, "usage: commands orders|reads URL THREADS SECONDS\n");
        return 2;
    }
    mongoc_init();
    mongoc_uri_t *uri = mongoc_uri_new(argv[2]);
    ASSERT(uri && mongoc_uri_get_database(uri));
    int count = atoi(argv[3]);
    struct bare bare = {.database = mongoc_uri_get_database(uri), .orders = strcmp(argv[1], "orders") == 0};
    struct buyer *buyers = mem_alloc_array((size_t)count, sizeof *buyers);
    mongoc_uri_set_option_as_int32(uri, MONGOC_URI_MAXPOOLSIZE, count + 1);
    bare.pool = mongoc_client_pool_new(uri);
    prepare(&bare, buyers, count);
    int64_t begin_us = clock_now_us();
    bare.end_us = begin_us + atoll(argv[4]) * SECOND_US;
    for (int i = 0; i < count; i++) {
        ASSERT(pthread_create(&buyers[i].thread, NULL, buyer_run, &buyers[i]) == 0);
    }
    for (int i = 0; i < count; i++) {
        pthread_join(buyers[i].thread, NULL);
    }
    printf("%.1f\n", (double)atomic_load(&bare.done) * SECOND_US / (double)(clock_now_us() - begin_us));
    bson_destroy(&bare.order);
    bson_destroy(&bare.hold);
    mem_free(buyers);
    mongoc_client_pool_destroy(bare.pool);
    mongoc_uri_destroy(uri);
    mongoc_cleanup();
}
