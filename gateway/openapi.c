#include "gateway/openapi.h"

#include <stdio.h>

#include "gateway/codec_json.h"
#include "gateway/exchange.h"
#include "gateway/json_schema.h"
#include "lib/base/invariant.h"
#include "proto/fault.h"

/* ---- schemas ---- */

static void problem_schema_add(json_t *schemas)
{
    static const char *const more[][2] = {{"type", "path that names the code"},
                                          {"title", "the code in words"},
                                          {"instance", "path of the request"},
                                          {"request_id", "as in the field X-Request-Id"}};
    schema_add(schemas, SCHEMA_JSON, &problem_record, 0);
    json_t *problem = json_object_get(schemas, problem_record.name);
    json_t *properties = json_object_get(problem, "properties");
    json_object_del(properties, "retry_after_s"); /* is the field Retry-After */
    for (size_t i = 0; i < ARRAY_COUNT(more); i++) {
        json_object_set_new(properties, more[i][0],
                            json_pack("{s:s, s:s}", "type", "string", "description", more[i][1]));
    }
    json_t *codes = json_array();
    for (int code = ERR_NONE + 1; code < ERR_COUNT; code++) {
        json_array_append_new(codes, json_string(err_info((enum err)code)->slug));
    }
    json_object_set_new(json_object_get(properties, "code"), "examples", codes);
}

/* ---- operations ---- */

static void parameter_add(json_t *parameters, const struct field *field, const char *in)
{
    json_t *parameter = json_pack("{s:s, s:s, s:b, s:s}", "name", field->name, "in", in, "required",
                                  (field->flags & REQ) != 0, "description", field->prose);
    struct field present = *field;
    present.flags |= REQ; /* a parameter is there or not, it is never null */
    json_t *schema = schema_of_field(SCHEMA_JSON, &present);
    json_object_del(schema, "description");
    json_object_set_new(parameter, "schema", schema);
    json_array_append_new(parameters, parameter);
}

static void parameter_named_add(json_t *parameters, const char *in, const char *name, const char *prose)
{
    json_array_append_new(parameters, json_pack("{s:s, s:s, s:b, s:s, s:{s:s}}", "name", name, "in", in, "required", 0,
                                                "description", prose, "schema", "type", "string"));
}

static void header_add(json_t *parameters, const char *name, int max, const char *prose)
{
    json_t *schema = json_pack("{s:s, s:i, s:i}", "type", "string", "minLength", 1, "maxLength", max);
    json_array_append_new(parameters, json_pack("{s:s, s:s, s:b, s:s, s:o}", "name", name, "in", "header", "required",
                                                0, "description", prose, "schema", schema));
}

/* Only what counts its changes has an entity tag. */
static bool is_tagged(const struct op_info *info)
{
    return info->method == HTTP_GET && record_field(info->reply, TEXT("version")) != NULL;
}

static json_t *parameters_of(const struct route *route, const struct op_info *info)
{
    json_t *parameters = json_array();
    for (uint32_t i = 0; i < info->request->field_count; i++) {
        const struct field *field = &info->request->fields[i];
        if (route->preset >> i & 1) {
            parameter_add(parameters, field, "path");
        } else if (info->method == HTTP_GET) {
            parameter_add(parameters, field, "query");
        }
    }
    if (info->keyed) {
        header_add(parameters, "Idempotency-Key", IDEMPOTENCY_KEY_MAX_SIZE,
                   "a repeat with this key and body gets the first answer again (24 h)");
    }
    if (is_tagged(info)) {
        parameter_named_add(parameters, "header", "If-None-Match",
                            "entity tag that is known already: 304 if it still holds");
    }
    if (info->method == HTTP_PUT || info->method == HTTP_DELETE) {
        header_add(parameters, "If-Match", IF_MATCH_MAX_SIZE, "entity tag that must still hold: 412 otherwise");
    }
    return parameters;
}

static json_t *success_of(const struct route *route, const struct op_info *info, json_t *schemas)
{
    json_t *response = json_pack("{s:s}", "description", info->status == 201 ? "created" : "done");
    json_t *headers = json_object();
    if (info->reply != &nothing_record) {
        schema_add(schemas, SCHEMA_JSON, info->reply, 0);
        json_object_set_new(
            response, "content",
            json_pack("{s:{s:o}}", "application/json", "schema", schema_reference(SCHEMA_JSON, info->reply)));
    }
    if (record_field(info->reply, TEXT("version"))) {
        json_object_set_new(headers, "ETag", json_pack("{s:{s:s}}", "schema", "type", "string"));
    }
    if (info->status == 201 && route->location >= 0) {
        json_object_set_new(headers, "Location", json_pack("{s:{s:s}}", "schema", "type", "string"));
    }
    json_object_set_new(response, "headers", headers);
    return response;
}

