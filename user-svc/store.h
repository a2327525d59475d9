/* What user-svc keeps: accounts, sessions, denials, tickets, signing keys and the server's secret.
 * One atomic act a verb, no general update. All run inside the loop's unit of work.
 *
 * Answers and errors: NOT_FOUND, CONFLICT, EMAIL_TAKEN and LAST_ADMIN are answers of a verb that names them below and
 * leave the fault alone; anything else is the store's own trouble and has set it. Out parameters are untouched unless
 * ERR_NONE is returned. Texts that come out are in the arena. Hashes are raw bytes in a text. An event (NULL: none) goes
 * into the outbox with what caused it. */
#ifndef ZMART_USER_STORE_H
#define ZMART_USER_STORE_H

#include "lib/bus/service.h"
#include "lib/store/outbox.h"
#include "lib/store/sqlite.h"
#include "proto/user.h"

struct account {
    struct user user;
    struct text email_folded;   /* unique */
    struct text password_hash;
    int64_t denied_until_ms;    /* tokens issued up to then are refused, but for the one session that went on */
    struct text changed_by;     /* id (ID_SIZE bytes) of the request that changed it last; empty: none */
};

struct account_new {
    struct account account;
    enum role first_role; /* its role if it is the shop's first account, whatever account.user.role says */
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
    bool deny;                    /* denied_until_ms becomes now */
    struct text request_id;       /* becomes changed_by */
};

struct role_change {
    struct text id;
    enum role role;
    int64_t now_ms; /* becomes denied_until_ms */
    struct text request_id;
};

struct hash_change {
    struct text id;
    struct text from;
    struct text to;
};

struct session {
    struct text id;
    struct text user_id;
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
    struct text id;      /* this one; or empty: */
    struct text user_id; /* all of the account */
    struct text except;  /* but this one; may be empty */
    int64_t now_ms;
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

struct key_row {
    struct signing_key shown;
    struct text private_pem; /* a secret */
};

struct key_rows {
    struct key_row *items; /* newest first: it signs */
    uint32_t count;
};

struct secret_row {
    const char *name;
    struct text value;
};

struct user_sweep {
    int64_t now_ms;             /* denials and tickets that have expired by then go */
    int64_t sessions_before_ms; /* sessions not used since go, */
    int64_t ended_before_ms;    /* and those that ended before */
    int64_t row_count;          /* at most so many rows of a kind */
};

/* account_insert: CONFLICT if the id is taken, EMAIL_TAKEN; *out is the role it got. The first account ever takes a
 *     place that a unique index gives out once.
 * account_get, account_find (by folded address): NOT_FOUND.
 * account_edit: EMAIL_TAKEN; CONFLICT if verified_hash or version are no longer its own, or it is gone.
 * account_set_role: NOT_FOUND; LAST_ADMIN, decided in the same statement.
 * account_rehash: changes nothing when the hash is another by now.
 * shop_is_founded: whether there ever was an account.
 * session_insert: repeatable; CONFLICT if the id is another's.
 * session_rotate: CONFLICT if from_hash is not its newest or it has ended.
 * session_end: *out says how many were going on. It ends nothing twice.
 * token_good: whether the session goes on and nothing denies the token.
 * denial_list: those not expired, newest first, DENIAL_MAX at most.
 * ticket_add: *out false if it is there already.
 * ticket_spend: NOT_FOUND if it is unknown, spent, expired, or its session has ended or its token is denied.
 * key_add, secret_add: the first one stays; the others change nothing. */
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
    V(account_set_role, (struct user_store * self, const struct role_change *in, struct fault *fault),                 \
      (self, in, fault))                                                                                               \
    V(account_rehash, (struct user_store * self, const struct hash_change *in, struct fault *fault),                   \
      (self, in, fault))                                                                                               \
    V(shop_is_founded, (struct user_store * self, struct fault *fault, bool *out), (self, fault, out))                 \
    V(session_insert, (struct user_store * self, const struct session *in, struct fault *fault), (self, in, fault))    \
    V(session_get, (struct user_store * self, struct text id, struct arena *arena, struct fault *fault,                \
                    struct session *out), (self, id, arena, fault, out))                                               \
    V(session_rotate, (struct user_store * self, const struct session_move *in, struct fault *fault),                  \
      (self, in, fault))                                                                                               \
    V(session_end, (struct user_store * self, const struct session_end *in, struct fault *fault, int64_t *out),        \
      (self, in, fault, out))                                                                                          \
    V(token_good, (struct user_store * self, const struct token_check *in, struct fault *fault, bool *out),            \
      (self, in, fault, out))                                                                                          \
    V(denial_add, (struct user_store * self, const struct denial *in, const struct event_new *event,                   \
                   struct arena *arena, struct fault *fault), (self, in, event, arena, fault))                         \
    V(denial_list, (struct user_store * self, int64_t now_ms, struct arena *arena, struct fault *fault,                \
                    struct denial_list *out), (self, now_ms, arena, fault, out))                                       \
    V(ticket_add, (struct user_store * self, const struct ticket *in, struct fault *fault, bool *out),                 \
      (self, in, fault, out))                                                                                          \
    V(ticket_spend, (struct user_store * self, const struct ticket_use *in, struct arena *arena, struct fault *fault,  \
                     struct identity *out), (self, in, arena, fault, out))                                             \
    V(key_add, (struct user_store * self, const struct key_row *in, int64_t now_ms, struct fault *fault),              \
      (self, in, now_ms, fault))                                                                                       \
    V(key_list, (struct user_store * self, struct arena *arena, struct fault *fault, struct key_rows *out),            \
      (self, arena, fault, out))                                                                                       \
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
void user_store_destroy(struct user_store **self);

/* Opens DIR/user.db; writer as in sqlite_db_open. metrics may be NULL. */
MUST_USE enum err user_store_open_sqlite(const struct store_config *config, bool writer, struct metrics *metrics,
                                         struct fault *fault, struct user_store **out);

#endif
