#include "tests/gateway/check.h"

#include <civetweb.h>

#include "gateway/guard.h"

/* Cuts a head into strings in the way of civetweb 1.15 (parse_http_request, parse_http_headers). */
static char *word_end(char *at, char until)
{
    while (*at > ' ' && *at < 127) {
        at++;
    }
    assert_true(*at == until || (until == '\r' && *at == '\n'));
    do {
        *at++ = '\0';
    } while (*at == ' ' || (*at >= '\t' && *at <= '\r'));
    return at;
}

static void fields_cut(char *at, struct mg_request_info *out)
{
    for (int i = 0; i < MG_MAX_HEADERS; i++) {
        char *name = at;
        while (*at != ':' && *at > ' ' && *at < 127) {
            at++;
        }
        if (at == name) {
            return;
        }
        while (*at == ' ') {
            *at++ = '\0';
        }
        assert_true(*at == ':');
        *at = '\0';
        do {
            at++;
        } while (*at == ' ' || *at == '\t');
        out->http_headers[i] = (struct mg_header){name, at};
        out->num_headers = i + 1;
        while (*at && *at != '\r' && *at != '\n') {
            at++;
        }
        if (*at == '\r') {
            *at++ = '\0';
        }
        if (*at) {
            *at++ = '\0';
        }
    }
}

static void head_cut(char *head, size_t size, struct mg_request_info *out)
{
    *out = (struct mg_request_info){.remote_addr = "127.0.0.1"};
    head[size - 1] = '\0';
    out->request_method = head;
    char *uri = word_end(head, ' ');
    char *version = word_end(uri, ' ');
    char *fields = word_end(version, '\r');
    out->request_uri = out->local_uri_raw = uri;
    out->http_version = version + 5;
    char *query = strchr(uri, '?');
    if (query) {
        *query = '\0';
        out->query_string = query + 1;
    }
    fields_cut(fields, out);
}

static enum err guarded(const char *head, struct http_request *out)
{
    size_t size = strlen(head);
    char *copy = mem_alloc(size + 1);
    struct mg_request_info info;
    memcpy(copy, head, size);
    head_cut(copy, size, &info);
    enum err e = guard_request(&info, NULL, out);
    mem_free(copy);
    return e;
}

#define HOST "Host: localhost:8080\r\n"

static void test_passes_good_requests(void **state)
{
    struct http_request request;
    (void)state;
    assert_int_equal(guarded("GET /api/products?limit=3 HTTP/1.1\r\n" HOST "Accept: */*\r\n\r\n", &request), ERR_NONE);
    assert_int_equal(request.verb, VERB_GET);
    assert_true(request.keep_alive);
    assert_int_equal(request.content_length, -1);
    assert_int_equal(guarded("POST / HTTP/1.1\r\n" HOST "Content-Length: 99999999999999999999\r\n\r\n", &request),
                     ERR_NONE);
    assert_true(request.content_length == INT64_MAX); /* too large, and not malformed */
    assert_int_equal(guarded("POST / HTTP/1.1\r\n" HOST "Content-Length: 999999999999999\r\n\r\n", &request), ERR_NONE);
    assert_true(request.content_length == INT64_C(999999999999999));
    assert_int_equal(guarded("POST / HTTP/1.1\r\n" HOST "Content-Length: 3\r\nX:\r\n\r\n", &request), ERR_NONE);
    assert_int_equal(request.content_length, 3);
    assert_int_equal(guarded("POST / HTTP/1.1\r\n" HOST "Transfer-Encoding:\tchunked \r\n\r\n", &request), ERR_NONE);
    assert_true(request.chunked);
    assert_int_equal(guarded("GET / HTTP/1.0\r\n\r\n", &request), ERR_NONE);
    assert_false(request.keep_alive);
    assert_int_equal(
        guarded("GET /ws HTTP/1.1\r\n" HOST "Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n\r\n", &request),
        ERR_NONE);
    assert_true(request.upgrade);
    assert_int_equal(guarded("GET /caf%C3%A9 HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", &request), ERR_NONE);
}

