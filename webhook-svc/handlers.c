/* The operations of webhook-svc; all are for administrators. */
#include "lib/base/clock.h"
#include "lib/store/cursor.h"
#include "proto/ident.h"
#include "proto/tag.h"
#include "webhook-svc/answers.h"
#include "webhook-svc/desk.h"
#include "webhook-svc/reach.h"
#include "webhook-svc/rules.h"
#include "webhook-svc/shown.h"

#define BIND_OPS "proto/ops/webhook.def"
#include "lib/bus/bind_ops.h"

const struct op_handler *const webhook_handlers = bound_ops;
const size_t webhook_handler_count = ARRAY_COUNT(bound_ops);

enum { PAGE_DEFAULT = 20 };

/* ---- helpers ---- */

static struct webhook_store *store_of(struct call *call)
{
    struct webhook_desk *desk = call_state(call);
    return desk->store;
}

static const struct webhook_config *config_of(struct call *call)
{
    struct webhook_desk *desk = call_state(call);
    return &desk->settings->webhook;
}

/* A store's answer, told. */
static enum err answer(struct call *call, enum err e)
{
    return e == ERR_NOT_FOUND || e == ERR_CONFLICT ? fault_set(call_fault(call), e, NULL) : e;
}

static enum err webhook_find(struct call *call, struct text id, struct webhook_kept *out)
{
    return answer(call, store_of(call)->ops->webhook(store_of(call), id, call_arena(call), call_fault(call), out));
}

static enum err match_check(struct call *call, const struct webhook_kept *webhook)
{
    const struct call_meta *meta = call_meta(call);
    bool matches = !has(call_meta, meta, if_match) || version_tag_matches(meta->if_match, webhook->version);
    return matches ? ERR_NONE : fault_set(call_fault(call), ERR_PRECONDITION_FAILED, NULL);
}

static struct webhook_key key_new(struct call *call)
{
    uint8_t bytes[SECRET_BYTES];
    char *secret = arena_alloc(call_arena(call), SECRET_SIZE);
    id_random(bytes, sizeof bytes);
    secret_make(bytes, secret);
    return (struct webhook_key){.secret = text_of(secret), .request = request_hex(call)};
}

/* The key that this very request has made, or NULL. */
static const struct webhook_key *key_of_request(struct call *call, const struct webhook_kept *webhook)
{
    struct text request = request_hex(call);
    for (uint32_t i = 0; i < webhook->keys.count; i++) {
        if (text_equal(webhook->keys.items[i].request, request)) {
            return &webhook->keys.items[i];
        }
    }
    return NULL;
}

/* The first answer to what makes a secret, which is kept without it: it is found where it signs. */
static enum err opened_again(struct call *call, struct webhook_opened *out, bool *out_again)
{
    struct webhook shown;
    struct webhook_kept kept;
    enum err e = answer_again(call, &webhook_record, &shown, out_again);
    if (e != ERR_NONE || !*out_again) {
        return e;
    }
    e = store_of(call)->ops->webhook(store_of(call), shown.id, call_arena(call), call_fault(call), &kept);
    const struct webhook_key *key = e == ERR_NONE ? key_of_request(call, &kept) : NULL;
    if (e == ERR_NOT_FOUND || (e == ERR_NONE && !key)) {
        return fault_set(call_fault(call), ERR_CONFLICT, "This was done, and the secret that it made signs no more.");
    }
    if (e == ERR_NONE) {
        webhook_open(&shown, key->secret, out);
    }
    return e;
}

static enum err opened_keep(struct call *call, const struct webhook_kept *kept, struct text secret,
                            struct webhook_opened *out)
{
    struct webhook shown;
    webhook_show(kept, &shown);
    enum err e = answer_keep(call, &webhook_record, &shown);
    if (e == ERR_NONE) {
        webhook_open(&shown, secret, out);
    }
    return e;
}

/* ---- webhooks ---- */

static enum err too_many(struct call *call)
{
    (void)fault_set(call_fault(call), ERR_CONFLICT, "There are %d webhooks; more are not kept.", WEBHOOK_MAX);
    return answer_refuse(call);
}

