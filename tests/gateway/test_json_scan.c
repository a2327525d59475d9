#include "tests/gateway/check.h"

#include "gateway/json_scan.h"

struct refused {
    const char *json, *pointer, *code;
};

static void check_refused(const struct refused *one)
{
    struct arena arena = {0};
    struct fault fault;
    fault_init(&fault, &arena);
    enum err e = json_scan(text_of(one->json), JSON_MAX_DEPTH, ERR_INVALID_BODY, &arena, &fault);
    if (e != ERR_INVALID_BODY || fault_item(&fault, one->pointer, one->code) < 0) {
        print_error("%s: code %d, %u items, first \"%.*s\"\n", one->json, e, fault.item_count,
                    TEXT_ARG(fault.item_count ? fault.items[0].pointer : TEXT("")));
    }
    assert_int_equal(e, ERR_INVALID_BODY);
    assert_item(fault, one->pointer, one->code);
    arena_release(&arena);
}

static void test_refuses_with_the_place(void **state)
{
    static const struct refused all[] = {
        {"", "", "malformed"},
        {"[]", "", "malformed"},
        {"\"a\"", "", "malformed"},
        {"{", "", "malformed"},
        {"{\"a\"}", "/a", "malformed"},
        {"{\"a\":}", "/a", "malformed"},
        {"{\"a\":1,}", "", "malformed"},
        {"{\"a\":1} x", "", "malformed"},
        {"{\"a\":1}{}", "", "malformed"},
        {"{a:1}", "", "malformed"},
        {"{\"a\":'b'}", "/a", "malformed"},
        {"{\"a\":01}", "/a", "malformed"},
        {"{\"a\":+1}", "/a", "malformed"},
        {"{\"a\":1.}", "/a", "malformed"},
        {"{\"a\":.5}", "/a", "malformed"},
        {"{\"a\":1e}", "/a", "malformed"},
        {"{\"a\":NaN}", "/a", "malformed"},
        {"{\"a\":tru}", "/a", "malformed"},
        {"{\"a\":\"\x01\"}", "/a", "malformed"},
        {"{\"a\":\"\\x\"}", "/a", "malformed"},
        {"{\"a\":\"\\u00g0\"}", "/a", "malformed"},
        {"{\"a\":\"\\u0000\"}", "/a", "malformed"},
        {"{\"a\":\"\\ud800\"}", "/a", "malformed"},
        {"{\"a\":\"\\udc00\"}", "/a", "malformed"},
        {"{\"a\":\"\xff\"}", "/a", "malformed"},
        {"{\"a\":\"\xc0\x80\"}", "/a", "malformed"},
        {"{\"a\":\"open", "/a", "malformed"},
        {"{\"a\":[1,2,{\"b\":[tru]}]}", "/a/2/b/0", "malformed"},
        {"{\"a\":9223372036854775808}", "/a", "out_of_range"},
        {"{\"a\":1e999}", "/a", "out_of_range"},
        {"{\"a\":1,\"a\":2}", "/a", "duplicate_field"},
        {"{\"a\":1,\"\\u0061\":2}", "/a", "duplicate_field"},
        {"{\"l\":[{\"x/y\":1,\"x/y\":1}]}", "/l/0/x~1y", "duplicate_field"},
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(all); i++) {
        check_refused(&all[i]);
    }
}

static void test_lets_json_pass(void **state)
{
    static const char *const all[] = {
        "{}",
        " \r\n\t{ } ",
        "{\"a\":[]}",
        "{\"a\":[[],{},[{}]]}",
        "{\"\":0}",
        "{\"a\":-0.5e+3,\"b\":9223372036854775807,\"c\":true,\"d\":null,\"e\":\"\\ud83d\\ude00 \\\\ \\\" \\/ \\n\"}",
        "{\"a\":{\"a\":1},\"b\":{\"a\":1}}",
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(all); i++) {
        struct arena arena = {0};
        struct fault fault;
        fault_init(&fault, &arena);
        assert_int_equal(json_scan(text_of(all[i]), JSON_MAX_DEPTH, ERR_INVALID_BODY, &arena, &fault), ERR_NONE);
        arena_release(&arena);
    }
}

