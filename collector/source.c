#include <base/error.h>
#include <collector/source.h>

poise_code source_map(const struct source_record *record, struct arena *scratch, struct mapped *ret_mapped,
                      enum row_fault *ret_fault, poise_error *err)
{
    arena_reset(scratch);
    if (record->problem) {
        *ret_fault = record->fault;
        return error_set(err, POISE_EREFUSED, "%s", record->problem);
    }
    if (record->measurement) {
        *ret_fault = FAULT_RULE;
        ret_mapped->items[0] = *record->measurement;
        ret_mapped->count = 1;
        return mapping_check(record->measurement, err);
    }
    return mapping_apply(record->config->mapping, record->cells, scratch, ret_mapped, ret_fault, err);
}
