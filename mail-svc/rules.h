/* What mail-svc decides, without doing anything: which events are written about, when it is tried again. */
#ifndef ZMART_MAIL_RULES_H
#define ZMART_MAIL_RULES_H

#include "proto/event.h"

/* since_ms: mails are sent of what happened since then; oldest_ms: of nothing that is older. */
bool entry_is_mailed(const struct event_entry *entry, int64_t since_ms, int64_t oldest_ms);

enum carried { CARRIED_GOOD, CARRIED_AGAIN, CARRIED_NEVER, CARRIED_STOPPED };

/* After so many attempts: how long to wait for the next one, before it is spread. */
int64_t mail_wait_ms(int64_t tries, int64_t permille);

/* NULL if a server's URL can be used, else what is wrong. from_argv: it did not come from the environment, where only
 * we can read it. */
const char *smtp_url_trouble(const char *url, bool from_argv);

#endif