static enum err scan_deep(int depth, bool arrays, struct fault *fault, struct arena *arena)
{
    struct buffer json;
    buffer_init(&json, 1024 * 1024);
    (void)buffer_add_string(&json, "{\"a\":");
    for (int i = 1; i < depth; i++) {
        (void)buffer_add_string(&json, arrays ? "[" : "{\"a\":");
    }
    (void)buffer_add_string(&json, "1");
    for (int i = 1; i < depth; i++) {
        (void)buffer_add_string(&json, arrays ? "]" : "}");
    }
    (void)buffer_add_string(&json, "}");
    enum err e = json_scan(buffer_text(&json), JSON_MAX_DEPTH, ERR_INVALID_BODY, arena, fault);
    buffer_release(&json);
    return e;
}

static void test_depth_has_an_end(void **state)
{
    (void)state;
    for (int arrays = 0; arrays <= 1; arrays++) {
        struct arena arena = {0};
        struct fault fault;
        fault_init(&fault, &arena);
        assert_int_equal(scan_deep(JSON_MAX_DEPTH, arrays, &fault, &arena), ERR_NONE);
        assert_int_equal(scan_deep(JSON_MAX_DEPTH + 1, arrays, &fault, &arena), ERR_INVALID_BODY);
        assert_string_equal(fault.items[0].code.data, "too_deep");
        assert_int_equal(scan_deep(100000, arrays, &fault, &arena), ERR_INVALID_BODY);
        arena_release(&arena);
    }
}

static enum err scan(const struct buffer *json, struct fault *fault, struct arena *arena)
{
    *fault = (struct fault){0};
    fault_init(fault, arena);
    return json_scan(buffer_text(json), JSON_MAX_DEPTH, ERR_INVALID_BODY, arena, fault);
}

static void test_members_names_and_numbers_have_an_end(void **state)
{
    enum { NUMBER_MAX = 64 }; /* characters; as many as no amount or count needs */
    (void)state;
    for (int over = 0; over <= 1; over++) {
        AUTO(arena_release) struct arena arena = {0};
        AUTO(buffer_release) struct buffer members, name, number;
        struct fault fault;
        enum err expected = over ? ERR_INVALID_BODY : ERR_NONE;
        buffer_init(&members, 4096);
        for (int i = 0; i < JSON_MAX_MEMBERS + over; i++) {
            (void)buffer_printf(&members, "%s\"m%d\":1", i ? "," : "{", i);
        }
        (void)buffer_add_char(&members, '}');
        assert_int_equal(scan(&members, &fault, &arena), expected);
        assert_true(!over || fault_item(&fault, "", "too_many") >= 0);
        buffer_init(&name, 4096);
        (void)buffer_printf(&name, "{\"%0*d\":1}", JSON_MAX_NAME_SIZE + over, 0);
        assert_int_equal(scan(&name, &fault, &arena), expected);
        buffer_init(&number, 4096);
        (void)buffer_printf(&number, "{\"n\":0.%0*d}", NUMBER_MAX - 2 + over, 1);
        assert_int_equal(scan(&number, &fault, &arena), expected);
        assert_true(!over || fault_item(&fault, "/n", "out_of_range") >= 0);
    }
}

/* Cut anywhere, and with any byte changed, it must end without reading outside. */
static void test_survives_every_cut_and_flip(void **state)
{
    static const char json[] =
        "{\"a\":[1,-2.5e3,\"x\\u00e9\\ud83d\\ude00\",{\"b\":null}],\"c\":{\"d\":true,\"e\":\"\xc3\xa9\"}}";
    (void)state;
    for (size_t cut = 0; cut < sizeof json - 1; cut++) {
        struct arena arena = {0};
        char *copy = mem_alloc(cut ? cut : 1);
        memcpy(copy, json, cut);
        assert_int_not_equal(
            json_scan((struct text){copy, (uint32_t)cut}, JSON_MAX_DEPTH, ERR_INVALID_BODY, &arena, NULL), ERR_NONE);
        mem_free(copy);
        arena_release(&arena);
    }
    for (size_t at = 0; at < sizeof json - 1; at++) {
        for (int byte = 0; byte < 256; byte++) {
            struct arena arena = {0};
            char *copy = mem_alloc(sizeof json - 1);
            memcpy(copy, json, sizeof json - 1);
            copy[at] = (char)byte;
            (void)!json_scan((struct text){copy, sizeof json - 1}, JSON_MAX_DEPTH, ERR_INVALID_BODY, &arena, NULL);
            mem_free(copy);
            arena_release(&arena);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refuses_with_the_place),
        cmocka_unit_test(test_lets_json_pass),
        cmocka_unit_test(test_depth_has_an_end),
        cmocka_unit_test(test_members_names_and_numbers_have_an_end),
        cmocka_unit_test(test_survives_every_cut_and_flip),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
