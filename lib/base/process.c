#include "lib/base/process.h"

#include <poll.h>
#include <string.h>

#include "lib/base/mem.h"

CONFIG_DEFINE(process_config, PROCESS_CONFIG)

/* In "scheme://user:password@host" what stands between : and the last @. */
static void password_hide(char *url)
{
    char *user = strstr(url, "://");
    char *host = user ? strrchr(user, '@') : NULL;
    char *password = host ? strchr(user + strlen("://"), ':') : NULL;
    if (password && password < host) {
        memset(password + 1, 'x', (size_t)(host - password - 1));
    }
}

char **argv_hide(int argc, char **argv)
{
    char **copy = mem_alloc_array((size_t)argc + 1, sizeof *copy);
    for (int i = 0; i < argc; i++) {
        copy[i] = mem_copy_string(argv[i]);
        password_hide(argv[i]);
    }
    return copy;
}

void argv_release(char ***self)
{
    for (char **item = *self; item && *item; item++) {
        mem_free(*item);
    }
    mem_free(*self);
    *self = NULL;
}

bool env_stopping(const struct env *env)
{
    struct pollfd poll_fd = {.fd = env->stop_fd, .events = POLLIN};
    return poll(&poll_fd, 1, 0) > 0;
}
