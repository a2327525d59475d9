#include "tests/proto/table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

static size_t size_of_kind(enum field_kind kind)
{
    switch (kind) {
    case FIELD_TEXT:
    case FIELD_RAW: return sizeof(struct text);
    case FIELD_INT:
    case FIELD_TIME:
    case FIELD_MONEY:
    case FIELD_DECIMAL: return sizeof(int64_t);
    case FIELD_BOOL: return sizeof(bool);
    case FIELD_ENUM: return sizeof(int);
    case FIELD_STRS: return sizeof(struct text_list);
    case FIELD_LIST: return sizeof(void *) + sizeof(uint32_t);
    case FIELD_REC: return sizeof(void *);
    }
    return 0;
}

static void field_check(const struct record *record, uint32_t index)
{
    const struct field *field = &record->fields[index];
    assert_true(strlen(field->name) > 0);
    assert_int_equal(strspn(field->name, "abcdefghijklmnopqrstuvwxyz0123456789_"), strlen(field->name));
    assert_ptr_equal(record_field(record, text_of(field->name)), field); /* the first of that name: unique */
    assert_true(field->min <= field->max);
    assert_true(strlen(field->prose) > 2);
    assert_true(field->offset >= sizeof(uint64_t));
    assert_true(field->offset + size_of_kind(field->kind) <= record->size);
    if (index > 0) {
        const struct field *before = field - 1;
        assert_true(before->offset + size_of_kind(before->kind) <= field->offset);
    }
    assert_int_equal(field->kind == FIELD_ENUM, field->names != NULL);
    assert_int_equal(field->kind == FIELD_LIST || field->kind == FIELD_REC, field->record != NULL);
    assert_int_equal(field->kind == FIELD_STRS, field->count_max > 0);
    assert_true(!(field->flags & LINE) || field->kind == FIELD_TEXT || field->kind == FIELD_STRS);
    for (int i = 0; field->names && i < field->names->count; i++) {
        int found = -1;
        assert_non_null(field->names->names[i]);
        assert_true(enum_find(field->names, text_of(field->names->names[i]), &found));
        assert_int_equal(found, i);
    }
}

void table_check(const struct record *record)
{
    assert_true(record->field_count <= RECORD_MAX_FIELDS);
    bool money = false;
    for (uint32_t i = 0; i < record->field_count; i++) {
        field_check(record, i);
        money = money || record->fields[i].kind == FIELD_MONEY;
        if (record->fields[i].record) {
            table_check(record->fields[i].record);
        }
    }
    /* Amounts need a currency: here, or in the record around it. */
    if (money && record_field(record, TEXT("currency")) == NULL) {
        assert_true(strstr(record->name, "line") != NULL);
    }
}
