#include "lib/store/url.h"

#include <stdio.h>
#include <string.h>

CONFIG_DEFINE(store_config, STORE_CONFIG)

static const struct {
    const char *scheme;
    enum store_kind kind;
} schemes[] = {{"sqlite:", STORE_SQLITE}, {"mongodb://", STORE_MONGO}, {"mongodb+srv://", STORE_MONGO}};

/* The scheme's length; 0: none of ours. */
static size_t scheme_size(const char *url, enum store_kind *out)
{
    for (size_t i = 0; i < ARRAY_COUNT(schemes); i++) {
        size_t size = strlen(schemes[i].scheme);
        if (strncmp(url, schemes[i].scheme, size) == 0 && url[size] != '\0') {
            *out = schemes[i].kind;
            return size;
        }
    }
    return 0;
}

enum store_kind store_kind_of(const char *url)
{
    enum store_kind kind = STORE_UNKNOWN;
    (void)scheme_size(url, &kind);
    return kind;
}

void store_url_show(const char *url, char out[STORE_SHOWN_SIZE])
{
    enum store_kind kind = STORE_UNKNOWN;
    size_t size = scheme_size(url, &kind);
    if (kind != STORE_MONGO) {
        snprintf(out, STORE_SHOWN_SIZE, "%s", url);
        return;
    }
    /* a password that is not escaped as it should be may hold any character, so the last @ is the one that counts */
    const char *host = strrchr(url, '@');
    host = host ? host + 1 : url + size;
    snprintf(out, STORE_SHOWN_SIZE, "%.*s%.*s", (int)size, url, (int)strcspn(host, "?"), host);
}
