/* What user-svc decides without asking anybody: addresses, passwords, delays, lifetimes, who may do what.
 * Pure: no I/O, no clock, no allocation; time comes in as an argument, in milliseconds. */
#ifndef ZMART_USER_RULES_H
#define ZMART_USER_RULES_H

#include "lib/base/text.h"
#include "proto/errors.h"
#include "proto/user.h"

/* ---- e-mail addresses ---- */

enum { EMAIL_FOLDED_SIZE = 2048, EMAIL_LOCAL_MAX_SIZE = 64, EMAIL_DOMAIN_MAX_SIZE = 253, EMAIL_LABEL_MAX_SIZE = 63 };

/* NULL for an address that mail could be sent to: one @, no blanks or control characters, a domain of labels.
 * Otherwise what is wrong with it, for people. */
const char *email_problem(struct text email);
/* The form that is unique in the shop: case folded, then NFC. Addresses that differ only in case have the same one.
 * out is NUL-terminated. False if it is not UTF-8 or the folded form is too long. */
MUST_USE bool email_fold(struct text email, char out[EMAIL_FOLDED_SIZE]);

/* ---- passwords ---- */

struct password_policy {
    int64_t min_length; /* characters */
    bool strict;        /* common passwords and the account's own name and address are refused too */
};

/* NULL for a password that the policy takes; otherwise what is wrong. The text goes to clients: it never repeats the
 * password. out_message holds the text if it is made. */
enum { PASSWORD_MESSAGE_SIZE = 80 };
const char *password_problem(const struct password_policy *policy, struct text password, struct text email,
                             struct text name, char message[PASSWORD_MESSAGE_SIZE]);

/* ---- delays after failed passwords ---- */

struct attempt_policy {
    int64_t free_failures; /* without any delay */
    int64_t delay_max_ms;
};
enum { ATTEMPT_DELAY_FIRST_MS = 1000, ATTEMPT_FORGET_MS = 3600 * 1000 };

/* One account's failures since its last success. All zeroes: none. */
struct attempts {
    int64_t failures;
    int64_t blocked_until_ms;
    int64_t last_ms; /* of the newest failure */
};

/* How long the next attempt has to wait; 0: not at all. An account is never blocked for longer than delay_max_ms. */
int64_t attempts_wait_ms(const struct attempts *attempts, int64_t now_ms);
/* Counts a failure: the first ones are free, then the delay doubles from 1 s up to the policy's most. What is older
 * than an hour, and than the longest delay, is forgotten. */
void attempts_fail(struct attempts *attempts, const struct attempt_policy *policy, int64_t now_ms);

/* ---- accounts ---- */

/* Roles of a new account. */
struct new_account_roles {
    enum role first; /* if it turns out to be the shop's first account */
    enum role later; /* if not */
};
/* pinned: the folded --admin-email, empty if there is none. With a pin only that address becomes administrator. */
struct new_account_roles new_account_roles(struct text email_folded, struct text pinned);

/* May this caller edit these fields? NOT_FOUND for strangers. FORBIDDEN for an administrator who would set another
 * account's password or address: both need the account's own password. */
enum err user_edit_access(const struct user_edit *edit, bool is_self, bool is_admin);
/* True if the edit has to prove the present password. */
bool user_edit_needs_password(const struct user_edit *edit);
/* Index of the first address whose country is no ISO 3166-1 code, or -1. */
int user_edit_bad_country(const struct user_edit *edit);
/* True if the value of a header If-Match names this version: "*", or a list of strong tags. */
bool user_version_matches(struct text if_match, int64_t version);

/* ---- sessions ---- */

struct session_policy {
    int64_t idle_ms;  /* ends so long after its last refresh */
    int64_t total_ms; /* and so long after its beginning in any case */
};
bool session_is_over(const struct session_policy *policy, int64_t created_ms, int64_t used_ms, int64_t now_ms);
/* ---- signing keys ---- */

enum { KEY_MARGIN_MS = 300 * 1000 }; /* a process that was held up may sign with the key before for so long */

struct key_policy {
    int64_t lead_ms;   /* a new key is shown so long before it signs */
    int64_t token_ms;  /* how long a token is good */
    int64_t rotate_ms; /* a key this old gets a successor; 0: never */
};
/* Keys as the store lists them, newest first, by when they were made. Index of the one that signs: the newest that has
 * been shown for long enough; the oldest if none has. -1: there is none. */
int key_that_signs(const struct key_policy *policy, const int64_t *created_ms, int count, int64_t now_ms);
/* Whether keys older than the one that signs have no token left that could be good. */
bool key_elders_are_over(const struct key_policy *policy, int64_t signing_created_ms, int64_t now_ms);
/* Whether the newest key is to get a successor. */
bool key_is_due(const struct key_policy *policy, int64_t newest_created_ms, int64_t now_ms);

/* ---- tokens ---- */

/* Issue time of a new token: later than everything that was denied to the account, whatever the wall clock did. */
int64_t token_time_ms(int64_t now_ms, int64_t denied_until_ms);

enum { CLOCKS_DIFFER_MS = 1000 }; /* of the machines of a shop, at most */
/* Up to when tokens are refused by a denial that is made now: later than any that was issued so far, also by a machine
 * whose clock is ahead, and by one that put its token behind the denial before. */
int64_t denial_time_ms(int64_t now_ms, int64_t denied_until_ms);

#endif
