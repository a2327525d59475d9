/* libzmq hands messages from thread to thread through queues without locks, which ThreadSanitizer cannot see. These
 * tell it: what happened before a send has happened before a receive. They are nothing in other builds. */
#ifndef ZMART_BUS_HANDOVER_H
#define ZMART_BUS_HANDOVER_H

#ifdef __SANITIZE_THREAD__
void handover_give(void); /* before a send */
void handover_take(void); /* after a receive */
#else
static inline void handover_give(void)
{
}
static inline void handover_take(void)
{
}
#endif

#endif