static enum err create_check(struct call *call, const struct webhook_new *in)
{
    struct webhook_rows rows;
    enum err url_e = url_check(in->url, config_of(call)->insecure_loopback, call_fault(call));
    enum err types_e = types_check(&in->types, call_fault(call));
    if (url_e != ERR_NONE || types_e != ERR_NONE) {
        return ERR_INVALID_BODY;
    }
    enum err e = store_of(call)->ops->webhooks(store_of(call), call_arena(call), call_fault(call), &rows);
    return e == ERR_NONE && rows.count >= WEBHOOK_MAX ? too_many(call) : e;
}

/* Where several loops write, others may have come in between: who is too many then goes again. What cannot be looked up
 * or removed now stays, and is answered as made. */
static enum err late_remove(struct call *call, struct text id, bool *out_late)
{
    struct webhook_store *store = store_of(call);
    struct webhook_rows rows;
    struct fault fault;
    fault_init(&fault, call_arena(call));
    enum err e = store->ops->webhooks(store, call_arena(call), &fault, &rows);
    *out_late = e == ERR_NONE && rows.count > WEBHOOK_MAX;
    if (*out_late) {
        e = store->ops->webhook_remove(store, id, &fault);
        *out_late = e == ERR_NONE;
    }
    return e == ERR_OUTCOME_UNKNOWN ? fault_set(call_fault(call), e, NULL) : ERR_NONE;
}

static struct text_list types_of(struct call *call, const struct webhook_new *in)
{
    struct text_list all = {.items = arena_alloc(call_arena(call), sizeof *all.items), .count = 1};
    all.items[0] = TEXT("*");
    return has(webhook_new, in, types) && in->types.count > 0 ? in->types : all;
}

static enum err create_store(struct call *call, const struct webhook_new *in, const char *id, const char *fingerprint,
                             struct webhook_kept *out)
{
    struct webhook_key *key = arena_alloc(call_arena(call), sizeof *key);
    struct webhook_kept kept = {.id = text_of(id),
                                .url = in->url,
                                .types = types_of(call, in),
                                .description = in->description,
                                .active = !has(webhook_new, in, active) || in->active,
                                .created_at = clock_wall_ms(),
                                .version = 1,
                                .fingerprint = text_of(fingerprint)};
    *key = key_new(call);
    kept.keys.items = key;
    kept.keys.count = 1;
    kept.updated_at = kept.created_at;
    if (has(webhook_new, in, description)) {
        set_has(webhook_kept, &kept, description);
    }
    enum err e = store_of(call)->ops->webhook_put(store_of(call), &kept, call_fault(call));
    if (e == ERR_NONE) {
        *out = kept;
    }
    return answer(call, e);
}

static enum err made_keep(struct call *call, const struct webhook_kept *kept, struct webhook_opened *out)
{
    bool late;
    enum err e = late_remove(call, kept->id, &late);
    if (e != ERR_NONE) {
        return e;
    }
    return late ? too_many(call) : opened_keep(call, kept, kept->keys.items[0].secret, out);
}

static enum err webhook_create(struct call *call, const struct webhook_new *in, struct webhook_opened *out)
{
    struct webhook_kept kept;
    bool again;
    char *id = arena_alloc(call_arena(call), IDENT_SIZE);
    char *fingerprint = arena_alloc(call_arena(call), FINGERPRINT_SIZE);
    enum err e = opened_again(call, out, &again);
    if (e != ERR_NONE || again) {
        return e;
    }
    ident_make("whk", call_request_id(call), 0, id);
    fingerprint_make(call_body(call), fingerprint);
    e = store_of(call)->ops->webhook(store_of(call), text_of(id), call_arena(call), call_fault(call), &kept);
    if (e == ERR_NOT_FOUND) {
        e = create_check(call, in);
        if (e != ERR_NONE) {
            return e;
        }
        e = create_store(call, in, id, fingerprint, &kept);
        if (e == ERR_NONE) {
            return made_keep(call, &kept, out);
        }
        if (e != ERR_CONFLICT) {
            return e;
        }
        fault_init(call_fault(call), call_arena(call)); /* another loop has just made it, for the same request */
        e = store_of(call)->ops->webhook(store_of(call), text_of(id), call_arena(call), call_fault(call), &kept);
    }
    if (e != ERR_NONE) {
        return e;
    }
    if (!text_is(kept.fingerprint, fingerprint)) {
        return fault_set(call_fault(call), ERR_IDEMPOTENCY_KEY_REUSED, NULL);
    }
    const struct webhook_key *key = key_of_request(call, &kept);
    if (!key) { /* the secret that the first answer showed signs no more */
        return fault_set(call_fault(call), ERR_CONFLICT,
                         "The webhook was made, and its secret has been rotated since.");
    }
    call_mark_replayed(call);
    return opened_keep(call, &kept, key->secret, out);
}

