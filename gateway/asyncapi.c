#include "gateway/asyncapi.h"

#include "gateway/event_types.h"
#include "gateway/json_schema.h"
#include "lib/base/invariant.h"

struct document {
    json_t *channels, *operations, *messages, *schemas; /* owned by the root in the end */
};

static json_t *reference(const char *place, const char *name)
{
    return json_pack("{s:s++}", "$ref", "#/", place, name);
}

/* The message of that name, and the channel's way to it. */
static void message_add(struct document *document, const char *channel, const char *name, json_t *message)
{
    json_t *messages = json_object_get(json_object_get(document->channels, channel), "messages");
    ASSERT(messages != NULL && message != NULL);
    json_object_set_new(document->messages, name, message);
    json_object_set_new(messages, name, reference("components/messages/", name));
}

/* What the shop does with a channel: it sends. */
static void operation_add(struct document *document, const char *name, const char *channel, const char *summary)
{
    json_object_set_new(
        document->operations, name,
        json_pack("{s:s, s:o, s:s}", "action", "send", "channel", reference("channels/", channel), "summary", summary));
}

/* ---- the PUB socket ---- */

static json_t *tap_channel(const char *topic, const char *summary)
{
    return json_pack("{s:s, s:s, s:[o], s:{}, s:{s:s, s:s, s:s, s:[s, s, s]}}", "address", topic, "summary", summary,
                     "servers", reference("servers/", "tap"), "messages", "x-zmq", "socket", "PUB", "connect", "SUB",
                     "subscribe", topic, "frames", "topic", "meta", "payload");
}

/* The second frame is the message's headers, with what is fixed for this topic. */
static json_t *tap_message(const char *name, const char *type, const struct record *payload, const char *summary)
{
    return json_pack("{s:s, s:s, s:s, s:{s:[o, {s:s, s:{s:{s:s}}}]}, s:o}", "name", name, "summary", summary,
                     "contentType", "application/msgpack", "headers", "allOf",
                     schema_reference(SCHEMA_MSGPACK, &event_meta_record), "type", "object", "properties", "type",
                     "const", type, "payload", schema_reference(SCHEMA_MSGPACK, payload));
}

static void tap_add(struct document *document, const char *type, const struct record *payload, const char *summary)
{
    json_t *topic = json_sprintf("%s.", type), *name = json_sprintf("tap.%s", type);
    schema_add(document->schemas, SCHEMA_MSGPACK, payload, 0);
    json_object_set_new(document->channels, json_string_value(name), tap_channel(json_string_value(topic), summary));
    message_add(document, json_string_value(name), json_string_value(name),
                tap_message(json_string_value(name), type, payload, summary));
    operation_add(document, json_string_value(name), json_string_value(name), summary);
    json_decref(topic);
    json_decref(name);
}

static void taps_add(struct document *document)
{
    schema_add(document->schemas, SCHEMA_MSGPACK, &event_meta_record, 0);
    for (int i = 0; i < EVENT_COUNT; i++) {
        const struct event_info *info = event_info((enum event_type)i);
        if (info->payload != &nothing_record) { /* else it is not for the outside */
            tap_add(document, info->type, info->payload, info->type);
        }
    }
    tap_add(document, "_head", &stream_head_record,
            "each second: the newest position of the log and of each topic; what is behind it was lost on the way");
}

/* ---- WebSockets and Server-Sent Events ---- */

static json_t *query_schema(const struct record *record)
{
    json_t *properties = json_object();
    for (uint32_t i = 0; i < record->field_count; i++) {
        json_object_set_new(properties, record->fields[i].name, schema_of_field(SCHEMA_JSON, &record->fields[i]));
    }
    return json_pack("{s:s, s:o}", "type", "object", "properties", properties);
}

static json_t *ws_query(void)
{
    return json_pack(
        "{s:s, s:{s:{s:s, s:s}, s:{s:s, s:s}, s:{s:s, s:s}, s:{s:s, s:i, s:s}}}", "type", "object", "properties",
        "ticket", "type", "string", "description", "of POST /api/ws-ticket, instead of the field Authorization",
        "types", "type", "string", "description",
        "types of events separated by commas; a closing * matches any rest; order.* without types and orders", "orders",
        "type", "string", "description", "orders to follow; ids separated by commas", "after", "type", "integer",
        "minimum", 0, "description", "first what was missed since this seq; from now on without it");
}

static void web_channels_add(struct document *document)
{
    json_object_set_new(document->channels, "ws",
                        json_pack("{s:s, s:s, s:[o], s:{}, s:{s:{s:s, s:o, s:s}}}", "address", "/ws", "summary",
                                  "WebSocket: own orders' events; administrators: all. One JSON text frame each",
                                  "servers", reference("servers/", "ws"), "messages", "bindings", "ws", "method", "GET",
                                  "query", ws_query(), "bindingVersion", "0.1.0"));
    json_object_set_new(
        document->channels, "stream",
        json_pack("{s:s, s:s, s:[o], s:{}}", "address", "/api/events/stream", "summary",
                  "Server-Sent Events: id is the seq, data is the message; Last-Event-ID goes on behind it", "servers",
                  reference("servers/", "http"), "messages"));
    operation_add(document, "ws", "ws", "events of orders as they happen");
    operation_add(document, "stream", "stream", "all events since a position, then as they happen");
    json_object_set_new(json_object_get(document->operations, "stream"), "bindings",
                        json_pack("{s:{s:s, s:o, s:s}}", "http", "method", "GET", "query",
                                  query_schema(&event_stream_query_record), "bindingVersion", "0.3.0"));
}

