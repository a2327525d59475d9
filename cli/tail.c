#include "cli/tail.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "cli/operator.h"
#include "cli/shop.h"
#include "gateway/codec_json.h"
#include "lib/base/clock.h"
#include "lib/bus/main.h"
#include "lib/bus/tap.h"

enum { LINE_MAX_SIZE = 1024 * 1024, FIRST_BEACON_MS = 5000, TAIL_MESSAGE_SIZE = 512, TOPIC_MAX_SIZE = 60, LOG_RETRY_S = 1 };

#define TAIL_CONFIG(X)                                                                                              \
    X(STRING, events, "events", "tcp://127.0.0.1:5556", 1, 255, "address of the PUB socket")                        \
    X(NUMBER, after, "after", "-1", -1, INT64_MAX, "first what the log has behind this seq; -1: only what comes")   \
    X(SWITCH, json, "json", "no", 0, 0, "a line of JSON an event")                                                  \
    X(NUMBER, count, "count", "0", 0, INT64_MAX, "ends after so many events; 0: never")
CONFIG_DECLARE(tail_config, TAIL_CONFIG);
CONFIG_DEFINE(tail_config, TAIL_CONFIG)

struct tail_settings {
    struct operator_config shop;
    struct tail_config tail;
};

static const struct config_section sections[] = {
    {"Events", &tail_config_rows, offsetof(struct tail_settings, tail)},
    {"Shop, to ask for what was missed", &operator_config_rows, offsetof(struct tail_settings, shop)}};
static const struct config_table table = {.program = "zmart tail",
                                          .summary = "shows the shop's events",
                                          .usage = "[TOPIC...] [flags], such as order order.placed",
                                          .sections = sections,
                                          .section_count = ARRAY_COUNT(sections)};

/* A loss shows by type, so that one type may be ahead of what another one still misses. */
struct shown_type {
    char name[EVENT_TOPIC_SIZE];
    int64_t seq; /* of the newest one shown */
};

struct tail {
    struct tail_settings settings;
    struct log log;
    struct env env;
    char topics[TAP_MAX_TOPICS][TOPIC_MAX_SIZE + 2]; /* with the closing dot */
    const char *topic_list[TAP_MAX_TOPICS + 1];
    int topic_count;
    struct event_tap *tap;
    struct bus_config bus;
    char base[BUS_ADDRESS_SIZE];
    struct bus_client *client; /* NULL: what was missed cannot be asked for */
    int64_t whole_seq;         /* everything wanted up to here was shown; -1: not known yet */
    int64_t newest_seq;        /* shown */
    struct shown_type types[STREAM_MAX_TOPICS]; /* where they stand that are ahead of whole_seq */
    int type_count;
    int64_t shown_count;
    bool beacon_heard;
    bool lost;
};

/* ---- showing ---- */

struct shown {
    int64_t seq;
    struct text id, type, subject, time, data;
};

static bool json_add(const struct shown *event, const struct record *record, const void *payload, struct buffer *out)
{
    return buffer_add_string(out, "{\"seq\":") && buffer_add_int(out, event->seq) &&
           buffer_add_string(out, ",\"id\":") && buffer_add_json_string(out, event->id) &&
           buffer_add_string(out, ",\"type\":") && buffer_add_json_string(out, event->type) &&
           buffer_add_string(out, ",\"time\":") && buffer_add_json_string(out, event->time) &&
           buffer_add_string(out, ",\"subject\":") && buffer_add_json_string(out, event->subject) &&
           buffer_add_string(out, ",\"data\":") &&
           (payload ? json_write(record, payload, out) : buffer_add_string(out, "null")) &&
           buffer_add_string(out, "}\n");
}

/* What it is about, in a few words; nothing for a record that is not known here. */
static bool gist_add(const struct record *record, const void *payload, struct buffer *out)
{
    char amount[MONEY_TEXT_SIZE];
    if (record == &order_event_record) {
        const struct order_event *order = payload;
        money_format(order->total, currency_decimals(order->currency), amount);
        return buffer_printf(out, "  %.*s %s %.*s", TEXT_ARG(order->number), amount, TEXT_ARG(order->currency));
    }
    if (record == &product_event_record) {
        const struct product_event *product = payload;
        money_format(product->price, currency_decimals(product->currency), amount);
        return buffer_printf(out, "  %.*s %s %.*s, %" PRId64 " on stock", TEXT_ARG(product->sku), amount,
                             TEXT_ARG(product->currency), product->stock);
    }
    if (record == &user_event_record) {
        const struct user_event *user = payload;
        return buffer_printf(out, "  %s", enum_name(&role_names, (int)user->role));
    }
    return true;
}

