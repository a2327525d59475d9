/* Accounts, sessions and keys: what user-svc answers. */
#ifndef ZMART_PROTO_USER_H
#define ZMART_PROTO_USER_H

#include "proto/address.h"
#include "proto/product.h"
#include "proto/record.h"

enum { USER_MAX_ADDRESSES = 20, DENIAL_MAX = 1000 };

#define ROLE_LIST(X)                  \
    X(ROLE_CUSTOMER, "customer")      \
    X(ROLE_ADMIN, "admin")
ENUM_DECLARE(role, ROLE_LIST);

#define USER_FIELDS(F, R)                                                                   \
    F(R, TEXT, id,         REQ, 1, 40,  none, "usr_ and 26 characters")                    \
    F(R, TEXT, email,      REQ, 3, 254, none, "unique in the shop, ignoring case")         \
    F(R, TEXT, name,       REQ, 1, 200, none, "what to call them")                         \
    F(R, ENUM, role,       REQ, 0, 0, role,   "what the account may do")                   \
    F(R, LIST, addresses,  REQ, 0, USER_MAX_ADDRESSES, address, "where things go")         \
    F(R, TIME, created_at, REQ, 0, INT64_MAX, none, "when the account was opened")         \
    F(R, TIME, updated_at, REQ, 0, INT64_MAX, none, "when it last changed")                \
    F(R, INT,  version,    REQ, 1, INT64_MAX, none, "counts changes")
RECORD_DECLARE(user, USER_FIELDS);

#define USER_REGISTER_FIELDS(F, R)                                                          \
    F(R, TEXT, email,    REQ | LINE,   3, 254, none, "unique in the shop, ignoring case")  \
    F(R, TEXT, password, REQ | SECRET, 1, 128, none, "8 characters or more, unless the shop says otherwise") \
    F(R, TEXT, name,     REQ | LINE,   1, 200, none, "what to call you")
RECORD_DECLARE(user_register, USER_REGISTER_FIELDS);

#define USER_LOGIN_FIELDS(F, R)                                                             \
    F(R, TEXT, email,    REQ | LINE,   1, 254, none, "the account's address")              \
    F(R, TEXT, password, REQ | SECRET, 1, 128, none, "its password")
RECORD_DECLARE(user_login, USER_LOGIN_FIELDS);

#define USER_REFRESH_FIELDS(F, R) \
    F(R, TEXT, refresh_token, REQ | SECRET | LINE, 1, 200, none, "the newest one of the session")
RECORD_DECLARE(user_refresh, USER_REFRESH_FIELDS);

#define USER_SESSION_FIELDS(F, R)                                                           \
    F(R, REC,  user,          REQ, 0, 0, user, "the account")                              \
    F(R, TEXT, token,         REQ | SECRET, 1, 2048, none, "ES256 JWT for the Authorization header") \
    F(R, TEXT, token_type,    REQ, 1, 10, none, "Bearer")                                  \
    F(R, INT,  expires_in,    REQ, 1, 86400, none, "seconds that the token is good for")   \
    F(R, TEXT, refresh_token, REQ | SECRET, 1, 200, none, "opaque; good for one refresh")
RECORD_DECLARE(user_session, USER_SESSION_FIELDS);

#define USER_REF_FIELDS(F, R) \
    F(R, TEXT, id, REQ | LINE, 1, 40, none, "the account")
RECORD_DECLARE(user_ref, USER_REF_FIELDS);

#define USER_EDIT_FIELDS(F, R)                                                              \
    F(R, TEXT, id,           REQ | LINE,   1, 40,  none, "the account")                    \
    F(R, TEXT, name,         OPT | NOT_NULL | LINE,   1, 200, none, "what to call you")               \
    F(R, TEXT, email,        OPT | NOT_NULL | LINE,   3, 254, none, "a new address; needs old_password") \
    F(R, LIST, addresses,    OPT | NOT_NULL, 0, USER_MAX_ADDRESSES, address, "replaces the list")     \
    F(R, TEXT, password,     OPT | NOT_NULL | SECRET, 1, 128, none, "a new password; needs old_password") \
    F(R, TEXT, old_password, OPT | NOT_NULL | SECRET, 1, 128, none, "the present password")
RECORD_DECLARE(user_edit, USER_EDIT_FIELDS);

#define USER_QUERY_FIELDS(F, R)                                                             \
    F(R, INT,  limit,  OPT, 1, PAGE_MAX, none, "rows a page, fewer of large ones; 20 if absent") \
    F(R, TEXT, cursor, OPT | LINE, 1, 1000, none, "next_cursor of the page before")        \
    F(R, TEXT, email,  OPT | LINE, 1, 254, none, "the account with this address")          \
    F(R, ENUM, role,   OPT, 0, 0, role, "only accounts of this role")
RECORD_DECLARE(user_query, USER_QUERY_FIELDS);

#define USER_LIST_FIELDS(F, R)                                                             \
    F(R, LIST, data,        REQ, 0, PAGE_MAX, user, "the page, newest first")             \
    F(R, BOOL, has_more,    REQ, 0, 0,        none, "whether there is a next page")       \
    F(R, TEXT, next_cursor, OPT, 1, 1000,     none, "cursor of the next page")
RECORD_DECLARE(user_list, USER_LIST_FIELDS);

