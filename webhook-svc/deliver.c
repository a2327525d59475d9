#include <inttypes.h>
#include <stdio.h>
#include <utlist.h>

#include "lib/base/clock.h"
#include "lib/base/id.h"
#include "lib/base/invariant.h"
#include "proto/ident.h"
#include "proto/pattern.h"
#include "webhook-svc/desk.h"
#include "webhook-svc/rules.h"

enum {
    CLAIM_MARGIN_MS = 5000, /* beyond the timeout: for the way there and back through the loop */
    RESULTS_MAX = 64,       /* stored in one unit of work */
    PURGE_MAX = 500,
    BODY_MAX_SIZE = 1024 * 1024
};

void posts_destroy(struct post **list)
{
    struct post *post, *after;
    DL_FOREACH_SAFE(*list, post, after)
    {
        DL_DELETE(*list, post);
        post_destroy(&post);
    }
}

/* ---- from the log ---- */

enum err webhook_log_position(struct call *call, int64_t *out)
{
    struct webhook_desk *desk = call_state(call);
    return desk->store->ops->position(desk->store, call_fault(call), out);
}

void delivery_make(const struct webhook_kept *webhook, struct text event_id, struct text type, int64_t now_ms,
                   struct arena *arena, struct delivery_kept *out)
{
    uint8_t named[ID_SIZE];
    char *id = arena_alloc(arena, IDENT_SIZE);
    request_id_of_step(webhook->id, event_id, named); /* an event goes to a webhook once, however often it is read */
    ident_make("whd", named, 0, id);
    *out = (struct delivery_kept){.id = text_of(id),
                                  .webhook_id = webhook->id,
                                  .event_id = event_id,
                                  .type = type,
                                  .state = DELIVERY_PENDING,
                                  .next_at = now_ms,
                                  .created_at = now_ms};
    set_has(delivery_kept, out, next_at);
}

/* False for events that are for the shop's own programs alone, and for what cannot be read: that is told once. */
static bool entry_body(struct call *call, const struct event_entry *entry, struct text *out)
{
    struct arena *arena = call_arena(call);
    const struct event_info *info = event_find(entry->type);
    const struct record *record = event_shown(info);
    struct fault fault;
    if (!record) {
        return false;
    }
    void *data = arena_alloc(arena, record->size);
    AUTO(buffer_release) struct buffer body;
    buffer_init(&body, BODY_MAX_SIZE);
    fault_init(&fault, arena);
    if (record_unpack(record, event_shown_data(info, entry->data, entry->private_data), arena, &fault, data) !=
            ERR_NONE ||
        !body_write(entry->type, entry->time, record, data, &body)) {
        log_error(service_env(call_loop(call))->log, "webhook.event_unreadable", KV_TEXT("event", entry->id),
                  KV_TEXT("type", entry->type), KV("detail", fault.detail));
        return false;
    }
    *out = (struct text){arena_copy(arena, body.data, body.size), (uint32_t)body.size};
    return true;
}

/* Who takes nothing in for too long is not waited for with ever more. */
static enum err backlog_check(struct call *call, struct webhook_kept *webhook, int64_t now_ms)
{
    struct webhook_desk *desk = call_state(call);
    uint32_t max = (uint32_t)(desk->settings->webhook.backlog + webhook->waited), pending = 0;
    enum err e = desk->store->ops->deliveries_pending(desk->store, webhook->id, max, call_fault(call), &pending);
    if (e != ERR_NONE || pending < max) {
        return e;
    }
    webhook_overflow(webhook, pending, call_arena(call));
    webhook->version++;
    webhook->updated_at = now_ms;
    log_warn(service_env(call_loop(call))->log, "webhook.stopped", KV_TEXT("webhook", webhook->id),
             KV_TEXT("why", webhook->stopped));
    e = desk->store->ops->webhook_put(desk->store, webhook, call_fault(call));
    return e == ERR_CONFLICT ? ERR_NONE : e; /* somebody has just changed it */
}

static enum err entry_take(struct call *call, const struct event_entry *entry, const struct webhook_rows *webhooks,
                           int64_t now_ms)
{
    struct webhook_desk *desk = call_state(call);
    struct text body = {0};
    enum err e = ERR_NONE;
    for (uint32_t i = 0; e == ERR_NONE && i < webhooks->count; i++) {
        const struct webhook_kept *webhook = &webhooks->items[i];
        struct delivery_kept delivery;
        bool is_new;
        if (!webhook->active || !patterns_match(&webhook->types, entry->type)) {
            continue;
        }
        if (body.size == 0 && !entry_body(call, entry, &body)) {
            break;
        }
        delivery_make(webhook, entry->id, entry->type, now_ms, call_arena(call), &delivery);
        delivery.seq = entry->seq;
        delivery.body = body;
        e = desk->store->ops->delivery_add(desk->store, &delivery, call_fault(call), &is_new);
    }
    return e;
}

