/* What user-svc/store.h promises, as tests for any store: each test gets an empty one, opened by URL. */
#ifndef ZMART_TESTS_CONTRACT_USER_H
#define ZMART_TESTS_CONTRACT_USER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "user-svc/store.h"

/* Where empty stores come from. */
struct user_place {
    void (*make)(char *url, size_t size); /* a URL nobody has used */
    void (*drop)(const char *url);
    enum err (*open)(const struct store_config *config, bool writer, struct metrics *metrics, struct fault *fault,
                     struct user_store **out);
};

/* The parts of the contract; each returns how many of its tests failed. */
int contract_user_accounts(const struct user_place *place);
int contract_user_sessions(const struct user_place *place);
int contract_user_rest(const struct user_place *place);
int contract_user_failing(const struct user_place *place);

/* All of them. Returns what main returns. */
static inline int contract_user_run(const struct user_place *place)
{
    return contract_user_accounts(place) + contract_user_sessions(place) + contract_user_rest(place) +
           contract_user_failing(place);
}

/* What spoils the n-th command of a store behind a place; n < 0: none. */
struct user_spoiler {
    void (*choose)(int how); /* before the place is made: each way has its own patience with answers */
    void (*arm)(int n);
    bool (*happened)(void);
    void (*settle)(void); /* waits until all that was sent has been done */
    void (*empty)(void);  /* leaves the store as it was made */
    int how_count;
};
/* The scenario with each command spoilt in each way, and then again until it is through: all of it has happened once.
 */
void contract_user_spoil(const struct user_place *place, const struct user_spoiler *spoiler);

/* A store that hands each call on to inner, and fails one: the N-th, before inner has seen it or after inner has done
 * it. Destroying it leaves inner alone. */
struct user_store *failing_user_store_new(struct user_store *inner, int good_calls, bool after);
/* Whether the call that was to fail has come. */
bool failing_user_store_failed(const struct user_store *store);

#endif
