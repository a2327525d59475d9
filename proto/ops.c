#include "proto/ops.h"

#include "lib/base/invariant.h"

enum op_key { OP_KEY_NEVER = 0, OP_KEY_KEYED = 1 };

static const struct op_info infos[] = {
#define OP(service, name, method, path, role, key, access, priority, budget_ms, request, reply, status)          \
    [OP_##service##_##name] = {#service,     #name,     #service "." #name,   HTTP_##method,   path, OP_##role,   \
                               OP_KEY_##key, OP_##access, priority, budget_ms, &request##_record, &reply##_record, \
                               status},
#include "proto/ops/all.def"
};

const struct op_info *op_info(enum op op)
{
    ASSERT((unsigned)op < OP_COUNT);
    return &infos[op];
}

bool op_find(struct text route, enum op *out)
{
    for (size_t i = 0; i < OP_COUNT; i++) {
        if (text_is(route, infos[i].route)) {
            *out = (enum op)i;
            return true;
        }
    }
    return false;
}

const char *http_method_name(enum http_method method)
{
    static const char *const names[] = {"NONE", "GET", "POST", "PUT", "DELETE"};
    ASSERT((size_t)method < ARRAY_COUNT(names));
    return names[method];
}

static bool record_is_secret(const struct record *record)
{
    for (uint32_t i = 0; i < record->field_count; i++) {
        const struct field *field = &record->fields[i];
        if ((field->flags & SECRET) || (field->record && record_is_secret(field->record))) {
            return true;
        }
    }
    return false;
}

bool op_is_secret(enum op op)
{
    return record_is_secret(op_info(op)->request);
}
