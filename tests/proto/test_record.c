#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <msgpack.h>
#include <stdio.h>

#include "proto/fault.h"
#include "proto/ops.h"
#include "proto/pack.h"
#include "tests/proto/bounds.h"
#include "tests/proto/sample.h"

enum { ROUNDS = 40 };

/* ---- msgpack-c reads what we write ---- */

static bool text_is_object(struct text text, const msgpack_object *object)
{
    return object->type == MSGPACK_OBJECT_STR && object->via.str.size == text.size &&
           (text.size == 0 || memcmp(object->via.str.ptr, text.data, text.size) == 0);
}

static void compare_map(const struct record *record, const void *in, const msgpack_object *object);

static void compare_list(const struct field *field, const void *at, const msgpack_object *object)
{
    const char *items;
    uint32_t count;
    memcpy(&items, at, sizeof items);
    memcpy(&count, (const char *)at + sizeof items, sizeof count);
    assert_int_equal(object->type, MSGPACK_OBJECT_ARRAY);
    assert_int_equal(object->via.array.size, count);
    for (uint32_t i = 0; i < count; i++) {
        compare_map(field->record, items + i * field->record->size, &object->via.array.ptr[i]);
    }
}

static void compare_number(const void *at, const msgpack_object *object)
{
    int64_t number;
    memcpy(&number, at, sizeof number);
    if (number < 0) {
        assert_int_equal(object->type, MSGPACK_OBJECT_NEGATIVE_INTEGER);
        assert_true(object->via.i64 == number);
    } else {
        assert_int_equal(object->type, MSGPACK_OBJECT_POSITIVE_INTEGER);
        assert_true(object->via.u64 == (uint64_t)number);
    }
}

static void compare_value(const struct field *field, const void *at, const msgpack_object *object)
{
    struct text text;
    struct text_list texts;
    const void *nested;
    bool flag;
    int value;
    switch (field->kind) {
    case FIELD_TEXT:
        memcpy(&text, at, sizeof text);
        assert_true(text_is_object(text, object));
        break;
    case FIELD_INT:
    case FIELD_TIME:
    case FIELD_MONEY:
    case FIELD_DECIMAL: compare_number(at, object); break;
    case FIELD_BOOL:
        memcpy(&flag, at, sizeof flag);
        assert_int_equal(object->type, MSGPACK_OBJECT_BOOLEAN);
        assert_true(object->via.boolean == flag);
        break;
    case FIELD_ENUM:
        memcpy(&value, at, sizeof value);
        assert_true(text_is_object(text_of(enum_name(field->names, value)), object));
        break;
    case FIELD_STRS:
        memcpy(&texts, at, sizeof texts);
        assert_int_equal(object->type, MSGPACK_OBJECT_ARRAY);
        assert_int_equal(object->via.array.size, texts.count);
        for (uint32_t i = 0; i < texts.count; i++) {
            assert_true(text_is_object(texts.items[i], &object->via.array.ptr[i]));
        }
        break;
    case FIELD_LIST: compare_list(field, at, object); break;
    case FIELD_REC:
        memcpy(&nested, at, sizeof nested);
        compare_map(field->record, nested, object);
        break;
    case FIELD_RAW: break; /* any value; that the whole unpacks shows that it is one */
    }
}

static void compare_map(const struct record *record, const void *in, const msgpack_object *object)
{
    assert_int_equal(object->type, MSGPACK_OBJECT_MAP);
    uint32_t entry = 0;
    for (uint32_t i = 0; i < record->field_count; i++) {
        const struct field *field = &record->fields[i];
        if (record_has(in, i)) {
            assert_true(entry < object->via.map.size);
            assert_true(text_is_object(text_of(field->name), &object->via.map.ptr[entry].key));
            compare_value(field, field_in(field, in), &object->via.map.ptr[entry].val);
            entry++;
        }
    }
    assert_int_equal(object->via.map.size, entry);
}

