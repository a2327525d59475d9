#include "tests/contract/contract_product.h"

#include <stdio.h>
#include <stdlib.h>

static void store_open(struct shop *shop)
{
    struct fault fault;
    fault_init(&fault, NULL);
    if (product_store_open(&shop->config, &(struct product_access){.writer = true}, &fault, &shop->store) != ERR_NONE) {
        fail_msg("%s (%s)", fault.detail, fault.cause);
    }
}

int shop_open(void **state)
{
    const struct contract_place *place = *state;
    struct shop *shop = mem_alloc(sizeof *shop);
    shop->place = place;
    shop->now_ms = INT64_C(1800000000000);
    place->make(shop->url, sizeof shop->url);
    shop->config = (struct store_config){.store = shop->url,
                                         .store_busy_ms = 1000,
                                         .store_connect_ms = 5000,
                                         .store_select_ms = 5000,
                                         .store_answer_ms = 20000};
    store_open(shop);
    *state = shop;
    return 0;
}

int shop_close(void **state)
{
    struct shop *shop = *state;
    product_store_destroy(&shop->store);
    shop->place->drop(shop->url);
    arena_release(&shop->arena);
    mem_free(shop);
    return 0;
}

void shop_reopen(struct shop *shop)
{
    product_store_destroy(&shop->store);
    store_open(shop);
}

struct request shop_request(struct shop *shop, bool keyed)
{
    struct request request = {.keyed = keyed};
    uint64_t number = ++shop->request_count;
    memcpy(request.id, &number, sizeof number);
    snprintf(request.fingerprint, sizeof request.fingerprint, "%032llx", (unsigned long long)number);
    return request;
}

/* ---- acts ---- */

static struct product_act begin(struct shop *shop, const struct request *request, bool writes)
{
    fault_init(&shop->fault, &shop->arena);
    struct product_act act = {.arena = &shop->arena,
                              .fault = &shop->fault,
                              .now_ms = shop->now_ms,
                              .low_stock = shop->low_stock,
                              .traceparent = shop->traceparent};
    if (request) {
        act.request_id = (struct text){(const char *)request->id, ID_SIZE};
        act.fingerprint = text_of(request->fingerprint);
        act.keyed = request->keyed;
    }
    if (shop->store->unit) {
        if (!shop->in_batch) {
            assert_int_equal(shop->store->unit->begin(shop->store->handle, writes, &shop->fault), ERR_NONE);
        }
        assert_int_equal(shop->store->unit->savepoint(shop->store->handle, &shop->fault), ERR_NONE);
    }
    return act;
}

static enum err end(struct shop *shop, const struct product_act *act, enum err e, bool keep)
{
    const struct unit_of_work *unit = shop->store->unit;
    shop->repeated = act->repeated;
    if (!unit) {
        return e;
    }
    if (e == ERR_NONE || keep) {
        assert_int_equal(unit->release(shop->store->handle, &shop->fault), ERR_NONE);
    } else {
        unit->undo(shop->store->handle);
    }
    enum err committed = shop->in_batch ? ERR_NONE : unit->commit(shop->store->handle, &shop->fault);
    return committed == ERR_NONE ? e : committed;
}

void shop_batch_begin(struct shop *shop)
{
    shop->in_batch = true;
    if (shop->store->unit) {
        assert_int_equal(shop->store->unit->begin(shop->store->handle, true, &shop->fault), ERR_NONE);
    }
}

bool shop_batch_end(struct shop *shop, bool commit)
{
    shop->in_batch = false;
    if (!shop->store->unit) {
        return true; /* what was done stays done */
    }
    if (commit) {
        assert_int_equal(shop->store->unit->commit(shop->store->handle, &shop->fault), ERR_NONE);
    } else {
        shop->store->unit->rollback(shop->store->handle);
    }
    return commit;
}

enum err shop_insert(struct shop *shop, const struct request *request, const struct product *product,
                     struct product *out)
{
    struct product_act act = begin(shop, request, true);
    enum err e = shop->store->ops->insert(shop->store, &act, product, out);
    return end(shop, &act, e, e == ERR_SKU_TAKEN && request->keyed);
}

enum err shop_edit(struct shop *shop, const struct request *request, const struct product_edit *edit,
                   const char *if_match, struct product *out)
{
    struct product_edit given = *edit;
    struct product_change change = {&given, if_match != NULL, text_of(if_match)};
    struct product_act act = begin(shop, request, true);
    set_has(product_edit, &given, id);
    return end(shop, &act, shop->store->ops->edit(shop->store, &act, &change, out), false);
}

