#include "gateway/json_schema.h"

#include <stdio.h>

#include "lib/base/invariant.h"
#include "proto/event.h"

enum { SCHEMA_NAME_SIZE = 80 };

static const char *name_of(enum schema_wire wire, const struct record *record, char out[SCHEMA_NAME_SIZE])
{
    int size = snprintf(out, SCHEMA_NAME_SIZE, "%s%s", wire == SCHEMA_MSGPACK ? "msgpack." : "", record->name);
    ASSERT(size > 0 && size < SCHEMA_NAME_SIZE);
    return out;
}

json_t *schema_reference(enum schema_wire wire, const struct record *record)
{
    char name[SCHEMA_NAME_SIZE];
    return json_pack("{s:s+}", "$ref", "#/components/schemas/", name_of(wire, record, name));
}

/* "string", or ["string", "null"] for a field that may be null. */
static void type_set(json_t *schema, enum schema_wire wire, const struct field *field, const char *type)
{
    bool never_null = wire == SCHEMA_MSGPACK || (field->flags & (REQ | NOT_NULL));
    json_object_set_new(schema, "type", never_null ? json_string(type) : json_pack("[s, s]", type, "null"));
}

static void bounds_set(json_t *schema, const struct field *field, const char *min_name, const char *max_name)
{
    if (field->min != INT64_MIN) {
        json_object_set_new(schema, min_name, json_integer(field->min));
    }
    if (field->max != INT64_MAX) {
        json_object_set_new(schema, max_name, json_integer(field->max));
    }
}

static void integer_set(json_t *schema, enum schema_wire wire, const struct field *field)
{
    type_set(schema, wire, field, "integer");
    json_object_set_new(schema, "format", json_string("int64"));
    bounds_set(schema, field, "minimum", "maximum");
}

static void amount_set(json_t *schema, enum schema_wire wire, const struct field *field)
{
    if (wire == SCHEMA_MSGPACK) {
        integer_set(schema, wire, field);
        return;
    }
    type_set(schema, wire, field, "number");
    json_object_set_new(schema, "minimum", json_integer(field->min));
    json_object_set_new(schema, "maximum", json_real(9999999999.99));
    json_object_set_new(schema, "examples", json_pack("[f]", 29.99));
}

static void time_set(json_t *schema, enum schema_wire wire, const struct field *field)
{
    if (wire == SCHEMA_MSGPACK) {
        integer_set(schema, wire, field);
        return;
    }
    type_set(schema, wire, field, "string");
    json_object_set_new(schema, "format", json_string("date-time"));
}

static void enum_set(json_t *schema, enum schema_wire wire, const struct field *field)
{
    json_t *names = json_array();
    for (int i = 0; i < field->names->count; i++) {
        json_array_append_new(names, json_string(enum_name(field->names, i)));
    }
    if (wire == SCHEMA_JSON && !(field->flags & REQ)) {
        json_array_append_new(names, json_null());
    }
    type_set(schema, wire, field, "string");
    json_object_set_new(schema, "enum", names);
}

static void texts_set(json_t *schema, enum schema_wire wire, const struct field *field)
{
    json_t *items = json_pack("{s:s}", "type", "string");
    bounds_set(items, field, "minLength", "maxLength");
    type_set(schema, wire, field, "array");
    json_object_set_new(schema, "maxItems", json_integer(field->count_max));
    json_object_set_new(schema, "items", items);
}

static void record_set(json_t *schema, enum schema_wire wire, const struct field *field)
{
    bool never_null = wire == SCHEMA_MSGPACK || (field->flags & REQ);
    json_t *reference = schema_reference(wire, field->record);
    json_object_set_new(schema, "anyOf",
                        never_null ? json_pack("[o]", reference) : json_pack("[o, {s:s}]", reference, "type", "null"));
}

