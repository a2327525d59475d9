/* Operations: from an HTTP request to a call on the bus and back. */
#include "gateway/codec_json.h"
#include "gateway/conditional.h"
#include "gateway/gateway.h"
#include "gateway/problem.h"
#include "gateway/query.h"
#include "lib/base/clock.h"
#include "proto/ident.h"

enum {
    TRACEPARENT_SIZE = 55,
    LOCATION_SIZE = 128,
    DENIAL_FALLBACK_MS = 3600 * 1000 /* longer than any access token lives */
};

/* ---- who ---- */

/* Bad tokens of one address cost it a bucket; without any left, tokens that are not known yet are not looked at. */
static bool bad_tokens_left(struct exchange *x, int64_t cost, int64_t *out_wait_s)
{
    struct limit_state state = {0};
    bool left =
        !x->gateway->bad_tokens || limit_take(x->gateway->bad_tokens, x->request.client, cost, clock_now_ms(), &state);
    *out_wait_s = state.wait_s;
    return left;
}

static enum err token_check_limited(struct exchange *x, struct text token)
{
    int64_t wall_ms = clock_wall_ms();
    int64_t wait_s;
    if (!auth_knows(x->gateway->auth, token, wall_ms) && !bad_tokens_left(x, 0, &wait_s)) {
        x->fault.retry_after_s = wait_s;
        return fault_set(&x->fault, ERR_RATE_LIMITED, "Too many bad access tokens came from this address.");
    }
    enum err e = auth_check(x->gateway->auth, token, wall_ms, &x->arena, &x->fault, &x->who);
    if (e == ERR_UNAUTHENTICATED) {
        (void)bad_tokens_left(x, 1, &wait_s);
    }
    return e;
}

/* Register, login and refresh prove in the body who asks: a token that has run out must not keep anybody from them. */
static bool body_tells_who(const struct route *route)
{
    return route && route->is_op && op_info(route->op)->role == OP_ANYONE && op_is_secret(route->op);
}

/* Without the field nobody is signed in; with one it must be good, also where everybody may call. */
enum err api_authenticate(struct exchange *x)
{
    struct text token;
    if (!x->request.headers[HEADER_AUTHORIZATION].data || body_tells_who(x->route)) {
        return ERR_NONE;
    }
    enum err e = auth_bearer(x->request.headers[HEADER_AUTHORIZATION], &x->fault, &token);
    if (e == ERR_NONE) {
        e = token_check_limited(x, token);
    }
    x->signed_in = e == ERR_NONE;
    return e;
}

static enum err role_check(struct exchange *x, enum op_role role)
{
    if (role == OP_ANYONE) {
        return ERR_NONE;
    }
    if (!x->signed_in) {
        return fault_set(&x->fault, ERR_UNAUTHENTICATED, "This needs an access token in the Authorization field.");
    }
    if (role == OP_SIGNED_IN || (role == OP_ADMIN && x->who.role == ROLE_ADMIN)) {
        return ERR_NONE;
    }
    return fault_set(&x->fault, ERR_FORBIDDEN, NULL);
}

/* Only with --rate-limit: a bucket for each account, or for the address of who is not signed in. */
static enum err rate_check(struct exchange *x)
{
    struct limit_state state;
    if (!x->gateway->rates) {
        return ERR_NONE;
    }
    AUTO(buffer_release) struct buffer field;
    buffer_init(&field, 128);
    struct text name = x->signed_in ? x->who.user_id : x->request.client;
    bool taken = limit_take(x->gateway->rates, name, 1, clock_now_ms(), &state);
    (void)buffer_printf(&field, "\"default\";q=%lld;w=%lld", (long long)state.quota, (long long)state.window_s);
    reply_add_field(&x->reply, "RateLimit-Policy", buffer_text(&field));
    buffer_clear(&field);
    (void)buffer_printf(&field, "\"default\";r=%lld;t=%lld", (long long)state.left,
                        (long long)(state.wait_s ? state.wait_s : state.window_s));
    reply_add_field(&x->reply, "RateLimit", buffer_text(&field));
    if (taken) {
        return ERR_NONE;
    }
    x->fault.retry_after_s = state.wait_s;
    return fault_set(&x->fault, ERR_RATE_LIMITED, NULL);
}

