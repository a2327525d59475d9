/* user-svc as it runs: its program and a broker's on threads, callers over the real bus. Hashes are made cheap. */
#ifndef ZMART_TESTS_USER_SHOP_H
#define ZMART_TESTS_USER_SHOP_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/bus/client.h"
#include "tests/lib/bus/runner.h"
#include "user-svc/program.h"

struct shop {
    char folder[64];
    char url[80];
    char log_path[80]; /* of user-svc's lines */
    struct log log;
    int log_fd;
    void *context;
    struct metrics *metrics;
    struct env env;
    struct bus_config bus;
    struct runner broker, users;
    struct bus_client *client;
    struct arena arena; /* of all answers to the test's own thread */
    struct fault fault; /* of the last call */
};

/* Setup and teardown. *state may be a NULL-terminated list of flags for user-svc. */
int shop_open(void **state);
int shop_close(void **state);
/* Stops user-svc, and starts it again with these flags (NULL: none). */
void shop_restart(struct shop *shop, const char *const *flags);
void shop_stop(struct shop *shop);
/* Starts user-svc; its exit status if it refuses, -1 if it runs. */
int shop_start(struct shop *shop, const char *const *flags);
bool shop_log_has(struct shop *shop, const char *words);
/* The first number that a query of DIR/user.db gives. */
int64_t shop_query(struct shop *shop, const char *sql);
/* The same with bytes; they are in the shop's arena. */
struct text shop_blob(struct shop *shop, const char *sql);

/* Somebody signed in; a zero one is nobody. */
struct who {
    struct text user_id;
    struct text session_id;
    enum role role;
    int64_t token_at;
    bool service; /* a service instead */
};
extern const struct who nobody;
extern const struct who a_gateway;

/* One call. request_id NULL: a fresh one. */
enum err shop_do(struct shop *shop, enum op op, const struct who *who, const uint8_t *request_id, const void *request,
                 void *out);
/* The same from another thread, with what is its own. */
enum err shop_do_in(struct shop *shop, enum op op, const struct who *who, const uint8_t *request_id,
                    const void *request, struct arena *arena, struct fault *fault, void *out);
/* As shop_do with a header If-Match. */
enum err shop_do_if(struct shop *shop, enum op op, const struct who *who, const char *if_match, const void *request,
                    void *out);
/* Whether the last fault has an item for this pointer. */
bool shop_blames(const struct shop *shop, const char *pointer);

/* Signs up, or in, with this password; fails the test if it is refused. */
struct user_session shop_register(struct shop *shop, const char *email, const char *password);
struct user_session shop_login(struct shop *shop, const char *email, const char *password);
enum err shop_try_login(struct shop *shop, const char *email, const char *password);
/* Who a session's access token says to be: what a gateway would find in it. */
struct who who_of(struct shop *shop, const struct user_session *session);
/* Whether a gateway that asks would let this token in. */
bool shop_token_good(struct shop *shop, const struct who *who);

#endif
