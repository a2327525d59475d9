#include "lib/bus/handover.h"

#ifdef __SANITIZE_THREAD__
#include <sanitizer/tsan_interface.h>
#include <stdint.h>

/* Any address will do for the edge. */
static const char point;

void handover_give(void)
{
    __tsan_release((void *)(uintptr_t)&point);
}

void handover_take(void)
{
    __tsan_acquire((void *)(uintptr_t)&point);
}

/* What libzmq itself does with its memory is not for us to judge: it is not built with the sanitizer. Its threads write
 * what they decrypt through libsodium, which is not either. */
const char *__tsan_default_suppressions(void);
const char *__tsan_default_suppressions(void)
{
    return "called_from_lib:libzmq.so\nrace:libzmq.so\ncalled_from_lib:libsodium.so\n";
}
#else
/* A translation unit must have something in it. */
typedef int handover_nothing;
#endif