static void all_records_go_there_and_back(void **state)
{
    (void)state;
    for (size_t r = 0; sample_records[r]; r++) {
        const struct record *record = sample_records[r];
        for (uint64_t round = 0; round < ROUNDS; round++) {
            AUTO(arena_release) struct arena arena = {0};
            uint64_t seed = r * 1000 + round;
            void *in = arena_alloc(&arena, record->size), *out = arena_alloc(&arena, record->size);
            struct fault fault;
            fault_init(&fault, &arena);
            sample_fill(record, &seed, &arena, in);
            assert_int_equal(record_check(record, in, ERR_INVALID_BODY, &fault), ERR_NONE);
            struct text bytes = record_pack_in(record, in, &arena);
            assert_true(record_size(record, in) >= bytes.size);
            if (record_unpack(record, bytes, &arena, &fault, out) != ERR_NONE) {
                fail_msg("%s, seed %d: %.*s %.*s", record->name, (int)(r * 1000 + round),
                         TEXT_ARG(fault.items[0].pointer), TEXT_ARG(fault.items[0].message));
            }
            assert_true(sample_equal(record, in, out));
            struct text again = record_pack_in(record, out, &arena);
            assert_true(text_equal(bytes, again));
            msgpack_unpacked unpacked;
            size_t at = 0;
            msgpack_unpacked_init(&unpacked);
            assert_int_equal(msgpack_unpack_next(&unpacked, bytes.data, bytes.size, &at), MSGPACK_UNPACK_SUCCESS);
            assert_int_equal(at, bytes.size);
            compare_map(record, in, &unpacked.data);
            msgpack_unpacked_destroy(&unpacked);
        }
    }
}

/* Every prefix is refused, every single changed byte is refused or read as something valid; never beyond the end. */
static void damaged_bytes_are_refused_or_valid(void **state)
{
    (void)state;
    for (size_t r = 0; sample_records[r]; r++) {
        const struct record *record = sample_records[r];
        AUTO(arena_release) struct arena arena = {0};
        uint64_t seed = r;
        void *in = arena_alloc(&arena, record->size), *out = arena_alloc(&arena, record->size);
        sample_fill(record, &seed, &arena, in);
        struct text bytes = record_pack_in(record, in, &arena);
        uint32_t step = bytes.size / 200 + 1;
        for (uint32_t size = 0; size < bytes.size; size += step) {
            /* a block of its own, so that a sanitizer sees one byte too many */
            char *copy = mem_alloc(size ? size : 1);
            memcpy(copy, bytes.data, size);
            AUTO(arena_release) struct arena scratch = {0};
            assert_int_equal(record_unpack(record, (struct text){copy, size}, &scratch, NULL, out), ERR_INVALID_BODY);
            mem_free(copy);
        }
        for (uint32_t at = 0; at < bytes.size; at += step) {
            char *copy = mem_alloc(bytes.size);
            memcpy(copy, bytes.data, bytes.size);
            copy[at] = (char)sample_random(&seed);
            AUTO(arena_release) struct arena scratch = {0};
            if (record_unpack(record, (struct text){copy, bytes.size}, &scratch, NULL, out) == ERR_NONE) {
                assert_int_equal(record_check(record, out, ERR_INVALID_BODY, NULL), ERR_NONE);
            }
            mem_free(copy);
        }
    }
}

/* ---- bounds ---- */

/* What stands at a bound goes through; one beyond is refused at its place, on the wire and in a record filled by other
 * means. */
static void see_bound(const struct bound_case *found, void *user)
{
    struct fault wire_fault, check_fault;
    (void)user;
    fault_init(&wire_fault, found->arena);
    fault_init(&check_fault, found->arena);
    void *out = arena_alloc(found->arena, found->record->size);
    struct text bytes = record_pack_in(found->wide, found->value, found->arena);
    enum err read = record_unpack(found->record, bytes, found->arena, &wire_fault, out);
    enum err checked = record_check(found->record, found->value, ERR_INVALID_BODY, &check_fault);
    enum err expected = found->within ? ERR_NONE : ERR_INVALID_BODY;
    if (read != expected || checked != expected) {
        fail_msg("%s.%s %s: read %d, checked %d", found->record->name, found->field->name,
                 found->within ? "within" : "beyond", read, checked);
    }
    if (!found->within) {
        size_t size = found->field->name_size;
        assert_int_equal(wire_fault.item_count, 1);
        assert_int_equal(check_fault.item_count, 1);
        assert_memory_equal(wire_fault.items[0].pointer.data + 1, found->field->name, size);
        assert_memory_equal(check_fault.items[0].pointer.data + 1, found->field->name, size);
    }
}

