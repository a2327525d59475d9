/* An empty user store for each test of the contract, and short words for what the tests do to it. */
#ifndef ZMART_TESTS_CONTRACT_USER_GROUND_H
#define ZMART_TESTS_CONTRACT_USER_GROUND_H

#include "tests/contract/contract_user.h"

enum { NOW = 1000000 };

struct ground {
    const struct user_place *place;
    char url[200];
    struct store_config config;
    struct user_store *store;
    bool in_trouble; /* a store that is out of reach is asked again */
    struct arena arena;
    struct fault fault;
};

/* A test's setup and teardown: *state is the place before and after, and the ground in between. */
int ground_open(void **state);
int ground_close(void **state);
/* Opens the store that has been closed, on what it left. */
void ground_store_open(struct ground *ground);

/* One act: its effects stay when it succeeds, nothing does when it is refused. */
void act_begin(struct ground *ground);
enum err act_end(struct ground *ground, enum err e);
#define ACT(call) (act_begin(g), act_end(g, (call)))
/* True while the act should be tried again, after a moment: where answers are waited for only shortly, a busy machine
 * is trouble enough. */
bool act_again(struct ground *ground, enum err e);
#define WELL(call)                             \
    do {                                       \
        enum err well;                         \
        do {                                   \
            well = ACT(call);                  \
        } while (act_again(g, well));          \
        assert_int_equal(well, ERR_NONE);      \
    } while (0)

/* A customer, for whom the founder's place is asked. */
struct account_new account_of(const char *id, const char *email, int64_t at);
/* except: a session's id, or NULL. */
struct denial account_denial(const char *user_id, const char *except, int64_t before);
struct event_new event_of(const char *id, const char *type, const char *subject);
/* An administrator's, of usr_1, good for 30 ms from NOW on. */
struct ticket ticket_of(const char *hash, const char *session_id);

enum role account_put(struct ground *g, const char *id, const char *email, int64_t at);
struct account account_now(struct ground *g, const char *id);
enum err role_put_at(struct ground *g, const char *id, enum role role, int64_t at);
enum err role_put(struct ground *g, const char *id, enum role role);
/* kept: the session that goes on, or NULL. */
void password_put(struct ground *g, const char *id, const char *kept, int64_t at);
void session_put(struct ground *g, const char *id, const char *user_id);
/* Whether it had not ended before. */
bool session_end(struct ground *g, const char *id, int64_t at);
bool token_is_good(struct ground *g, const char *session_id, const char *user_id, int64_t at);
struct denial_list denials_at(struct ground *g, int64_t now);
/* Spends one of ticket_of. */
enum err ticket_take(struct ground *g, const char *hash, const char *request_id, int64_t now);
/* What waits in the outbox, and is then handed over. */
struct outbox_page events_take(struct ground *g);

#define CONTRACT(name)                                                                                     \
    {                                                                                                      \
        #name, name, ground_open, ground_close, (void *)(uintptr_t)place                                   \
    }

#endif