static bool words_add_to(const struct shown *event, const struct record *record, const void *payload,
                         struct buffer *out)
{
    return buffer_printf(out, "%8" PRId64 "  %.*s  %-21.*s %.*s", event->seq, TEXT_ARG(event->time),
                         TEXT_ARG(event->type), TEXT_ARG(event->subject)) &&
           (!payload || gist_add(record, payload, out)) && buffer_add_char(out, '\n');
}

static bool output_write(const struct buffer *out)
{
    return fwrite(out->data, 1, out->size, stdout) == out->size && fflush(stdout) == 0;
}

/* NULL for a type of which nothing was shown. */
static struct shown_type *type_find(struct tail *self, struct text type)
{
    for (int i = 0; i < self->type_count; i++) {
        if (text_is(type, self->types[i].name)) {
            return &self->types[i];
        }
    }
    return NULL;
}

static bool is_shown(struct tail *self, const struct shown *event)
{
    const struct shown_type *type = type_find(self, event->type);
    return event->seq <= self->whole_seq || (type && event->seq <= type->seq);
}

static void shown_remember(struct tail *self, const struct shown *event)
{
    struct shown_type *type = type_find(self, event->type);
    if (!type && self->type_count < STREAM_MAX_TOPICS) {
        type = &self->types[self->type_count++];
        (void)!text_to_string(event->type, type->name, sizeof type->name);
    }
    if (type) {
        type->seq = event->seq;
    }
    self->newest_seq = event->seq > self->newest_seq ? event->seq : self->newest_seq;
    self->shown_count++;
}

/* False when nobody reads any more. */
static bool event_show(struct tail *self, const struct shown *event)
{
    AUTO(arena_release) struct arena arena = {0};
    AUTO(buffer_release) struct buffer line;
    const struct event_info *info = event_find(event->type);
    void *payload = info ? arena_alloc(&arena, info->payload->size) : NULL;
    if (payload && record_unpack(info->payload, event->data, &arena, NULL, payload) != ERR_NONE) {
        payload = NULL;
    }
    buffer_init(&line, LINE_MAX_SIZE);
    bool added =
        (self->settings.tail.json ? json_add : words_add_to)(event, info ? info->payload : NULL, payload, &line);
    shown_remember(self, event);
    return added && output_write(&line);
}

static bool is_enough(const struct tail *self)
{
    return self->settings.tail.count > 0 && self->shown_count >= self->settings.tail.count;
}

/* ---- what was missed ---- */

/* Topics as patterns of types: order. is order and order.* */
static struct text_list patterns_make(const struct tail *self, struct arena *arena)
{
    struct text_list list = {.items = arena_alloc(arena, 2 * TAP_MAX_TOPICS * sizeof *list.items)};
    for (int i = 0; i < self->topic_count; i++) {
        struct text topic = text_of(self->topics[i]);
        char *pattern = arena_copy(arena, self->topics[i], topic.size + 1);
        pattern[topic.size] = '*';
        list.items[list.count++] = (struct text){topic.data, topic.size - 1};
        list.items[list.count++] = (struct text){pattern, topic.size + 1};
    }
    return list;
}

/* Shows what is new of a page behind *after, and moves that on. */
static enum err page_show(struct tail *self, int64_t *after, struct fault *fault, bool *out_more)
{
    AUTO(arena_release) struct arena arena = {0};
    struct call_meta meta = {.caller = TEXT("zmart-tail")};
    struct event_replay ask = {.after = *after, .limit = EVENT_BATCH_MAX, .types = patterns_make(self, &arena)};
    struct event_page page;
    fault->arena = &arena;
    set_has(call_meta, &meta, caller);
    set_has(event_replay, &ask, limit);
    if (ask.types.count) {
        set_has(event_replay, &ask, types);
    }
    enum err e = bus_client_do(self->client, OP_event_replay, NULL, &meta, &ask, &arena, fault, &page);
    for (uint32_t i = 0; e == ERR_NONE && i < page.data.count && !is_enough(self); i++) {
        const struct event_entry *entry = &page.data.items[i];
        char time[CLOCK_TEXT_SIZE];
        clock_format(entry->time, time);
        struct shown event = {entry->seq, entry->id, entry->type, entry->subject, text_of(time), entry->data};
        *after = entry->seq;
        /* without data it is not for the outside */
        if (entry->data.size > 0 && !is_shown(self, &event) && !event_show(self, &event)) {
            return fault_set(fault, ERR_INTERNAL, "the output is closed");
        }
    }
    fault->arena = NULL;
    *out_more = e == ERR_NONE && page.has_more && !is_enough(self);
    if (e == ERR_NONE && !*out_more && page.head > *after) {
        *after = page.head;
    }
    return e;
}