static void every_field_stops_at_its_bounds(void **state)
{
    int count = 0;
    (void)state;
    for (size_t r = 0; sample_records[r]; r++) {
        count += bounds_walk(sample_records[r], see_bound, NULL);
    }
    assert_true(count > 1000);
}

/* ---- one malformation at a time ---- */

struct bad {
    const char *what;
    const struct record *record;
    const char *bytes;
    size_t size;
    const char *pointer;
};

#define BAD(what, record, bytes, pointer)                                                                              \
    {                                                                                                                  \
        what, &record##_record, bytes, sizeof(bytes) - 1, pointer                                                      \
    }

static const struct bad cases[] = {
    BAD("nothing", product_ref, "", ""),
    BAD("an array", product_ref, "\x90", ""),
    BAD("missing", product_ref, "\x80", "/id"),
    BAD("given twice", product_ref, "\x82\xa2id\xa1x\xa2id\xa1y", "/id"),
    BAD("nil, then given", order_new,
        "\x83\xa4note\xc0\xa4note\xa1x\xa5items\x91\x82\xaaproduct_id\xa1p\xa8quantity\x01", "/note"),
    BAD("trailing byte", product_ref, "\x81\xa2id\xa1x\x00", ""),
    BAD("trailing map", product_ref, "\x81\xa2id\xa1x\x80", ""),
    BAD("a number", product_ref, "\x81\xa2id\x01", "/id"),
    BAD("a binary", product_ref, "\x81\xa2id\xc4\x01x", "/id"),
    BAD("nil for what is required", product_ref, "\x81\xa2id\xc0", "/id"),
    BAD("empty", product_ref, "\x81\xa2id\xa0", "/id"),
    BAD("too long", product_ref, "\x81\xa2id\xd9\x29xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", "/id"),
    BAD("bad UTF-8", product_ref, "\x81\xa2id\xa2\xc0\x80", "/id"),
    BAD("NUL", product_ref, "\x81\xa2id\xa1\x00", "/id"),
    BAD("control character", product_ref, "\x81\xa2id\xa1\n", "/id"),
    BAD("key that is no text", product_ref, "\x82\x01\x01\xa2id\xa1x", ""),
    BAD("never used byte", product_ref, "\x82\xa1x\xc1\xa2id\xa1x", ""),
    BAD("cut in a skipped value", product_ref,
        "\x82\xa2id\xa1x\xa1y\xda\xff\xff"
        "abc",
        ""),
    BAD("entries announced that never come", product_ref, "\xdf\xff\xff\xff\xff\xa2id\xa1x", ""),
    BAD("enum of no such name", user_role_set, "\x82\xa2id\xa1x\xa4role\xa4king", "/role"),
    BAD("enum by number", user_role_set, "\x82\xa2id\xa1x\xa4role\x01", "/role"),
    BAD("float", order_new, "\x81\xa5items\x91\x82\xaaproduct_id\xa1p\xa8quantity\xcb\x3f\xf0\0\0\0\0\0\0",
        "/items/0/quantity"),
    BAD("zero pieces", order_new, "\x81\xa5items\x91\x82\xaaproduct_id\xa1p\xa8quantity\x00", "/items/0/quantity"),
    BAD("beyond int64", order_new,
        "\x81\xa5items\x91\x82\xaaproduct_id\xa1p\xa8quantity\xcf\xff\xff\xff\xff\xff\xff\xff\xff",
        "/items/0/quantity"),
    BAD("second line bad", order_new,
        "\x81\xa5items\x92\x82\xaaproduct_id\xa1p\xa8quantity\x01\x81\xaaproduct_id\xa1p", "/items/1/quantity"),
    BAD("no lines", order_new, "\x81\xa5items\x90", "/items"),
    BAD("lines announced that never come", order_new, "\x81\xa5items\xdd\x00\x00\x00\x64", "/items"),
    BAD("nested map", order_new, "\x82\xb0shipping_address\x81\xa4name\x01\xa5items\x90", "/shipping_address/name"),
    BAD("too many texts", event_replay,
        "\x82\xa5"
        "after\x00\xa5types\xdc\x00\x21"
        "ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFGHIJ",
        "/types"),
    BAD("a text that is none", event_replay,
        "\x82\xa5"
        "after\x00\xa5types\x91\x01",
        "/types"),
    BAD("bool by number", call_meta, "\x81\xa5keyed\x01", "/keyed"),
    BAD("unknown value too deep", product_ref,
        "\x82\xa1x\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\xc0\xa2id\xa1x", ""),
};

