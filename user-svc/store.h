/* What user-svc keeps: accounts, sessions, tickets, signing keys and the server's secret.
 * One atomic act a verb, no general update. On SQLite all run inside the loop's unit of work; on MongoDB each one is
 * decided by the change of one document, and needs no other to be true.
 *
 * What is refused from now on (a denial) stands where its cause does: in the account, or in the session. So no crash
 * can part them, and what counts as a session's end is read from both (session_get, token_good).
 *
 * Answers and errors: NOT_FOUND, CONFLICT, EMAIL_TAKEN and LAST_ADMIN are answers of a verb that names them below and
 * leave the fault alone; anything else is the store's own trouble and has set it. Out parameters are untouched unless
 * ERR_NONE is returned. Texts that come out are in the arena. Hashes are raw bytes in a text. An event (NULL: none)
 * goes into the outbox with what caused it; the public payload of user.* events (struct user_event) is filled in by the
 * verb, which alone knows role and version. */
#ifndef ZMART_USER_STORE_H
#define ZMART_USER_STORE_H

#include "lib/bus/service.h"
#include "lib/store/outbox.h"
#include "lib/store/sqlite.h"
#include "proto/event.h"
#include "user-svc/rules.h"

struct account {
    struct user user;
    struct text email_folded;  /* unique */
    struct text password_hash;
    struct text changed_by;    /* id (ID_SIZE bytes) of the request that changed it last; empty: none */
    int64_t generation;        /* counts new passwords: sessions begun under an earlier one are over, */
    struct text kept_session;  /* but for this one; empty: none */
    int64_t denied_until_ms;   /* tokens issued up to then are refused, but for those of kept_session, */
    int64_t denied_all_ms;     /* and these too when issued up to then */
};

struct account_new {
    struct account account; /* nothing of it denied, generation 0 */
    enum role first_role;   /* its role if it is the shop's first account, whatever account.user.role says */
    const struct event_new *created;
};

struct account_page {
    const struct user_query *query; /* role and limit; email is email_folded */
    struct text email_folded;       /* empty: any */
    int64_t created_at;             /* only what comes after this row; */
    struct text id;                 /* empty: from the newest */
};

struct user_rows {
    struct user *items; /* newest first */
    uint32_t count;
    bool more;          /* others follow */
};

struct account_edit {
    const struct user_edit *edit; /* id; name, email and addresses as far as given */
    struct text email_folded;     /* with email */
    struct text password_hash;    /* the new one; empty: stays */
    struct text verified_hash;    /* must still be the account's; empty: is not asked */
    int64_t version;              /* must still be the account's; 0: is not asked */
    int64_t now_ms;
    struct text request_id;       /* becomes changed_by */
    const struct denial *denial;  /* with a new password: ends all sessions but except_session_id; NULL: none */
    const struct event_new *updated;
    const struct event_new *ended; /* with denial */
};

struct role_change {
    struct text id;
    enum role role;
    int64_t now_ms;
    struct text request_id;
    const struct denial *denial; /* of the access tokens with the old role; never NULL */
    const struct event_new *changed;
    const struct event_new *ended;
};

struct hash_change {
    struct text id;
    struct text from;
    struct text to;
};

struct session {
    struct text id;
    struct text user_id;
    int64_t generation;       /* of the account when its password was verified */
    struct text refresh_hash; /* of the newest refresh token */
    int64_t created_ms;
    int64_t used_ms;          /* of the last refresh */
    int64_t ended_ms;         /* 0: goes on */
};

struct session_move {
    struct text id;
    struct text from_hash;
    struct text to_hash;
    int64_t now_ms;
};

struct session_end {
    struct text id;
    int64_t now_ms;
    int64_t denial_ends_ms; /* its tokens are listed as refused until then */
    const struct event_new *ended;
};

struct ticket {
    struct text hash;
    struct identity identity; /* issued_at: of the access token that asked for it */
    int64_t expires_ms;
};

struct ticket_use {
    struct text hash;
    struct text request_id; /* the same request may spend it again */
    int64_t now_ms;
};

/* All keys of earlier generations are out at once, and with them what their tokens have got: tickets. */
struct key_distrust {
    int64_t below_generation;
    struct text user_id;            /* who asked */
    const struct event_new *ended;  /* for gateways: denies everybody */
};

