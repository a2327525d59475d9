#include "tests/gateway/check.h"

#include "gateway/json_schema.h"
#include "lib/base/auto.h"

#define INNER_FIELDS(F, R) \
    F(R, TEXT, sku, REQ, 1, 10, none, "the sku")
RECORD_DECLARE(inner, INNER_FIELDS);
RECORD_DEFINE(inner, INNER_FIELDS)

#define COLOUR(X) X(COLOUR_RED, "red") X(COLOUR_BLUE, "blue")
ENUM_DECLARE(colour, COLOUR);
ENUM_DEFINE(colour, COLOUR)

#define OUTER_FIELDS(F, R)                                          \
    F(R, TEXT,    id,     REQ, 1, 40, none, "an id")               \
    F(R, TEXT,    secret, OPT | SECRET, 1, 9, none, "a secret")    \
    F(R, INT,     least,  OPT, INT64_MIN, INT64_MAX, none, "any")  \
    F(R, BOOL,    on,     OPT | NOT_NULL, 0, 0, none, "a switch")  \
    F(R, TIME,    at,     OPT, 0, INT64_MAX, none, "a time")       \
    F(R, MONEY,   price,  OPT, 0, 500, none, "an amount")          \
    F(R, ENUM,    colour, OPT, 0, 0, colour, "a colour")           \
    F(R, STRS,    tags,   OPT, 1, 8, 4, "some tags")               \
    F(R, LIST,    inners, REQ, 1, 3, inner, "some more")           \
    F(R, REC,     one,    OPT, 0, 0, inner, "one more")            \
    F(R, RAW,     raw,    OPT, 0, 9, none, "never in JSON")
RECORD_DECLARE(outer, OUTER_FIELDS);
RECORD_DEFINE(outer, OUTER_FIELDS)

static void expect(json_t *schemas, const char *name, const char *field, const char *wanted)
{
    json_t *got = json_object_get(json_object_get(json_object_get(schemas, name), "properties"), field);
    json_t *want = json_loads(wanted, 0, NULL);
    assert_non_null(want);
    if (!json_equal(got, want)) {
        char *text = json_dumps(got, JSON_SORT_KEYS);
        print_error("%s: %s\n", field, text ? text : "(none)");
        free(text);
    }
    assert_true(json_equal(got, want));
    json_decref(want);
}

static void test_in_json(void **state)
{
    json_t *schemas = json_object();
    (void)state;
    schema_add(schemas, SCHEMA_JSON, &outer_record, 0);
    expect(schemas, "outer", "id", "{\"type\":\"string\",\"minLength\":1,\"maxLength\":40,\"description\":\"an id\"}");
    expect(schemas, "outer", "secret",
           "{\"type\":[\"string\",\"null\"],\"minLength\":1,\"maxLength\":9,\"format\":\"password\",\"description\":"
           "\"a secret\"}");
    expect(schemas, "outer", "least", "{\"type\":[\"integer\",\"null\"],\"format\":\"int64\",\"description\":\"any\"}");
    expect(schemas, "outer", "on", "{\"type\":\"boolean\",\"description\":\"a switch\"}");
    expect(schemas, "outer", "at",
           "{\"type\":[\"string\",\"null\"],\"format\":\"date-time\",\"description\":\"a time\"}");
    expect(schemas, "outer", "colour",
           "{\"type\":[\"string\",\"null\"],\"enum\":[\"red\",\"blue\",null],\"description\":\"a colour\"}");
    expect(schemas, "outer", "one",
           "{\"anyOf\":[{\"$ref\":\"#/components/schemas/inner\"},{\"type\":\"null\"}],\"description\":\"one more\"}");
    json_t *outer = json_object_get(schemas, "outer");
    assert_null(json_object_get(json_object_get(outer, "properties"), "raw"));
    assert_true(json_is_false(json_object_get(outer, "additionalProperties")));
    assert_int_equal(json_array_size(json_object_get(outer, "required")), 2);
    assert_non_null(json_object_get(schemas, "inner"));
    json_decref(schemas);
}

static void test_in_msgpack(void **state)
{
    json_t *schemas = json_object();
    (void)state;
    schema_add(schemas, SCHEMA_MSGPACK, &outer_record, 0);
    expect(schemas, "msgpack.outer", "at",
           "{\"type\":\"integer\",\"format\":\"int64\",\"minimum\":0,\"description\":\"a time\"}");
    expect(schemas, "msgpack.outer", "price",
           "{\"type\":\"integer\",\"format\":\"int64\",\"minimum\":0,\"maximum\":500,\"description\":\"an amount\"}");
    expect(schemas, "msgpack.outer", "colour",
           "{\"type\":\"string\",\"enum\":[\"red\",\"blue\"],\"description\":\"a colour\"}");
    expect(schemas, "msgpack.outer", "tags",
           "{\"type\":\"array\",\"maxItems\":4,\"items\":{\"type\":\"string\",\"minLength\":1,\"maxLength\":8},"
           "\"description\":\"some tags\"}");
    expect(schemas, "msgpack.outer", "inners",
           "{\"type\":\"array\",\"minItems\":1,\"maxItems\":3,"
           "\"items\":{\"$ref\":\"#/components/schemas/msgpack.inner\"},\"description\":\"some more\"}");
    expect(schemas, "msgpack.outer", "one",
           "{\"anyOf\":[{\"$ref\":\"#/components/schemas/msgpack.inner\"}],\"description\":\"one more\"}");
    assert_null(json_object_get(json_object_get(schemas, "msgpack.outer"), "additionalProperties"));
    json_decref(schemas);
}

static void test_leaves_out_what_is_preset(void **state)
{
    json_t *schemas = json_object();
    (void)state;
    schema_add(schemas, SCHEMA_JSON, &inner_record, 1);
    json_t *inner = json_object_get(schemas, "inner");
    assert_int_equal(json_object_size(json_object_get(inner, "properties")), 0);
    assert_null(json_object_get(inner, "required"));
    json_decref(schemas);
}

static void test_prints(void **state)
{
    AUTO(buffer_release) struct buffer out;
    (void)state;
    buffer_init(&out, 100);
    schema_document_print(json_pack("{s:f}", "price", 29.99), &out);
    assert_true(text_is(buffer_text(&out), "{\"price\":29.99}"));
}

static void an_event_has_one_of_the_records_shown(void **state)
{
    (void)state;
    json_t *schemas = json_object();
    schema_add_event(schemas);
    json_t *data = json_object_get(json_object_get(json_object_get(schemas, "event_view"), "properties"), "data");
    json_t *shown = json_object_get(data, "anyOf"), *first = json_object_get(json_array_get(shown, 0), "$ref");
    assert_string_equal(json_string_value(first), "#/components/schemas/order");
    assert_non_null(json_object_get(schemas, "order"));
    assert_null(json_object_get(schemas, "denial"));
    assert_true(json_array_size(shown) >= 2);
    json_decref(schemas);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_in_json), cmocka_unit_test(test_in_msgpack),
                                       cmocka_unit_test(test_leaves_out_what_is_preset), cmocka_unit_test(test_prints),
                                       cmocka_unit_test(an_event_has_one_of_the_records_shown)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
