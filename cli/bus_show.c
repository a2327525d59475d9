#include "cli/bus_show.h"

#include <inttypes.h>
#include <stdio.h>

#include "cli/table.h"
#include "gateway/codec_json.h"

enum { SERVICES_TEXT_SIZE = 1024 };

/* ---- tables ---- */

static bool queues_table(const struct mmi_queue_list *list, struct arena *arena, struct buffer *out)
{
    static const struct table_column columns[] = {{"SERVICE", false},  {"WORKERS", true}, {"CREDIT", true},
                                                  {"IN FLIGHT", true}, {"WAITING", true}, {"BYTES", true},
                                                  {"OLDEST", true}};
    struct table table = {.arena = arena, .columns = columns, .column_count = ARRAY_COUNT(columns)};
    for (uint32_t i = 0; i < list->queues.count; i++) {
        const struct mmi_queue *queue = &list->queues.items[i];
        table_add(&table, queue->service);
        table_add_int(&table, queue->workers);
        table_add_int(&table, queue->credit);
        table_add_int(&table, queue->in_flight);
        table_add_int(&table, queue->length);
        table_add_int(&table, queue->bytes);
        if (queue->length > 0) {
            table_add_ms(&table, queue->oldest_ms);
        } else {
            table_add(&table, TEXT("-"));
        }
    }
    return table_write(&table, out);
}

/* "product 3/256, order 0/64": in flight and credit. */
static struct text services_text(const struct mmi_worker *worker, struct arena *arena)
{
    AUTO(buffer_release) struct buffer text;
    buffer_init(&text, SERVICES_TEXT_SIZE);
    for (uint32_t i = 0; i < worker->services.count; i++) {
        const struct mmi_service *service = &worker->services.items[i];
        (void)buffer_printf(&text, "%s%.*s %" PRId64 "/%" PRId64, i ? ", " : "", TEXT_ARG(service->name),
                            service->in_flight, service->credit);
    }
    return (struct text){arena_copy(arena, text.data, text.size), (uint32_t)text.size};
}

static bool workers_table(const struct mmi_worker_list *list, struct arena *arena, struct buffer *out)
{
    static const struct table_column columns[] = {{"WORKER", false}, {"VERSION", false},
                                                  {"EPOCH", true},   {"SILENT", true},
                                                  {"STATE", false},  {"SERVES (IN FLIGHT/CREDIT)", false}};
    struct table table = {.arena = arena, .columns = columns, .column_count = ARRAY_COUNT(columns)};
    for (uint32_t i = 0; i < list->workers.count; i++) {
        const struct mmi_worker *worker = &list->workers.items[i];
        table_add(&table, worker->instance);
        table_add(&table, worker->version);
        table_add_int(&table, worker->epoch);
        table_add_ms(&table, worker->silent_ms);
        table_add(&table, worker->draining ? TEXT("drains") : TEXT("up"));
        table_add(&table, services_text(worker, arena));
    }
    return table_write(&table, out);
}

static bool letters_table(const struct mmi_dead_letters *list, struct arena *arena, struct buffer *out)
{
    static const struct table_column columns[] = {{"REQUEST", false}, {"ROUTE", false}, {"ATTEMPTS", true},
                                                  {"AGE", true},      {"BYTES", true},  {"KEPT", false},
                                                  {"REQUEUE", false}};
    struct table table = {.arena = arena, .columns = columns, .column_count = ARRAY_COUNT(columns)};
    for (uint32_t i = 0; i < list->letters.count; i++) {
        const struct mmi_dead_letter *letter = &list->letters.items[i];
        table_add(&table, letter->request_id);
        table_add(&table, letter->route);
        table_add_int(&table, letter->attempts);
        table_add_ms(&table, letter->age_ms);
        table_add_int(&table, letter->bytes);
        table_add(&table, letter->stored ? TEXT("in the store") : TEXT("in memory"));
        table_add(&table, letter->secret ? TEXT("no: secret") : TEXT("yes"));
    }
    if (list->partial && !buffer_add_string(out, "those in the store cannot be seen: event-svc does not answer\n")) {
        return false;
    }
    if (list->letters.count == 0) {
        return buffer_add_string(out, "no dead letters\n");
    }
    return table_write(&table, out) &&
           (list->count <= (int64_t)list->letters.count ||
            buffer_printf(out, "and %" PRId64 " older ones\n", list->count - (int64_t)list->letters.count));
}