enum err api_admit(struct exchange *x, enum op_role role)
{
    enum err e = api_authenticate(x);
    if (e == ERR_NONE) {
        e = role_check(x, role);
    }
    return e == ERR_NONE ? rate_check(x) : e;
}

/* ---- what ---- */

static enum err params_read(struct exchange *x, void *request)
{
    const struct record *record = op_info(x->route->op)->request;
    for (uint32_t i = 0; i < x->route->segment_count; i++) {
        const struct field *field = x->route->segments[i].field;
        char message[128];
        if (!field) {
            continue;
        }
        if (!field_check_text(field, x->match.params[i], message, sizeof message)) {
            return fault_set(&x->fault, ERR_NOT_FOUND, NULL); /* an id that cannot be names nothing */
        }
        memcpy(field_at(field, request), &x->match.params[i], sizeof x->match.params[i]);
        record_set_has(request, (uint32_t)(field - record->fields));
    }
    return ERR_NONE;
}

static bool media_type_is_json(struct text type)
{
    struct text rest = type;
    struct text name;
    if (!text_cut(&rest, ';', &name)) {
        return false;
    }
    while (name.size && name.data[name.size - 1] == ' ') {
        name.size--;
    }
    struct text charset = rest;
    while (charset.size && charset.data[0] == ' ') {
        charset = (struct text){charset.data + 1, charset.size - 1};
    }
    return text_equal_ignoring_case(name, TEXT("application/json")) &&
           (charset.size == 0 || text_equal_ignoring_case(charset, TEXT("charset=utf-8")) ||
            text_equal_ignoring_case(charset, TEXT("charset=\"utf-8\"")));
}

static enum err type_refuse(struct exchange *x)
{
    return fault_set(&x->fault, ERR_UNSUPPORTED_MEDIA_TYPE,
                     "A body takes Content-Type: application/json, in UTF-8 and without a Content-Encoding.");
}

static enum err body_read(struct exchange *x, struct text *out)
{
    size_t max_size = (size_t)x->gateway->config->body_size;
    const struct text *fields = x->request.headers;
    struct text coding = fields[HEADER_CONTENT_ENCODING], body = {0};
    bool plain = !coding.size || text_equal_ignoring_case(coding, TEXT("identity"));
    /* good if there is no body after all */
    bool untyped = x->request.chunked && !fields[HEADER_CONTENT_TYPE].data && !coding.data;
    if (!x->has_body) {
        *out = body;
        return ERR_NONE;
    }
    if (x->request.content_length > (int64_t)max_size) {
        return fault_set(&x->fault, ERR_BODY_TOO_LARGE, "A body takes at most %zu bytes.", max_size);
    }
    if (!plain || (!untyped && !media_type_is_json(fields[HEADER_CONTENT_TYPE]))) {
        return type_refuse(x);
    }
    enum err e = x->read_body(x, max_size, &body);
    if (e == ERR_NONE && untyped && body.size > 0) {
        e = type_refuse(x);
    }
    if (e == ERR_NONE) {
        *out = body;
    }
    return e;
}

/* The request record from path, query and body. */
static enum err request_read(struct exchange *x, const struct op_info *info, void *request)
{
    struct text body;
    bool in_query = x->route->verb == VERB_GET;
    enum err e = params_read(x, request);
    if (e == ERR_NONE) {
        e = query_read(in_query ? info->request : &nothing_record, x->request.query, x->route->preset, &x->arena,
                       &x->fault, request);
    }
    if (e != ERR_NONE || in_query || x->route->verb == VERB_DELETE) {
        return e;
    }
    e = body_read(x, &body);
    return e == ERR_NONE ? json_read(info->request, body, x->route->preset, &x->arena, &x->fault, request) : e;
}

/* ---- the call ---- */