#define USER_ROLE_SET_FIELDS(F, R)                                                          \
    F(R, TEXT, id,   REQ | LINE, 1, 40, none, "the account")                               \
    F(R, ENUM, role, REQ, 0, 0, role, "what it may do from now on")
RECORD_DECLARE(user_role_set, USER_ROLE_SET_FIELDS);

#define WS_TICKET_FIELDS(F, R)                                                              \
    F(R, TEXT, ticket,     REQ | SECRET, 1, 100, none, "opens one WebSocket, once, at any gateway") \
    F(R, INT,  expires_in, REQ, 1, 3600, none, "seconds that it is good for")
RECORD_DECLARE(ws_ticket, WS_TICKET_FIELDS);

/* ---- between services ---- */

/* Where an account gets its mail. */
#define USER_CONTACT_FIELDS(F, R)                                                           \
    F(R, TEXT, email, REQ, 3, 254, none, "the account's address")                          \
    F(R, TEXT, name,  REQ, 1, 200, none, "what to call them")
RECORD_DECLARE(user_contact, USER_CONTACT_FIELDS);

#define TICKET_REF_FIELDS(F, R) \
    F(R, TEXT, ticket, REQ | SECRET | LINE, 1, 100, none, "spent by this call")
RECORD_DECLARE(ticket_ref, TICKET_REF_FIELDS);

#define IDENTITY_FIELDS(F, R)                                                               \
    F(R, TEXT, user_id,    REQ, 1, 40, none, "the account")                                \
    F(R, ENUM, role,       REQ, 0, 0, role, "what it may do")                              \
    F(R, TEXT, session_id, REQ, 1, 40, none, "the session that asked for the ticket")      \
    F(R, TIME, issued_at,  REQ, 0, INT64_MAX, none, "when that was")
RECORD_DECLARE(identity, IDENTITY_FIELDS);

#define SIGNING_KEY_FIELDS(F, R)                                                            \
    F(R, TEXT, kid,        REQ, 1, 64, none, "key id: RFC 7638 thumbprint")                \
    F(R, TEXT, public_pem, REQ, 1, 1000, none, "SubjectPublicKeyInfo")                     \
    F(R, TEXT, x,          REQ, 43, 43, none, "base64url of the point's x")                \
    F(R, TEXT, y,          REQ, 43, 43, none, "base64url of the point's y")
RECORD_DECLARE(signing_key, SIGNING_KEY_FIELDS);

#define SIGNING_KEYS_FIELDS(F, R)                                                           \
    F(R, LIST, keys,   REQ, 1, 16, signing_key, "all keys whose tokens may still be good") \
    F(R, TEXT, issuer, REQ, 1, 200, none, "iss of every token; aud is the same")
RECORD_DECLARE(signing_keys, SIGNING_KEYS_FIELDS);

#define KEY_ROTATED_FIELDS(F, R)                                                            \
    F(R, TEXT, kid,      REQ, 1, 64, none, "of the key that is to sign")                   \
    F(R, TIME, signs_at, REQ, 0, INT64_MAX, none, "until then the one before signs, if it is trusted")
RECORD_DECLARE(key_rotated, KEY_ROTATED_FIELDS);

/* A token is refused when its sid is session_id, or its sub is user_id and it was issued at or before `before`. With
 * neither it is about everybody: the signing keys are not trusted any more, and gateways ask for them again. */
#define DENIAL_FIELDS(F, R)                                                                 \
    F(R, TEXT, session_id, OPT, 1, 40, none, "a session that has ended")                   \
    F(R, TEXT, user_id,    OPT, 1, 40, none, "an account whose sessions have ended")       \
    F(R, TEXT, except_session_id, OPT, 1, 40, none, "but this one, which goes on")         \
    F(R, TIME, before,     REQ, 0, INT64_MAX, none, "tokens issued at or before are refused") \
    F(R, TIME, expires_at, REQ, 0, INT64_MAX, none, "then every such token has expired anyway")
RECORD_DECLARE(denial, DENIAL_FIELDS);

#define DENIAL_LIST_FIELDS(F, R) \
    F(R, LIST, denials, REQ, 0, DENIAL_MAX, denial, "those not expired, newest first")
RECORD_DECLARE(denial_list, DENIAL_LIST_FIELDS);

/* What events tell of an account: nothing about the person. */
#define USER_EVENT_FIELDS(F, R)                                                             \
    F(R, TEXT, user_id, REQ, 1, 40, none, "the account")                                   \
    F(R, ENUM, role,    REQ, 0, 0, role, "what it may do after this event")                \
    F(R, INT,  version, REQ, 1, INT64_MAX, none, "the account's version after this event")
RECORD_DECLARE(user_event, USER_EVENT_FIELDS);

#define TOKEN_CHECK_FIELDS(F, R)                                                            \
    F(R, TEXT, session_id, REQ | LINE, 1, 40, none, "sid of the token")                    \
    F(R, TEXT, user_id,    REQ | LINE, 1, 40, none, "sub of the token")                    \
    F(R, TIME, issued_at,  REQ, 0, INT64_MAX, none, "iat of the token")
RECORD_DECLARE(token_check, TOKEN_CHECK_FIELDS);

#define TOKEN_VERDICT_FIELDS(F, R) \
    F(R, BOOL, good, REQ, 0, 0, none, "whether the session goes on")
RECORD_DECLARE(token_verdict, TOKEN_VERDICT_FIELDS);

#endif