static void each_malformation_has_its_pointer(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        AUTO(arena_release) struct arena arena = {0};
        struct fault fault;
        char out[512], before[512];
        memset(out, 0x5a, sizeof out);
        memset(before, 0x5a, sizeof before);
        assert_true(cases[i].record->size <= sizeof out);
        fault_init(&fault, &arena);
        struct text bytes = {cases[i].bytes, (uint32_t)cases[i].size};
        enum err code = record_unpack(cases[i].record, bytes, &arena, &fault, out);
        if (code != ERR_INVALID_BODY || fault.code != code || fault.item_count != 1 ||
            !text_is(fault.items[0].pointer, cases[i].pointer)) {
            fail_msg("%s: code %d, pointer %.*s", cases[i].what, code,
                     fault.item_count ? (int)fault.items[0].pointer.size : 0,
                     fault.item_count ? fault.items[0].pointer.data : "");
        }
        assert_memory_equal(out, before, sizeof out); /* untouched on failure */
    }
}

static void unknown_keys_and_other_orders_are_fine(void **state)
{
    (void)state;
    AUTO(arena_release) struct arena arena = {0};
    struct user_role_set out;
    static const char bytes[] = "\x84\xa1x\x93\x01\xc4\x01y\x81\xa1z\xc0\xa4role\xa5"
                                "admin\xa1y\xd6\x01\x01\x02\x03\x04\xa2id\xa5usr_1";
    assert_int_equal(record_unpack(&user_role_set_record, (struct text){bytes, sizeof bytes - 1}, &arena, NULL, &out),
                     ERR_NONE);
    assert_true(text_is(out.id, "usr_1"));
    assert_int_equal(out.role, ROLE_ADMIN);
}

static void nil_means_absent(void **state)
{
    (void)state;
    AUTO(arena_release) struct arena arena = {0};
    struct call_meta out;
    static const char bytes[] = "\x82\xa7user_id\xc0\xa6"
                                "client\xa1x";
    assert_int_equal(record_unpack(&call_meta_record, (struct text){bytes, sizeof bytes - 1}, &arena, NULL, &out),
                     ERR_NONE);
    assert_false(has(call_meta, &out, user_id));
    assert_true(has(call_meta, &out, client));
}

static void required_fields_are_packed_without_presence_bits(void **state)
{
    (void)state;
    AUTO(arena_release) struct arena arena = {0};
    struct product_ref in = {.id = TEXT("prd_1")}, out;
    struct text bytes = record_pack_in(&product_ref_record, &in, &arena);
    assert_int_equal(bytes.size, 10);
    assert_memory_equal(bytes.data, "\x81\xa2id\xa5prd_1", 10);
    assert_int_equal(record_unpack(&product_ref_record, bytes, &arena, NULL, &out), ERR_NONE);
    assert_true(record_has(&out, product_ref_at_id));
}

static void a_full_buffer_stops_the_packing(void **state)
{
    (void)state;
    struct product_ref in = {.id = TEXT("prd_1")};
    for (size_t max = 0; max < 10; max++) {
        AUTO(buffer_release) struct buffer out;
        buffer_init(&out, max);
        assert_false(record_pack(&product_ref_record, &in, &out));
        assert_true(out.overflown);
    }
}