/* *out_keyed: the request id follows from the key. */
static enum err key_read(struct exchange *x, const struct op_info *info, bool *out_keyed)
{
    struct text key = x->request.headers[HEADER_IDEMPOTENCY_KEY];
    uint8_t request_id[ID_SIZE];
    *out_keyed = false;
    if (!key.data || !info->keyed || !x->signed_in) {
        return ERR_NONE;
    }
    bool printable = key.size >= 1 && key.size <= IDEMPOTENCY_KEY_MAX_SIZE;
    for (uint32_t i = 0; printable && i < key.size; i++) {
        printable = key.data[i] >= 0x20 && key.data[i] < 0x7f;
    }
    if (!printable) {
        fault_add(&x->fault, "/Idempotency-Key", "out_of_range", -1, "takes 1 to %d printable characters",
                  IDEMPOTENCY_KEY_MAX_SIZE);
        return fault_set(&x->fault, ERR_INVALID_PARAMETER, NULL);
    }
    request_id_from_key(x->who.user_id, text_of(info->route), key, request_id);
    exchange_set_request_id(x, request_id);
    *out_keyed = true;
    return ERR_NONE;
}

static bool traceparent_is_good(struct text value)
{
    static const char shape[] = "00-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx-xxxxxxxxxxxxxxxx-xx";
    if (value.size != TRACEPARENT_SIZE) {
        return false;
    }
    for (uint32_t i = 0; i < value.size; i++) {
        char c = value.data[i];
        bool hex = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
        if (shape[i] == 'x' ? !hex : c != shape[i]) {
            return false;
        }
    }
    return true;
}

static struct text meta_make(struct exchange *x, bool keyed)
{
    struct call_meta meta = {.client = x->request.client};
    set_has(call_meta, &meta, client);
    if (x->signed_in) {
        meta.user_id = x->who.user_id;
        meta.role = x->who.role;
        meta.session_id = x->who.session_id;
        meta.token_at = x->who.issued_at;
        set_has(call_meta, &meta, user_id);
        set_has(call_meta, &meta, role);
        set_has(call_meta, &meta, session_id);
        set_has(call_meta, &meta, token_at);
    }
    if (keyed) {
        meta.keyed = true;
        set_has(call_meta, &meta, keyed);
    }
    if (x->request.headers[HEADER_IF_MATCH].size) {
        meta.if_match = x->request.headers[HEADER_IF_MATCH];
        set_has(call_meta, &meta, if_match);
    }
    if (traceparent_is_good(x->request.headers[HEADER_TRACEPARENT])) {
        meta.traceparent = x->request.headers[HEADER_TRACEPARENT];
        set_has(call_meta, &meta, traceparent);
    }
    return record_pack_in(&call_meta_record, &meta, &x->arena);
}

static enum err call(struct exchange *x, const struct op_info *info, bool keyed, const void *request,
                     struct bus_answer *out)
{
    struct text if_match = x->request.headers[HEADER_IF_MATCH];
    if (if_match.data && (if_match.size == 0 || if_match.size > IF_MATCH_MAX_SIZE || !text_is_utf8(if_match))) {
        fault_add(&x->fault, "/If-Match", "out_of_range", -1, "takes 1 to %d characters", IF_MATCH_MAX_SIZE);
        return fault_set(&x->fault, ERR_INVALID_PARAMETER, NULL);
    }
    struct bus_request message = {.route = text_of(info->route),
                                  .meta = meta_make(x, keyed),
                                  .body = record_pack_in(info->request, request, &x->arena),
                                  .budget_ms = info->budget_ms,
                                  .priority = info->priority,
                                  .flags =
                                      (uint8_t)(FRAME_REPEATABLE | (op_is_secret(x->route->op) ? FRAME_SECRET : 0))};
    memcpy(message.request_id, x->request_id, ID_SIZE);
    return problem_of_call(bus_client_call(x->gateway->client, &message, &x->arena, &x->fault, out), &x->fault);
}

/* ---- what follows a success ---- */

static void deny_here(struct exchange *x, struct denial *denial)
{
    denial->before = clock_wall_ms();
    denial->expires_at = denial->before + DENIAL_FALLBACK_MS;
    auth_deny(x->gateway->auth, denial);
}

/* An account's tokens have ended: holds here before the reply, elsewhere as soon as the event arrives. */
static void denials_refresh(struct exchange *x, struct text user_id, bool but_this_session)
{
    struct fault fault;
    struct denial denial = {.user_id = user_id, .except_session_id = x->who.session_id};
    fault_init(&fault, &x->arena);
    if (auth_reload_denials(x->gateway->auth, &fault) == ERR_NONE) {
        return;
    }
    set_has(denial, &denial, user_id);
    if (but_this_session) {
        set_has(denial, &denial, except_session_id);
    }
    deny_here(x, &denial);
    log_warn(x->gateway->env->log, "denials.reload_failed", KV("request", x->request_id_text),
             KV("cause", fault.cause));
}

