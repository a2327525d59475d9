#include "lib/base/process.h"

#include <poll.h>

CONFIG_DEFINE(process_config, PROCESS_CONFIG)

bool env_stopping(const struct env *env)
{
    struct pollfd poll_fd = {.fd = env->stop_fd, .events = POLLIN};
    return poll(&poll_fd, 1, 0) > 0;
}
