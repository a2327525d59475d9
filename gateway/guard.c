#include "gateway/guard.h"

#include <civetweb.h>

_Static_assert(GUARD_MAX_HEADER_COUNT == MG_MAX_HEADERS, "the guard relies on where civetweb stops");

static const struct text header_names[] = {
#define REQUEST_HEADER_NAME(name, spelling) [HEADER_##name] = {spelling, sizeof(spelling) - 1},
    REQUEST_HEADERS(REQUEST_HEADER_NAME)
#undef REQUEST_HEADER_NAME
};

const char *request_header_name(enum request_header header)
{
    return header_names[header].data;
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

bool percent_decode(struct text from, bool plus_is_blank, char *room, struct text *out)
{
    uint32_t size = 0;
    for (uint32_t i = 0; i < from.size; i++) {
        char c = from.data[i];
        if (c == '%') {
            int high = i + 2 < from.size ? hex_digit(from.data[i + 1]) : -1;
            int low = high >= 0 ? hex_digit(from.data[i + 2]) : -1;
            if (low < 0) {
                return false;
            }
            c = (char)(high * 16 + low);
            i += 2;
        } else if (c == '+' && plus_is_blank) {
            c = ' ';
        }
        room[size++] = c;
    }
    *out = (struct text){room, size};
    return true;
}

/* ---- the target ---- */

static bool segment_is_dots(struct text segment)
{
    return text_is(segment, ".") || text_is(segment, "..");
}

/* A path without escapes needs only the look at its segments. */
static enum err path_check_decoded(struct text path, struct fault *fault)
{
    if (!text_is_utf8(path)) {
        return fault_set(fault, ERR_BAD_REQUEST, "The path is not valid UTF-8.");
    }
    struct text rest = {path.data + 1, path.size - 1};
    struct text segment;
    while (text_cut(&rest, '/', &segment)) {
        if (segment_is_dots(segment)) {
            return fault_set(fault, ERR_BAD_REQUEST, "The path has a segment of dots.");
        }
    }
    for (uint32_t i = 0; i < path.size; i++) {
        unsigned char c = (unsigned char)path.data[i];
        if (c < 0x20 || c == 0x7f || c == '\\') {
            return fault_set(fault, ERR_BAD_REQUEST, "The path has a character that no path of this shop has.");
        }
    }
    return ERR_NONE;
}

static enum err path_check(struct text path, struct fault *fault)
{
    char room[GUARD_MAX_URI_SIZE / 4];
    struct text decoded;
    if (path.size == 0 || path.data[0] != '/') {
        return fault_set(fault, ERR_BAD_REQUEST, "The request target is no path.");
    }
    if (memchr(path.data, '%', path.size) == NULL) {
        return path_check_decoded(path, fault);
    }
    if (path.size > sizeof room) {
        return fault_set(fault, ERR_URI_TOO_LONG, "A path with escapes takes at most %zu bytes.", sizeof room);
    }
    for (uint32_t i = 0; i + 2 < path.size; i++) {
        if (path.data[i] == '%' && path.data[i + 1] == '2' && (path.data[i + 2] | 0x20) == 'f') {
            return fault_set(fault, ERR_BAD_REQUEST, "The path has an escaped slash.");
        }
    }
    if (!percent_decode(path, false, room, &decoded)) {
        return fault_set(fault, ERR_BAD_REQUEST, "The path has a malformed percent-escape.");
    }
    return path_check_decoded(decoded, fault);
}

/* Escapes are the parameters' own matter: who reads them names the one that is wrong. */
static enum err query_check(struct text query, struct fault *fault)
{
    if (query.size && memchr(query.data, '#', query.size) != NULL) {
        return fault_set(fault, ERR_BAD_REQUEST, "The request target has a fragment.");
    }
    return ERR_NONE;
}

/* Checks what civetweb cut off and returns the target; *out_end is where the version must begin. */
static enum err target_read(const struct mg_request_info *info, struct fault *fault, struct http_request *out,
                            const char **out_end)
{
    const char *path = info->request_uri;
    size_t path_size = strlen(path);
    size_t query_size = info->query_string ? strlen(info->query_string) : 0;
    if (path_size + (info->query_string ? 1 + query_size : 0) > GUARD_MAX_URI_SIZE) {
        return fault_set(fault, ERR_URI_TOO_LONG, "A URI takes at most %d bytes.", GUARD_MAX_URI_SIZE);
    }
    *out_end = info->query_string ? info->query_string + query_size : path + path_size;
    if (info->local_uri_raw && info->local_uri_raw != path) { /* absolute form: the host was checked by civetweb */
        path_size -= (size_t)(info->local_uri_raw - path);
        path = info->local_uri_raw;
    }
    out->path = (struct text){path, (uint32_t)path_size};
    out->query = (struct text){info->query_string, (uint32_t)query_size};
    if (memchr(path, '#', path_size) != NULL) {
        return fault_set(fault, ERR_BAD_REQUEST, "The request target has a fragment.");
    }
    enum err e = path_check(out->path, fault);
    return e == ERR_NONE ? query_check(out->query, fault) : e;
}

/* ---- the head ---- */

enum verb verb_find(struct text method)
{
    static const struct {
        const char *name;
        enum verb verb;
    } verbs[] = {{"GET", VERB_GET},       {"POST", VERB_POST}, {"PUT", VERB_PUT},
                 {"DELETE", VERB_DELETE}, {"HEAD", VERB_HEAD}, {"OPTIONS", VERB_OPTIONS}};
    for (size_t i = 0; i < ARRAY_COUNT(verbs); i++) {
        if (text_is(method, verbs[i].name)) {
            return verbs[i].verb;
        }
    }
    return VERB_OTHER;
}

static int header_find(struct text name)
{
    for (int i = 0; i < HEADER_COUNT; i++) {
        if (text_equal_ignoring_case(name, header_names[i])) {
            return i;
        }
    }
    return -1;
}

/* Exactly CR LF became two NULs; a bare LF is one, blanks or empty lines are more. */
static bool line_ends_before(const char *end, const char *next)
{
    return next == end + 2 && end[0] == '\0' && end[1] == '\0';
}

static bool value_is_clean(struct text value)
{
    for (uint32_t i = 0; i < value.size; i++) {
        unsigned char c = (unsigned char)value.data[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f) {
            return false;
        }
    }
    return true;
}

static enum err header_read(const struct mg_header *header, struct fault *fault, struct http_request *out,
                            const char **out_end)
{
    struct text name = text_of(header->name);
    struct text value = text_of(header->value);
    for (const char *at = name.data + name.size + 1; at < value.data; at++) {
        if (*at != ' ' && *at != '\t') {
            return fault_set(fault, ERR_BAD_REQUEST, "A header field has a blank before its colon.");
        }
    }
    *out_end = value.data + value.size;
    while (value.size && (value.data[value.size - 1] == ' ' || value.data[value.size - 1] == '\t')) {
        value.size--;
    }
    if (!value_is_clean(value)) {
        return fault_set(fault, ERR_BAD_REQUEST, "A header field has a control character.");
    }
    int known = header_find(name);
    if (known >= 0) {
        if (out->headers[known].data) {
            return fault_set(fault, ERR_BAD_REQUEST, "The header field %s is given twice.", header_names[known].data);
        }
        out->headers[known] = value;
    }
    return ERR_NONE;
}

static enum err headers_read(const struct mg_request_info *info, const char *end, struct fault *fault,
                             struct http_request *out)
{
    static const char folded[] = "The head has a bare line feed, a folded line or a line that is no field.";
    for (int i = 0; i < info->num_headers; i++) {
        if (!line_ends_before(end, info->http_headers[i].name)) {
            return fault_set(fault, ERR_BAD_REQUEST, folded);
        }
        enum err e = header_read(&info->http_headers[i], fault, out, &end);
        if (e != ERR_NONE) {
            return e;
        }
    }
    if (end + sizeof "\r\n\r" - info->request_method > GUARD_MAX_HEAD_SIZE) {
        return fault_set(fault, ERR_HEAD_TOO_LARGE, "A head takes at most %d bytes.", GUARD_MAX_HEAD_SIZE);
    }
    /* civetweb stops at its most fields without a word: there another one begins where the empty line would be */
    if (info->num_headers == GUARD_MAX_HEADER_COUNT && end[1] == '\0' && end[2] != '\r') {
        return fault_set(fault, ERR_HEAD_TOO_LARGE, "A head takes at most %d fields.", GUARD_MAX_HEADER_COUNT);
    }
    /* behind the last field comes the empty line, whose LF civetweb has made the head's closing NUL */
    if (info->num_headers > 0 && (end[1] != '\0' || end[2] != '\r' || end[3] != '\0')) {
        return fault_set(fault, ERR_BAD_REQUEST, folded);
    }
    return ERR_NONE;
}

/* ---- what the fields say together ---- */

static enum err length_read(struct http_request *out, struct fault *fault)
{
    enum { LENGTH_MAX_DIGITS = 15 }; /* any more are too large, however many */
    struct text value = out->headers[HEADER_CONTENT_LENGTH];
    out->content_length = -1;
    if (!value.data) {
        return ERR_NONE;
    }
    int64_t length = 0;
    for (uint32_t i = 0; i < value.size; i++) {
        if (value.data[i] < '0' || value.data[i] > '9') {
            return fault_set(fault, ERR_BAD_REQUEST, "Content-Length is not a number of bytes.");
        }
        length = i < LENGTH_MAX_DIGITS ? length * 10 + (value.data[i] - '0') : INT64_MAX;
    }
    if (value.size == 0) {
        return fault_set(fault, ERR_BAD_REQUEST, "Content-Length is not a number of bytes.");
    }
    out->content_length = length;
    return ERR_NONE;
}

static enum err framing_check(struct http_request *out, struct fault *fault)
{
    struct text coding = out->headers[HEADER_TRANSFER_ENCODING];
    enum err e = length_read(out, fault);
    if (e != ERR_NONE || !coding.data) {
        return e;
    }
    if (out->headers[HEADER_CONTENT_LENGTH].data) {
        return fault_set(fault, ERR_BAD_REQUEST, "Content-Length and Transfer-Encoding exclude each other.");
    }
    if (out->http_1_0) {
        return fault_set(fault, ERR_BAD_REQUEST, "HTTP/1.0 has no Transfer-Encoding.");
    }
    if (!text_equal_ignoring_case(coding, TEXT("chunked"))) {
        return fault_set(fault, ERR_NOT_IMPLEMENTED, "The only transfer coding is chunked.");
    }
    out->chunked = true;
    return ERR_NONE;
}

static enum err host_check(const struct http_request *request, struct fault *fault)
{
    struct text host = request->headers[HEADER_HOST];
    if (!host.data) {
        return request->http_1_0 ? ERR_NONE : fault_set(fault, ERR_BAD_REQUEST, "HTTP/1.1 needs a Host field.");
    }
    for (uint32_t i = 0; i < host.size; i++) {
        char c = host.data[i];
        bool good = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                    (c != '\0' && strchr(".-_~:[]", c) != NULL);
        if (!good) {
            return fault_set(fault, ERR_BAD_REQUEST, "The Host field is malformed.");
        }
    }
    return host.size ? ERR_NONE : fault_set(fault, ERR_BAD_REQUEST, "The Host field is empty.");
}

static bool list_has(struct text list, const char *word)
{
    struct text one;
    while (text_cut(&list, ',', &one)) {
        while (one.size && (one.data[0] == ' ' || one.data[0] == '\t')) {
            one = (struct text){one.data + 1, one.size - 1};
        }
        while (one.size && (one.data[one.size - 1] == ' ' || one.data[one.size - 1] == '\t')) {
            one.size--;
        }
        if (text_equal_ignoring_case(one, text_of(word))) {
            return true;
        }
    }
    return false;
}

static void connection_read(struct http_request *out)
{
    struct text connection = out->headers[HEADER_CONNECTION];
    /* as civetweb decides: with a Connection field it goes on only for the word keep-alive */
    bool switches = list_has(connection, "upgrade");
    out->keep_alive = connection.data ? list_has(connection, "keep-alive") && !switches : !out->http_1_0;
    out->upgrade = switches && text_equal_ignoring_case(out->headers[HEADER_UPGRADE], TEXT("websocket"));
}

enum err guard_request(const struct mg_request_info *info, struct fault *fault, struct http_request *out)
{
    struct http_request request = {.method = text_of(info->request_method), .client = text_of(info->remote_addr)};
    const char *end = NULL;
    request.verb = verb_find(request.method);
    request.http_1_0 = strcmp(info->http_version, "1.0") == 0;
    enum err e = target_read(info, fault, &request, &end);
    if (e != ERR_NONE) {
        return e;
    }
    /* one blank each between method, target and version */
    if (info->request_uri != request.method.data + request.method.size + 1 ||
        info->http_version - strlen("HTTP/") != end + 1) {
        return fault_set(fault, ERR_BAD_REQUEST, "The request line has more blanks than it needs.");
    }
    e = headers_read(info, info->http_version + strlen(info->http_version), fault, &request);
    if (e == ERR_NONE) {
        e = framing_check(&request, fault);
    }
    if (e == ERR_NONE) {
        e = host_check(&request, fault);
    }
    if (e == ERR_NONE) {
        connection_read(&request);
        *out = request;
    }
    return e;
}

struct text guard_field_last(const struct mg_request_info *info, struct text name)
{
    for (int i = info->num_headers; i-- > 0;) {
        if (text_equal_ignoring_case(text_of(info->http_headers[i].name), name)) {
            return text_of(info->http_headers[i].value);
        }
    }
    return (struct text){0};
}
