#include "lib/store/url.h"

#include <stdio.h>
#include <string.h>

CONFIG_DEFINE(store_config, STORE_CONFIG)

enum store_kind store_kind_of(const char *url)
{
    static const struct {
        const char *scheme;
        enum store_kind kind;
    } schemes[] = {{"sqlite:", STORE_SQLITE}, {"mongodb://", STORE_MONGO}, {"mongodb+srv://", STORE_MONGO}};
    for (size_t i = 0; i < ARRAY_COUNT(schemes); i++) {
        size_t size = strlen(schemes[i].scheme);
        if (strncmp(url, schemes[i].scheme, size) == 0 && url[size] != '\0') {
            return schemes[i].kind;
        }
    }
    return STORE_UNKNOWN;
}

void store_url_show(const char *url, char out[STORE_SHOWN_SIZE])
{
    static const char separator[] = "://";
    const char *found = strstr(url, separator);
    if (!found || store_kind_of(url) == STORE_SQLITE) {
        snprintf(out, STORE_SHOWN_SIZE, "%s", url);
        return;
    }
    size_t size = (size_t)(found - url) + strlen(separator);
    /* a password that is not escaped as it should be may hold any character, so the last @ is the one that counts */
    const char *host = strrchr(url, '@');
    host = host ? host + 1 : url + size;
    snprintf(out, STORE_SHOWN_SIZE, "%.*s%.*s", (int)size, url, (int)strcspn(host, "?"), host);
}
