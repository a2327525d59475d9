#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "lib/base/clock.h"
#include "lib/base/invariant.h"
#include "lib/base/mem.h"
#include "lib/store/mongo_parts.h"

enum { PAUSE_MS = 250, RETRY_AFTER_S = 1, WAIT_FOR_MAJORITY_PERCENT = 80, DUPLICATE_KEY = 11000 };

/* ---- what errors mean ---- */

/* The server says: not now, or not here. The write may have happened. */
static bool server_is_away(int32_t code)
{
    static const int32_t codes[] = {
        6,     7,     89,    /* a host cannot be reached, or found; a network timeout */
        50,    262,          /* the time for the command was over */
        64,    91,           /* a majority did not answer; shutting down */
        189,   133,          /* the primary stepped down; no server to read from */
        10107, 13435, 13436, /* not the primary, or not ready */
        11600, 11602, 9001,  /* interrupted by a shutdown or an election; a socket broke */
        14031, 39, 15949,    /* the disk is full */
    };
    for (size_t i = 0; i < ARRAY_COUNT(codes); i++) {
        if (codes[i] == code) {
            return true;
        }
    }
    return false;
}

static bool is_away(const bson_error_t *error, const bson_t *reply)
{
    switch (error->domain) {
    case MONGOC_ERROR_STREAM:
    case MONGOC_ERROR_SERVER_SELECTION:
    case MONGOC_ERROR_WRITE_CONCERN: return true;
    case MONGOC_ERROR_CLIENT: return error->code != MONGOC_ERROR_CLIENT_TOO_BIG;
    case MONGOC_ERROR_PROTOCOL: return error->code == MONGOC_ERROR_PROTOCOL_INVALID_REPLY;
    default: break;
    }
    return server_is_away((int32_t)error->code) || (reply && mongoc_error_has_label(reply, "RetryableWriteError"));
}

bool mongo_may_be_done(const bson_error_t *error)
{
    static const int32_t codes[] = {
        6,  7,     89, 9001, /* between servers a host or a socket was lost, or did not answer in time */
        50, 262,   64,       /* the time for the command was over, perhaps while it waited for a majority */
        91, 11600, 11602,    /* interrupted by a shutdown or an election */
    };
    switch (error->domain) {
    case MONGOC_ERROR_STREAM: return error->code == MONGOC_ERROR_STREAM_SOCKET;
    case MONGOC_ERROR_PROTOCOL:
    case MONGOC_ERROR_WRITE_CONCERN: return true; /* done here, and others have not confirmed it */
    default: break;
    }
    for (size_t i = 0; i < ARRAY_COUNT(codes); i++) {
        if (codes[i] == (int32_t)error->code) {
            return error->domain == MONGOC_ERROR_SERVER || error->domain == MONGOC_ERROR_COMMAND;
        }
    }
    return false;
}

static enum err unavailable(struct fault *fault, const char *detail)
{
    enum err e = fault_set(fault, ERR_SERVICE_UNAVAILABLE, "%s", detail);
    if (fault) {
        fault->retry_after_s = RETRY_AFTER_S;
    }
    return e;
}

/* Two writes were in one another's way, and this one was taken back. */
bool mongo_collided(const bson_error_t *error)
{
    enum { WRITE_CONFLICT = 112, DEADLOCK = 16908292 }; /* the latter is FerretDB's, from PostgreSQL */
    return error->code == WRITE_CONFLICT || error->code == DEADLOCK;
}

/* The server says that something is wrong with itself, and perhaps not what: so do compatible servers whose disk is
 * full. It may be this command alone that it cannot do, so others are still asked. */
static bool server_is_ill(const bson_error_t *error)
{
    enum {
        INTERNAL_ERROR = 1,
        UNKNOWN_ERROR = 8,
        /* FerretDB's, from PostgreSQL: an SQLSTATE, 6 bits a character, the first lowest */
        DISK_FULL = 4293,             /* 53100 */
        OUT_OF_MEMORY = 8389,         /* 53200 */
        TOO_MANY_CONNECTIONS = 12485, /* 53300 */
        IO_ERROR = 786949,            /* 58030 */
        ADMIN_SHUTDOWN = 16908741,    /* 57P01 */
        CRASH_SHUTDOWN = 33685957,    /* 57P02 */
        CANNOT_CONNECT_NOW = 50463173 /* 57P03 */
    };
    if (error->domain != MONGOC_ERROR_SERVER && error->domain != MONGOC_ERROR_COMMAND) {
        return false;
    }
    switch (error->code) {
    case INTERNAL_ERROR:
    case UNKNOWN_ERROR:
    case DISK_FULL:
    case OUT_OF_MEMORY:
    case TOO_MANY_CONNECTIONS:
    case IO_ERROR:
    case ADMIN_SHUTDOWN:
    case CRASH_SHUTDOWN:
    case CANNOT_CONNECT_NOW: return true;
    default: return false;
    }
}

