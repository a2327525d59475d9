#include "lib/base/mem.h"
#include "tests/contract/contract_user.h"

struct failing {
    struct user_store base; /* first */
    struct user_store *inner;
    int calls_left; /* good calls before the one that fails; none fails when negative */
    bool after;
    bool failed;
};

static struct user_store *inner_of(struct user_store *self)
{
    return ((struct failing *)self)->inner;
}

/* True for the one call that fails. */
static bool is_the_one(struct user_store *self)
{
    struct failing *failing = (struct failing *)self;
    if (failing->calls_left-- != 0) {
        return false;
    }
    failing->failed = true;
    return true;
}

static enum err refused(struct fault *fault)
{
    fault_cause(fault, "this call was to fail");
    return fault_set(fault, ERR_SERVICE_UNAVAILABLE, NULL);
}

static bool fails_before(struct user_store *self)
{
    return !((struct failing *)self)->after && is_the_one(self);
}

static bool fails_after(struct user_store *self)
{
    return ((struct failing *)self)->after && is_the_one(self);
}

#define FAILING(name, parameters, arguments)        \
    static enum err failing_##name parameters       \
    {                                               \
        struct user_store *wrapper = self;          \
        if (fails_before(wrapper)) {                \
            return refused(fault);                     \
        }                                           \
        self = inner_of(wrapper);                   \
        enum err e = self->ops->name arguments;     \
        return fails_after(wrapper) ? refused(fault) : e; \
    }
USER_STORE_VERBS(FAILING)

static void failing_destroy(struct user_store **self)
{
    mem_free(*self);
    *self = NULL;
}

#define FAILING_MEMBER(name, parameters, arguments) .name = failing_##name,
static const struct user_store_ops failing_ops = {USER_STORE_VERBS(FAILING_MEMBER).destroy = failing_destroy};

struct user_store *failing_user_store_new(struct user_store *inner, int good_calls, bool after)
{
    struct failing *failing = mem_alloc(sizeof *failing);
    failing->base = *inner;
    failing->base.ops = &failing_ops;
    failing->inner = inner;
    failing->calls_left = good_calls;
    failing->after = after;
    return &failing->base;
}

bool failing_user_store_failed(const struct user_store *store)
{
    return ((const struct failing *)store)->failed;
}