json_t *schema_of_field(enum schema_wire wire, const struct field *field)
{
    json_t *schema = json_object();
    switch (field->kind) {
    case FIELD_TEXT:
        type_set(schema, wire, field, "string");
        bounds_set(schema, field, "minLength", "maxLength");
        if (field->flags & SECRET) {
            json_object_set_new(schema, "format", json_string("password"));
        }
        break;
    case FIELD_INT: integer_set(schema, wire, field); break;
    case FIELD_BOOL: type_set(schema, wire, field, "boolean"); break;
    case FIELD_TIME: time_set(schema, wire, field); break;
    case FIELD_MONEY:
    case FIELD_DECIMAL: amount_set(schema, wire, field); break;
    case FIELD_ENUM: enum_set(schema, wire, field); break;
    case FIELD_STRS: texts_set(schema, wire, field); break;
    case FIELD_LIST:
        type_set(schema, wire, field, "array");
        bounds_set(schema, field, "minItems", "maxItems");
        json_object_set_new(schema, "items", schema_reference(wire, field->record));
        break;
    case FIELD_REC: record_set(schema, wire, field); break;
    case FIELD_RAW: break;
    }
    json_object_set_new(schema, "description", json_string(field->prose));
    return schema;
}

void schema_add(json_t *schemas, enum schema_wire wire, const struct record *record, uint64_t preset)
{
    char name[SCHEMA_NAME_SIZE];
    if (json_object_get(schemas, name_of(wire, record, name))) {
        return;
    }
    json_t *properties = json_object(), *required = json_array();
    json_t *schema = json_pack("{s:s, s:o}", "type", "object", "properties", properties);
    if (wire == SCHEMA_JSON) {
        json_object_set_new(schema, "additionalProperties", json_false());
    }
    json_object_set_new(schemas, name, schema);
    for (uint32_t i = 0; i < record->field_count; i++) {
        const struct field *field = &record->fields[i];
        if ((preset >> i & 1) || field->kind == FIELD_RAW) {
            continue;
        }
        json_object_set_new(properties, field->name, schema_of_field(wire, field));
        if (field->flags & REQ) {
            json_array_append_new(required, json_string(field->name));
        }
        if (field->record) {
            schema_add(schemas, wire, field->record, 0);
        }
    }
    if (json_array_size(required)) {
        json_object_set_new(schema, "required", required);
    } else {
        json_decref(required);
    }
}

static int append(const char *bytes, size_t size, void *user)
{
    return buffer_add(user, bytes, size) ? 0 : -1;
}

/* Whether one of the references is to this record. */
static bool is_listed(const json_t *references, const struct record *record)
{
    bool listed = false;
    for (size_t i = 0; i < json_array_size(references); i++) {
        const char *ref = json_string_value(json_object_get(json_array_get(references, i), "$ref"));
        listed = listed || strcmp(strrchr(ref, '/') + 1, record->name) == 0;
    }
    return listed;
}

void schema_add_event(json_t *schemas)
{
    json_t *shown = json_array();
    for (int i = 0; i < EVENT_COUNT; i++) {
        const struct record *record = event_shown(event_info((enum event_type)i));
        if (record && !is_listed(shown, record)) {
            schema_add(schemas, SCHEMA_JSON, record, 0);
            json_array_append_new(shown, schema_reference(SCHEMA_JSON, record));
        }
    }
    json_array_append_new(shown, json_pack("{s:s}", "type", "null"));
    schema_add(schemas, SCHEMA_JSON, &event_view_record, 0);
    json_object_set_new(json_object_get(json_object_get(schemas, event_view_record.name), "properties"), "data",
                        json_pack("{s:o, s:s}", "anyOf", shown, "description",
                                  "what the event is about, as it was after it; the type tells which of these it is"));
}

void schema_document_print(json_t *root, struct buffer *out)
{
    ASSERT(root != NULL);
    ASSERT(json_dump_callback(root, append, out, JSON_COMPACT | JSON_REAL_PRECISION(15)) == 0);
    json_decref(root);
}
