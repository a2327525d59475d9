/* user-svc as a program: its settings and the table that describes them. */
#ifndef ZMART_USER_PROGRAM_H
#define ZMART_USER_PROGRAM_H

#include "lib/base/process.h"
#include "lib/bus/address.h"
#include "lib/bus/service.h"
#include "lib/store/sqlite.h"

#define USER_CONFIG(X)                                                                                                \
    X(STRING, admin_email, "admin-email", "", 0, 254,                                                                 \
      "only the account registered with this address becomes administrator; the shop's first account if none")       \
    X(STRING, issuer, "issuer", "zmart", 1, 200, "iss and aud of access tokens")                                      \
    X(NUMBER, token_ttl_s, "token-ttl-s", "900", 5, 3600, "how long an access token is good for") \
    X(NUMBER, refresh_idle_s, "refresh-idle-s", "1209600", 60, 315360000, \
      "time without a refresh after which a session is over") \
    X(NUMBER, refresh_total_s, "refresh-total-s", "2592000", 60, 315360000, "how long a session lasts at most") \
    X(NUMBER, key_rotate_days, "key-rotate-days", "90", 0, 3650, \
      "time after which a signing key gets a successor; 0: only when an administrator asks") \
    X(NUMBER, key_lead_s, "key-lead-s", "180", 0, 86400, \
      "how long a new signing key is shown before it signs; more than twice the gateways' --auth-refresh-s") \
    X(NUMBER, ticket_ttl_s, "ticket-ttl-s", "30", 1, 3600, "how long a WebSocket ticket is good for") \
    X(NUMBER, password_min, "password-min", "8", 1, 128, "characters of a password at least")                         \
    X(SWITCH, password_strict, "password-strict", "no", 0, 0,                                                         \
      "refuse common passwords and those equal to the account's name or address")                                    \
    X(NUMBER, argon_memory_kib, "argon-memory-kib", "19456", 8, 4194304, "memory of one password hash") \
    X(NUMBER, argon_passes, "argon-passes", "2", 1, 1000, "passes over that memory")                                  \
    X(NUMBER, password_threads, "password-threads", "0", 0, 64,                                                       \
      "threads that hash passwords and sign tokens; 0: one a core, two at most")                                     \
    X(NUMBER, password_queue, "password-queue", "256", 1, 65536, \
      "hashes and signatures that may wait; more are answered 503") \
    X(NUMBER, login_failures, "login-failures", "5", 1, 1000,                                                         \
      "wrong passwords of an account without a delay; it doubles from one second then")                              \
    X(NUMBER, login_delay_max_s, "login-delay-max-s", "900", 1, 86400, "longest delay after wrong passwords")
CONFIG_DECLARE(user_config, USER_CONFIG);

struct user_settings {
    struct process_config process; /* first */
    struct bus_config bus;
    struct service_config service;
    struct store_config store;
    struct user_config user;
};

extern const struct program user_program;

#endif