enum err mongo_failed(struct mongo_db *db, const bson_error_t *error, const bson_t *reply, struct fault *fault)
{
    struct mongo_pool *pool = db->pool;
    fault_cause(fault, "mongodb: %.240s (%d)", error->message, (int)error->code);
    if (is_away(error, reply)) {
        atomic_store(&pool->closed_until_ms, clock_now_ms() + PAUSE_MS);
        atomic_store(&pool->failing, true);
        atomic_store(&pool->trying, false);
        return unavailable(fault, "the store does not answer");
    }
    mongo_answered(db);
    if (mongo_collided(error)) {
        return unavailable(fault, "the store has too much to do at one place");
    }
    if (server_is_ill(error)) {
        return unavailable(fault, "the store has failed");
    }
    return fault_set(fault, error->code == DUPLICATE_KEY ? ERR_CONFLICT : ERR_INTERNAL, NULL);
}

bool mongo_enter(struct mongo_db *db, struct fault *fault)
{
    struct mongo_pool *pool = db->pool;
    bool nobody = false;
    if (!atomic_load(&pool->failing) || (clock_now_ms() >= atomic_load(&pool->closed_until_ms) &&
                                         atomic_compare_exchange_strong(&pool->trying, &nobody, true))) {
        return true;
    }
    fault_cause(fault, "mongodb: did not answer a moment ago");
    (void)unavailable(fault, "the store does not answer");
    return false;
}

void mongo_answered(struct mongo_db *db)
{
    if (atomic_load(&db->pool->failing)) {
        atomic_store(&db->pool->failing, false);
        atomic_store(&db->pool->trying, false);
    }
}

/* ---- counting ---- */

static const char *const counted[] = {"insert",          "update",        "delete",        "find",
                                      "getMore",         "killCursors",   "createIndexes", "listIndexes",
                                      "listCollections", "findAndModify", "other"};
_Static_assert(ARRAY_COUNT(counted) <= MONGO_MAX_COUNTED, "a counter a command");

static void command_started(const mongoc_apm_command_started_t *event)
{
    struct mongo_pool *pool = mongoc_apm_command_started_get_context(event);
    const char *name = mongoc_apm_command_started_get_command_name(event);
    size_t i = 0;
    while (i + 1 < ARRAY_COUNT(counted) && strcmp(counted[i], name) != 0) {
        i++;
    }
    metric_add(pool->commands[i], 1);
}

static void counters_set(struct mongo_pool *pool, struct metrics *metrics)
{
    for (size_t i = 0; i < ARRAY_COUNT(counted); i++) {
        char labels[64];
        snprintf(labels, sizeof labels, "command=\"%s\"", counted[i]);
        pool->commands[i] = metrics_get(metrics, METRIC_COUNTER, "zmart_store_commands_total", labels,
                                        "Commands sent to MongoDB: each is a round trip.");
    }
    mongoc_apm_callbacks_t *callbacks = mongoc_apm_callbacks_new();
    mongoc_apm_set_command_started_cb(callbacks, command_started);
    (void)mongoc_client_pool_set_apm_callbacks(pool->clients, callbacks, pool);
    mongoc_apm_callbacks_destroy(callbacks);
}

/* ---- opening ---- */

static enum err url_refuse(const char *why, struct fault *fault)
{
    return fault_set(fault, ERR_SERVICE_UNAVAILABLE,
                     "--store: %s; it takes mongodb://[USER:PASSWORD@]HOST[:PORT][,HOST...]/DATABASE[?OPTIONS], with "
                     ": / ? # [ ] @ %% in user and password as %%XX", why);
}

static void timeout_set(mongoc_uri_t *uri, const char *option, int64_t ms)
{
    if (!mongoc_uri_has_option(uri, option)) {
        (void)mongoc_uri_set_option_as_int32(uri, option, (int32_t)ms);
    }
}

/* A database name that every server takes. */
static bool database_is_plain(const char *name)
{
    size_t size = strlen(name);
    return size > 0 && size < MONGO_DATABASE_SIZE && strcspn(name, "/\\. \"$*<>:|?") == size;
}

static enum err uri_make(const struct store_config *config, struct mongo_pool *pool, struct fault *fault,
                         mongoc_uri_t **out)
{
    bson_error_t error;
    /* the driver's message may quote a part of the password */
    mongoc_uri_t *uri = mongoc_uri_new_with_error(config->store, &error);
    if (!uri) {
        return url_refuse("this is no MongoDB URL", fault);
    }
    const char *database = mongoc_uri_get_database(uri);
    database = database ? database : "zmart";
    if (!database_is_plain(database)) {
        mongoc_uri_destroy(uri);
        return url_refuse("the database's name has a character that not every server takes", fault);
    }
    snprintf(pool->database, sizeof pool->database, "%s", database);
    timeout_set(uri, MONGOC_URI_CONNECTTIMEOUTMS, config->store_connect_ms);
    timeout_set(uri, MONGOC_URI_SERVERSELECTIONTIMEOUTMS, config->store_select_ms);
    timeout_set(uri, MONGOC_URI_SOCKETTIMEOUTMS, config->store_answer_ms);
    mongoc_write_concern_t *durable = mongoc_write_concern_new();
    mongoc_write_concern_set_wmajority(durable, (int32_t)(config->store_answer_ms * WAIT_FOR_MAJORITY_PERCENT / 100));
    mongoc_write_concern_set_journal(durable, true);
    mongoc_uri_set_write_concern(uri, durable);
    mongoc_write_concern_destroy(durable);
    *out = uri;
    return ERR_NONE;
}

