#include "gateway/conditional.h"

#include <inttypes.h>
#include <stdio.h>

static bool number_of(const struct record *record, const void *in, const char *name, int64_t *out)
{
    const struct field *field = record_field(record, text_of(name));
    if (!field || field->kind != FIELD_INT || !(field->flags & REQ)) {
        return false;
    }
    memcpy(out, field_in(field, in), sizeof *out);
    return true;
}

bool etag_make(const struct record *record, const void *in, char out[ETAG_SIZE])
{
    int64_t version, stock;
    if (!number_of(record, in, "version", &version)) {
        return false;
    }
    if (number_of(record, in, "stock", &stock)) {
        snprintf(out, ETAG_SIZE, "\"%" PRId64 "-%" PRId64 "\"", version, stock);
    } else {
        snprintf(out, ETAG_SIZE, "\"%" PRId64 "\"", version);
    }
    return true;
}

bool etag_listed(struct text list, const char *etag)
{
    struct text one;
    while (text_cut(&list, ',', &one)) {
        while (one.size && (one.data[0] == ' ' || one.data[0] == '\t')) {
            one = (struct text){one.data + 1, one.size - 1};
        }
        while (one.size && (one.data[one.size - 1] == ' ' || one.data[one.size - 1] == '\t')) {
            one.size--;
        }
        if (text_starts_with(one, "W/")) {
            one = (struct text){one.data + 2, one.size - 2};
        }
        if (text_is(one, "*") || text_is(one, etag)) {
            return true;
        }
    }
    return false;
}