static json_t *responses_of(const struct route *route, const struct op_info *info, json_t *schemas)
{
    char status[8];
    json_t *responses = json_object();
    snprintf(status, sizeof status, "%d", info->status);
    json_object_set_new(responses, status, success_of(route, info, schemas));
    if (is_tagged(info)) {
        json_object_set_new(responses, "304", json_pack("{s:s}", "description", "not modified"));
    }
    json_object_set_new(responses, "default", json_pack("{s:s}", "$ref", "#/components/responses/problem"));
    return responses;
}

/* What an operation is for. */
static const char *summary_of(enum op op)
{
    static const char *const summaries[OP_COUNT] = {
        [OP_product_create] = "Add a product",
        [OP_product_list] = "Find products",
        [OP_product_get] = "Read a product",
        [OP_product_update] = "Change a product",
        [OP_product_remove] = "Retire a product",
        [OP_order_create] = "Place an order",
        [OP_order_list] = "List orders",
        [OP_order_get] = "Read an order",
        [OP_order_move] = "Move an order on, or cancel it",
        [OP_user_register] = "Open an account",
        [OP_user_login] = "Sign in",
        [OP_user_refresh] = "Renew a session",
        [OP_user_logout] = "End a session",
        [OP_user_list] = "List accounts",
        [OP_user_get] = "Read an account",
        [OP_user_update] = "Change an account",
        [OP_user_set_role] = "Give an account a role",
        [OP_user_ticket] = "Get a ticket for one WebSocket",
        [OP_user_rotate_key] = "Begin a new key for signing tokens",
        [OP_user_distrust_keys] = "Refuse all tokens signed so far at once: a signing key has leaked",
        [OP_webhook_create] = "Add a webhook",
        [OP_webhook_list] = "List webhooks",
        [OP_webhook_get] = "Read a webhook",
        [OP_webhook_update] = "Change a webhook",
        [OP_webhook_remove] = "Remove a webhook",
        [OP_webhook_rotate] = "Give a webhook a new secret",
        [OP_webhook_test] = "Post a test event to a webhook",
        [OP_webhook_deliveries] = "List a webhook's deliveries",
        [OP_webhook_redeliver] = "Post an event once more"};
    return summaries[op] ? summaries[op] : op_info(op)->route;
}

static json_t *operation_of(const struct route *route, json_t *schemas)
{
    static const char *const who[] = {
        [OP_ANYONE] = "anyone", [OP_SIGNED_IN] = "signed in", [OP_ADMIN] = "administrators", [OP_SERVICES] = ""};
    const struct op_info *info = op_info(route->op);
    json_t *operation =
        json_pack("{s:s, s:s, s:[s], s:s, s:o, s:o}", "operationId", info->route, "summary", summary_of(route->op),
                  "tags", info->service, "description", who[info->role], "parameters", parameters_of(route, info),
                  "responses", responses_of(route, info, schemas));
    if ((info->method == HTTP_POST || info->method == HTTP_PUT) && json_is_expected(info->request, route->preset)) {
        schema_add(schemas, SCHEMA_JSON, info->request, route->preset);
        json_object_set_new(operation, "requestBody",
                            json_pack("{s:b, s:{s:{s:o}}}", "required", 1, "content", "application/json", "schema",
                                      schema_reference(SCHEMA_JSON, info->request)));
    }
    json_object_set_new(operation, "security",
                        info->role == OP_ANYONE ? json_pack("[{}, {s:[]}]", "bearer")
                                                : json_pack("[{s:[]}]", "bearer"));
    return operation;
}

