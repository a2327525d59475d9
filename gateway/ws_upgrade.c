#include "gateway/ws_upgrade.h"

#include <openssl/evp.h>

#include "gateway/exchange.h"
#include "gateway/problem.h"
#include "lib/base/id.h"
#include "lib/base/invariant.h"

enum { SHA1_SIZE = 20, PROBLEM_SIZE = 16 * 1024 };

/* ---- reading ---- */

size_t ws_head_size(struct text bytes)
{
    const char *end = bytes.size ? memmem(bytes.data, bytes.size, "\r\n\r\n", 4) : NULL;
    return end ? (size_t)(end - bytes.data) + 4 : 0;
}

static enum err bad(struct fault *fault, const char *detail)
{
    return fault_set(fault, ERR_BAD_REQUEST, "%s", detail);
}

/* Cuts off a line that ends in CR LF and has neither within. */
static bool line_cut(struct text *rest, struct text *out)
{
    const char *end = memmem(rest->data, rest->size, "\r\n", 2);
    if (!end) {
        return false;
    }
    *out = (struct text){rest->data, (uint32_t)(end - rest->data)};
    rest->data += out->size + 2;
    rest->size -= out->size + 2;
    return !memchr(out->data, '\n', out->size) && !memchr(out->data, '\r', out->size) &&
           !memchr(out->data, '\0', out->size);
}

static enum err target_read(struct text target, struct fault *fault, struct ws_handshake *out)
{
    if (target.size > WS_TARGET_MAX) {
        return fault_set(fault, ERR_URI_TOO_LONG, NULL);
    }
    for (uint32_t i = 0; i < target.size; i++) {
        if (target.data[i] <= 0x20 || target.data[i] >= 0x7f) {
            return bad(fault, "the target has a character that is no part of a URI");
        }
    }
    struct text rest = target;
    if (target.size == 0 || target.data[0] != '/' || !text_cut(&rest, '?', &out->path)) {
        return bad(fault, "the target is no path");
    }
    out->query = rest; /* the path may have used it up */
    return ERR_NONE;
}

static enum err request_line_read(struct text line, struct fault *fault, struct ws_handshake *out)
{
    struct text method, target, rest = line;
    if (!text_cut(&rest, ' ', &method) || !text_cut(&rest, ' ', &target) || rest.size == 0 ||
        memchr(rest.data, ' ', rest.size)) {
        return bad(fault, "the request line is not METHOD TARGET VERSION");
    }
    if (!text_is(rest, "HTTP/1.1")) {
        bool http = text_starts_with(rest, "HTTP/");
        return http ? fault_set(fault, ERR_HTTP_VERSION, "a WebSocket begins with HTTP/1.1")
                    : bad(fault, "this is no HTTP");
    }
    if (!text_is(method, "GET")) {
        fault_allow(fault, "GET");
        return fault_set(fault, ERR_METHOD_NOT_ALLOWED, NULL);
    }
    return target_read(target, fault, out);
}

static bool name_is_good(struct text name)
{
    for (uint32_t i = 0; i < name.size; i++) {
        unsigned char c = (unsigned char)name.data[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!letter && !memchr("!#$%&'*+-.^_`|~", c, 15)) {
            return false;
        }
    }
    return name.size > 0;
}

static struct text trimmed(struct text value)
{
    while (value.size > 0 && (value.data[0] == ' ' || value.data[0] == '\t')) {
        value.data++;
        value.size--;
    }
    while (value.size > 0 && (value.data[value.size - 1] == ' ' || value.data[value.size - 1] == '\t')) {
        value.size--;
    }
    return value;
}

static bool list_has(struct text list, const char *word)
{
    struct text rest = list, part;
    while (text_cut(&rest, ',', &part)) {
        if (text_equal_ignoring_case(trimmed(part), text_of(word))) {
            return true;
        }
    }
    return false;
}

/* The fields that a handshake is made of; each once at most. */
struct fields {
    struct text host, upgrade, connection, version, key, origin, authorization, length, coding;
    struct text forwarded_for; /* may come several times: the last one counts */
};

static struct text *field_place(struct fields *fields, struct text name)
{
    const struct {
        const char *name;
        struct text *place;
    } known[] = {{"Host", &fields->host},
                 {"Upgrade", &fields->upgrade},
                 {"Connection", &fields->connection},
                 {"Sec-WebSocket-Version", &fields->version},
                 {"Sec-WebSocket-Key", &fields->key},
                 {"Origin", &fields->origin},
                 {"Authorization", &fields->authorization},
                 {"Content-Length", &fields->length},
                 {"Transfer-Encoding", &fields->coding}};
    for (size_t i = 0; i < ARRAY_COUNT(known); i++) {
        if (text_equal_ignoring_case(name, text_of(known[i].name))) {
            return known[i].place;
        }
    }
    return NULL;
}

static enum err field_read(struct text line, struct fault *fault, struct fields *fields)
{
    struct text name, value = line;
    const char *colon = memchr(line.data, ':', line.size);
    if (!colon || !text_cut(&value, ':', &name) || !name_is_good(name)) {
        return bad(fault, "a line of the head is no field"); /* folded ones, too */
    }
    value = trimmed(value);
    for (uint32_t i = 0; i < value.size; i++) {
        unsigned char c = (unsigned char)value.data[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f) {
            return bad(fault, "a field has a control character");
        }
    }
    if (text_equal_ignoring_case(name, TEXT("X-Forwarded-For"))) {
        fields->forwarded_for = value;
        return ERR_NONE;
    }
    struct text *place = field_place(fields, name);
    if (place && place->data) {
        return bad(fault, "a field is given twice");
    }
    if (place) {
        *place = value;
    }
    return ERR_NONE;
}

