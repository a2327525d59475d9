#include "tests/gateway/check.h"

#include <jansson.h>

#include "gateway/event_json.h"
#include "tests/gateway/ws_order.h"

static json_t *read_back(struct buffer *out)
{
    json_t *json = json_loadb(out->data, out->size, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(json);
    return json;
}

/* An order.placed event; without data when bytes are NULL. */
static struct event_view view_of(const char *type, const struct text *bytes)
{
    struct event_view view = {
        .id = TEXT("evt_\"1\""), .type = text_of(type), .seq = 42, .time = 1767323045678, .subject = TEXT(ORDER_A)};
    if (bytes) {
        view.data = *bytes;
        set_has(event_view, &view, data);
    }
    return view;
}

static void data_is_the_record_of_the_type(void **state)
{
    (void)state;
    AUTO(arena_release) struct arena arena = {0};
    AUTO(buffer_release) struct buffer out;
    buffer_init(&out, 100000);
    struct subscriber_event event = ws_order_event(42, "usr_a", ORDER_A, 5, &arena);
    struct event_view view = view_of("order.placed", &event.private_data);
    assert_true(event_json_write(&view, &out));
    json_t *json = read_back(&out), *data = json_object_get(json, "data");
    assert_int_equal(json_object_size(json), 6);
    assert_string_equal(json_string_value(json_object_get(json, "id")), "evt_\"1\"");
    assert_string_equal(json_string_value(json_object_get(json, "time")), "2026-01-02T03:04:05.678Z");
    assert_string_equal(json_string_value(json_object_get(json, "subject")), ORDER_A);
    assert_string_equal(json_string_value(json_object_get(data, "note")), "nnnnn");
    assert_true(json_real_value(json_object_get(data, "total")) == 59.98);
    json_decref(json);
}

static void what_cannot_be_read_is_null(void **state)
{
    (void)state;
    struct text broken = TEXT("\x81"), empty = {"", 0};
    const struct event_view views[] = {view_of("order.placed", &broken), view_of("order.placed", &empty),
                                       view_of("order.placed", NULL), view_of("session.ended", &broken),
                                       view_of("order.of_old", &broken)};
    for (size_t i = 0; i < ARRAY_COUNT(views); i++) {
        AUTO(buffer_release) struct buffer out;
        buffer_init(&out, 1000);
        assert_true(event_json_write(&views[i], &out));
        json_t *json = read_back(&out);
        assert_true(json_is_null(json_object_get(json, "data")));
        assert_int_equal(json_integer_value(json_object_get(json, "seq")), 42);
        json_decref(json);
    }
}

static void lists_have_a_head(void **state)
{
    (void)state;
    AUTO(buffer_release) struct buffer out;
    buffer_init(&out, 2000);
    struct event_view views[] = {view_of("order.placed", NULL), view_of("order.shipped", NULL)};
    struct event_list list = {.data = {views, 2}, .has_more = true, .head = 77};
    assert_true(event_json_list_write(&list, &out));
    json_t *json = read_back(&out);
    assert_int_equal(json_array_size(json_object_get(json, "data")), 2);
    assert_true(json_is_true(json_object_get(json, "has_more")));
    assert_int_equal(json_integer_value(json_object_get(json, "head")), 77);
    json_decref(json);
    buffer_clear(&out);
    assert_true(event_json_list_write(&(struct event_list){.head = 3}, &out));
    assert_memory_equal(out.data, "{\"data\":[],\"has_more\":false,\"head\":3}", out.size);
    AUTO(buffer_release) struct buffer small;
    buffer_init(&small, 100);
    assert_false(event_json_list_write(&list, &small));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(data_is_the_record_of_the_type),
        cmocka_unit_test(what_cannot_be_read_is_null),
        cmocka_unit_test(lists_have_a_head),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