static json_t *web_message(const char *name, const char *type, json_t *payload)
{
    return json_pack("{s:s, s:s, s:s, s:{s:[o, {s:s, s:{s:{s:s}}}]}}", "name", name, "summary", type, "contentType",
                     "application/json", "payload", "allOf", payload, "type", "object", "properties", "type", "const",
                     type);
}

/* What a WebSocket says of an order's event: as a list does, but the record stands under its own name. */
static void ws_schema_add(struct document *document)
{
    const struct record *view = &event_view_record;
    json_t *properties = json_object(), *required = json_array();
    for (uint32_t i = 0; i < view->field_count; i++) {
        const struct field *field = &view->fields[i];
        if (!text_is(field_name(field), "subject") && !text_is(field_name(field), "data")) {
            json_object_set_new(properties, field->name, schema_of_field(SCHEMA_JSON, field));
            json_array_append_new(required, json_string(field->name));
        }
    }
    json_object_set_new(properties, order_record.name, schema_reference(SCHEMA_JSON, &order_record));
    json_array_append_new(required, json_string(order_record.name));
    json_object_set_new(document->schemas, "ws_event",
                        json_pack("{s:s, s:o, s:o, s:b}", "type", "object", "properties", properties, "required",
                                  required, "additionalProperties", 0));
}

static void web_events_add(struct document *document)
{
    schema_add_event(document->schemas);
    ws_schema_add(document);
    for (int i = 0; i < EVENT_COUNT; i++) {
        const char *type = event_info((enum event_type)i)->type;
        bool of_order = event_shown(event_info((enum event_type)i)) == &order_record;
        if (event_types_bit(text_of(type))) {
            json_t *ws = json_sprintf("ws.%s", type), *stream = json_sprintf("stream.%s", type);
            message_add(document, "ws", json_string_value(ws),
                        web_message(json_string_value(ws), type,
                                    of_order ? reference("components/schemas/", "ws_event")
                                             : schema_reference(SCHEMA_JSON, &event_view_record)));
            message_add(
                document, "stream", json_string_value(stream),
                web_message(json_string_value(stream), type, schema_reference(SCHEMA_JSON, &event_view_record)));
            json_decref(ws);
            json_decref(stream);
        }
    }
}

/* ---- the document ---- */

static json_t *server(const char *protocol, const char *port, const char *description)
{
    return json_pack("{s:s, s:s, s:s, s:{s:{s:s}, s:{s:s}}}", "host", "{host}:{port}", "protocol", protocol,
                     "description", description, "variables", "host", "default", "127.0.0.1", "port", "default", port);
}

static json_t *servers(void)
{
    json_t *tap = server("zmtp", "5556", "--events of zmart up; on loopback without keys, else with CURVE");
    json_t *ws = server("ws", "8080", "--host and --port of zmart up");
    json_t *http = server("http", "8080", "--host and --port of zmart up");
    json_object_set_new(tap, "protocolVersion", json_string("3.1"));
    json_object_set_new(tap, "x-zmq", json_pack("{s:s, s:b}", "socket", "PUB", "bind", 1));
    json_object_set_new(tap, "security", json_pack("[o]", reference("components/securitySchemes/", "curve")));
    json_object_set_new(ws, "security",
                        json_pack("[o, o]", reference("components/securitySchemes/", "bearer"),
                                  reference("components/securitySchemes/", "ticket")));
    json_object_set_new(http, "security", json_pack("[o]", reference("components/securitySchemes/", "bearer")));
    return json_pack("{s:o, s:o, s:o}", "tap", tap, "ws", ws, "http", http);
}

static json_t *security_schemes(void)
{
    return json_pack("{s:{s:s, s:s}, s:{s:s, s:s, s:s}, s:{s:s, s:s, s:s}}", "curve", "type", "asymmetricEncryption",
                     "description",
                     "CurveZMQ: broker.public and a key of role subscriber (zmart keys new); none on loopback",
                     "bearer", "type", "http", "scheme", "bearer", "bearerFormat", "JWT", "ticket", "type",
                     "httpApiKey", "in", "query", "name", "ticket");
}

void asyncapi_print(struct buffer *out)
{
    struct document document = {json_object(), json_object(), json_object(), json_object()};
    taps_add(&document);
    web_channels_add(&document);
    web_events_add(&document);
    schema_document_print(
        json_pack(
            "{s:s, s:{s:s, s:s, s:s, s:{s:s}}, s:s, s:o, s:o, s:o, s:{s:o, s:o, s:o}}", "asyncapi", "3.0.0", "info",
            "title", "zmart events", "version", ZMART_VERSION, "description",
            "Every event is in one log under a seq without gaps, and is sent after it is there. The log is the truth: "
            "whoever sees a gap (tseq counts the events of one topic, a _head. beacon each second tells the newest) "
            "asks GET /api/events?after=SEQ, see /openapi.json. Deduplicate by id.",
            "license", "name", "MPL-2.0", "defaultContentType", "application/json", "servers", servers(), "channels",
            document.channels, "operations", document.operations, "components", "messages", document.messages,
            "schemas", document.schemas, "securitySchemes", security_schemes()),
        out);
}
