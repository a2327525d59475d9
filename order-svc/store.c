#include "order-svc/store.h"

#include "lib/base/auto.h"

static const char *const kind_names[] = {[ORDER_PLACED] = "placed", [ORDER_REFUSED] = "refused", [ORDER_VOID] = "void"};
const struct enum_names order_kind_names = {kind_names, ARRAY_COUNT(kind_names)};
static const char *const due_names[] = {
    [HOLDS_CONFIRM_DUE] = "confirm", [HOLDS_RELEASE_DUE] = "release", [HOLDS_COMMIT_DUE] = "commit"};
const struct enum_names holds_due_names = {due_names, ARRAY_COUNT(due_names)};

enum hold_step holds_due_step(enum holds_due due)
{
    return due == HOLDS_RELEASE_DUE ? HOLD_RELEASE : due == HOLDS_COMMIT_DUE ? HOLD_COMMIT : HOLD_CONFIRM;
}

enum err order_store_find(struct order_store *self, struct text id, struct arena *arena, struct fault *fault,
                          struct order_entry *out)
{
    return self->ops->find(self, id, arena, fault, out);
}

enum err order_store_place(struct order_store *self, const struct order *order, struct text fingerprint,
                           const struct event_new *event, struct fault *fault, bool *out_taken)
{
    return self->ops->place(self, order, fingerprint, event, fault, out_taken);
}

enum err order_store_refuse(struct order_store *self, struct text id, const struct order_entry *tombstone,
                            int64_t now_ms, struct fault *fault, bool *out_taken)
{
    return self->ops->refuse(self, id, tombstone, now_ms, fault, out_taken);
}

enum err order_store_change(struct order_store *self, const struct order *order, enum holds_due due,
                            const struct event_new *event, struct fault *fault)
{
    return self->ops->change(self, order, due, event, fault);
}

enum err order_store_release(struct order_store *self, struct text id, struct fault *fault)
{
    return self->ops->release(self, id, fault);
}

enum err order_store_page(struct order_store *self, const struct order_page_query *query, struct arena *arena,
                          struct fault *fault, struct order_row_list *out)
{
    return self->ops->page(self, query, arena, fault, out);
}

enum err order_store_due(struct order_store *self, int limit, struct arena *arena, struct fault *fault,
                         struct due_list *out)
{
    return self->ops->due(self, limit, arena, fault, out);
}

enum err order_store_settled(struct order_store *self, const struct due_list *list, struct fault *fault)
{
    return self->ops->settled(self, list, fault);
}

enum err order_store_purge(struct order_store *self, int64_t before_ms, int limit, struct fault *fault, int *out_count)
{
    return self->ops->purge(self, before_ms, limit, fault, out_count);
}

void order_store_destroy(struct order_store **self)
{
    if (*self) {
        (*self)->ops->destroy(*self);
        *self = NULL;
    }
}
