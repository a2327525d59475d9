/* What the parts of the MongoDB store share. Only store_mongo*.c include it.
 *
 *     store_mongo.c           accounts, opening       store_mongo_roles.c     who is an administrator
 *     store_mongo_session.c   sessions, denials       store_mongo_rest.c      tickets, keys, secrets, sweeping
 *     store_mongo_attempts.c  failed passwords        store_mongo_answers.c   distrusted keys, kept answers
 *
 * Every verb is decided by the change of one document. What follows from it elsewhere is either read from that document
 * (an account's generation ends its sessions) or written there as an intent that anybody finishes (roles). */
#ifndef ZMART_USER_STORE_MONGO_H
#define ZMART_USER_STORE_MONGO_H

#include "lib/store/outbox_mongo.h"
#include "user-svc/store.h"

/* Tries of a change that others come before. Changes of role queue at one document, where each also helps the others.
 */
enum { MONGO_TRIES_MAX = 32, MONGO_ROLE_TRIES_MAX = 256 };

struct user_store_mongo {
    struct user_store store; /* first, so that a user_store is one */
    struct mongo_db *db;     /* owned */
    bool founded;            /* the founder's place is known to be taken: never becomes free again */
};

struct mongo_db *user_mongo(struct user_store *self);
/* The document with this id (a text) of a collection, in the arena. */
MUST_USE enum err user_document(struct user_store *self, const char *collection, struct text id, struct arena *arena,
                                struct fault *fault, bson_t *out, bool *out_found);
/* The same as an account. *out_role_change counts the changes of role in the shop up to this account's last one. */
MUST_USE enum err user_account_load(struct user_store *self, struct text id, struct arena *arena, struct fault *fault,
                                    struct account *out, int64_t *out_role_change, bool *out_found);
/* Others came first too often. */
enum err user_contended(struct fault *fault, int try_count);
/* $push of up to two events into outbox; nothing if both are NULL. */
void user_events_push(bson_t *update, const struct event_new *first, const struct event_new *second);
/* The denial's fields for an account as it then is: what a new password or role refuses from now on. */
void account_deny(struct account *account, const struct denial *denial, bool new_password);
void user_put_denial(bson_t *set, const struct account *account, int64_t ends_ms);

/* store_mongo_roles.c */
enum err mongo_account_set_role(struct user_store *self, const struct role_change *in, struct arena *arena,
                                struct fault *fault);
/* Finishes what somebody began and left. */
enum err mongo_roles_finish(struct user_store *self, struct arena *arena, struct fault *fault);

/* store_mongo_session.c */
enum err mongo_session_insert(struct user_store *self, const struct session *in, struct fault *fault);
enum err mongo_session_get(struct user_store *self, struct text id, struct arena *arena, struct fault *fault,
                           struct session *out);
enum err mongo_session_rotate(struct user_store *self, const struct session_move *in, struct fault *fault);
enum err mongo_session_end(struct user_store *self, const struct session_end *in, struct arena *arena,
                           struct fault *fault, bool *out);
enum err mongo_token_good(struct user_store *self, const struct token_check *in, struct fault *fault, bool *out);
enum err mongo_denial_list(struct user_store *self, int64_t now_ms, struct arena *arena, struct fault *fault,
                           struct denial_list *out);

/* store_mongo_answers.c */
enum err mongo_key_distrust(struct user_store *self, const struct key_distrust *in, struct arena *arena,
                            struct fault *fault);
enum err mongo_answer_add(struct user_store *self, const struct kept_answer *in, struct fault *fault, bool *out);
enum err mongo_answer_get(struct user_store *self, struct text request_id, struct arena *arena, struct fault *fault,
                          struct text *out);

/* store_mongo_attempts.c */
enum err mongo_attempts_get(struct user_store *self, struct text name, struct fault *fault, struct attempts *out);
enum err mongo_attempts_put(struct user_store *self, const struct attempts_change *in, struct fault *fault, bool *out);

/* store_mongo_rest.c */
enum err mongo_ticket_add(struct user_store *self, const struct ticket *in, struct fault *fault, bool *out);
enum err mongo_ticket_spend(struct user_store *self, const struct ticket_use *in, struct arena *arena,
                            struct fault *fault, struct identity *out);
enum err mongo_key_add(struct user_store *self, const struct key_row *in, struct fault *fault);
enum err mongo_key_list(struct user_store *self, struct arena *arena, struct fault *fault, struct key_rows *out);
enum err mongo_key_drop(struct user_store *self, int64_t below_generation, struct fault *fault);
enum err mongo_secret_add(struct user_store *self, const struct secret_row *in, struct fault *fault);
enum err mongo_secret_get(struct user_store *self, const char *name, struct arena *arena, struct fault *fault,
                          struct text *out);
enum err mongo_user_sweep(struct user_store *self, const struct user_sweep *in, struct fault *fault);

#endif
