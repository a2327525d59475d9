#include "proto/tag.h"

#include <inttypes.h>
#include <stdio.h>

/* Cuts one entity tag off the list; false at its end or where it is malformed. */
static bool tag_next(struct text *list, bool *weak, struct text *tag)
{
    while (list->size && (*list->data == ' ' || *list->data == '\t' || *list->data == ',')) {
        list->data++;
        list->size--;
    }
    *weak = text_starts_with(*list, "W/");
    if (*weak) {
        list->data += 2;
        list->size -= 2;
    }
    if (!list->size || *list->data != '"') {
        return false;
    }
    list->data++;
    list->size--;
    const char *end = list->size ? memchr(list->data, '"', list->size) : NULL;
    if (!end) {
        return false;
    }
    *tag = (struct text){list->data, (uint32_t)(end - list->data)};
    list->data = end + 1;
    list->size -= tag->size + 1;
    return true;
}

bool version_tag_matches(struct text if_match, int64_t version)
{
    char wanted[24];
    bool weak;
    struct text tag;
    if (text_is(if_match, "*")) {
        return true;
    }
    snprintf(wanted, sizeof wanted, "%" PRId64, version);
    while (tag_next(&if_match, &weak, &tag)) {
        if (!weak && text_is(tag, wanted)) {
            return true;
        }
    }
    return false;
}
