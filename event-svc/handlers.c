/* Operations, beacon and publishing. Loop 0 appends and owns the publisher; further loops only replay. */
#include "event-svc/program.h"
#include "event-svc/rules.h"
#include "event-svc/store.h"
#include "lib/base/invariant.h"
#include "lib/bus/publisher.h"
#include "lib/store/share.h"

#define BIND_OPS "proto/ops/event.def"
#include "lib/bus/bind_ops.h"

enum { PUBLISH_HOLD_MS = 500, BEACON_EVERY_MS = 1000, MARK_STEP = 64 };
enum { MARK_EVERY_MS = 10 * 1000, LOOK_EVERY_MS = 50, PURGE_EVERY_MS = 60 * 1000, TIMER_BUDGET_MS = 5000, MONGO_LOOPS = 4 };

/* Of one loop. */
struct event_state {
    struct event_store *store;   /* owned */
    struct publisher *publisher; /* owned; NULL on loops that only read */
    struct text stream;          /* the log's name; borrowed from the settings */
    int64_t epoch;
    int64_t published;           /* everything up to here was given to the publisher */
    int64_t marked;              /* what the store remembers of it */
    int64_t opened_ms;           /* when this loop's clock began */
    int64_t lease_until_ms;      /* we work until then; without a lease that is always */
    bool beacon_due;             /* sent after the commit, so that it never tells of what is rolled back */
    struct metric *appended;
    struct metric *repeated;
    struct metric *sent;
    struct metric *purged;
    struct metric *head;
};

/* ---- append ---- */

static enum err events_check(const struct event_append *in, struct fault *fault)
{
    enum err e = ERR_NONE;
    for (uint32_t i = 0; i < in->events.count; i++) {
        if (!type_is_valid(in->events.items[i].type)) {
            char pointer[40];
            snprintf(pointer, sizeof pointer, "/events/%u/type", i);
            e = fault_set(fault, ERR_INVALID_BODY, NULL);
            fault_add(fault, pointer, "format", -1, "is no type of events, such as order.placed");
        }
    }
    return e;
}

/* Whether we are the one who publishes. */
static bool is_ours(const struct event_state *state)
{
    return state->publisher && (!state->store->many || clock_now_ms() < state->lease_until_ms);
}

static enum err published_mark(struct event_state *state, struct fault *fault)
{
    if (state->marked == state->published || !is_ours(state)) {
        return ERR_NONE;
    }
    enum err e = state->store->ops->mark(state->store, state->published, fault);
    state->marked = e == ERR_NONE ? state->published : state->marked;
    return e;
}

static enum err event_append(struct call *call, const struct event_append *in, struct event_appended *out)
{
    struct event_state *state = call_state(call);
    struct event_added added;
    enum err e = events_check(in, call_fault(call));
    /* with an append, so that it costs no commit of its own, but not with each: the mark is a page of its own */
    if (e == ERR_NONE && !state->store->many && state->published - state->marked >= MARK_STEP) {
        e = published_mark(state, call_fault(call));
    }
    if (e == ERR_NONE) {
        e = state->store->ops->append(state->store, in, call_fault(call), &added);
    }
    if (e != ERR_NONE) {
        return e;
    }
    metric_add(state->appended, added.new_count);
    metric_add(state->repeated, (int64_t)in->events.count - added.new_count);
    out->head = added.head;
    return ERR_NONE;
}

/* ---- replay ---- */

static enum err patterns_check(const struct event_replay *in, struct fault *fault)
{
    enum err e = ERR_NONE;
    for (uint32_t i = 0; i < in->types.count; i++) {
        if (!pattern_is_valid(in->types.items[i])) {
            e = fault_set(fault, ERR_INVALID_PARAMETER, NULL);
            fault_add(fault, "?types", "format", -1, "takes types such as order.placed, or a beginning and *");
        }
    }
    return e;
}

