/* An event store whose N-th call fails, for N = 0, 1, 2 ... until none does: what is repeated is there once. */
#include "lib/base/mem.h"
#include "tests/contract/contract_event.h"

struct failing_store {
    struct event_store base;
    struct event_store *inner;
    int calls_left; /* good calls before the one that fails; never when negative */
    bool failed;
};

static bool call_fails(struct event_store *self, struct fault *fault)
{
    struct failing_store *store = (struct failing_store *)self;
    if (store->calls_left-- != 0) {
        return false;
    }
    store->failed = true;
    fault_set(fault, ERR_SERVICE_UNAVAILABLE, "this call was to fail");
    return true;
}

static struct event_store *inner_of(struct event_store *self)
{
    return ((struct failing_store *)self)->inner;
}

static enum err failing_stream(struct event_store *self, struct fault *fault, struct event_stream *out)
{
    return call_fails(self, fault) ? ERR_SERVICE_UNAVAILABLE : inner_of(self)->ops->stream(inner_of(self), fault, out);
}

static enum err failing_append(struct event_store *self, const struct event_append *batch, struct fault *fault,
                               struct event_added *out)
{
    return call_fails(self, fault) ? ERR_SERVICE_UNAVAILABLE
                                   : inner_of(self)->ops->append(inner_of(self), batch, fault, out);
}

static enum err failing_page(struct event_store *self, const struct event_filter *filter, struct arena *arena,
                             struct fault *fault, struct event_rows *out)
{
    return call_fails(self, fault) ? ERR_SERVICE_UNAVAILABLE
                                   : inner_of(self)->ops->page(inner_of(self), filter, arena, fault, out);
}

static enum err failing_topics(struct event_store *self, struct arena *arena, struct fault *fault,
                               struct topic_rows *out)
{
    return call_fails(self, fault) ? ERR_SERVICE_UNAVAILABLE
                                   : inner_of(self)->ops->topics(inner_of(self), arena, fault, out);
}

static enum err failing_mark(struct event_store *self, int64_t published, struct fault *fault)
{
    return call_fails(self, fault) ? ERR_SERVICE_UNAVAILABLE
                                   : inner_of(self)->ops->mark(inner_of(self), published, fault);
}

static enum err failing_purge(struct event_store *self, int64_t before_ms, uint32_t max_count, struct fault *fault,
                              uint32_t *out_count)
{
    return call_fails(self, fault) ? ERR_SERVICE_UNAVAILABLE
                                   : inner_of(self)->ops->purge(inner_of(self), before_ms, max_count, fault, out_count);
}

static enum err failing_lease(struct event_store *self, int64_t now_ms, struct fault *fault, bool *out_held)
{
    return call_fails(self, fault) ? ERR_SERVICE_UNAVAILABLE
                                   : inner_of(self)->ops->lease(inner_of(self), now_ms, fault, out_held);
}

static enum err failing_leave(struct event_store *self, struct fault *fault)
{
    return call_fails(self, fault) ? ERR_SERVICE_UNAVAILABLE : inner_of(self)->ops->leave(inner_of(self), fault);
}

static void failing_destroy(struct event_store *self)
{
    event_store_destroy(&((struct failing_store *)self)->inner);
    mem_free(self);
}

static void failing_fresh(struct event_store *self, struct event_rows *out)
{
    inner_of(self)->ops->fresh(inner_of(self), out);
}

static const struct event_store_ops failing_ops = {failing_stream, failing_append, failing_page,
                                                   failing_topics, failing_mark,   failing_purge,
                                                   failing_lease,  failing_leave,  failing_destroy,
                                                   failing_fresh};

/* ---- the scenario ---- */

static struct event_store *failing_opened(struct place *place, int good_calls)
{
    struct failing_store *store = mem_alloc(sizeof *store);
    store->inner = place_store(place, true, 1);
    store->base = *store->inner;
    store->base.ops = &failing_ops;
    store->calls_left = good_calls;
    return &store->base;
}

/* A caller who repeats what failed, whole, until it is answered. Repeats never leave a gap or a double. */
static void scenario_run(struct place *place, struct event_store *store)
{
    struct event_new events[] = {event_of("evt_1", "order.placed", "usr_1", 10),
                                 event_of("evt_2", "order.shipped", "usr_1", 11),
                                 event_of("evt_3", "order.placed", "usr_2", 12)};
    uint32_t new_count = 0;
    struct event_stream stream;
    struct topic_rows topics;
    bool held = false;
    for (uint32_t last = 1; last <= 3; last++) {
        while (appended(store, events, last, &new_count) != ERR_NONE) {
        }
    }
    while (store->ops->lease(store, 1, &place->fault, &held) != ERR_NONE) {
    }
    assert_true(held);
    while (store->ops->mark(store, 3, &place->fault) != ERR_NONE) {
    }
    while (store->ops->topics(store, &place->arena, &place->fault, &topics) != ERR_NONE) {
    }
    assert_true(topics.count == 2 && topics.items[0].tseq == 2 && topics.items[1].tseq == 1);
    while (store->ops->purge(store, 5, 10, &place->fault, &new_count) != ERR_NONE) {
    }
    while (store->ops->stream(store, &place->fault, &stream) != ERR_NONE) {
    }
    while (store->ops->leave(store, &place->fault) != ERR_NONE) {
    }
    assert_true(stream.head == 3 && stream.oldest == 1 && stream.published == 3);
}

static void every_call_may_fail(void **state)
{
    struct place *place = *state;
    bool failed = true;
    for (int n = 0; failed; n++) {
        struct event_store *store = failing_opened(place, n);
        scenario_run(place, store);
        failed = ((struct failing_store *)store)->failed;
        assert_gap_free(place, inner_of(store), 3);
        event_store_destroy(&store);
        assert_true(n < 100 && (n > 5 || failed));
        place_empty(place);
    }
}

int contract_event_failing_run(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_call_may_fail, place_make, place_drop),
    };
    return cmocka_run_group_tests_name("event log that fails", tests, NULL, NULL);
}