/* Shows everything behind whole_seq that the log has by now, and was not shown. */
static enum err log_show(struct tail *self, struct fault *fault)
{
    int64_t after = self->whole_seq;
    bool more = true;
    enum err e = ERR_NONE;
    fault_init(fault, NULL);
    while (e == ERR_NONE && more) {
        e = page_show(self, &after, fault, &more);
    }
    if (e == ERR_NONE) {
        self->whole_seq = after;
    }
    return e;
}

/* The same, asking again while nobody answers: what is missed now would be missed for good. */
static enum err log_show_in_the_end(struct tail *self, struct fault *fault)
{
    enum err e = log_show(self, fault);
    for (bool told = false; e != ERR_NONE && err_info(e)->retry; told = true) {
        struct timespec pause = {.tv_sec = LOG_RETRY_S};
        if (!told) {
            shop_refuse("the log does not answer (%s): asking again", err_info(e)->title);
        }
        nanosleep(&pause, NULL);
        e = log_show(self, fault);
    }
    return e;
}

/* newest: what was heard last. */
static void gap_repair(struct tail *self, int64_t newest)
{
    struct fault fault = {0};
    int64_t before = self->whole_seq;
    enum err e = self->client ? log_show_in_the_end(self, &fault) : ERR_SERVICE_UNAVAILABLE;
    if (e == ERR_POSITION_LOST) {
        self->whole_seq = fault.head; /* nothing before can be had any more */
    }
    if (e != ERR_NONE) {
        self->lost = true;
        shop_refuse("missed events between seq %" PRId64 " and %" PRId64 "%s%s", before,
                    e == ERR_POSITION_LOST ? fault.head : newest,
                    self->client ? ": " : " (name a --bus or a --data, and they are asked for)",
                    self->client ? (fault.detail[0] ? fault.detail : err_info(e)->title) : "");
    }
}

/* ---- what comes ---- */

/* A restored log goes on far above all that it ever published; one that was begun anew counts from 1 again. */
static void epoch_enter(struct tail *self, const struct event_meta *meta)
{
    bool anew = meta->seq < self->newest_seq || meta->seq < self->whole_seq;
    shop_refuse("the log was %s, its epoch is %" PRId64 " now: going on behind seq %" PRId64,
                anew ? "begun anew" : "restored", meta->epoch, anew ? 0 : self->whole_seq);
    if (anew) {
        self->whole_seq = self->newest_seq = 0;
        self->type_count = 0;
    }
}

static bool news_take(struct tail *self, enum tap_news news, const struct tap_event *event)
{
    const struct event_meta *meta = event->meta;
    if (self->whole_seq < 0) {
        self->whole_seq = news == TAP_EVENT ? meta->seq - 1 : meta->seq;
    }
    if (event->restored) {
        epoch_enter(self, meta);
    }
    /* before the first beacon a loss cannot be seen */
    if (event->gap || (news == TAP_BEACON && !self->beacon_heard && self->client)) {
        gap_repair(self, meta->seq);
    }
    if (news == TAP_BEACON) {
        self->beacon_heard = true;
        /* it follows what it tells of, and nothing is missing any more */
        self->whole_seq = meta->seq > self->whole_seq ? meta->seq : self->whole_seq;
    }
    struct shown shown = {meta->seq, meta->id, meta->type, meta->subject, meta->time, event->data};
    return news != TAP_EVENT || is_shown(self, &shown) || is_enough(self) || event_show(self, &shown);
}