/* The log's types that the patterns mean. */
static enum err types_pick(struct call *call, const struct event_replay *in, struct text_list *out)
{
    struct event_state *state = call_state(call);
    struct topic_rows topics;
    enum err e = state->store->ops->topics(state->store, call_arena(call), call_fault(call), &topics);
    if (e != ERR_NONE) {
        return e;
    }
    out->items = arena_alloc(call_arena(call), EVENT_TOPIC_MAX * sizeof *out->items);
    out->count = 0;
    for (uint32_t i = 0; i < topics.count; i++) {
        if (patterns_match(&in->types, topics.items[i].topic)) {
            out->items[out->count++] = topics.items[i].topic;
        }
    }
    return ERR_NONE;
}

static enum err page_fill(struct call *call, const struct event_replay *in, const struct event_stream *stream,
                          struct event_page *out)
{
    struct event_state *state = call_state(call);
    struct text_list types = {0};
    struct event_rows rows = {0};
    struct event_filter filter = {
        .after = in->after,
        .last = stream->head,
        .limit = has(event_replay, in, limit) ? (uint32_t)in->limit : EVENT_PAGE_DEFAULT,
        .every_type = !has(event_replay, in, types) || in->types.count == 0,
        .types = &types,
        .user_id = has(event_replay, in, user_id) ? in->user_id : (struct text){0},
    };
    enum err e = filter.every_type ? ERR_NONE : types_pick(call, in, &types);
    if (e == ERR_NONE) {
        e = state->store->ops->page(state->store, &filter, call_arena(call), call_fault(call), &rows);
    }
    if (e == ERR_NONE) {
        out->data.items = rows.items;
        out->data.count = rows.count;
        out->has_more = rows.has_more;
    }
    return e;
}

static enum err event_replay(struct call *call, const struct event_replay *in, struct event_page *out)
{
    struct event_state *state = call_state(call);
    struct fault *fault = call_fault(call);
    struct event_stream stream;
    enum err e = patterns_check(in, fault);
    if (e == ERR_NONE) {
        e = state->store->ops->stream(state->store, fault, &stream);
    }
    if (e != ERR_NONE) {
        return e;
    }
    out->head = stream.head;
    out->epoch = stream.epoch;
    switch (position_check(in->after, stream.oldest, stream.head)) {
    case POSITION_AT_END: return ERR_NONE;
    case POSITION_SERVED: return page_fill(call, in, &stream, out);
    case POSITION_BEFORE_LOG: break;
    }
    fault_set(fault, ERR_POSITION_LOST, "the log begins at %lld", (long long)stream.oldest);
    fault->head = stream.head;
    return ERR_POSITION_LOST;
}

/* ---- dead letters ---- */

static struct letter_keeping keeping_of(struct call *call)
{
    const struct event_settings *settings = service_config_of(call_loop(call));
    return (struct letter_keeping){.count_max = settings->event.letter_count, .days = settings->event.letter_days};
}

static enum err event_letter_add(struct call *call, const struct dead_letter *in, struct nothing *out)
{
    const struct event_store *store = ((struct event_state *)call_state(call))->store;
    struct letter_keeping keeping = keeping_of(call);
    (void)out;
    return letters_add(store->letters, store->handle, in, &keeping, clock_wall_ms(), call_fault(call));
}

static enum err event_letter_list(struct call *call, const struct nothing *in, struct mmi_dead_letters *out)
{
    const struct event_store *store = ((struct event_state *)call_state(call))->store;
    (void)in;
    return store->letters->list(store->handle, clock_wall_ms(), call_arena(call), call_fault(call), out);
}

static enum err event_letter_take(struct call *call, const struct letter_take *in, struct dead_letter *out)
{
    const struct event_store *store = ((struct event_state *)call_state(call))->store;
    return store->letters->take(store->handle, in, clock_wall_ms(), call_arena(call), call_fault(call), out);
}

static enum err event_letter_drop(struct call *call, const struct letter_drop *in, struct nothing *out)
{
    const struct event_store *store = ((struct event_state *)call_state(call))->store;
    (void)out;
    return store->letters->drop(store->handle, in, clock_wall_ms(), call_fault(call));
}

