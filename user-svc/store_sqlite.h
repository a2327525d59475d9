/* What the two halves of the SQLite store share. Only store_sqlite*.c include it. */
#ifndef ZMART_USER_STORE_SQLITE_H
#define ZMART_USER_STORE_SQLITE_H

#include "lib/store/outbox_sqlite.h"
#include "user-svc/store.h"

struct user_store_sqlite {
    struct user_store store; /* first, so that a user_store is one */
    struct sqlite_db *db;    /* owned */
};

struct sqlite_db *user_db(struct user_store *self);
/* The parameter's number; asserts that the statement has it. */
int user_at(sqlite3_stmt *statement, const char *name);
/* One row is wanted: true if there is one. False with *out_error NONE when there is none. The caller resets. */
bool user_row(struct user_store *self, sqlite3_stmt *statement, struct fault *fault, enum err *out_error);
/* Runs a statement that changes rows; a broken constraint is CONFLICT and leaves the fault alone. */
enum err user_run(struct user_store *self, sqlite3_stmt *statement, struct fault *fault, int64_t *out_changes);

/* store_sqlite_session.c */
enum err sqlite_session_insert(struct user_store *self, const struct session *in, struct fault *fault);
enum err sqlite_session_get(struct user_store *self, struct text id, struct arena *arena, struct fault *fault,
                            struct session *out);
enum err sqlite_session_rotate(struct user_store *self, const struct session_move *in, struct fault *fault);
enum err sqlite_session_end(struct user_store *self, const struct session_end *in, struct arena *arena,
                            struct fault *fault, bool *out);
enum err sqlite_token_good(struct user_store *self, const struct token_check *in, struct fault *fault, bool *out);
enum err sqlite_denial_list(struct user_store *self, int64_t now_ms, struct arena *arena, struct fault *fault,
                            struct denial_list *out);
enum err sqlite_ticket_add(struct user_store *self, const struct ticket *in, struct fault *fault, bool *out);
enum err sqlite_ticket_spend(struct user_store *self, const struct ticket_use *in, struct arena *arena,
                             struct fault *fault, struct identity *out);
enum err sqlite_key_add(struct user_store *self, const struct key_row *in, struct fault *fault);
enum err sqlite_key_list(struct user_store *self, struct arena *arena, struct fault *fault, struct key_rows *out);
enum err sqlite_key_drop(struct user_store *self, int64_t below_generation, struct fault *fault);
enum err sqlite_secret_add(struct user_store *self, const struct secret_row *in, struct fault *fault);
enum err sqlite_secret_get(struct user_store *self, const char *name, struct arena *arena, struct fault *fault,
                           struct text *out);
enum err sqlite_sweep(struct user_store *self, const struct user_sweep *in, struct fault *fault);

/* store_sqlite_answers.c */
extern const char user_answers_schema[];
enum err sqlite_key_distrust(struct user_store *self, const struct key_distrust *in, struct arena *arena,
                             struct fault *fault);
enum err sqlite_answer_add(struct user_store *self, const struct kept_answer *in, struct fault *fault, bool *out);
enum err sqlite_answer_get(struct user_store *self, struct text request_id, struct arena *arena, struct fault *fault,
                           struct text *out);

/* store_sqlite_attempts.c */
extern const char user_attempts_schema[];
enum err sqlite_attempts_get(struct user_store *self, struct text name, struct fault *fault, struct attempts *out);
enum err sqlite_attempts_put(struct user_store *self, const struct attempts_change *in, struct fault *fault, bool *out);

#endif