enum err webhook_log_take(struct call *call, const struct log_page *page)
{
    struct webhook_desk *desk = call_state(call);
    struct webhook_rows webhooks = {0};
    int64_t now_ms = clock_wall_ms();
    enum err e = ERR_NONE;
    if (page->count > 0) {
        e = desk->store->ops->webhooks(desk->store, call_arena(call), call_fault(call), &webhooks);
    }
    for (uint32_t i = 0; e == ERR_NONE && i < webhooks.count; i++) {
        e = webhooks.items[i].active ? backlog_check(call, &webhooks.items[i], now_ms) : ERR_NONE;
    }
    for (uint32_t i = 0; e == ERR_NONE && webhooks.count > 0 && i < page->count; i++) {
        e = entry_take(call, &page->entries[i], &webhooks, now_ms);
    }
    if (e == ERR_NONE) {
        e = desk->store->ops->position_set(desk->store, page->position, call_fault(call));
    }
    return e == ERR_NONE && webhooks.count > 0 ? deliveries_claim(call) : e;
}

/* ---- to the receivers ---- */

/* Under way, or about to be: of one webhook. */
static uint32_t busy_count(const struct webhook_desk *desk, struct text webhook_id)
{
    const struct post *post;
    uint32_t count = 0;
    DL_FOREACH(desk->going, post)
    {
        count += text_is(webhook_id, post->webhook_id);
    }
    DL_FOREACH(desk->claimed, post)
    {
        count += text_is(webhook_id, post->webhook_id);
    }
    return count;
}

/* How many more may be under way: of all webhooks, and of what is still posted to removed ones. */
static uint32_t room_count(const struct webhook_desk *desk)
{
    const struct post *post;
    uint32_t going, claimed;
    DL_COUNT(desk->going, post, going);
    DL_COUNT(desk->claimed, post, claimed);
    ASSERT(going + claimed <= desk->posts_max);
    return desk->posts_max - going - claimed;
}

static bool is_in(const struct post *list, struct text delivery_id)
{
    const struct post *post;
    DL_FOREACH(list, post)
    {
        if (text_is(delivery_id, post->delivery_id)) {
            return true;
        }
    }
    return false;
}

static const char *header_make(struct arena *arena, const char *name, struct text value)
{
    size_t size = strlen(name) + value.size + 3;
    char *line = arena_alloc(arena, size);
    snprintf(line, size, "%s: %.*s", name, TEXT_ARG(value));
    return line;
}

static enum err post_make(struct call *call, const struct webhook_kept *webhook, const struct delivery_kept *delivery)
{
    struct webhook_desk *desk = call_state(call);
    char signatures[SIGNATURES_SIZE], seconds[24];
    int64_t now_ms = clock_wall_ms();
    if (signatures_make(webhook, delivery->event_id, now_ms, delivery->body, signatures) != ERR_NONE) {
        fault_cause(call_fault(call), "a webhook has no secret that can sign");
        return fault_set(call_fault(call), ERR_INTERNAL, NULL);
    }
    struct post *post = post_new();
    struct arena *arena = &post->arena;
    snprintf(seconds, sizeof seconds, "%" PRId64, now_ms / 1000);
    post->delivery_id = arena_copy(arena, delivery->id.data, delivery->id.size);
    post->webhook_id = arena_copy(arena, webhook->id.data, webhook->id.size);
    post->url = arena_copy(arena, webhook->url.data, webhook->url.size);
    post->body = (struct text){arena_copy(arena, delivery->body.data, delivery->body.size), delivery->body.size};
    post->headers[0] = header_make(arena, "webhook-id", delivery->event_id);
    post->headers[1] = header_make(arena, "webhook-timestamp", text_of(seconds));
    post->headers[2] = header_make(arena, "webhook-signature", text_of(signatures));
    DL_APPEND(desk->claimed, post);
    return ERR_NONE;
}

static enum err webhook_claim(struct call *call, const struct webhook_kept *webhook)
{
    struct webhook_desk *desk = call_state(call);
    const struct webhook_config *config = &desk->settings->webhook;
    uint32_t busy = busy_count(desk, webhook->id), room = room_count(desk);
    int64_t now_ms = clock_wall_ms();
    struct delivery_rows rows;
    if (busy >= config->each || room == 0) {
        return ERR_NONE; /* what is due is claimed after one of these has ended */
    }
    uint32_t left = (uint32_t)config->each - busy;
    struct delivery_claim claim = {.webhook_id = webhook->id,
                                   .now_ms = now_ms,
                                   .until_ms = now_ms + config->timeout_ms + CLAIM_MARGIN_MS,
                                   .limit = left < room ? left : room};
    enum err e = desk->store->ops->deliveries_claim(desk->store, &claim, call_arena(call), call_fault(call), &rows);
    for (uint32_t i = 0; e == ERR_NONE && i < rows.count; i++) {
        if (!is_in(desk->going, rows.items[i].id) && !is_in(desk->claimed, rows.items[i].id)) {
            e = post_make(call, webhook, &rows.items[i]);
        }
    }
    return e;
}