static enum err letters_run(struct call *call, void *argument)
{
    const struct event_store *store = ((struct event_state *)call_state(call))->store;
    struct letter_keeping keeping = keeping_of(call);
    (void)argument;
    return store->letters->trim(store->handle, letters_cutoff_ms(&keeping, clock_wall_ms()), keeping.count_max,
                                call_fault(call));
}

/* ---- publishing ---- */

static void entry_publish(struct event_state *state, const struct event_entry *entry)
{
    char topic[EVENT_TOPIC_SIZE];
    char time[CLOCK_TEXT_SIZE];
    struct event_meta meta;
    meta_make(entry, state->stream, state->epoch, time, &meta);
    publisher_send(state->publisher, topic_make(entry->type, topic), &meta, entry->data, entry->private_data);
    state->published = entry->seq;
    metric_add(state->sent, 1);
}

/* What this process has stored itself is published without reading it back, if it comes next. */
static bool fresh_publish(struct event_state *state)
{
    struct event_rows rows;
    state->store->ops->fresh(state->store, &rows);
    for (uint32_t i = 0; i < rows.count; i++) {
        if (rows.items[i].seq != state->published + 1) {
            return false; /* something of others is between, or was not published when it came */
        }
        entry_publish(state, &rows.items[i]);
    }
    return rows.count > 0;
}

/* Everything that the log has and that was not published yet, in order. */
static enum err log_publish(struct event_state *state, struct fault *fault)
{
    enum err e = ERR_NONE;
    bool more = true;
    while (e == ERR_NONE && more && is_ours(state)) {
        AUTO(arena_release) struct arena arena = {0};
        struct event_rows rows = {0};
        struct event_filter filter = {
            .after = state->published, .last = INT64_MAX, .limit = EVENT_BATCH_MAX, .every_type = true};
        e = state->store->ops->page(state->store, &filter, &arena, fault, &rows);
        for (uint32_t i = 0; i < rows.count; i++) {
            entry_publish(state, &rows.items[i]);
        }
        more = rows.has_more;
    }
    return e;
}

static void beacon_publish(struct event_state *state, struct topic_rows *topics, struct arena *arena)
{
    char time[CLOCK_TEXT_SIZE];
    struct event_meta meta;
    for (uint32_t i = 0; i < topics->count; i++) {
        char topic[EVENT_TOPIC_SIZE];
        struct text dotted = topic_make(topics->items[i].topic, topic);
        topics->items[i].topic = (struct text){arena_copy(arena, dotted.data, dotted.size), dotted.size};
    }
    struct stream_head beacon = {.stream = state->stream,
                                 .epoch = state->epoch,
                                 .seq = state->published,
                                 .topics = {topics->items, topics->count}};
    meta_make_head(&beacon, clock_wall_ms(), time, &meta);
    struct text data = record_pack_in(&stream_head_record, &beacon, arena);
    publisher_send(state->publisher, TEXT("_head."), &meta, data, (struct text){0});
}

/* A beacon follows what it tells of: its numbers are read before the entries that they count are published, and some of
 * these may be others'. */
static enum err news_publish(struct event_state *state, struct fault *fault)
{
    AUTO(arena_release) struct arena arena = {0};
    struct topic_rows topics = {0};
    bool beacon_due = state->beacon_due;
    enum err e = beacon_due ? state->store->ops->topics(state->store, &arena, fault, &topics) : ERR_NONE;
    if (e == ERR_NONE && (!fresh_publish(state) || beacon_due)) {
        e = log_publish(state, fault);
    }
    metric_set(state->head, state->published);
    if (e == ERR_NONE && beacon_due && is_ours(state)) {
        state->beacon_due = false;
        beacon_publish(state, &topics, &arena);
    }
    return e;
}

