#include "mail-svc/rules.h"

#include "mail-svc/letter.h"

bool entry_is_mailed(const struct event_entry *entry, int64_t since_ms, int64_t oldest_ms)
{
    return letter_has_template(entry->type) && has(event_entry, entry, user_id) &&
           has(event_entry, entry, private_data) && entry->time >= since_ms && entry->time >= oldest_ms;
}

int64_t mail_wait_ms(int64_t tries, int64_t permille)
{
    enum { MIN = 60 * 1000, H = 60 * MIN };
    static const int64_t waits_ms[] = {0, 1 * MIN, 5 * MIN, 15 * MIN, 1 * H, 4 * H};
    size_t last = ARRAY_COUNT(waits_ms) - 1;
    return waits_ms[tries < (int64_t)last ? (size_t)tries : last] * permille / 1000;
}

const char *smtp_url_trouble(const char *url, bool from_argv)
{
    if (strncmp(url, "smtp://", 7) != 0 && strncmp(url, "smtps://", 8) != 0) {
        return "takes smtp://HOST:PORT or smtps://HOST:PORT";
    }
    if (from_argv && strchr(url, '@')) {
        return "with a password can be read by everybody on this machine; set ZMART_SMTP_URL instead";
    }
    return NULL;
}