enum err deliveries_claim(struct call *call)
{
    struct webhook_desk *desk = call_state(call);
    struct webhook_rows webhooks;
    int64_t now_ms = clock_wall_ms();
    if (!desk->poster) {
        return ERR_NONE;
    }
    enum err e = desk->store->ops->webhooks(desk->store, call_arena(call), call_fault(call), &webhooks);
    for (uint32_t i = 0; e == ERR_NONE && i < webhooks.count; i++) {
        if (webhook_listens(&webhooks.items[i], now_ms)) {
            e = webhook_claim(call, &webhooks.items[i]);
        }
    }
    return e;
}

void deliveries_post(struct webhook_desk *desk)
{
    struct post *post, *after;
    DL_FOREACH_SAFE(desk->claimed, post, after)
    {
        DL_DELETE(desk->claimed, post);
        DL_APPEND(desk->going, post);
        poster_put(desk->poster, post);
    }
}

/* ---- what came of it ---- */

static struct delivery_attempt attempt_of(const struct post *post)
{
    struct delivery_attempt attempt = {.at = post->began_ms, .duration_ms = post->duration_ms};
    if (post->status > 0) {
        attempt.status = post->status;
        set_has(delivery_attempt, &attempt, status);
    }
    if (post->error[0]) {
        attempt.error = text_of(post->error);
        set_has(delivery_attempt, &attempt, error);
    }
    return attempt;
}

static void ending_tell(struct call *call, const struct delivery_kept *delivery, const struct webhook_kept *webhook,
                        bool stopped)
{
    struct webhook_desk *desk = call_state(call);
    const struct log *log = service_env(call_loop(call))->log;
    metric_add(delivery->state == DELIVERY_DELIVERED ? desk->delivered : desk->missed, 1);
    if (delivery->state == DELIVERY_FAILED) {
        metric_add(desk->given_up, 1);
        log_warn(log, "webhook.given_up", KV_TEXT("webhook", webhook->id), KV_TEXT("event", delivery->event_id),
                 KV_INT("tries", delivery->tries));
    }
    if (stopped) {
        log_warn(log, "webhook.stopped", KV_TEXT("webhook", webhook->id), KV_TEXT("why", webhook->stopped));
    }
}

/* A webhook, or a delivery, may have been deleted meanwhile: then there is nothing to note. */
static enum err result_store(struct call *call, const struct post *post)
{
    struct webhook_desk *desk = call_state(call);
    const struct webhook_store_ops *ops = desk->store->ops;
    const struct webhook_config *config = &desk->settings->webhook;
    struct arena *arena = call_arena(call);
    struct fault *fault = call_fault(call);
    struct delivery_kept delivery;
    struct webhook_kept webhook;
    struct delivery_attempt attempt = attempt_of(post);
    struct outcome outcome = {.verdict = answer_judge(post->status),
                              .now_ms = clock_wall_ms(),
                              .quiet_ms = answer_quiet_ms(post->status, post->retry_after_s, config->retry_after_s),
                              .permille = config->retry_permille};
    enum err e = ops->delivery(desk->store, text_of(post->delivery_id), arena, fault, &delivery);
    e = e == ERR_NONE ? ops->webhook(desk->store, delivery.webhook_id, arena, fault, &webhook) : e;
    if (e != ERR_NONE) {
        return e == ERR_NOT_FOUND ? ERR_NONE : e;
    }
    bool was_active = webhook.active;
    id_random(&outcome.random, sizeof outcome.random);
    delivery_note(&delivery, &attempt, &outcome, arena);
    e = ops->delivery_put(desk->store, &delivery, fault);
    if (e == ERR_NONE && webhook_note(&webhook, &delivery, &outcome, config->stop_after, arena)) {
        webhook.version++;
        webhook.updated_at = outcome.now_ms;
        e = ops->webhook_put(desk->store, &webhook, fault);
    }
    if (e == ERR_NONE) {
        ending_tell(call, &delivery, &webhook, was_active && !webhook.active);
    }
    /* somebody has just changed or deleted it, and what counts more is theirs */
    return e == ERR_NOT_FOUND || e == ERR_CONFLICT ? ERR_NONE : e;
}

enum err deliveries_work(struct call *call, void *argument)
{
    struct webhook_desk *desk = call_state(call);
    struct post *post;
    enum err e = ERR_NONE;
    (void)argument;
    for (int i = 0; i < RESULTS_MAX && (post = poster_take(desk->poster)) != NULL; i++) {
        /* after a failure the rest is lost too: what was claimed is due again later */
        e = e == ERR_NONE ? result_store(call, post) : e;
        DL_DELETE(desk->going, post);
        post_destroy(&post);
    }
    return e == ERR_NONE ? deliveries_claim(call) : e;
}

enum err deliveries_purge(struct call *call, void *argument)
{
    struct webhook_desk *desk = call_state(call);
    const struct webhook_store_ops *ops = desk->store->ops;
    int64_t now_ms = clock_wall_ms(), before_ms = now_ms - desk->settings->webhook.keep_days * 24 * 3600 * 1000;
    uint32_t count = 0;
    (void)argument;
    enum err e = ops->deliveries_purge(desk->store, before_ms, PURGE_MAX, call_fault(call), &count);
    return e == ERR_NONE
               ? ops->answers_purge(desk->store, now_ms - ANSWER_KEEP_MS, PURGE_MAX, call_fault(call), &count)
               : e;
}