/* What a request was answered that asks for something which moves on. */
struct kept_answer {
    struct text request_id;
    struct text body; /* packed */
    int64_t now_ms;
};

struct key_row {
    int64_t generation; /* 1 for the shop's first key */
    struct signing_key shown;
    struct text private_pem; /* a secret */
    int64_t created_ms;
};

struct key_rows {
    struct key_row *items; /* newest first */
    uint32_t count;
};

struct secret_row {
    const char *name;
    struct text value;
};

struct attempts_change {
    struct text name;
    struct attempts from, to; /* times of the wall clock; all zeroes: none */
};

struct user_sweep {
    int64_t now_ms;             /* tickets that have expired by then go */
    int64_t sessions_before_ms; /* sessions not used since go, */
    int64_t ended_before_ms;    /* and those that ended before */
    int64_t attempts_before_ms; /* failed passwords since which there was none go */
    int64_t answers_before_ms;  /* answers given before go */
    int64_t row_count;          /* at most so many rows of a kind */
};

/* account_insert: CONFLICT if the id is taken, EMAIL_TAKEN; *out is the role it got. The first account ever takes a
 *     place that a unique index gives out once.
 * account_get, account_find (by folded address): NOT_FOUND.
 * account_edit: EMAIL_TAKEN; CONFLICT if verified_hash or version are no longer its own, or it is gone.
 * account_set_role: NOT_FOUND; LAST_ADMIN, decided in one act. Changes nothing when it has that role already.
 * account_rehash: changes nothing when the hash is another by now.
 * shop_is_founded: whether there ever was an account.
 * session_insert: repeatable; CONFLICT if the id is another's.
 * session_get: NOT_FOUND; ended_ms is also set when its account has moved on to another generation.
 * session_rotate: CONFLICT if from_hash is not its newest or it has ended.
 * session_end: *out says whether it was going on. It ends nothing twice.
 * token_good: whether the session goes on and nothing denies the token.
 * denial_list: those not expired, newest first, DENIAL_MAX at most.
 * ticket_add: *out false if it is there already.
 * ticket_spend: NOT_FOUND if it is unknown, spent, expired, or its session has ended or its token is denied.
 * attempts_get: all zeroes if there are none. attempts_put: *out false if they are no longer `from`.
 * key_add: the first one of a generation stays, others change nothing. key_list: SIGNING_KEYS_MAX at most.
 * key_drop: removes those of earlier generations. key_distrust: the same, with all tickets and the event; repeatable.
 * answer_add: *out false if the request has one already, which stays. answer_get: NOT_FOUND.
 * secret_add: the first one stays, others change nothing. */
enum { SIGNING_KEYS_MAX = 16 };

