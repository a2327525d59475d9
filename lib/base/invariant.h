/* ASSERT states what only a bug of ours can break. It stays on in release and never sees input:
 * what arrives from a socket, a file or a user is checked and answered, not asserted. */
#ifndef ZMART_BASE_INVARIANT_H
#define ZMART_BASE_INVARIANT_H

#include "lib/base/auto.h"

/* Prints "file:line: broken invariant: expression" to stderr and aborts. */
NORETURN void invariant_broken(const char *file, int line, const char *expression);

#define ASSERT(expression) \
    ((expression) ? (void)0 : invariant_broken(__FILE__, __LINE__, #expression))

#endif
