/* Brings one mail away: to an SMTP server (libcurl), or, without one, into a file. Blocks: for a pool's thread. */
#ifndef ZMART_MAIL_CARRIER_H
#define ZMART_MAIL_CARRIER_H

#include "lib/base/auto.h"
#include "mail-svc/letter.h"
#include "mail-svc/program.h"
#include "mail-svc/rules.h"

struct carriage {
    const struct mail_config *config; /* borrowed, as is all text */
    const char *id;                   /* the event's: names the file */
    const char *from, *to;            /* plain addresses */
    struct text letter;
    const struct env *env;            /* when it is being stopped, nothing is waited for any more */
    size_t sent_size;                 /* the carrier's own */
    /* the outcome */
    enum carried carried;
    int status;        /* SMTP's last reply; 0: none */
    char error[160];   /* empty when good; printable */
};

/* What a server's answer means: result is a CURLcode, status SMTP's last reply. STOPPED: we gave up waiting. */
enum carried carried_judge(int result, int status);
/* For call_offload: argument is a struct carriage. */
void carriage_run(void *argument);
/* "DATA/mail"; makes the folder. False: message says why not. */
MUST_USE bool mail_folder_make(const struct mail_config *config, char *message, size_t message_size);
/* Deletes the oldest files of the folder beyond --mail-files; returns how many. A folder that cannot be read is left.
 */
int64_t mail_files_trim(const struct mail_config *config);

#endif
