/* The N-th call of a store of webhooks fails. A part of contract_webhook.h, which includes it behind its fixtures. */
#ifndef ZMART_TESTS_CONTRACT_WEBHOOK_FAILING_H
#define ZMART_TESTS_CONTRACT_WEBHOOK_FAILING_H

static enum err failing_position_set(struct webhook_store *self, int64_t position, struct fault *fault)
{
    FAILING(self, fault, position_set, position, fault);
}

static enum err failing_webhook(struct webhook_store *self, struct text id, struct arena *arena, struct fault *fault,
                                struct webhook_kept *out)
{
    FAILING(self, fault, webhook, id, arena, fault, out);
}

static enum err failing_webhooks(struct webhook_store *self, struct arena *arena, struct fault *fault,
                                 struct webhook_rows *out)
{
    FAILING(self, fault, webhooks, arena, fault, out);
}

static enum err failing_webhook_put(struct webhook_store *self, const struct webhook_kept *webhook, struct fault *fault)
{
    FAILING(self, fault, webhook_put, webhook, fault);
}

static enum err failing_webhook_remove(struct webhook_store *self, struct text id, struct fault *fault)
{
    FAILING(self, fault, webhook_remove, id, fault);
}

static enum err failing_add(struct webhook_store *self, const struct delivery_kept *delivery, struct fault *fault,
                            bool *out)
{
    FAILING(self, fault, delivery_add, delivery, fault, out);
}

static enum err failing_pending(struct webhook_store *self, struct text webhook_id, uint32_t max, struct fault *fault,
                                uint32_t *out)
{
    FAILING(self, fault, deliveries_pending, webhook_id, max, fault, out);
}

static enum err failing_claim(struct webhook_store *self, const struct delivery_claim *claim, struct arena *arena,
                              struct fault *fault, struct delivery_rows *out)
{
    FAILING(self, fault, deliveries_claim, claim, arena, fault, out);
}

static enum err failing_delivery(struct webhook_store *self, struct text id, struct arena *arena, struct fault *fault,
                                 struct delivery_kept *out)
{
    FAILING(self, fault, delivery, id, arena, fault, out);
}

static enum err failing_put(struct webhook_store *self, const struct delivery_kept *delivery, struct fault *fault)
{
    FAILING(self, fault, delivery_put, delivery, fault);
}

static enum err failing_purge(struct webhook_store *self, int64_t before_ms, uint32_t limit, struct fault *fault,
                              uint32_t *out)
{
    FAILING(self, fault, deliveries_purge, before_ms, limit, fault, out);
}

static enum err failing_answer_add(struct webhook_store *self, const struct answer_kept *answer, struct fault *fault)
{
    FAILING(self, fault, answer_add, answer, fault);
}

static enum err failing_answers_purge(struct webhook_store *self, int64_t before_ms, uint32_t limit,
                                      struct fault *fault, uint32_t *out)
{
    FAILING(self, fault, answers_purge, before_ms, limit, fault, out);
}

static struct failing failing_over(struct webhook_store *inner)
{
    static const struct webhook_store_ops ops = {
        .position_set = failing_position_set, .webhook = failing_webhook, .webhooks = failing_webhooks,
        .webhook_put = failing_webhook_put, .webhook_remove = failing_webhook_remove, .delivery_add = failing_add,
        .deliveries_pending = failing_pending, .deliveries_claim = failing_claim, .delivery = failing_delivery,
        .delivery_put = failing_put, .deliveries_purge = failing_purge, .answer_add = failing_answer_add,
        .answers_purge = failing_answers_purge};
    return (struct failing){.base = {.ops = &ops}, .inner = inner};
}

/* Two are made, each by a request that finds what it has made before. */
static enum err step_make(struct desk *desk, struct webhook_store *store)
{
    enum err e = ERR_NONE;
    for (int i = 1; e == ERR_NONE && i <= 2; i++) {
        struct webhook_kept webhook = webhook_made(desk, i), found;
        e = store->ops->webhook(store, webhook.id, &desk->arena, &desk->fault, &found);
        e = e == ERR_NOT_FOUND ? store->ops->webhook_put(store, &webhook, &desk->fault) : e;
        e = e == ERR_CONFLICT ? ERR_NONE : e; /* a write that came late has made it meanwhile */
    }
    return e;
}

/* What came of it is told by its first answer, and the rest of the change by a new version. */
static enum err step_change(struct desk *desk, struct webhook_store *store)
{
    struct webhook_kept webhook;
    enum err e = store->ops->webhook(store, TEXT("whk_0001"), &desk->arena, &desk->fault, &webhook);
    if (e == ERR_NONE && webhook.version == 1) {
        webhook.version = 2;
        webhook.active = false;
        e = store->ops->webhook_put(store, &webhook, &desk->fault);
        e = e == ERR_CONFLICT ? ERR_SERVICE_UNAVAILABLE : e; /* somebody was faster: it is looked at again */
    }
    for (int i = 1; e == ERR_NONE && i <= 2; i++) {
        struct answer_kept answer = answer_made(desk, i);
        e = store->ops->answer_add(store, &answer, &desk->fault);
        e = e == ERR_CONFLICT ? ERR_NONE : e; /* the first one stays */
    }
    return e;
}

