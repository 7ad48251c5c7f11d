/* Operators' orders in the audit log. */
#ifndef AGGREGATOR_ORDERS_H
#define AGGREGATOR_ORDERS_H

#include "inquiry.h"
#include <base/clock.h>

/* Whether an inquiry is one that is noted: not a question, nor a later page of a dump. */
bool order_is_noted(const struct inquiry *inquiry);
/* result as in actions.h. */
poise_code order_note(const char *store, const struct clock *clock, const struct inquiry *inquiry,
                      const char *result, poise_error *err);

#endif