enum err shop_retire(struct shop *shop, const struct request *request, struct text id, const char *if_match)
{
    struct product_removal removal = {id, if_match != NULL, text_of(if_match)};
    struct product_act act = begin(shop, request, true);
    return end(shop, &act, shop->store->ops->retire(shop->store, &act, &removal), false);
}

enum err shop_get(struct shop *shop, struct text id, bool inactive_too, struct product *out)
{
    struct product_act act = begin(shop, NULL, false);
    return end(shop, &act, shop->store->ops->get(shop->store, &act, id, inactive_too, out), false);
}

enum err shop_page(struct shop *shop, const struct product_query *query, bool inactive_too, struct product_list *out)
{
    struct product_view view = {query, inactive_too};
    struct product_act act = begin(shop, NULL, false);
    return end(shop, &act, shop->store->ops->page(shop->store, &act, &view, out), false);
}

enum err shop_reserve(struct shop *shop, const struct product_reserve *in, struct product_reserved *out)
{
    struct product_act act = begin(shop, NULL, true);
    return end(shop, &act, shop->store->ops->reserve(shop->store, &act, in, out), false);
}

enum err shop_settle(struct shop *shop, struct text order_id, enum hold_step step, const char *fingerprint)
{
    struct hold_order order = {.order_id = order_id, .step = step};
    struct product_settle settle = {.orders = {&order, 1}};
    if (fingerprint) {
        order.fingerprint = text_of(fingerprint);
        set_has(hold_order, &order, fingerprint);
    }
    return shop_settle_all(shop, &settle);
}

enum err shop_settle_all(struct shop *shop, const struct product_settle *settle)
{
    struct product_act act = begin(shop, NULL, true);
    return end(shop, &act, shop->store->ops->settle(shop->store, &act, settle), false);
}

struct text_list shop_stale(struct shop *shop, int64_t before_ms)
{
    struct text_list list = {0};
    assert_int_equal(shop_find_stale(shop, before_ms, &list), ERR_NONE);
    return list;
}

enum err shop_find_stale(struct shop *shop, int64_t before_ms, struct text_list *out)
{
    struct product_act act = begin(shop, NULL, false);
    return end(shop, &act, shop->store->ops->stale_holds(shop->store, &act, before_ms, out), false);
}

int64_t shop_purge(struct shop *shop, int64_t before_ms)
{
    int64_t count = 0;
    struct product_act act = begin(shop, NULL, true);
    assert_int_equal(end(shop, &act, shop->store->ops->purge(shop->store, &act, before_ms, &count), false), ERR_NONE);
    return count;
}

enum err shop_tell(struct shop *shop, bool *out_more)
{
    struct product_act act = begin(shop, NULL, true);
    return end(shop, &act, shop->store->ops->tell_stock(shop->store, &act, out_more), false);
}

/* ---- products ---- */

struct product shop_product(struct shop *shop, int n)
{
    char *id = arena_alloc(&shop->arena, 64), *name = arena_alloc(&shop->arena, 64),
         *sku = arena_alloc(&shop->arena, 64);
    snprintf(id, 64, "prd_%08d", n);
    snprintf(name, 64, "Thing %d", n);
    snprintf(sku, 64, "T-%d", n);
    return (struct product){.id = text_of(id),
                            .name = text_of(name),
                            .description = TEXT(""),
                            .sku = text_of(sku),
                            .price = 1000,
                            .currency = TEXT("USD"),
                            .stock = 10,
                            .active = true,
                            .version = 1,
                            .created_at = shop->now_ms,
                            .updated_at = shop->now_ms};
}

struct product shop_add(struct shop *shop, const struct product *product)
{
    struct product out = {0};
    struct request request = shop_request(shop, false);
    enum err e = shop_insert(shop, &request, product, &out);
    if (e != ERR_NONE) {
        fail_msg("insert: %s (%s)", err_info(e)->slug, shop->fault.cause);
    }
    return out;
}

int64_t shop_stock(struct shop *shop, struct text id)
{
    struct product product = {0};
    assert_int_equal(shop_get(shop, id, true, &product), ERR_NONE);
    return product.stock;
}

void assert_product(const struct product *a, const struct product *b)
{
    AUTO(buffer_release) struct buffer left;
    AUTO(buffer_release) struct buffer right;
    buffer_init(&left, 1 << 20);
    buffer_init(&right, 1 << 20);
    assert_true(record_pack(&product_record, a, &left));
    assert_true(record_pack(&product_record, b, &right));
    assert_int_equal(left.size, right.size);
    assert_memory_equal(left.data, right.data, left.size);
}

uint32_t random_below(uint64_t *state, uint32_t bound)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return (uint32_t)(*state >> 32) % bound;
}
