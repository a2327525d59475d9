/* One handler for each operation of proto/ops/product.def. What may be done is decided in rules.c, atomically by the
 * store; who may ask, by the operation's line before a handler runs. */
#include "lib/base/clock.h"
#include "product-svc/desk.h"
#include "proto/ident.h"

#define BIND_OPS "proto/ops/product.def"
#include "lib/bus/bind_ops.h"

const struct op_handler *const product_handlers = bound_ops;
const size_t product_handler_count = ARRAY_COUNT(bound_ops);

static struct product_store *store_of(struct call *call)
{
    struct product_desk *desk = call_state(call);
    return desk->store;
}

struct product_act product_act_of(struct call *call)
{
    const struct product_desk *desk = call_state(call);
    const struct call_meta *meta = call_meta(call);
    return (struct product_act){.arena = call_arena(call),
                                .fault = call_fault(call),
                                .now_ms = clock_wall_ms(),
                                .low_stock = desk->settings->product.low_stock,
                                .traceparent = has(call_meta, meta, traceparent) ? meta->traceparent : TEXT("")};
}

/* An act that changes the catalogue is known by its request when it comes again. */
static struct product_act change_of(struct call *call)
{
    char fingerprint[FINGERPRINT_SIZE];
    struct product_act act = product_act_of(call);
    const struct call_meta *meta = call_meta(call);
    fingerprint_make(call_body(call), fingerprint);
    act.request_id = (struct text){(const char *)call_request_id(call), ID_SIZE};
    act.fingerprint = text_of(arena_copy(act.arena, fingerprint, FINGERPRINT_SIZE - 1));
    act.keyed = has(call_meta, meta, keyed) && meta->keyed;
    return act;
}

static enum err product_create(struct call *call, const struct product_new *in, struct product *out)
{
    const struct product_desk *desk = call_state(call);
    struct product_act act = change_of(call);
    struct product product;
    char *id = arena_alloc(act.arena, IDENT_SIZE);
    char *sku = arena_alloc(act.arena, SKU_MADE_SIZE);
    ident_make("prd", call_request_id(call), 0, id);
    struct product_terms terms = {text_of(id), text_of(desk->settings->product.currency), act.now_ms};
    enum err e = product_draft(in, &terms, sku, act.fault, &product);
    if (e != ERR_NONE) {
        return e;
    }
    e = desk->store->ops->insert(desk->store, &act, &product, out);
    if (act.repeated) {
        call_mark_replayed(call);
    } else if (e == ERR_SKU_TAKEN && act.keyed) {
        call_keep(call); /* the refusal is the first answer */
    }
    return e;
}

static enum err product_list(struct call *call, const struct product_query *in, struct product_list *out)
{
    struct product_act act = product_act_of(call);
    struct product_view view = {in, call_is_admin(call)};
    return store_of(call)->ops->page(store_of(call), &act, &view, out);
}

static enum err product_get(struct call *call, const struct product_ref *in, struct product *out)
{
    struct product_act act = product_act_of(call);
    return store_of(call)->ops->get(store_of(call), &act, in->id, call_is_admin(call), out);
}

static enum err product_update(struct call *call, const struct product_edit *in, struct product *out)
{
    struct product_act act = change_of(call);
    const struct call_meta *meta = call_meta(call);
    struct product_change change = {in, has(call_meta, meta, if_match), meta->if_match};
    enum err e = store_of(call)->ops->edit(store_of(call), &act, &change, out);
    if (act.repeated) {
        call_mark_replayed(call);
    }
    return e;
}

static enum err product_remove(struct call *call, const struct product_ref *in, struct nothing *out)
{
    (void)out;
    struct product_act act = change_of(call);
    const struct call_meta *meta = call_meta(call);
    struct product_removal removal = {in->id, has(call_meta, meta, if_match), meta->if_match};
    enum err e = store_of(call)->ops->retire(store_of(call), &act, &removal);
    if (act.repeated) {
        call_mark_replayed(call);
    }
    return e;
}

static enum err product_reserve(struct call *call, const struct product_reserve *in, struct product_reserved *out)
{
    struct product_act act = product_act_of(call);
    enum err e = reserve_check(in, act.fault);
    return e == ERR_NONE ? store_of(call)->ops->reserve(store_of(call), &act, in, out) : e;
}

static enum err product_settle(struct call *call, const struct product_settle *in, struct nothing *out)
{
    (void)out;
    struct product_act act = product_act_of(call);
    return store_of(call)->ops->settle(store_of(call), &act, in);
}

/* ---- together ---- */

/* All reserves that wait: a product that many want changes once for all of them. */
static void reserve_together(struct op_item *calls, size_t count)
{
    struct product_store *store = store_of(calls[0].call);
    struct arena *arena = call_arena(calls[0].call);
    struct reserve_item *items = arena_alloc(arena, count * sizeof *items);
    struct product_act *acts = arena_alloc(arena, count * sizeof *acts);
    struct op_item **asked = arena_alloc(arena, count * sizeof *asked);
    size_t item_count = 0;
    for (size_t i = 0; i < count; i++) {
        acts[i] = product_act_of(calls[i].call);
        calls[i].status = reserve_check(calls[i].in, acts[i].fault);
        if (calls[i].status == ERR_NONE) {
            asked[item_count] = &calls[i];
            items[item_count++] = (struct reserve_item){.act = &acts[i], .in = calls[i].in, .out = calls[i].out};
        }
    }
    if (item_count > 0) {
        store->ops->reserve_all(store, items, item_count);
    }
    for (size_t i = 0; i < item_count; i++) {
        asked[i]->status = items[i].status;
    }
}

/* All products that are asked for. */
static void get_together(struct op_item *calls, size_t count)
{
    struct product_store *store = store_of(calls[0].call);
    struct arena *arena = call_arena(calls[0].call);
    struct get_item *items = arena_alloc(arena, count * sizeof *items);
    struct product_act *acts = arena_alloc(arena, count * sizeof *acts);
    for (size_t i = 0; i < count; i++) {
        const struct product_ref *in = calls[i].in;
        acts[i] = product_act_of(calls[i].call);
        items[i] = (struct get_item){
            .act = &acts[i], .id = in->id, .inactive_too = call_is_admin(calls[i].call), .out = calls[i].out};
    }
    store->ops->get_all(store, items, count);
    for (size_t i = 0; i < count; i++) {
        calls[i].status = items[i].status;
    }
}

static const struct op_group groups[] = {{OP_product_reserve, reserve_together}, {OP_product_get, get_together}};

void product_groups(const struct product_store *store, struct loop_store *out)
{
    if (store->ops->reserve_all && store->ops->get_all) {
        out->groups = groups;
        out->group_count = ARRAY_COUNT(groups);
    }
}