static bool books_line(const struct bus_view *view, struct buffer *out)
{
    const struct mmi_queue_list *queues = view->queues;
    return buffer_printf(out, "accepted %" PRId64 ", replied %" PRId64 ", nacked %" PRId64 ", in flight %" PRId64 "\n",
                         queues->accepted, queues->replied, queues->nacked, queues->in_flight);
}

static bool peers_line(const struct bus_view *view, struct buffer *out)
{
    return buffer_printf(out, "%u workers, %" PRId64 " clients", (unsigned)view->workers->workers.count,
                         view->workers->clients) &&
           (!view->letters || buffer_printf(out, ", %" PRId64 " dead letters", view->letters->count)) &&
           buffer_add_char(out, '\n');
}

static bool view_tables(enum bus_topic topic, const struct bus_view *view, struct arena *arena, struct buffer *out)
{
    switch (topic) {
    case BUS_STATUS: return books_line(view, out) && peers_line(view, out) && queues_table(view->queues, arena, out);
    case BUS_TOPIC_QUEUES: return books_line(view, out) && queues_table(view->queues, arena, out);
    case BUS_TOPIC_WORKERS: return peers_line(view, out) && workers_table(view->workers, arena, out);
    case BUS_TOPIC_DLQ: return letters_table(view->letters, arena, out);
    }
    return true;
}

bool bus_show_tables(enum bus_topic topic, const struct bus_view *views, int view_count, struct arena *arena,
                     struct buffer *out)
{
    bool added = true;
    for (int i = 0; added && i < view_count; i++) {
        const struct bus_view *view = &views[i];
        added = buffer_printf(out, "%sbroker %s: ", i ? "\n" : "", view->address);
        if (view->error) {
            added = added && buffer_printf(out, "%s\n", view->error);
            continue;
        }
        added = added &&
                buffer_printf(out, "answered in %" PRId64 ".%" PRId64 " ms\n", view->answered_us / 1000,
                              view->answered_us % 1000 / 100) &&
                view_tables(topic, view, arena, out);
    }
    return added;
}

/* ---- JSON ---- */

static bool member_add(const char *name, const struct record *record, const void *in, struct buffer *out)
{
    return !in || (buffer_printf(out, ",\"%s\":", name) && json_write(record, in, out));
}

static bool view_json(const struct bus_view *view, struct buffer *out)
{
    bool added = buffer_add_string(out, "{\"address\":") && buffer_add_json_string(out, text_of(view->address));
    if (view->error) {
        return added && buffer_add_string(out, ",\"error\":") && buffer_add_json_string(out, text_of(view->error)) &&
               buffer_add_char(out, '}');
    }
    return added && buffer_add_string(out, ",\"answered_us\":") && buffer_add_int(out, view->answered_us) &&
           member_add("queues", &mmi_queue_list_record, view->queues, out) &&
           member_add("workers", &mmi_worker_list_record, view->workers, out) &&
           member_add("dead_letters", &mmi_dead_letters_record, view->letters, out) && buffer_add_char(out, '}');
}

bool bus_show_json(const struct bus_view *views, int view_count, struct buffer *out)
{
    bool added = buffer_add_string(out, "{\"brokers\":[");
    for (int i = 0; added && i < view_count; i++) {
        added = (i == 0 || buffer_add_char(out, ',')) && view_json(&views[i], out);
    }
    return added && buffer_add_string(out, "]}\n");
}