bool ws_key_is_good(struct text key)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    if (key.size != WS_KEY_SIZE || memcmp(key.data + WS_KEY_SIZE - 2, "==", 2) != 0) {
        return false;
    }
    for (uint32_t i = 0; i < WS_KEY_SIZE - 2; i++) {
        if (!memchr(letters, key.data[i], sizeof letters - 1)) {
            return false;
        }
    }
    return true;
}

static enum err fields_check(const struct fields *fields, struct fault *fault)
{
    if (!fields->host.data || fields->host.size == 0) {
        return bad(fault, "there is no Host");
    }
    if (fields->length.data || fields->coding.data) {
        return bad(fault, "a handshake has no body");
    }
    if (!list_has(fields->upgrade, "websocket") || !list_has(fields->connection, "upgrade") ||
        !text_is(fields->version, WS_VERSION)) {
        return fault_set(fault, ERR_UPGRADE_REQUIRED,
                         "takes Upgrade: websocket, Connection: Upgrade, Sec-WebSocket-Version: " WS_VERSION);
    }
    return ws_key_is_good(fields->key) ? ERR_NONE : bad(fault, "Sec-WebSocket-Key is not 16 bytes in base64");
}

enum err ws_upgrade_read(struct text head, struct fault *fault, struct ws_handshake *out)
{
    struct ws_handshake made = {0};
    struct fields fields = {0};
    struct text rest = head, line;
    if (head.size > WS_HEAD_MAX) {
        return fault_set(fault, ERR_HEAD_TOO_LARGE, NULL);
    }
    enum err e =
        line_cut(&rest, &line) ? request_line_read(line, fault, &made) : bad(fault, "a line does not end in CR LF");
    for (int count = 0; e == ERR_NONE; count++) {
        if (!line_cut(&rest, &line)) {
            return bad(fault, "a line does not end in CR LF");
        }
        if (line.size == 0) {
            break;
        }
        if (count == WS_HEAD_FIELDS_MAX) {
            return fault_set(fault, ERR_HEAD_TOO_LARGE, "a head has at most %d fields", WS_HEAD_FIELDS_MAX);
        }
        e = field_read(line, fault, &fields);
    }
    e = e == ERR_NONE ? fields_check(&fields, fault) : e;
    if (e == ERR_NONE) {
        made.key = fields.key;
        made.origin = fields.origin;
        made.authorization = fields.authorization;
        made.forwarded_for = fields.forwarded_for;
        *out = made;
    }
    return e;
}

/* ---- answering ---- */

void ws_upgrade_answer(struct text key, struct buffer *out)
{
    static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    char joined[WS_KEY_SIZE + sizeof guid];
    unsigned char hash[EVP_MAX_MD_SIZE], text[WS_ACCEPT_SIZE];
    unsigned hash_size = 0;
    ASSERT(key.size == WS_KEY_SIZE);
    memcpy(joined, key.data, WS_KEY_SIZE);
    memcpy(joined + WS_KEY_SIZE, guid, sizeof guid);
    ASSERT(EVP_Digest(joined, sizeof joined - 1, hash, &hash_size, EVP_sha1(), NULL) == 1 && hash_size == SHA1_SIZE);
    ASSERT(EVP_EncodeBlock(text, hash, SHA1_SIZE) == WS_ACCEPT_SIZE - 1);
    (void)buffer_add_string(out, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                                 "Sec-WebSocket-Accept: ");
    (void)buffer_add_string(out, (const char *)text);
    (void)buffer_add_string(out, "\r\n\r\n");
}

static void field_add(struct buffer *head, const char *name, const char *value)
{
    (void)buffer_add_string(head, name);
    (void)buffer_add_string(head, ": ");
    (void)buffer_add_string(head, value);
    (void)buffer_add_string(head, "\r\n");
}

void ws_upgrade_refusal(const struct fault *fault, struct buffer *out)
{
    AUTO(buffer_release) struct buffer body;
    uint8_t id[ID_SIZE];
    char id_text[ID_HEX_SIZE];
    int status = err_info(fault->code)->http;
    buffer_init(&body, PROBLEM_SIZE);
    id_new(id);
    id_to_hex(id, id_text);
    problem_write(fault, text_of(WS_PATH), text_of(id_text), &body);
    (void)buffer_printf(out, "HTTP/1.1 %d %s\r\n", status, http_reason(status));
    field_add(out, "Content-Type", PROBLEM_MEDIA_TYPE);
    field_add(out, "Cache-Control", "no-store");
    field_add(out, "X-Content-Type-Options", "nosniff");
    field_add(out, "X-Request-Id", id_text);
    if (status == 401) {
        field_add(out, "WWW-Authenticate", "Bearer");
    }
    if (status == 426) {
        field_add(out, "Upgrade", "websocket");
        field_add(out, "Sec-WebSocket-Version", WS_VERSION);
    }
    if (fault->allowed.count > 0) {
        field_add(out, "Allow", "GET");
    }
    if (problem_retry_after(fault) > 0) {
        (void)buffer_printf(out, "Retry-After: %lld\r\n", (long long)problem_retry_after(fault));
    }
    (void)buffer_printf(out, "Content-Length: %zu\r\nConnection: close\r\n\r\n", body.size);
    (void)buffer_add_text(out, buffer_text(&body));
}
