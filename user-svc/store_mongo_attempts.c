/* Failed passwords on MongoDB: collection attempts, one document a name. */
#include "lib/base/invariant.h"
#include "user-svc/store_mongo.h"

static const char collection[] = "attempts";

enum err mongo_attempts_get(struct user_store *self, struct text name, struct fault *fault, struct attempts *out)
{
    AUTO(arena_release) struct arena arena = {0};
    struct attempts attempts = {0};
    bson_t document;
    bool found = false;
    enum err e = user_document(self, collection, name, &arena, fault, &document, &found);
    if (e != ERR_NONE) {
        return e;
    }
    if (found && (!bson_get_int(&document, "failures", &attempts.failures) ||
                  !bson_get_int(&document, "blocked_until", &attempts.blocked_until_ms) ||
                  !bson_get_int(&document, "last_at", &attempts.last_ms))) {
        fault_cause(fault, "a document of attempts is incomplete");
        return fault_set(fault, ERR_INTERNAL, NULL);
    }
    *out = attempts;
    return ERR_NONE;
}

static void attempts_put(bson_t *to, const struct attempts *attempts)
{
    bson_put_int(to, "failures", attempts->failures);
    bson_put_int(to, "blocked_until", attempts->blocked_until_ms);
    bson_put_int(to, "last_at", attempts->last_ms);
}

static enum err attempts_begin(struct user_store *self, const struct attempts_change *in, struct fault *fault,
                               bool *out)
{
    AUTO(bson_destroy) bson_t document = BSON_INITIALIZER;
    bson_put_text(&document, "_id", in->name);
    attempts_put(&document, &in->to);
    enum err e = mongo_insert(user_mongo(self), collection, &document, fault);
    *out = e == ERR_NONE ? true : e == ERR_CONFLICT ? false : *out;
    return e == ERR_CONFLICT ? ERR_NONE : e;
}

enum err mongo_attempts_put(struct user_store *self, const struct attempts_change *in, struct fault *fault, bool *out)
{
    AUTO(bson_destroy) bson_t filter = BSON_INITIALIZER;
    AUTO(bson_destroy) bson_t update = BSON_INITIALIZER;
    bson_t set;
    int64_t count = 0;
    if (in->from.failures == 0 && in->to.failures > 0) {
        return attempts_begin(self, in, fault, out);
    }
    bson_put_text(&filter, "_id", in->name);
    bson_put_int(&filter, "failures", in->from.failures);
    bson_put_int(&filter, "last_at", in->from.last_ms);
    if (in->to.failures == 0) {
        enum err e = mongo_delete_all(user_mongo(self), collection, &filter, fault, &count);
        *out = e == ERR_NONE ? count == 1 : *out;
        return e;
    }
    ASSERT(BSON_APPEND_DOCUMENT_BEGIN(&update, "$set", &set));
    attempts_put(&set, &in->to);
    ASSERT(bson_append_document_end(&update, &set));
    return mongo_update(user_mongo(self), collection, &filter, &update, fault, out);
}
