/* mail-svc: its program and its settings. */
#ifndef ZMART_MAIL_PROGRAM_H
#define ZMART_MAIL_PROGRAM_H

#include "lib/bus/service.h"
#include "lib/store/sqlite.h"

#define MAIL_CONFIG(X)                                                                                                \
    X(STRING, data, "data", "./data", 1, 900, "without a server, mails become files in its folder mail")              \
    X(STRING, url, "smtp-url", "", 0, 1000,                                                                           \
      "server that mails go to: smtp://HOST:587 or smtps://HOST:465; smtp://NAME:PASSWORD@HOST only as variable")     \
    X(SWITCH, plain, "smtp-plain", "no", 0, 0, "speak to an smtp:// server also without TLS")                         \
    X(STRING, ca, "smtp-ca", "", 0, 1000, "file of certificates to trust instead of the system's")                    \
    X(NUMBER, timeout_ms, "smtp-timeout-ms", "30000", 100, 120000, "how long one mail may take")                      \
    X(STRING, from, "mail-from", "noreply@localhost", 3, 254, "address that mails come from")                         \
    X(STRING, shop, "mail-shop", "zmart", 1, 100, "the shop's name, in mails")                                        \
    X(NUMBER, at_once, "mail-at-once", "4", 1, 16, "mails under way at a time")                                       \
    X(NUMBER, per_second, "mail-per-second", "50", 1, 10000,                                                          \
      "mails begun a second at most; the rest wait in the store")                                                     \
    X(NUMBER, files, "mail-files", "10000", 1, 100000, "without a server, so many of the newest mails are kept")      \
    X(NUMBER, retry_permille, "mail-retry-permille", "1000", 0, 1000,                                                 \
      "waits between attempts, in thousandths of 1, 5 and 15 min, 1 h, and then 4 h")                                 \
    X(NUMBER, give_up_hours, "mail-give-up-hours", "48", 1, 720, "mails of events older than this are not sent")
CONFIG_DECLARE(mail_config, MAIL_CONFIG);

struct mail_settings {
    struct process_config process;
    struct bus_config bus;
    struct service_config service;
    struct store_config store;
    struct mail_config mail;
};

extern const struct program mail_program;

#endif