static enum err webhook_list(struct call *call, const struct nothing *in, struct webhook_list *out)
{
    struct webhook_rows rows;
    (void)in;
    enum err e = store_of(call)->ops->webhooks(store_of(call), call_arena(call), call_fault(call), &rows);
    if (e != ERR_NONE) {
        return e;
    }
    out->data.items = arena_alloc(call_arena(call), WEBHOOK_MAX * sizeof *out->data.items);
    out->data.count = rows.count < WEBHOOK_MAX ? rows.count : WEBHOOK_MAX;
    for (uint32_t i = 0; i < out->data.count; i++) {
        webhook_show(&rows.items[i], &out->data.items[i]);
    }
    return ERR_NONE;
}

static enum err webhook_get(struct call *call, const struct webhook_ref *in, struct webhook *out)
{
    struct webhook_kept kept;
    enum err e = webhook_find(call, in->id, &kept);
    if (e == ERR_NONE) {
        webhook_show(&kept, out);
    }
    return e;
}

static void edit_apply(const struct webhook_edit *in, struct webhook_kept *kept)
{
    if (has(webhook_edit, in, url)) {
        kept->url = in->url;
    }
    if (has(webhook_edit, in, types)) {
        kept->types = in->types;
    }
    if (has(webhook_edit, in, description)) {
        kept->description = in->description;
        set_has(webhook_kept, kept, description);
    }
    if (has(webhook_edit, in, active)) {
        kept->active = in->active;
        kept->failures = 0;
        kept->stopped = (struct text){0};
        kept->present &= ~(UINT64_C(1) << webhook_kept_at_stopped | UINT64_C(1) << webhook_kept_at_quiet_until);
    }
}

static enum err edit_check(struct call *call, const struct webhook_edit *in, const struct webhook_kept *kept)
{
    enum err url_e = ERR_NONE;
    if (has(webhook_edit, in, url)) {
        url_e = url_check(in->url, config_of(call)->insecure_loopback, call_fault(call));
    }
    enum err types_e = has(webhook_edit, in, types) ? types_check(&in->types, call_fault(call)) : ERR_NONE;
    return url_e != ERR_NONE || types_e != ERR_NONE ? ERR_INVALID_BODY : match_check(call, kept);
}

/* What waits already does not stop it again. */
static enum err waiting_forgive(struct call *call, const struct webhook_edit *in, struct webhook_kept *kept)
{
    enum { WAITING_MAX = 1000000 };
    uint32_t pending = 0;
    if (!has(webhook_edit, in, active) || !in->active) {
        return ERR_NONE;
    }
    enum err e =
        store_of(call)->ops->deliveries_pending(store_of(call), kept->id, WAITING_MAX, call_fault(call), &pending);
    kept->waited = pending;
    return e;
}

static enum err webhook_update(struct call *call, const struct webhook_edit *in, struct webhook *out)
{
    struct webhook_kept kept;
    enum err e = webhook_find(call, in->id, &kept);
    if (e == ERR_NONE) {
        e = edit_check(call, in, &kept);
    }
    if (e == ERR_NONE) {
        e = waiting_forgive(call, in, &kept);
    }
    if (e != ERR_NONE) {
        return e;
    }
    edit_apply(in, &kept);
    kept.version++;
    kept.updated_at = clock_wall_ms();
    e = answer(call, store_of(call)->ops->webhook_put(store_of(call), &kept, call_fault(call)));
    if (e == ERR_NONE) {
        webhook_show(&kept, out);
    }
    return e;
}