/* The gateway's own pages that are described by tables: the event log. */
static json_t *own_operation_by_table(const struct route *route, json_t *schemas)
{
    const char *media_type = route->own == OWN_EVENTS_STREAM ? "text/event-stream" : "application/json";
    json_t *parameters = json_array();
    schema_add(schemas, SCHEMA_JSON, route->reply, 0);
    for (uint32_t i = 0; i < route->request->field_count; i++) {
        parameter_add(parameters, &route->request->fields[i], "query");
    }
    if (route->own == OWN_EVENTS_STREAM) {
        parameter_named_add(parameters, "header", "Last-Event-ID",
                            "as after: the seq of the last event seen; 0 for all from the start");
    }
    return json_pack("{s:s, s:[s], s:s, s:o, s:{s:{s:s, s:{s:{s:o}}}, s:{s:s}}, s:[{s:[]}]}", "summary", route->prose,
                     "tags", "event", "description", "signed in: own orders' events; administrators: all", "parameters",
                     parameters, "responses", "200", "description", "done", "content", media_type, "schema",
                     schema_reference(SCHEMA_JSON, route->reply), "default", "$ref", "#/components/responses/problem",
                     "security", "bearer");
}

struct note {
    const char *what, *prose;
};

/* What no schema can say of streams. */
static const struct note socket_messages[] = {
    {"{id, type, seq, time, order}", "an order's event"},
    {"{id, type, seq, time, subject, data}", "any other event; only administrators get these"},
    {"you: {\"subscribe\": {types, orders}}",
     "wanted from now on, besides the others: lists of types (a closing * matches any rest) and of order "
     "ids. A client gets an event when it has subscribed to its type or to its order"},
    {"you: {\"unsubscribe\": {types, orders}}", "not wanted any more"},
    {"{\"subscribed\": {types, orders}}", "the answer: all that holds from now on"},
    {"{\"error\": {code, detail, errors}}", "the answer to what cannot be done; nothing has changed"},
    {"limits",
     "100 messages a minute, 64 KiB each (4 KiB for a change), 20 orders, 20 names a list; a ping every 25 seconds"}};
static const struct note socket_closes[] = {
    {"1001", "the gateway restarts: come back"},
    {"1002, 1007", "the client broke the protocol"},
    {"1008", "too many messages"},
    {"1009", "a message too long"},
    {"4001", "the session has ended: sign in again"},
    {"4008", "events were not delivered (64 of them or 256 KiB waited for this client); the reason is \"last seq N\": come back with after=N"}};
static const struct note stream_messages[] = {
    {"id: SEQ", "the event's seq; a browser sends it as Last-Event-ID when it comes back, and misses nothing; before its "
     "first event it has none, and comes back to what is new: begin with after= where that matters"},
    {"data: {id, type, seq, time, subject, data}", "as in a page of /api/events"},
    {": ...", "a comment each 20 seconds, or why the stream ends: the session has ended, or \"last seq N\" to one that read too slowly"}};

static void notes_add(json_t *operation, const char *name, const struct note *notes, size_t count)
{
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++) {
        json_array_append_new(list, json_pack("{s:s, s:s}", "name", notes[i].what, "description", notes[i].prose));
    }
    json_object_set_new(operation, name, list);
}

static json_t *own_operation(const struct route *route, json_t *schemas)
{
    if (route->reply) {
        json_t *by_table = own_operation_by_table(route, schemas);
        if (route->own == OWN_EVENTS_STREAM) {
            notes_add(by_table, "x-messages", stream_messages, ARRAY_COUNT(stream_messages));
        }
        return by_table;
    }
    bool socket = route->own == OWN_WS;
    json_t *operation =
        json_pack("{s:s, s:[s], s:{s:{s:s}}}", "summary", route->prose, "tags", "gateway", "responses",
                  socket ? "101" : "200", "description", socket ? "switches to the WebSocket protocol" : "done");
    if (socket) {
        json_t *parameters = json_array();
        for (uint32_t i = 0; i < route->request->field_count; i++) {
            parameter_add(parameters, &route->request->fields[i], "query");
        }
        json_object_set_new(operation, "description", json_string("signed in"));
        notes_add(operation, "x-messages", socket_messages, ARRAY_COUNT(socket_messages));
        notes_add(operation, "x-close-codes", socket_closes, ARRAY_COUNT(socket_closes));
        json_object_set_new(operation, "parameters", parameters);
        json_object_set_new(operation, "security", json_pack("[{}, {s:[]}]", "bearer"));
    }
    json_object_set_new(json_object_get(operation, "responses"), "default",
                        json_pack("{s:s}", "$ref", "#/components/responses/problem"));
    return operation;
}

