/* What clients hold without being able to read it: refresh tokens and tickets. All follow from the server's secret and
 * a request id, so that a request that is sent again gets the same one; the store keeps only their hashes.
 *
 * A refresh token is base64url of: session (16 bytes), secret part (24), mark (16). The mark proves that this shop made
 * it: an invented token never reaches the store, and a genuine one that is not the newest has been spent. */
#ifndef ZMART_USER_OPAQUE_H
#define ZMART_USER_OPAQUE_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/base/auto.h"
#include "lib/base/id.h"
#include "lib/base/text.h"
#include "proto/ident.h"

enum { SERVER_SECRET_SIZE = 32, OPAQUE_SIZE = 80, OPAQUE_HASH_SIZE = 32 };

struct refresh_token {
    char text[OPAQUE_SIZE]; /* what the client gets, NUL-terminated */
    uint8_t hash[OPAQUE_HASH_SIZE];
};

/* The id of the session that this request begins, and its first refresh token. */
void session_id_make(const uint8_t request_id[ID_SIZE], char out[IDENT_SIZE]);
void refresh_token_first(const uint8_t secret[SERVER_SECRET_SIZE], const uint8_t request_id[ID_SIZE],
                         struct refresh_token *out);
/* What follows when this request spends the token. */
void refresh_token_next(const uint8_t secret[SERVER_SECRET_SIZE], const struct refresh_token *spent,
                        const uint8_t request_id[ID_SIZE], struct refresh_token *out);
/* False if it is not one that this shop made. */
MUST_USE bool refresh_token_read(const uint8_t secret[SERVER_SECRET_SIZE], struct text text, struct refresh_token *out,
                                 char out_session_id[IDENT_SIZE]);

/* The ticket that this request of this session gets. */
void ticket_make(const uint8_t secret[SERVER_SECRET_SIZE], const uint8_t request_id[ID_SIZE], struct text session_id,
                 char out[OPAQUE_SIZE]);
enum { GUESS_NAME_SIZE = 33 };
/* What failed passwords of this name are counted under: nobody without the secret can tell which it is. */
void guess_name_make(const uint8_t secret[SERVER_SECRET_SIZE], struct text name, char out[GUESS_NAME_SIZE]);
/* SHA-256 of any opaque text. */
void opaque_hash(struct text opaque, uint8_t out[OPAQUE_HASH_SIZE]);

/* Overwrites a secret that lies in memory of ours, for example in an arena. */
void secret_wipe(struct text secret);

#endif
