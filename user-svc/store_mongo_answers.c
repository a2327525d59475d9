/* Distrusted keys and kept answers on MongoDB. */
#include "user-svc/store_mongo.h"

#include "lib/base/id.h"
#include "lib/base/invariant.h"

static const char answers[] = "answers", users[] = "users";

static enum err told(struct user_store *self, const struct key_distrust *in, struct fault *fault)
{
    AUTO(bson_destroy) bson_t filter = BSON_INITIALIZER;
    AUTO(bson_destroy) bson_t update = BSON_INITIALIZER;
    bool found = false;
    bson_put_text(&filter, "_id", in->user_id);
    outbox_mongo_push(&update, in->ended);
    outbox_mongo_wrote(self->outbox, users, in->user_id);
    return mongo_update(user_mongo(self), users, &filter, &update, fault, &found);
}

/* The keys decide it. What follows is repeatable, and whoever is not told of it sees it when the keys are asked for
 * again. */
enum err mongo_key_distrust(struct user_store *self, const struct key_distrust *in, struct arena *arena,
                            struct fault *fault)
{
    AUTO(bson_destroy) bson_t all = BSON_INITIALIZER;
    int64_t count;
    (void)arena;
    enum err e = mongo_key_drop(self, in->below_generation, fault);
    if (e == ERR_NONE) {
        e = mongo_delete_all(user_mongo(self), "tickets", &all, fault, &count);
    }
    return e == ERR_NONE ? told(self, in, fault) : e;
}

static struct text name_of(struct text request_id, char out[ID_HEX_SIZE])
{
    ASSERT(request_id.size == ID_SIZE);
    id_to_hex((const uint8_t *)request_id.data, out);
    return text_of(out);
}

enum err mongo_answer_add(struct user_store *self, const struct kept_answer *in, struct fault *fault, bool *out)
{
    AUTO(bson_destroy) bson_t document = BSON_INITIALIZER;
    char hex[ID_HEX_SIZE];
    bson_put_text(&document, "_id", name_of(in->request_id, hex));
    bson_put_bytes(&document, "body", in->body);
    bson_put_int(&document, "at", in->now_ms);
    enum err e = mongo_insert(user_mongo(self), answers, &document, fault);
    if (e == ERR_NONE || e == ERR_CONFLICT) {
        *out = e == ERR_NONE;
        return ERR_NONE;
    }
    return e;
}

enum err mongo_answer_get(struct user_store *self, struct text request_id, struct arena *arena, struct fault *fault,
                          struct text *out)
{
    char hex[ID_HEX_SIZE];
    bson_t document;
    bool found = false;
    enum err e = user_document(self, answers, name_of(request_id, hex), arena, fault, &document, &found);
    if (e != ERR_NONE || !found) {
        return e == ERR_NONE ? ERR_NOT_FOUND : e;
    }
    if (!bson_get_bytes(&document, "body", arena, out)) {
        fault_cause(fault, "a document of answers is incomplete");
        return fault_set(fault, ERR_INTERNAL, NULL);
    }
    return ERR_NONE;
}
