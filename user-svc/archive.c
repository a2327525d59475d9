/* Accounts, sessions, keys and secrets as rows. Tickets live for seconds and are left out. */
#include "user-svc/archive.h"

#include "proto/user.h"
#include "user-svc/store.h"

extern const struct sqlite_schema user_sqlite_schema;

static const char users[] = "users";
static const char sessions[] = "sessions";
static const char founder_place[] = "founder"; /* as in store_mongo.c */

static const struct archive_field user_fields[] = {{"email_folded", "email_folded", ARCHIVE_TEXT},
                                                   {"password_hash", "password_hash", ARCHIVE_TEXT},
                                                   {"changed_by", "changed_by", ARCHIVE_BYTES},
                                                   {"generation", "generation", ARCHIVE_INT},
                                                   {"kept_session", "kept_session", ARCHIVE_TEXT},
                                                   {"denied_until", "denied_until", ARCHIVE_INT},
                                                   {"denied_all", "denied_all", ARCHIVE_INT},
                                                   {"denial_ends", "denial_ends", ARCHIVE_INT},
                                                   {0}};

static enum err user_from(const bson_t *document, struct arena *arena, struct fault *fault, struct archive_row *row)
{
    struct user *user = arena_alloc(arena, sizeof *user);
    struct text place;
    enum err e = bson_read_record(document, &user_record, arena, fault, user);
    if (e == ERR_NONE) {
        archive_put_record(row, &user_record, user, arena);
    }
    if (e == ERR_NONE && bson_get_text(document, "place", NULL, &place) && text_is(place, founder_place)) {
        archive_put_int(row, "founder", 1);
    }
    return e;
}

static enum err user_to(const struct archive_row *row, struct arena *arena, struct fault *fault, bson_t *document)
{
    struct user *user = arena_alloc(arena, sizeof *user);
    enum err e = archive_get_record(row, &user_record, arena, fault, user);
    if (e == ERR_NONE) {
        bson_put_text(document, "_id", user->id);
        bson_put_fields(document, &user_record, user);
        bson_put_text(document, "place", archive_find(row, "founder") ? TEXT(founder_place) : user->id);
        bson_put_int(document, "role_change", 0);
    }
    return e;
}

static const struct archive_field session_fields[] = {{"id", "_id", ARCHIVE_TEXT},
                                                      {"user_id", "user_id", ARCHIVE_TEXT},
                                                      {"refresh_hash", "refresh_hash", ARCHIVE_BYTES},
                                                      {"created_at", "created_at", ARCHIVE_INT},
                                                      {"used_at", "used_at", ARCHIVE_INT},
                                                      {"generation", "generation", ARCHIVE_INT},
                                                      {"denial_ends", "denial_ends", ARCHIVE_INT},
                                                      {0}};

/* A session that goes on has ended_at 0 in a document, and none in a row. */
static enum err session_from(const bson_t *document, struct arena *arena, struct fault *fault, struct archive_row *row)
{
    int64_t ended_at;
    (void)arena;
    (void)fault;
    if (bson_get_int(document, "ended_at", &ended_at) && ended_at > 0) {
        archive_put_int(row, "ended_at", ended_at);
    }
    return ERR_NONE;
}

static enum err session_to(const struct archive_row *row, struct arena *arena, struct fault *fault, bson_t *document)
{
    int64_t ended_at = 0;
    (void)arena;
    (void)fault;
    (void)!archive_get_int(row, "ended_at", &ended_at);
    bson_put_int(document, "ended_at", ended_at);
    return ERR_NONE;
}

static const struct archive_field key_fields[] = {{"generation", "_id", ARCHIVE_INT},
                                                  {"private_pem", "private_pem", ARCHIVE_TEXT},
                                                  {"created_at", "created_at", ARCHIVE_INT},
                                                  {0}};

static enum err key_from(const bson_t *document, struct arena *arena, struct fault *fault, struct archive_row *row)
{
    return archive_take_record(document, "shown", &signing_key_record, arena, fault, row);
}

static enum err key_to(const struct archive_row *row, struct arena *arena, struct fault *fault, bson_t *document)
{
    return archive_give_record(row, "shown", &signing_key_record, arena, fault, document);
}

static const struct archive_field secret_fields[] = {
    {"name", "_id", ARCHIVE_TEXT}, {"value", "value", ARCHIVE_BYTES}, {0}};

static const struct archive_kind kinds[] = {
    {.name = "users",
     .select =
         "SELECT id, email, email_folded, name, role, addresses, password_hash, founder, denied_until, denied_all,"
         " denial_ends, generation, kept_session, changed_by, created_at, updated_at, version FROM users ORDER BY id",
     .inserts =
         {"INSERT INTO users(id, email, email_folded, name, role, addresses, password_hash, founder, denied_until,"
          " denied_all, denial_ends, generation, kept_session, changed_by, created_at, updated_at, version)"
          " VALUES(:id, :email, :email_folded, :name, :role, :addresses, :password_hash, :founder, :denied_until,"
          " :denied_all, :denial_ends, :generation, :kept_session, :changed_by, :created_at, :updated_at, :version)"},
     .collection = users,
     .fields = user_fields,
     .from_document = user_from,
     .to_document = user_to},
    {.name = "sessions",
     .select = "SELECT id, user_id, refresh_hash, created_at, used_at, ended_at, generation, denial_ends FROM sessions"
               " ORDER BY id",
     .inserts =
         {"INSERT INTO sessions(id, user_id, refresh_hash, created_at, used_at, ended_at, generation, denial_ends)"
          " VALUES(:id, :user_id, :refresh_hash, :created_at, :used_at, :ended_at, :generation, :denial_ends)"},
     .collection = sessions,
     .fields = session_fields,
     .from_document = session_from,
     .to_document = session_to},
    {.name = "signing_keys",
     .select =
         "SELECT generation, kid, public_pem, x, y, private_pem, created_at FROM signing_keys ORDER BY generation",
     .inserts = {"INSERT INTO signing_keys(generation, kid, public_pem, x, y, private_pem, created_at)"
                 " VALUES(:generation, :kid, :public_pem, :x, :y, :private_pem, :created_at)"},
     .collection = "signing_keys",
     .fields = key_fields,
     .from_document = key_from,
     .to_document = key_to},
    {.name = "secrets",
     .select = "SELECT name, value FROM secrets ORDER BY name",
     .inserts = {"INSERT INTO secrets(name, value) VALUES(:name, :value)"},
     .collection = "secrets",
     .fields = secret_fields},
    {.name = "outbox", .select = "SELECT event FROM outbox ORDER BY position", .collection = users, .is_outbox = true},
    {.name = "session_outbox", .select = "SELECT event FROM outbox WHERE 0", .collection = sessions, .is_outbox = true},
};

const struct archive_part user_archive = {"user", &user_sqlite_schema, &user_mongo_schema, kinds, ARRAY_COUNT(kinds)};