/* The other gateways hear of it. */
static void keys_reload(struct exchange *x)
{
    struct fault fault;
    fault_init(&fault, &x->arena);
    if (auth_load(x->gateway->auth, &fault) != ERR_NONE) {
        log_warn(x->gateway->env->log, "keys.not_loaded", KV("request", x->request_id_text), KV("cause", fault.cause));
    }
}

static void sessions_end(struct exchange *x, const void *request)
{
    enum op op = x->route->op;
    if (op == OP_user_logout) {
        struct denial denial = {.session_id = x->who.session_id};
        set_has(denial, &denial, session_id);
        deny_here(x, &denial);
    } else if (op == OP_user_update) {
        const struct user_edit *edit = request;
        if (has(user_edit, edit, password)) {
            denials_refresh(x, edit->id, true);
        }
    } else if (op == OP_user_set_role) {
        const struct user_role_set *set = request;
        denials_refresh(x, set->id, false);
    } else if (op == OP_user_distrust_keys) {
        keys_reload(x);
    }
}

/* ---- the reply ---- */

static void location_add(struct exchange *x, const struct record *record, const void *reply)
{
    const struct field *field = record_field(record, TEXT("id"));
    struct text id;
    if (x->route->location < 0 || !field || field->kind != FIELD_TEXT) {
        return;
    }
    memcpy(&id, field_in(field, reply), sizeof id);
    AUTO(buffer_release) struct buffer location;
    buffer_init(&location, LOCATION_SIZE);
    (void)(buffer_add_string(&location, x->route->path) && buffer_add_char(&location, '/') &&
           buffer_add_text(&location, id));
    reply_add_field(&x->reply, "Location", buffer_text(&location));
}

static enum err reply_fill(struct exchange *x, const struct op_info *info, const struct bus_answer *answer)
{
    struct reply_meta meta = {0};
    char etag[ETAG_SIZE];
    if (answer->meta.size && record_unpack(&reply_meta_record, answer->meta, &x->arena, NULL, &meta) == ERR_NONE &&
        meta.replayed) {
        reply_add_field(&x->reply, "Idempotent-Replayed", TEXT("true"));
    }
    x->reply.status = info->status;
    if (info->reply == &nothing_record) {
        return ERR_NONE;
    }
    void *reply = arena_alloc(&x->arena, info->reply->size);
    if (record_unpack(info->reply, answer->body, &x->arena, &x->fault, reply) != ERR_NONE) {
        fault_init(&x->fault, &x->arena);
        fault_cause(&x->fault, "the reply of %s does not fit its table", info->route);
        return fault_set(&x->fault, ERR_INTERNAL, NULL);
    }
    if (etag_make(info->reply, reply, etag)) {
        reply_add_field(&x->reply, "ETag", text_of(etag));
        if (x->route->verb == VERB_GET && x->request.headers[HEADER_IF_NONE_MATCH].data &&
            etag_listed(x->request.headers[HEADER_IF_NONE_MATCH], etag)) {
            x->reply.status = 304;
            return ERR_NONE;
        }
    }
    if (info->status == 201) {
        location_add(x, info->reply, reply);
    }
    x->reply.media_type = "application/json";
    if (!json_write(info->reply, reply, &x->reply.body)) {
        fault_cause(&x->fault, "the reply of %s is too large", info->route);
        return fault_set(&x->fault, ERR_INTERNAL, NULL);
    }
    return ERR_NONE;
}

enum err api_handle(struct exchange *x)
{
    const struct op_info *info = op_info(x->route->op);
    struct bus_answer answer;
    bool keyed = false;
    void *request = arena_alloc(&x->arena, info->request->size);
    enum err e = api_admit(x, info->role);
    if (e == ERR_NONE) {
        e = request_read(x, info, request);
    }
    if (e == ERR_NONE) {
        e = key_read(x, info, &keyed);
    }
    if (e == ERR_NONE) {
        e = call(x, info, keyed, request, &answer);
    }
    if (e == ERR_NONE) {
        sessions_end(x, request);
        e = reply_fill(x, info, &answer);
    }
    return e;
}