static enum err webhook_remove(struct call *call, const struct webhook_ref *in, struct nothing *out)
{
    struct webhook_kept kept;
    (void)out;
    enum err e = webhook_find(call, in->id, &kept);
    e = e == ERR_NONE ? match_check(call, &kept) : e;
    e = e == ERR_NONE ? store_of(call)->ops->webhook_remove(store_of(call), in->id, call_fault(call)) : e;
    return answer(call, e);
}

static enum err webhook_rotate(struct call *call, const struct webhook_ref *in, struct webhook_opened *out)
{
    struct webhook_kept kept;
    int64_t now_ms = clock_wall_ms();
    bool again;
    enum err e = opened_again(call, out, &again);
    if (e != ERR_NONE || again) {
        return e;
    }
    e = webhook_find(call, in->id, &kept);
    if (e != ERR_NONE) {
        return e;
    }
    const struct webhook_key *made = key_of_request(call, &kept);
    if (made) {
        call_mark_replayed(call);
        return opened_keep(call, &kept, made->secret, out);
    }
    struct webhook_key key = key_new(call);
    keys_rotate(&kept, &key, now_ms, config_of(call)->overlap_s * 1000, call_arena(call));
    kept.version++;
    kept.updated_at = now_ms;
    e = answer(call, store_of(call)->ops->webhook_put(store_of(call), &kept, call_fault(call)));
    return e == ERR_NONE ? opened_keep(call, &kept, key.secret, out) : e;
}

/* ---- deliveries ---- */

static enum err active_check(struct call *call, const struct webhook_kept *webhook)
{
    if (webhook->active) {
        return ERR_NONE;
    }
    (void)fault_set(call_fault(call), ERR_CONFLICT, "The webhook is not active.");
    return answer_refuse(call);
}

/* What is to be posted has been stored: claims it, if it is its turn, and answers. */
static enum err delivery_answer(struct call *call, const struct delivery_kept *delivery, struct webhook_delivery *out)
{
    delivery_show(delivery, out);
    enum err e = answer_keep(call, &webhook_delivery_record, out);
    return e == ERR_NONE ? deliveries_claim(call) : e;
}

static struct text ping_body(struct call *call, const struct webhook_kept *webhook, int64_t now_ms)
{
    enum { PING_MAX_SIZE = 400 };
    struct webhook_ping ping = {.webhook_id = webhook->id};
    AUTO(buffer_release) struct buffer body;
    buffer_init(&body, PING_MAX_SIZE);
    bool fits = body_write(TEXT(WEBHOOK_TEST_TYPE), now_ms, &webhook_ping_record, &ping, &body);
    return (struct text){arena_copy(call_arena(call), body.data, fits ? body.size : 0), fits ? (uint32_t)body.size : 0};
}

static enum err webhook_test(struct call *call, const struct webhook_ref *in, struct webhook_delivery *out)
{
    struct webhook_kept webhook;
    struct delivery_kept delivery;
    int64_t now_ms = clock_wall_ms();
    bool is_new = false, again;
    char *event_id = arena_alloc(call_arena(call), IDENT_SIZE);
    enum err e = answer_again(call, &webhook_delivery_record, out, &again);
    if (e != ERR_NONE || again) {
        return e;
    }
    e = webhook_find(call, in->id, &webhook);
    e = e == ERR_NONE ? active_check(call, &webhook) : e;
    if (e != ERR_NONE) {
        return e;
    }
    ident_make("evt", call_request_id(call), 0, event_id);
    delivery_make(&webhook, text_of(event_id), TEXT(WEBHOOK_TEST_TYPE), now_ms, call_arena(call), &delivery);
    delivery.body = ping_body(call, &webhook, now_ms);
    e = store_of(call)->ops->delivery_add(store_of(call), &delivery, call_fault(call), &is_new);
    if (e == ERR_NONE && !is_new) {
        call_mark_replayed(call);
        e = store_of(call)->ops->delivery(store_of(call), delivery.id, call_arena(call), call_fault(call), &delivery);
        if (e == ERR_NONE) { /* as it was answered first, whatever has become of it */
            delivery_make(&webhook, text_of(event_id), TEXT(WEBHOOK_TEST_TYPE), delivery.created_at, call_arena(call),
                          &delivery);
        }
    }
    return e == ERR_NONE ? delivery_answer(call, &delivery, out) : answer(call, e);
}

