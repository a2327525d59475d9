#include "tests/gateway/check.h"

#include <jansson.h>

#include "gateway/asyncapi.h"
#include "gateway/event_types.h"

static json_t *root;

static int make(void **state)
{
    struct buffer out;
    (void)state;
    buffer_init(&out, 1024 * 1024);
    asyncapi_print(&out);
    root = json_loadb(out.data, out.size, JSON_REJECT_DUPLICATES, NULL);
    buffer_release(&out);
    return root ? 0 : -1;
}

static int drop(void **state)
{
    (void)state;
    json_decref(root);
    return 0;
}

/* path: names with '/' between, as in a reference. */
static json_t *at(const char *path)
{
    json_t *found = root;
    struct text rest = text_of(path), step;
    while (text_cut(&rest, '/', &step)) {
        found = json_object_getn(found, step.data, step.size);
    }
    return found;
}

static const char *string_at(const char *path)
{
    return json_string_value(at(path));
}

static void references_check(json_t *json)
{
    const char *name;
    json_t *value;
    size_t i;
    json_array_foreach(json, i, value)
    {
        references_check(value);
    }
    json_object_foreach(json, name, value)
    {
        if (strcmp(name, "$ref") == 0) {
            assert_non_null(at(json_string_value(value) + 2));
        } else {
            references_check(value);
        }
    }
}

static void test_every_reference_leads_somewhere(void **state)
{
    (void)state;
    references_check(root);
    assert_string_equal(string_at("asyncapi"), "3.0.0");
}

static void test_every_public_event_has_a_topic(void **state)
{
    size_t count = 0;
    (void)state;
    for (int i = 0; i < EVENT_COUNT; i++) {
        const struct event_info *info = event_info((enum event_type)i);
        char path[200], wanted[200];
        snprintf(path, sizeof path, "channels/tap.%s/address", info->type);
        if (info->payload == &nothing_record) {
            assert_null(at(path));
            continue;
        }
        count++;
        snprintf(wanted, sizeof wanted, "%s.", info->type);
        assert_string_equal(string_at(path), wanted);
        snprintf(path, sizeof path, "channels/tap.%s/x-zmq/subscribe", info->type);
        assert_string_equal(string_at(path), wanted);
        snprintf(path, sizeof path, "components/messages/tap.%s/payload/$ref", info->type);
        snprintf(wanted, sizeof wanted, "#/components/schemas/msgpack.%s", info->payload->name);
        assert_string_equal(string_at(path), wanted);
        snprintf(path, sizeof path, "operations/tap.%s/action", info->type);
        assert_string_equal(string_at(path), "send");
        snprintf(path, sizeof path, "channels/tap.%s/messages/tap.%s/$ref", info->type, info->type);
        snprintf(wanted, sizeof wanted, "#/components/messages/tap.%s", info->type);
        assert_string_equal(string_at(path), wanted);
    }
    assert_true(count > 0);
    assert_string_equal(string_at("channels/tap._head/address"), "_head.");
    assert_int_equal(json_object_size(at("channels")), count + 3); /* _head, ws, stream */
    assert_int_equal(json_object_size(at("operations")), count + 3);
}

static void test_what_clients_get_comes_both_ways(void **state)
{
    size_t count = 0;
    (void)state;
    for (int i = 0; i < EVENT_COUNT; i++) {
        const char *type = event_info((enum event_type)i)->type;
        bool gets = event_types_bit(text_of(type)) != 0;
        char path[200];
        count += gets;
        snprintf(path, sizeof path, "channels/ws/messages/ws.%s", type);
        assert_int_equal(at(path) != NULL, gets);
        snprintf(path, sizeof path, "channels/stream/messages/stream.%s", type);
        assert_int_equal(at(path) != NULL, gets);
    }
    assert_int_equal(json_object_size(at("channels/ws/messages")), count);
    assert_int_equal(json_object_size(at("channels/stream/messages")), count);
}

static void test_queries_are_those_of_the_tables(void **state)
{
    json_t *query = at("operations/stream/bindings/http/query/properties");
    (void)state;
    assert_int_equal(json_object_size(query), event_stream_query_record.field_count);
    for (uint32_t i = 0; i < event_stream_query_record.field_count; i++) {
        assert_non_null(json_object_get(query, event_stream_query_record.fields[i].name));
    }
}

static void test_amounts_differ_by_wire(void **state)
{
    (void)state;
    assert_string_equal(string_at("components/schemas/msgpack.order_event/properties/total/type"), "integer");
    assert_string_equal(string_at("components/schemas/order/properties/total/type"), "number");
    assert_string_equal(string_at("components/schemas/ws_event/properties/time/format"), "date-time");
    assert_string_equal(string_at("components/schemas/msgpack.event_meta/properties/time/type"), "string");
}

/* The outside sees no name, mail, address or note. */
static void test_the_tap_names_nobody(void **state)
{
    static const char *const personal[] = {"name", "email",   "address", "addresses", "shipping_address",
                                           "note", "password"};
    const char *name;
    json_t *schema;
    (void)state;
    json_object_foreach(at("components/schemas"), name, schema)
    {
        if (strncmp(name, "msgpack.", 8) == 0 && strstr(name, "order")) {
            for (size_t i = 0; i < ARRAY_COUNT(personal); i++) {
                assert_null(json_object_get(json_object_get(schema, "properties"), personal[i]));
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_reference_leads_somewhere),  cmocka_unit_test(test_every_public_event_has_a_topic),
        cmocka_unit_test(test_what_clients_get_comes_both_ways), cmocka_unit_test(test_queries_are_those_of_the_tables),
        cmocka_unit_test(test_amounts_differ_by_wire),           cmocka_unit_test(test_the_tap_names_nobody),
    };
    return cmocka_run_group_tests(tests, make, drop);
}