static const struct {
    const char *head;
    enum err code;
} refused[] = {
    /* framing */
    {"POST / HTTP/1.1\r\n" HOST "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", ERR_BAD_REQUEST},
    {"POST / HTTP/1.1\r\n" HOST "Content-Length: 3\r\nContent-Length: 4\r\n\r\n", ERR_BAD_REQUEST},
    {"POST / HTTP/1.1\r\n" HOST "Content-Length: 3\r\ncontent-length: 3\r\n\r\n", ERR_BAD_REQUEST},
    {"POST / HTTP/1.1\r\n" HOST "Content-Length: +3\r\n\r\n", ERR_BAD_REQUEST},
    {"POST / HTTP/1.1\r\n" HOST "Content-Length: -3\r\n\r\n", ERR_BAD_REQUEST},
    {"POST / HTTP/1.1\r\n" HOST "Content-Length: 3,3\r\n\r\n", ERR_BAD_REQUEST},
    {"POST / HTTP/1.1\r\n" HOST "Content-Length: 0x3\r\n\r\n", ERR_BAD_REQUEST},
    {"POST / HTTP/1.1\r\n" HOST "Content-Length:\r\n\r\n", ERR_BAD_REQUEST},
    {"POST / HTTP/1.1\r\n" HOST "Content-Length: 9999999999999999999x\r\n\r\n", ERR_BAD_REQUEST},
    {"POST / HTTP/1.1\r\n" HOST "Content-Length : 3\r\n\r\n", ERR_BAD_REQUEST},
    {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: gzip, chunked\r\n\r\n", ERR_NOT_IMPLEMENTED},
    {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: identity\r\n\r\n", ERR_NOT_IMPLEMENTED},
    {"POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n",
     ERR_BAD_REQUEST},
    {"POST / HTTP/1.0\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n", ERR_BAD_REQUEST},
    /* lines */
    {"GET / HTTP/1.1\n" HOST "\r\n", ERR_BAD_REQUEST},
    {"GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n", ERR_BAD_REQUEST},
    {"GET / HTTP/1.1\r\nHost: a\r\n\n", ERR_BAD_REQUEST},
    {"GET / HTTP/1.1\r\nHost: a\n\n", ERR_BAD_REQUEST},
    {"GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n folded\r\nContent-Length: 5\r\n\r\n", ERR_BAD_REQUEST},
    {"GET / HTTP/1.1\r\n Host: a\r\n\r\n", ERR_BAD_REQUEST},
    {"GET / HTTP/1.1\r\nHost: a\r\n\tX: c\r\n\r\n", ERR_BAD_REQUEST},
    {"GET  / HTTP/1.1\r\n" HOST "\r\n", ERR_BAD_REQUEST},
    {"GET /  HTTP/1.1\r\n" HOST "\r\n", ERR_BAD_REQUEST},
    /* host */
    {"GET / HTTP/1.1\r\nX: y\r\n\r\n", ERR_BAD_REQUEST},
    {"GET / HTTP/1.1\r\n" HOST HOST "\r\n", ERR_BAD_REQUEST},
    {"GET / HTTP/1.1\r\nHost:\r\n\r\n", ERR_BAD_REQUEST},
    {"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", ERR_BAD_REQUEST},
    {"GET / HTTP/1.1\r\nHost: a,b\r\n\r\n", ERR_BAD_REQUEST},
    {"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", ERR_BAD_REQUEST},
    /* target */
    {"GET /a%00b HTTP/1.1\r\n" HOST "\r\n", ERR_BAD_REQUEST},
    {"GET /a%0d%0ab HTTP/1.1\r\n" HOST "\r\n", ERR_BAD_REQUEST},
    {"GET /a%2Fb HTTP/1.1\r\n" HOST "\r\n", ERR_BAD_REQUEST},
    {"GET /a%2fb HTTP/1.1\r\n" HOST "\r\n", ERR_BAD_REQUEST},
    {"GET /a%5cb HTTP/1.1\r\n" HOST "\r\n", ERR_BAD_REQUEST},
    {"GET /a\\b HTTP/1.1\r\n" HOST "\r\n", ERR_BAD_REQUEST},
    {"GET /a%zz HTTP/1.1\r\n" HOST "\r\n", ERR_BAD_REQUEST},
    {"GET /a% HTTP/1.1\r\n" HOST "\r\n", ERR_BAD_REQUEST},
    {"GET /a%ff HTTP/1.1\r\n" HOST "\r\n", ERR_BAD_REQUEST},
    {"GET /a%c0%ae HTTP/1.1\r\n" HOST "\r\n", ERR_BAD_REQUEST},
    {"GET /../a HTTP/1.1\r\n" HOST "\r\n", ERR_BAD_REQUEST},
    {"GET /a/./b HTTP/1.1\r\n" HOST "\r\n", ERR_BAD_REQUEST},
    {"GET /a/%2e%2E/b HTTP/1.1\r\n" HOST "\r\n", ERR_BAD_REQUEST},
    {"GET /a/.. HTTP/1.1\r\n" HOST "\r\n", ERR_BAD_REQUEST},
    {"GET /a#b HTTP/1.1\r\n" HOST "\r\n", ERR_BAD_REQUEST},
    {"GET /a?b=%4 HTTP/1.1\r\n" HOST "\r\n", ERR_NONE},
    {"GET /a?b#c HTTP/1.1\r\n" HOST "\r\n", ERR_BAD_REQUEST},
};

static void test_refuses(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(refused); i++) {
        struct http_request request;
        enum err e = guarded(refused[i].head, &request);
        if (e != refused[i].code) {
            print_error("%s-> %d\n", refused[i].head, e);
        }
        assert_int_equal(e, refused[i].code);
    }
}

static enum err guarded_long(size_t path_size, int field_count, size_t value_size)
{
    struct buffer head;
    struct http_request request;
    buffer_init(&head, 1024 * 1024);
    (void)buffer_add_string(&head, "GET /");
    for (size_t i = 1; i < path_size; i++) {
        (void)buffer_add_char(&head, 'a');
    }
    (void)buffer_add_string(&head, " HTTP/1.1\r\n" HOST);
    for (int i = 1; i < field_count; i++) {
        (void)buffer_printf(&head, "X-%d: ", i);
        for (size_t j = 0; j < value_size; j++) {
            (void)buffer_add_char(&head, 'v');
        }
        (void)buffer_add_string(&head, "\r\n");
    }
    (void)(buffer_add_string(&head, "\r\n") && buffer_add_char(&head, '\0'));
    enum err e = guarded(head.data, &request);
    buffer_release(&head);
    return e;
}

static void test_limits(void **state)
{
    (void)state;
    assert_int_equal(guarded_long(8192, 2, 1), ERR_NONE);
    assert_int_equal(guarded_long(8193, 2, 1), ERR_URI_TOO_LONG);
    assert_int_equal(guarded_long(1, 64, 1), ERR_NONE);
    assert_int_equal(guarded_long(1, 65, 1), ERR_HEAD_TOO_LARGE);
    assert_int_equal(guarded_long(1, 100, 1), ERR_HEAD_TOO_LARGE);
    assert_int_equal(guarded_long(1, 3, 8000), ERR_NONE);
    assert_int_equal(guarded_long(1, 3, 8400), ERR_HEAD_TOO_LARGE);
}

static void test_decodes_once(void **state)
{
    char room[32];
    struct text out;
    (void)state;
    assert_true(percent_decode(TEXT("a%2520+b"), false, room, &out));
    assert_true(text_is(out, "a%20+b"));
    assert_true(percent_decode(TEXT("a+b%2B"), true, room, &out));
    assert_true(text_is(out, "a b+"));
    assert_false(percent_decode(TEXT("%"), false, room, &out));
    assert_false(percent_decode(TEXT("%1"), false, room, &out));
    assert_false(percent_decode(TEXT("%g1"), false, room, &out));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_passes_good_requests),
        cmocka_unit_test(test_refuses),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_decodes_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
