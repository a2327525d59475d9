/* The mark on a database into which a backup is being put. While it stands, mongo_pool_open refuses the database, so
 * that no program takes half a shop for a whole one; only whoever restores goes behind it (MONGO_RESTORES).
 *
 * It is a document of zmart_schema that says who restores, and it beats. One that is silent was left by a restore that
 * was killed: another may take it over, and delete what that one had put. Before mongo_mark_fill nothing of what stands
 * in the database is known to be a restore's, so nothing is deleted. */
#ifndef ZMART_STORE_MONGO_MARK_H
#define ZMART_STORE_MONGO_MARK_H

#include "lib/store/mongo.h"

enum { MONGO_MARK_BEAT_MS = 1000, MONGO_MARK_SILENT_MS = 5000 };

struct mongo_mark; /* of one thread */

/* Looks for a mark. One that is there is watched for MONGO_MARK_SILENT_MS, and taken over if it is silent (CONFLICT if
 * it is not); what had been put behind it is deleted. Changes nothing where there is none. The fault's detail is one
 * line that says what to do. */
MUST_USE enum err mongo_mark_open(const struct store_config *config, struct fault *fault, struct mongo_mark **out);
/* The mark itself stays as it is. */
void mongo_mark_destroy(struct mongo_mark **self);

/* Sets the mark if it was not taken over. CONFLICT if somebody else has done so. */
MUST_USE enum err mongo_mark_set(struct mongo_mark *self, struct fault *fault);
/* The database has been found empty behind the mark: what comes into it is ours. */
MUST_USE enum err mongo_mark_fill(struct mongo_mark *self, struct fault *fault);
/* To be called all the time; does something once a second. CONFLICT: somebody has taken the mark over. */
MUST_USE enum err mongo_mark_beat(struct mongo_mark *self, struct fault *fault);
/* Deletes everything that was put, then removes the mark. Does nothing before mongo_mark_fill but the latter, and
 * nothing at all without a mark that is ours. */
MUST_USE enum err mongo_mark_undo(struct mongo_mark *self, struct fault *fault);
/* What is in the database is a shop. */
MUST_USE enum err mongo_mark_remove(struct mongo_mark *self, struct fault *fault);

#endif
