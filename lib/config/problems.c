#include <base/text.h>
#include <config/yaml.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { PROBLEMS_KEPT_MAX = 200 };

void problems_free(struct problems *problems)
{
    for (size_t i = 0; i < problems->kept; i++) {
        free(problems->items[i].file);
        free(problems->items[i].text);
    }
    free(problems->items);
    *problems = (struct problems){0};
}

static bool is_after(const struct problem *problem, const char *file, int line, int column)
{
    if (strcmp(problem->file, file) != 0)
        return false;
    return problem->line > line || (problem->line == line && problem->column > column);
}

/* Keeps the problems of a file in the order of its lines. */
static void insert(struct problems *problems, struct problem problem)
{
    size_t at = problems->kept;
    while (at > 0 && is_after(&problems->items[at - 1], problem.file, problem.line, problem.column))
        at--;
    memmove(problems->items + at + 1, problems->items + at, (problems->kept - at) * sizeof problem);
    problems->items[at] = problem;
    problems->kept++;
}

__attribute__((format(printf, 5, 0))) static void add(struct problems *problems, const char *file, int line,
                                                      int column, const char *format, va_list arguments)
{
    problems->count++;
    if (problems->kept == PROBLEMS_KEPT_MAX)
        return;
    if (!problems->items)
        problems->items = calloc(PROBLEMS_KEPT_MAX, sizeof *problems->items);
    struct problem problem = {.file = strdup(file), .line = line, .column = column};
    if (!problems->items || !problem.file || vasprintf(&problem.text, format, arguments) < 0) {
        free(problem.file);
        return;
    }
    utf8_disarm(problem.text); /* what a file says must not steer a terminal */
    insert(problems, problem);
}

void problems_add(struct problems *problems, const char *file, int line, int column, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    add(problems, file, line, column, format, arguments);
    va_end(arguments);
}

void reader_problem(struct reader *reader, const struct yaml_node *node, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    add(reader->problems, yaml_name(reader->tree), node ? node->line : 0, node ? node->column : 0, format,
        arguments);
    va_end(arguments);
}

void problems_print(const struct problems *problems, FILE *out)
{
    for (size_t i = 0; i < problems->kept; i++) {
        const struct problem *problem = &problems->items[i];
        if (problem->line > 0)
            fprintf(out, "%s:%d:%d: %s\n", problem->file, problem->line, problem->column, problem->text);
        else
            fprintf(out, "%s: %s\n", problem->file, problem->text);
    }
    if (problems->count > problems->kept)
        fprintf(out, "and %zu more problems\n", problems->count - problems->kept);
}