static void checks_list_every_bad_field(void **state)
{
    (void)state;
    AUTO(arena_release) struct arena arena = {0};
    struct fault fault;
    fault_init(&fault, &arena);
    struct order_item items[2] = {{.product_id = TEXT("p"), .quantity = 0}, {.product_id = TEXT(""), .quantity = 1}};
    for (int i = 0; i < 2; i++) {
        set_has(order_item, &items[i], product_id);
        set_has(order_item, &items[i], quantity);
    }
    struct address address = {.name = TEXT("A\nB")};
    set_has(address, &address, name);
    struct order_new order = {.items = {items, 2}, .shipping_address = &address};
    set_has(order_new, &order, items);
    set_has(order_new, &order, shipping_address);
    assert_int_equal(record_check(&order_new_record, &order, ERR_INVALID_PARAMETER, &fault), ERR_INVALID_PARAMETER);
    static const char *const pointers[] = {"/items/0/quantity",        "/items/1/product_id",
                                           "/shipping_address/name",   "/shipping_address/line1",
                                           "/shipping_address/city",   "/shipping_address/postal_code",
                                           "/shipping_address/country"};
    assert_int_equal(fault.item_count, sizeof(pointers) / sizeof(pointers[0]));
    for (uint32_t i = 0; i < fault.item_count; i++) {
        assert_true(text_is(fault.items[i].pointer, pointers[i]));
    }
    assert_true(text_is(fault.items[3].code, "required"));
}

static void a_list_holds_what_fits(void **state)
{
    enum { WORDS = 2000, ROWS = LIST_MAX_SIZE / WORDS };
    static char words[WORDS + 1];
    static struct order_new rows[ROWS];
    (void)state;
    memset(words, 'w', WORDS);
    for (int i = 0; i < ROWS; i++) {
        rows[i].note = text_of(words);
        set_has(order_new, &rows[i], note);
    }
    uint32_t fitting = records_fit(&order_new_record, rows, ROWS);
    size_t size = record_size(&order_new_record, &rows[0]);
    assert_true(size >= WORDS && size < WORDS + 100);
    assert_true((fitting - 1) * size < LIST_MAX_SIZE && fitting * size >= LIST_MAX_SIZE);
    assert_int_equal(records_fit(&order_new_record, rows, 3), 3);
    assert_int_equal(records_fit(&order_new_record, rows, 0), 0);
}

static void names_and_bounds(void **state)
{
    (void)state;
    int value = -1;
    char message[128];
    assert_string_equal(enum_name(&role_names, ROLE_ADMIN), "admin");
    assert_null(enum_name(&role_names, -1));
    assert_null(enum_name(&role_names, role_names.count));
    assert_true(enum_find(&role_names, TEXT("customer"), &value));
    assert_int_equal(value, ROLE_CUSTOMER);
    assert_false(enum_find(&role_names, TEXT("Customer"), &value));
    const struct field *price = record_field(&product_new_record, TEXT("price"));
    assert_non_null(price);
    assert_null(record_field(&product_new_record, TEXT("prices")));
    assert_false(field_check_int(price, DECIMAL_MAX + 1, message, sizeof message));
    assert_string_equal(message, "takes 0.00 to 9999999999.99");
    assert_true(field_check_int(price, DECIMAL_MAX, message, sizeof message));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_records_go_there_and_back),
        cmocka_unit_test(damaged_bytes_are_refused_or_valid),
        cmocka_unit_test(every_field_stops_at_its_bounds),
        cmocka_unit_test(each_malformation_has_its_pointer),
        cmocka_unit_test(unknown_keys_and_other_orders_are_fine),
        cmocka_unit_test(nil_means_absent),
        cmocka_unit_test(required_fields_are_packed_without_presence_bits),
        cmocka_unit_test(a_full_buffer_stops_the_packing),
        cmocka_unit_test(checks_list_every_bad_field),
        cmocka_unit_test(a_list_holds_what_fits),
        cmocka_unit_test(names_and_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
