#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "proto/event.h"

static void every_event_is_found_by_its_type(void **state)
{
    (void)state;
    for (int i = 0; i < EVENT_COUNT; i++) {
        const struct event_info *info = event_info((enum event_type)i);
        assert_ptr_equal(event_find(text_of(info->type)), info);
        assert_true(strlen(info->type) + 2 <= EVENT_TOPIC_SIZE); /* the topic's dot and NUL */
        assert_non_null(strchr(info->type, '.'));
        assert_non_null(info->payload);
        assert_non_null(info->private_payload);
    }
    assert_null(event_find(TEXT("order.unheard_of")));
    assert_null(event_find(TEXT("order.placed.")));
    assert_null(event_find(TEXT("")));
}

/* What the outside sees must have nobody's name, mail, address or note in it. */
static void no_field_names_a_person(const struct record *record)
{
    static const char *const forbidden[] = {"name",      "email",   "note", "line1", "city", "shipping_address",
                                            "addresses", "password"};
    for (uint32_t i = 0; i < record->field_count; i++) {
        for (size_t j = 0; j < sizeof(forbidden) / sizeof(forbidden[0]); j++) {
            if (strcmp(record->fields[i].name, forbidden[j]) == 0) {
                fail_msg("%s.%s", record->name, forbidden[j]);
            }
        }
        if (record->fields[i].record) {
            no_field_names_a_person(record->fields[i].record);
        }
    }
}

static void public_payloads_name_nobody(void **state)
{
    (void)state;
    for (int i = 0; i < EVENT_COUNT; i++) {
        no_field_names_a_person(event_info((enum event_type)i)->payload);
    }
    no_field_names_a_person(&order_event_record);
}

static void told(const char *pattern, const struct record *only, const char *wanted)
{
    AUTO(buffer_release) struct buffer out;
    buffer_init(&out, 200);
    event_types_tell(text_of(pattern), only, &out);
    assert_false(out.overflown);
    assert_true(text_is(buffer_text(&out), wanted));
}

static void what_there_is_can_be_told(void **state)
{
    (void)state;
    assert_true(event_pattern_shown(TEXT("*")) && event_pattern_shown(TEXT("order.*")) &&
                event_pattern_shown(TEXT("user.created")));
    assert_false(event_pattern_shown(TEXT("session.*")) || event_pattern_shown(TEXT("foo.*")) ||
                 event_pattern_shown(TEXT("order")));
    told("foo.*", NULL, "order.*, user.*, product.*");
    told("", &order_record, "order.*");
    told("session.ended", NULL, "order.*, user.*, product.*");
    told("user.*", NULL, "user.created, user.updated, user.role_changed");
    told("user", &order_record, "order.*");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_event_is_found_by_its_type),
                                       cmocka_unit_test(public_payloads_name_nobody),
                                       cmocka_unit_test(what_there_is_can_be_told)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
