/* What of user-svc's store a backup holds. */
#ifndef ZMART_USER_ARCHIVE_H
#define ZMART_USER_ARCHIVE_H

#include "lib/store/archive.h"

extern const struct archive_part user_archive;

#endif
