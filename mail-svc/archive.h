/* What of mail-svc's store a backup holds. */
#ifndef ZMART_MAIL_ARCHIVE_H
#define ZMART_MAIL_ARCHIVE_H

#include "lib/store/archive.h"

extern const struct archive_part mail_archive;

#endif
