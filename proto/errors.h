/* Error codes: enum err, and what the table errors.def says about each. */
#ifndef ZMART_PROTO_ERRORS_H
#define ZMART_PROTO_ERRORS_H

#include <stdbool.h>

#include "lib/base/text.h"

enum err {
    ERR_NONE,
#define ERR(name, slug, http, retry, title) ERR_##name,
#include "proto/errors.def"
    ERR_COUNT,
    ERR_LATER = 1000 /* not an error: a handler has started something and will be continued */
};

struct err_info {
    const char *slug;
    int http;
    bool retry; /* the same request may succeed later */
    const char *title;
};

/* Of any code from the table; of anything else, what INTERNAL says. Never NULL. */
const struct err_info *err_info(enum err code);
/* The code with this slug and HTTP status; with status 0, the first with this slug; INTERNAL if unknown. */
enum err err_find(struct text slug, int http);

#endif