static json_t *paths_of(const struct router *router, json_t *schemas)
{
    static const char *const methods[] = {
        [VERB_GET] = "get",       [VERB_HEAD] = "head",       [VERB_POST] = "post",  [VERB_PUT] = "put",
        [VERB_DELETE] = "delete", [VERB_OPTIONS] = "options", [VERB_OTHER] = "trace"};
    json_t *paths = json_object();
    for (int i = 0; i < router->route_count; i++) {
        const struct route *route = &router->routes[i];
        json_t *item = json_object_get(paths, route->path);
        if (!item) {
            item = json_object();
            json_object_set_new(paths, route->path, item);
        }
        json_object_set_new(item, methods[route->verb],
                            route->is_op ? operation_of(route, schemas) : own_operation(route, schemas));
    }
    return paths;
}

/* Every code that a problem can have. */
static json_t *errors_list(void)
{
    json_t *list = json_array();
    for (int code = ERR_NONE + 1; code < ERR_COUNT; code++) {
        const struct err_info *info = err_info((enum err)code);
        json_array_append_new(list, json_pack("{s:s, s:i, s:b, s:s}", "code", info->slug, "status", info->http, "retry",
                                              info->retry, "title", info->title));
    }
    return list;
}

/* ---- webhooks ---- */

static json_t *posted_schema(const char *type, const struct record *data)
{
    return json_pack("{s:s, s:[s, s, s], s:{s:{s:s}, s:{s:s, s:s}, s:o}}", "type", "object", "required", "type",
                     "timestamp", "data", "properties", "type", "const", type, "timestamp", "type", "string", "format",
                     "date-time", "data", schema_reference(SCHEMA_JSON, data));
}

static void hook_add(json_t *hooks, const char *type, const struct record *data, json_t *schemas)
{
    json_t *parameters = json_array();
    schema_add(schemas, SCHEMA_JSON, data, 0);
    parameter_named_add(parameters, "header", "webhook-id",
                        "the event's id, the same at every attempt: deduplicate by it");
    parameter_named_add(parameters, "header", "webhook-timestamp", "of this attempt, in seconds since 1970");
    parameter_named_add(
        parameters, "header", "webhook-signature",
        "v1,BASE64 of HMAC-SHA256 over id.timestamp.body, one a secret that is good now, separated by spaces");
    json_object_set_new(
        hooks, type,
        json_pack("{s:{s:s, s:[s], s:o, s:{s:b, s:{s:{s:o}}}, s:{s:{s:s}, s:{s:s}, s:{s:s}}}}", "post", "summary", type,
                  "tags", "webhook", "parameters", parameters, "requestBody", "required", 1, "content",
                  "application/json", "schema", posted_schema(type, data), "responses", "2XX", "description",
                  "it is stored", "410", "description", "no event is wanted here any more", "default", "description",
                  "it is tried again later"));
}

/* What webhook-svc posts, as Standard Webhooks describes it. */
static json_t *hooks_of(json_t *schemas)
{
    json_t *hooks = json_object();
    for (int i = 0; i < EVENT_COUNT; i++) {
        const struct event_info *info = event_info((enum event_type)i);
        if (event_shown(info)) {
            hook_add(hooks, info->type, event_shown(info), schemas);
        }
    }
    hook_add(hooks, WEBHOOK_TEST_TYPE, &webhook_ping_record, schemas);
    return hooks;
}

void openapi_print(const struct router *router, struct buffer *out)
{
    json_t *schemas = json_object();
    problem_schema_add(schemas);
    schema_add_event(schemas);
    json_t *paths = paths_of(router, schemas);
    json_t *hooks = hooks_of(schemas);
    json_t *root = json_pack(
        "{s:s, s:{s:s, s:s, s:s, s:{s:s, s:s}}, s:[{s:s}], s:o, s:o, s:{s:o, s:{s:{s:s, s:s, s:s}}, s:{s:{s:s, "
        "s:{s:{s:o}}}}}}",
        "openapi", "3.1.0", "info", "title", "zmart", "version", ZMART_VERSION, "description",
        "A shop: products, orders, accounts. Amounts are JSON numbers in major units; times are RFC 3339 UTC; "
        "errors are RFC 9457 problems with a code and, for bad fields, their JSON pointers.",
        "license", "name", "MPL-2.0", "identifier", "MPL-2.0", "servers", "url", "/", "paths", paths, "webhooks", hooks,
        "components", "schemas", schemas, "securitySchemes", "bearer", "type", "http", "scheme", "bearer",
        "bearerFormat", "JWT", "responses", "problem", "description", "what is wrong", "content",
        "application/problem+json", "schema", schema_reference(SCHEMA_JSON, &problem_record));
    ASSERT(root != NULL);
    json_object_set_new(root, "x-errors", errors_list());
    schema_document_print(root, out);
}