static void driver_say_nothing(mongoc_log_level_t level, const char *domain, const char *message, void *user)
{
    (void)level;
    (void)domain;
    (void)message;
    (void)user;
}

static enum err clients_open(const struct store_config *config, const struct mongo_schema *schema,
                             struct mongo_pool *pool, struct fault *fault)
{
    char name[64];
    mongoc_uri_t *uri = NULL;
    mongoc_init();
    mongoc_log_set_handler(driver_say_nothing, NULL); /* libraries do not log: what fails comes back as a fault */
    enum err e = uri_make(config, pool, fault, &uri);
    if (e != ERR_NONE) {
        return e;
    }
    pool->clients = mongoc_client_pool_new(uri);
    mongoc_uri_destroy(uri);
    if (!pool->clients) {
        return url_refuse("this URL's options cannot be used", fault);
    }
    (void)mongoc_client_pool_set_error_api(pool->clients, MONGOC_ERROR_API_VERSION_2);
    snprintf(name, sizeof name, "zmart %s-svc", schema->service);
    (void)mongoc_client_pool_set_appname(pool->clients, name);
    return ERR_NONE;
}

static enum err pool_open(const struct store_config *config, const struct mongo_schema *schema,
                          enum mongo_purpose purpose, struct metrics *metrics, struct fault *fault,
                          struct mongo_pool **out)
{
    struct mongo_pool *pool = mem_alloc(sizeof *pool);
    pool->purpose = purpose;
    store_url_show(config->store, pool->shown);
    enum err e = clients_open(config, schema, pool, fault);
    if (e == ERR_NONE) {
        if (metrics) {
            counters_set(pool, metrics);
        }
        struct mongo_db *db = mongo_db_new(pool);
        e = mongo_settle(db, schema, fault);
        mongo_db_destroy(&db);
    }
    if (e != ERR_NONE) {
        mongo_pool_destroy(&pool);
        return e;
    }
    *out = pool;
    return ERR_NONE;
}

enum err mongo_pool_open(const struct store_config *config, const struct mongo_schema *schema, struct metrics *metrics,
                         struct fault *fault, struct mongo_pool **out)
{
    return pool_open(config, schema, MONGO_SERVES, metrics, fault, out);
}

enum err mongo_pool_open_for(const struct store_config *config, const struct mongo_schema *schema,
                             enum mongo_purpose purpose, struct fault *fault, struct mongo_pool **out)
{
    return pool_open(config, schema, purpose, NULL, fault, out);
}

void mongo_pool_destroy(struct mongo_pool **self)
{
    if (*self) {
        if ((*self)->clients) {
            mongoc_client_pool_destroy((*self)->clients);
        }
        mem_free(*self);
        *self = NULL;
    }
}

struct mongo_db *mongo_db_new(struct mongo_pool *pool)
{
    struct mongo_db *self = mem_alloc(sizeof *self);
    self->pool = pool;
    self->client = mongoc_client_pool_pop(pool->clients);
    return self;
}

void mongo_db_destroy(struct mongo_db **self)
{
    struct mongo_db *db = *self;
    if (!db) {
        return;
    }
    for (int i = 0; i < db->collection_count; i++) {
        mongoc_collection_destroy(db->collections[i].handle);
    }
    mongoc_client_pool_push(db->pool->clients, db->client);
    mem_free(db);
    *self = NULL;
}

mongoc_collection_t *mongo_collection(struct mongo_db *db, const char *name)
{
    for (int i = 0; i < db->collection_count; i++) {
        if (strcmp(db->collections[i].name, name) == 0) {
            return db->collections[i].handle;
        }
    }
    ASSERT(db->collection_count < MONGO_MAX_COLLECTIONS);
    mongoc_collection_t *handle = mongoc_client_get_collection(db->client, db->pool->database, name);
    if (db->pool->majority_reads) {
        mongoc_read_concern_t *concern = mongoc_read_concern_new();
        (void)mongoc_read_concern_set_level(concern, MONGOC_READ_CONCERN_LEVEL_MAJORITY);
        mongoc_collection_set_read_concern(handle, concern);
        mongoc_read_concern_destroy(concern);
    }
    mongoc_read_prefs_t *primary = mongoc_read_prefs_new(MONGOC_READ_PRIMARY);
    mongoc_collection_set_read_prefs(handle, primary); /* whatever the URL says */
    mongoc_read_prefs_destroy(primary);
    db->collections[db->collection_count].name = name;
    db->collections[db->collection_count++].handle = handle;
    return handle;
}
