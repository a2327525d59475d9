#include "lib/base/invariant.h"

#include <stdio.h>
#include <stdlib.h>

void invariant_broken(const char *file, int line, const char *expression)
{
    fprintf(stderr, "%s:%d: broken invariant: %s\n", file, line, expression);
    abort();
}
