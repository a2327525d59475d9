/* What of webhook-svc's store a backup holds. */
#ifndef ZMART_WEBHOOK_ARCHIVE_H
#define ZMART_WEBHOOK_ARCHIVE_H

#include "lib/store/archive.h"

extern const struct archive_part webhook_archive;

#endif
