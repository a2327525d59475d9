#include "user-svc/store.h"

#define FORWARD(name, parameters, arguments)  \
    enum err user_store_##name parameters     \
    {                                         \
        return self->ops->name arguments;     \
    }
USER_STORE_VERBS(FORWARD)

void user_store_destroy(struct user_store **self)
{
    if (*self) {
        (*self)->ops->destroy(self);
    }
}