static void event_committed(struct service_loop *loop, void *own)
{
    struct event_state *state = own;
    struct fault fault;
    /* a PUB socket drops what it is given before the brokers have subscribed: the first moments wait */
    if (!is_ours(state) || clock_now_ms() - state->opened_ms < PUBLISH_HOLD_MS) {
        return;
    }
    fault_init(&fault, NULL);
    enum err e = news_publish(state, &fault);
    if (e != ERR_NONE) { /* the next commit, at the latest the next beacon, tries again */
        log_warn(service_env(loop)->log, "event.publish_failed", KV("code", err_info(e)->slug),
                 KV("cause", fault.cause));
    }
}

/* Where publishing goes on: what we have sent ourselves is sent for certain. */
static enum err position_take(struct event_state *state, struct fault *fault)
{
    struct event_stream stream;
    enum err e = state->store->ops->stream(state->store, fault, &stream);
    if (e == ERR_NONE) {
        int64_t published = position_to_publish(stream.published, stream.head);
        state->epoch = stream.epoch;
        state->marked = stream.published;
        state->published = state->published > published ? state->published : published;
    }
    return e;
}

/* Takes or renews the lease. What is ours is so from before we asked. */
static enum err lease_look(struct service_loop *loop, struct event_state *state, struct fault *fault)
{
    int64_t now_ms = clock_now_ms();
    bool was_ours = is_ours(state);
    bool held = false;
    enum err e = state->store->ops->lease(state->store, now_ms, fault, &held);
    if (e == ERR_NONE && held && !was_ours) {
        e = position_take(state, fault);
        log_info(service_env(loop)->log, "event.lease_taken", KV_INT("published", state->published));
    }
    if (e == ERR_NONE) {
        state->lease_until_ms = held ? now_ms + EVENT_LEASE_MS : 0;
    }
    return e;
}

/* ---- timers ---- */

static enum err beacon_run(struct call *call, void *argument)
{
    struct event_state *state = call_state(call);
    (void)argument;
    enum err e = state->store->many ? lease_look(call_loop(call), state, call_fault(call)) : ERR_NONE;
    state->beacon_due = e == ERR_NONE && is_ours(state);
    return e;
}

/* What other processes have appended is published after this "commit". */
static enum err look_run(struct call *call, void *argument)
{
    (void)call;
    (void)argument;
    return ERR_NONE;
}

static enum err mark_run(struct call *call, void *argument)
{
    (void)argument;
    return published_mark(call_state(call), call_fault(call));
}

static enum err purge_run(struct call *call, void *argument)
{
    struct event_state *state = call_state(call);
    const struct event_settings *settings = service_config_of(call_loop(call));
    int64_t cutoff_ms = retention_cutoff_ms(clock_wall_ms(), settings->event.retention_days);
    uint32_t count = 0;
    (void)argument;
    if (cutoff_ms == 0 || !is_ours(state)) {
        return ERR_NONE;
    }
    enum err e = state->store->ops->purge(state->store, cutoff_ms, EVENT_PURGE_STEP, call_fault(call), &count);
    if (e == ERR_NONE && count > 0) {
        metric_add(state->purged, count);
    }
    if (e == ERR_NONE && count == EVENT_PURGE_STEP) { /* more is left: in another batch, so that appends come between */
        service_start(call_loop(call), "event.purge", TIMER_BUDGET_MS, purge_run, NULL);
    }
    return e;
}

static const struct service_timer look = {"event.look", LOOK_EVERY_MS, TIMER_BUDGET_MS, look_run};
static const struct service_timer timers[] = {
    {"event.beacon", BEACON_EVERY_MS, TIMER_BUDGET_MS, beacon_run},
    {"event.mark", MARK_EVERY_MS, TIMER_BUDGET_MS, mark_run},
    {"event.purge", PURGE_EVERY_MS, TIMER_BUDGET_MS, purge_run},
    {"event.letters", PURGE_EVERY_MS, TIMER_BUDGET_MS, letters_run},
};

/* ---- opening and closing ---- */

