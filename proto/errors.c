#include "proto/errors.h"

static const struct err_info infos[] = {
#define ERR(name, slug, http, retry, title) [ERR_##name] = {slug, http, retry, title},
#include "proto/errors.def"
};

const struct err_info *err_info(enum err code)
{
    bool known = code > ERR_NONE && code < ERR_COUNT;
    return &infos[known ? code : ERR_INTERNAL];
}

enum err err_find(struct text slug, int http)
{
    for (int code = ERR_NONE + 1; code < ERR_COUNT; code++) {
        if (text_is(slug, infos[code].slug) && (http == 0 || infos[code].http == http)) {
            return (enum err)code;
        }
    }
    return ERR_INTERNAL;
}