static enum err webhook_redeliver(struct call *call, const struct delivery_ref *in, struct webhook_delivery *out)
{
    struct webhook_kept webhook;
    struct delivery_kept delivery;
    struct webhook_store *store = store_of(call);
    struct text request = request_hex(call);
    bool again;
    enum err e = answer_again(call, &webhook_delivery_record, out, &again);
    if (e != ERR_NONE || again) {
        return e;
    }
    e = webhook_find(call, in->id, &webhook);
    e = e == ERR_NONE
            ? answer(call, store->ops->delivery(store, in->delivery_id, call_arena(call), call_fault(call), &delivery))
            : e;
    if (e == ERR_NONE && !text_equal(delivery.webhook_id, in->id)) {
        e = answer(call, ERR_NOT_FOUND);
    }
    e = e == ERR_NONE ? active_check(call, &webhook) : e;
    if (e != ERR_NONE) {
        return e;
    }
    if (has(delivery_kept, &delivery, request) && text_equal(delivery.request, request)) {
        call_mark_replayed(call);
        return delivery_answer(call, &delivery, out);
    }
    delivery.state = DELIVERY_PENDING;
    delivery.tries = 0;
    delivery.next_at = clock_wall_ms();
    delivery.request = request;
    set_has(delivery_kept, &delivery, next_at);
    set_has(delivery_kept, &delivery, request);
    e = answer(call, store->ops->delivery_put(store, &delivery, call_fault(call)));
    return e == ERR_NONE ? delivery_answer(call, &delivery, out) : e;
}

static enum err page_query(struct call *call, const struct delivery_query *in, struct delivery_page_query *out)
{
    struct cursor_key keys[CURSOR_MAX_KEYS];
    *out = (struct delivery_page_query){
        .webhook_id = in->id,
        .state = has(delivery_query, in, state) ? (int)in->state : -1,
        .before_at = INT64_MAX,
        .limit =
            1 + (has(delivery_query, in, limit) ? (uint32_t)in->limit : PAGE_DEFAULT)}; /* one says if there are more */
    if (!has(delivery_query, in, cursor)) {
        return ERR_NONE;
    }
    enum err e = cursor_read(&delivery_query_record, in, in->cursor, "it", call_arena(call), call_fault(call), keys);
    if (e == ERR_NONE) {
        out->before_at = keys[0].number;
        out->before_id = keys[1].text;
    }
    return e;
}

static enum err webhook_deliveries(struct call *call, const struct delivery_query *in, struct delivery_list *out)
{
    struct webhook_kept webhook;
    struct delivery_page_query query;
    struct delivery_rows rows;
    enum err e = webhook_find(call, in->id, &webhook);
    e = e == ERR_NONE ? page_query(call, in, &query) : e;
    e = e == ERR_NONE
            ? store_of(call)->ops->deliveries(store_of(call), &query, call_arena(call), call_fault(call), &rows)
            : e;
    if (e != ERR_NONE) {
        return e;
    }
    out->has_more = rows.count == query.limit;
    out->data.count = out->has_more ? rows.count - 1 : rows.count;
    out->data.items = arena_alloc(call_arena(call), query.limit * sizeof *out->data.items);
    for (uint32_t i = 0; i < out->data.count; i++) {
        delivery_show(&rows.items[i], &out->data.items[i]);
    }
    if (out->has_more) {
        const struct webhook_delivery *last = &out->data.items[out->data.count - 1];
        struct cursor_key keys[] = {{.number = last->created_at}, {.is_text = true, .text = last->id}};
        out->next_cursor = cursor_make(&delivery_query_record, in, keys, ARRAY_COUNT(keys), call_arena(call));
        set_has(delivery_list, out, next_cursor);
    }
    return ERR_NONE;
}
