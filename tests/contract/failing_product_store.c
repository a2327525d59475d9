#include "tests/contract/failing_product_store.h"

static bool fails(struct failing *self, struct fault *fault)
{
    if (self->calls++ != self->fail_at) {
        return false;
    }
    (void)fault_set(fault, ERR_SERVICE_UNAVAILABLE, "as planned");
    return true;
}

/* Where the call goes on when it does not fail; NULL when it does. */
static struct product_store *inner_of(struct product_store *self, struct product_act *act)
{
    struct failing *failing = (struct failing *)self;
    return fails(failing, act->fault) ? NULL : failing->inner;
}

static enum err failing_insert(struct product_store *self, struct product_act *act, const struct product *product,
                               struct product *out)
{
    struct product_store *inner = inner_of(self, act);
    return inner ? inner->ops->insert(inner, act, product, out) : ERR_SERVICE_UNAVAILABLE;
}

static enum err failing_edit(struct product_store *self, struct product_act *act, const struct product_change *change,
                             struct product *out)
{
    struct product_store *inner = inner_of(self, act);
    return inner ? inner->ops->edit(inner, act, change, out) : ERR_SERVICE_UNAVAILABLE;
}

static enum err failing_get(struct product_store *self, struct product_act *act, struct text id, bool inactive_too,
                            struct product *out)
{
    struct product_store *inner = ((struct failing *)self)->inner; /* looking is not part of the day */
    return inner->ops->get(inner, act, id, inactive_too, out);
}

static enum err failing_reserve(struct product_store *self, struct product_act *act, const struct product_reserve *in,
                                struct product_reserved *out)
{
    struct product_store *inner = inner_of(self, act);
    return inner ? inner->ops->reserve(inner, act, in, out) : ERR_SERVICE_UNAVAILABLE;
}

static enum err failing_settle(struct product_store *self, struct product_act *act, const struct product_settle *in)
{
    struct product_store *inner = inner_of(self, act);
    return inner ? inner->ops->settle(inner, act, in) : ERR_SERVICE_UNAVAILABLE;
}

static enum err failing_stale_holds(struct product_store *self, struct product_act *act, int64_t before_ms,
                                    struct text_list *out)
{
    struct product_store *inner = ((struct failing *)self)->inner;
    return inner->ops->stale_holds(inner, act, before_ms, out);
}

static enum err failing_begin(void *store, bool writes, struct fault *fault)
{
    struct failing *self = store;
    self->writes = writes;
    return self->inner->unit->begin(self->inner->handle, writes, fault);
}

static enum err failing_commit(void *store, struct fault *fault)
{
    struct failing *self = store;
    bool failed = self->writes && fails(self, fault);
    if (failed && !self->commits_unheard) {
        self->inner->unit->rollback(self->inner->handle);
        return ERR_SERVICE_UNAVAILABLE;
    }
    enum err e = self->inner->unit->commit(self->inner->handle, fault);
    return failed ? fault_set(fault, ERR_OUTCOME_UNKNOWN, "as planned") : e;
}

static void failing_rollback(void *store)
{
    struct failing *self = store;
    self->inner->unit->rollback(self->inner->handle);
}

static enum err failing_savepoint(void *store, struct fault *fault)
{
    struct failing *self = store;
    return self->inner->unit->savepoint(self->inner->handle, fault);
}

static enum err failing_release(void *store, struct fault *fault)
{
    struct failing *self = store;
    return self->inner->unit->release(self->inner->handle, fault);
}

static void failing_undo(void *store)
{
    struct failing *self = store;
    self->inner->unit->undo(self->inner->handle);
}

static bool failing_broken(void *store)
{
    struct failing *self = store;
    return self->inner->unit->broken(self->inner->handle);
}

static const struct product_store_ops failing_ops = {
    .insert = failing_insert,
    .edit = failing_edit,
    .get = failing_get,
    .reserve = failing_reserve,
    .settle = failing_settle,
    .stale_holds = failing_stale_holds,
};
static const struct unit_of_work failing_unit = {failing_begin,   failing_commit, failing_rollback, failing_savepoint,
                                                 failing_release, failing_undo,   failing_broken};

void failing_product_store_init(struct failing *self, struct product_store *inner)
{
    self->inner = inner;
    self->store = (struct product_store){
        .ops = &failing_ops, .unit = inner->unit ? &failing_unit : NULL, .handle = self};
}