static void state_destroy(struct event_state **self)
{
    struct event_state *state = *self;
    if (!state) {
        return;
    }
    publisher_destroy(&state->publisher);
    event_store_destroy(&state->store);
    mem_free(state);
    *self = NULL;
}

static void metrics_open(struct event_state *state, struct metrics *metrics)
{
    state->appended =
        metrics_get(metrics, METRIC_COUNTER, "zmart_events_appended_total", "", "Entries added to the log.");
    state->repeated = metrics_get(metrics, METRIC_COUNTER, "zmart_events_repeated_total", "",
                                  "Events handed over again and skipped.");
    state->sent = metrics_get(metrics, METRIC_COUNTER, "zmart_events_published_total", "", "Entries given to PUB.");
    state->purged = metrics_get(metrics, METRIC_COUNTER, "zmart_events_purged_total", "",
                                "Entries dropped after their retention.");
    state->head = metrics_get(metrics, METRIC_GAUGE, "zmart_events_head", "", "Newest position of the log.");
}

/* Where this start goes on, and its publisher. */
static enum err publishing_open(struct service_loop *loop, struct event_state *state, struct fault *fault)
{
    const struct event_settings *settings = service_config_of(loop);
    char message[200];
    enum err e = position_take(state, fault);
    if (e == ERR_NONE) {
        state->publisher = publisher_new(service_env(loop), &settings->bus, message, sizeof message);
        e = state->publisher ? ERR_NONE : fault_set(fault, ERR_SERVICE_UNAVAILABLE, "%s", message);
    }
    return e;
}

/* On MongoDB, too, one loop of a process appends: it batches what waits, and two would only be in each other's way. */
static enum err event_prepare(const void *config, struct env *env, struct fault *fault, struct service_share *out)
{
    const struct event_settings *settings = config;
    enum err e = store_share_prepare(&settings->store, &event_mongo_schema, env, fault, out);
    if (e == ERR_NONE && out->shared) {
        out->loops = MONGO_LOOPS;
        out->all_write = false;
    }
    return e;
}

static enum err event_open(struct service_loop *loop, const void *config, struct fault *fault, struct loop_store *out)
{
    const struct event_settings *settings = config;
    bool writer = service_loop_index(loop) == 0;
    AUTO(state_destroy) struct event_state *state = mem_alloc(sizeof *state);
    state->stream = text_of(settings->event.stream);
    state->opened_ms = clock_now_ms();
    metrics_open(state, service_env(loop)->metrics);
    enum err e = event_store_open(&settings->store, service_shared(loop), writer, clock_wall_ms(),
                                  writer ? service_env(loop)->metrics : NULL, fault, &state->store);
    if (e == ERR_NONE && writer) {
        e = publishing_open(loop, state, fault);
    }
    if (e != ERR_NONE) {
        return e;
    }
    *out = (struct loop_store){.state = state, .unit = state->store->unit, .store = state->store->handle};
    state = NULL;
    return ERR_NONE;
}

static void event_close(struct service_loop *loop, void *own)
{
    struct event_state *state = own;
    struct fault fault;
    fault_init(&fault, NULL);
    if (state->publisher && published_mark(state, &fault) != ERR_NONE) {
        log_warn(service_env(loop)->log, "event.mark_failed", KV("cause", fault.cause));
    }
    if (is_ours(state) && state->store->ops->leave(state->store, &fault) != ERR_NONE) {
        log_warn(service_env(loop)->log, "event.leave_failed", KV("cause", fault.cause));
    }
    state_destroy(&state);
}

const struct service event_service = {
    .name = "event",
    .handlers = bound_ops,
    .handler_count = ARRAY_COUNT(bound_ops),
    .timers = timers,
    .timer_count = ARRAY_COUNT(timers),
    .look = &look,
    .default_loops = 2,
    .prepare = event_prepare,
    .forget = store_share_forget,
    .open = event_open,
    .close = event_close,
    .committed = event_committed,
};