static int tail_run(struct tail *self)
{
    struct tap_event event;
    struct fault fault;
    enum tap_news news = tap_next(self->tap, FIRST_BEACON_MS, &event);
    if (news == TAP_NOTHING) {
        return shop_refuse("nothing is heard at %s%s", self->settings.tail.events,
                           self->settings.shop.keys[0] ? "" : " (where it asks for keys: --keys DIR --key NAME)");
    }
    if (self->settings.tail.after >= 0) {
        self->whole_seq = self->settings.tail.after;
        enum err e = log_show_in_the_end(self, &fault);
        if (e != ERR_NONE) {
            return shop_refuse("%s%s%s", err_info(e)->title, fault.detail[0] ? ": " : "", fault.detail);
        }
    }
    bool read = true;
    while (read && !is_enough(self)) {
        read = news == TAP_NOTHING || news_take(self, news, &event);
        news = read && !is_enough(self) ? tap_next(self->tap, -1, &event) : TAP_NOTHING;
    }
    return self->lost || !read ? PROCESS_FAILED : PROCESS_OK;
}

/* ---- beginning and end ---- */

static bool topics_read(struct tail *self, char *const *names, int count)
{
    for (int i = 0; i < count; i++) {
        size_t size = strlen(names[i]);
        if (count > TAP_MAX_TOPICS || size == 0 || size > TOPIC_MAX_SIZE || names[i][0] == '_') {
            shop_refuse("tail takes up to %d topics such as order or order.placed", TAP_MAX_TOPICS);
            return false;
        }
        snprintf(self->topics[i], sizeof self->topics[i], "%s%s", names[i], names[i][size - 1] == '.' ? "" : ".");
        self->topic_list[i] = self->topics[i];
    }
    self->topic_count = count;
    return true;
}

/* Without a shop there is nobody to ask, which matters only when something is missed. */
static bool shop_find(struct tail *self, char *message)
{
    struct console *console = operator_new(&self->settings.shop, message, TAIL_MESSAGE_SIZE);
    if (!console) {
        return false;
    }
    snprintf(self->base, sizeof self->base, "%s", operator_address(console, 0));
    operator_destroy(&console);
    self->bus = (struct bus_config){.bus = self->base,
                                    .heartbeat_ms = 1000,
                                    .keys = self->settings.shop.keys,
                                    .key = self->settings.shop.key,
                                    .insecure_loopback = self->settings.shop.insecure_loopback};
    struct bus_client_settings client = {.bus = &self->bus, .role = "operator", .slot_count = 1};
    self->client = bus_client_new(&self->env, &client, message, TAIL_MESSAGE_SIZE);
    return self->client != NULL;
}

static int tail_open_and_run(struct tail *self)
{
    char message[TAIL_MESSAGE_SIZE];
    struct tap_settings tap = {.address = self->settings.tail.events,
                               .topics = self->topic_list,
                               .keys = self->settings.shop.keys,
                               .key = self->settings.shop.key};
    bool must = self->settings.tail.after >= 0 || self->settings.shop.bus[0];
    if (!shop_find(self, message) && must) {
        return shop_refuse("%s", message);
    }
    self->tap = tap_new(&self->env, &tap, message, sizeof message);
    return self->tap ? tail_run(self) : shop_refuse("%s", message);
}

int tail_main(const struct words *argv)
{
    char message[TAIL_MESSAGE_SIZE];
    struct tail self = {.whole_seq = -1};
    int rest = 0;
    switch (config_load(&table, argv->count, argv->items, &self.settings, &rest, message, sizeof message)) {
    case CONFIG_HELP: config_print_help(&table, stdout); return PROCESS_OK;
    case CONFIG_BAD: shop_refuse("%s", message); return PROCESS_BAD_CONFIG;
    case CONFIG_OK: break;
    }
    if (!topics_read(&self, argv->items + 1, rest)) {
        return PROCESS_BAD_CONFIG;
    }
    self.log = (struct log){.fd = STDERR_FILENO, .level = LOG_ERROR, .program = "zmart"};
    self.env = (struct env){.log = &self.log,
                            .metrics = metrics_new(),
                            .instance = "zmart-tail",
                            .bus_context = bus_context_new(),
                            .stop_fd = -1};
    int status = tail_open_and_run(&self);
    tap_destroy(&self.tap);
    bus_client_destroy(&self.client);
    bus_context_destroy(&self.env.bus_context);
    metrics_destroy(&self.env.metrics);
    return status;
}