#define USER_STORE_VERBS(V)                                                                                            \
    V(account_insert, (struct user_store * self, const struct account_new *in, struct arena *arena,                    \
                       struct fault *fault, enum role *out), (self, in, arena, fault, out))                            \
    V(account_get, (struct user_store * self, struct text id, struct arena *arena, struct fault *fault,                \
                    struct account *out), (self, id, arena, fault, out))                                               \
    V(account_find, (struct user_store * self, struct text email_folded, struct arena *arena, struct fault *fault,     \
                     struct account *out), (self, email_folded, arena, fault, out))                                    \
    V(account_list, (struct user_store * self, const struct account_page *page, struct arena *arena,                   \
                     struct fault *fault, struct user_rows *out), (self, page, arena, fault, out))                     \
    V(account_edit, (struct user_store * self, const struct account_edit *in, struct arena *arena,                     \
                     struct fault *fault), (self, in, arena, fault))                                                   \
    V(account_set_role, (struct user_store * self, const struct role_change *in, struct arena *arena,                  \
                         struct fault *fault), (self, in, arena, fault))                                               \
    V(account_rehash, (struct user_store * self, const struct hash_change *in, struct fault *fault),                   \
      (self, in, fault))                                                                                               \
    V(shop_is_founded, (struct user_store * self, struct fault *fault, bool *out), (self, fault, out))                 \
    V(session_insert, (struct user_store * self, const struct session *in, struct fault *fault), (self, in, fault))    \
    V(session_get, (struct user_store * self, struct text id, struct arena *arena, struct fault *fault,                \
                    struct session *out), (self, id, arena, fault, out))                                               \
    V(session_rotate, (struct user_store * self, const struct session_move *in, struct fault *fault),                  \
      (self, in, fault))                                                                                               \
    V(session_end, (struct user_store * self, const struct session_end *in, struct arena *arena, struct fault *fault,  \
                    bool *out), (self, in, arena, fault, out))                                                         \
    V(token_good, (struct user_store * self, const struct token_check *in, struct fault *fault, bool *out),            \
      (self, in, fault, out))                                                                                          \
    V(denial_list, (struct user_store * self, int64_t now_ms, struct arena *arena, struct fault *fault,                \
                    struct denial_list *out), (self, now_ms, arena, fault, out))                                       \
    V(ticket_add, (struct user_store * self, const struct ticket *in, struct fault *fault, bool *out),                 \
      (self, in, fault, out))                                                                                          \
    V(ticket_spend, (struct user_store * self, const struct ticket_use *in, struct arena *arena, struct fault *fault,  \
                     struct identity *out), (self, in, arena, fault, out))                                             \
    V(attempts_get, (struct user_store * self, struct text name, struct fault *fault, struct attempts *out),           \
      (self, name, fault, out))                                                                                        \
    V(attempts_put, (struct user_store * self, const struct attempts_change *in, struct fault *fault, bool *out),      \
      (self, in, fault, out))                                                                                          \
    V(key_add, (struct user_store * self, const struct key_row *in, struct fault *fault), (self, in, fault))           \
    V(key_list, (struct user_store * self, struct arena *arena, struct fault *fault, struct key_rows *out),            \
      (self, arena, fault, out))                                                                                       \
    V(key_drop, (struct user_store * self, int64_t below_generation, struct fault *fault),                             \
      (self, below_generation, fault))                                                                                 \
    V(key_distrust, (struct user_store * self, const struct key_distrust *in, struct arena *arena, struct fault *fault), \
      (self, in, arena, fault))                                                                                        \
    V(answer_add, (struct user_store * self, const struct kept_answer *in, struct fault *fault, bool *out),            \
      (self, in, fault, out))                                                                                          \
    V(answer_get, (struct user_store * self, struct text request_id, struct arena *arena, struct fault *fault,         \
                   struct text *out), (self, request_id, arena, fault, out))                                           \
    V(secret_add, (struct user_store * self, const struct secret_row *in, struct fault *fault), (self, in, fault))     \
    V(secret_get, (struct user_store * self, const char *name, struct arena *arena, struct fault *fault,               \
                   struct text *out), (self, name, arena, fault, out))                                                 \
    V(sweep, (struct user_store * self, const struct user_sweep *in, struct fault *fault), (self, in, fault))

#define USER_STORE_MEMBER(name, parameters, arguments) enum err(*name) parameters;
#define USER_STORE_FUNCTION(name, parameters, arguments) MUST_USE enum err user_store_##name parameters;

struct user_store;
struct user_store_ops {
    USER_STORE_VERBS(USER_STORE_MEMBER)
    void (*destroy)(struct user_store **self);
};

/* First member of each implementation. */
struct user_store {
    const struct user_store_ops *ops;
    const struct unit_of_work *unit;
    void *unit_store;      /* first argument of unit's functions */
    struct outbox_source *outbox; /* where the events of its verbs wait; owned */
};

USER_STORE_VERBS(USER_STORE_FUNCTION)

/* For stores. The event with its payload: the account as it is after the act. Its bytes are in the arena. */
struct event_new user_event_complete(const struct event_new *event, const struct user_event *data, struct arena *arena);
/* For stores. The denials that an account stands for, to out (two at most); texts as in the account. */
uint32_t account_denials(const struct account *account, int64_t ends_ms, struct denial out[2]);
/* For stores. Whether the account lets this session go on, and this token with it. */
bool account_keeps(const struct account *account, const struct session *session);
bool account_denies(const struct account *account, struct text session_id, int64_t issued_at_ms);

void user_store_destroy(struct user_store **self);

struct mongo_pool;
struct mongo_schema;
extern const struct mongo_schema user_mongo_schema;
/* A loop's own, on a pool that was opened with the schema above; the pool is borrowed. It has no unit of work. */
struct user_store *user_store_new_mongo(struct mongo_pool *pool);
/* Opens DIR/user.db; writer as in sqlite_db_open. metrics may be NULL. */
MUST_USE enum err user_store_open_sqlite(const struct store_config *config, bool writer, struct metrics *metrics,
                                         struct fault *fault, struct user_store **out);

#endif