/* A page of the log: as webhook-svc takes it. */
static enum err step_page(struct desk *desk, struct webhook_store *store)
{
    struct webhook_rows webhooks;
    uint32_t pending = 0;
    bool is_new;
    enum err e = store->ops->webhooks(store, &desk->arena, &desk->fault, &webhooks);
    e = e == ERR_NONE ? store->ops->deliveries_pending(store, TEXT("whk_0001"), 10, &desk->fault, &pending) : e;
    for (int i = 1; e == ERR_NONE && i <= 3; i++) {
        struct delivery_kept delivery = delivery_made(desk, "whk_0001", i, 5);
        e = store->ops->delivery_add(store, &delivery, &desk->fault, &is_new);
    }
    struct delivery_kept other = delivery_made(desk, "whk_0002", 4, 5);
    e = e == ERR_NONE ? store->ops->delivery_add(store, &other, &desk->fault, &is_new) : e;
    return e == ERR_NONE ? store->ops->position_set(store, 3, &desk->fault) : e;
}

/* Claims what is due and ends it. */
static enum err due_deliver(struct desk *desk, struct webhook_store *store, uint32_t *out_count)
{
    struct delivery_rows rows = {0};
    struct delivery_claim claim = {
        .webhook_id = TEXT("whk_0001"), .now_ms = desk->now_ms, .until_ms = desk->now_ms + 100, .limit = 2};
    enum err e = store->ops->deliveries_claim(store, &claim, &desk->arena, &desk->fault, &rows);
    for (uint32_t i = 0; e == ERR_NONE && i < rows.count; i++) {
        struct delivery_kept delivery;
        e = store->ops->delivery(store, rows.items[i].id, &desk->arena, &desk->fault, &delivery);
        if (e == ERR_NONE) {
            delivery.state = DELIVERY_DELIVERED;
            delivery.present &= ~(UINT64_C(1) << delivery_kept_at_next_at);
            e = store->ops->delivery_put(store, &delivery, &desk->fault);
        }
    }
    if (e == ERR_NONE) {
        *out_count = rows.count;
    }
    return e;
}

/* Each claim is later than those before run out: also one that was made without our hearing of it, which is why nothing
 * must be due twice in a row. */
static enum err step_deliver(struct desk *desk, struct webhook_store *store)
{
    uint32_t count;
    enum err e = ERR_NONE;
    for (int idle = 0; e == ERR_NONE && idle < 2; idle = count > 0 ? 0 : idle + 1) {
        desk->now_ms += 200;
        count = 0;
        e = due_deliver(desk, store, &count);
    }
    return e;
}

/* What was made at first goes, and one webhook with its delivery. */
static enum err step_purge(struct desk *desk, struct webhook_store *store)
{
    uint32_t count;
    enum err e = store->ops->deliveries_purge(store, 1001, 10, &desk->fault, &count);
    e = e == ERR_NONE ? store->ops->answers_purge(store, 1002, 10, &desk->fault, &count) : e;
    e = e == ERR_NONE ? store->ops->webhook_remove(store, TEXT("whk_0002"), &desk->fault) : e;
    return e == ERR_NOT_FOUND ? ERR_NONE : e;
}

static enum err step_check(struct desk *desk, struct webhook_store *store)
{
    struct delivery_page_query query = {
        .webhook_id = TEXT("whk_0001"), .state = -1, .before_at = INT64_MAX, .limit = 10};
    struct delivery_rows rows = {0}, others = {0};
    struct webhook_rows webhooks = {0};
    struct answer_kept answer;
    int64_t position = 0;
    enum err e = store->ops->position(store, &desk->fault, &position);
    e = e == ERR_NONE ? store->ops->webhooks(store, &desk->arena, &desk->fault, &webhooks) : e;
    e = e == ERR_NONE ? store->ops->deliveries(store, &query, &desk->arena, &desk->fault, &rows) : e;
    query.webhook_id = TEXT("whk_0002");
    e = e == ERR_NONE ? store->ops->deliveries(store, &query, &desk->arena, &desk->fault, &others) : e;
    e = e == ERR_NONE ? store->ops->answer(store, answer_made(desk, 2).id, &desk->arena, &desk->fault, &answer) : e;
    if (e != ERR_NONE) {
        return e;
    }
    e = store->ops->answer(store, answer_made(desk, 1).id, &desk->arena, &desk->fault, &answer);
    if (e == ERR_SERVICE_UNAVAILABLE) {
        return e;
    }
    assert_int_equal(e, ERR_NOT_FOUND);
    assert_int_equal(position, 3);
    assert_true(webhooks.count == 1 && webhooks.items[0].version == 2 && !webhooks.items[0].active);
    assert_int_equal(rows.count, 2); /* the oldest of three is forgotten */
    for (uint32_t i = 0; i < rows.count; i++) {
        if (rows.items[i].state != DELIVERY_DELIVERED) {
            fail_msg("%.*s waits until %lld of %lld", TEXT_ARG(rows.items[i].id), (long long)rows.items[i].next_at,
                     (long long)desk->now_ms);
        }
    }
    assert_int_equal(others.count, 0);
    return ERR_NONE;
}

static const struct scenario scenario = {{step_make, step_page, step_deliver, step_change}, step_purge, step_check};

static void test_every_call_fails_once(void **state)
{
    (void)state;
    failing_from_first_to_last(false, 25);
    failing_from_first_to_last(true, 25);
}

#endif
