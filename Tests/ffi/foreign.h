/* foreign.h - libwalrus as a foreign runtime meets it: dlopen, a table of text, ffi_call, and closures made at run time
 *
 * The harness is not linked with the library, so there is no other way to it than CALL. Every argument travels as a word
 * of 64 bits, as in the values of a language without types, and is narrowed to what the table says. A callback is a
 * closure: code made at run time, with its state bound to it and not passed through ctx.
 *
 * load() also sets the watchdog: a call that deadlocks ends its case as a failure.
 */
#ifndef FOREIGN_H
#define FOREIGN_H

#include "../c/check.h"
#include "signatures.h"

#include <dlfcn.h>
#include <ffi.h>
#include <pthread.h>

enum { WATCHDOG_SECONDS = 20 };

typedef void (*address_t)(void);

typedef struct foreign_function {
    const signature_t *signature;
    address_t address;
    ffi_cif cif;
    ffi_type *types[MOST_ARGUMENTS];
    char words[MOST_ARGUMENTS][24]; /* the arguments' words, one by one */
    unsigned count;
} foreign_function_t;

static foreign_function_t foreign_functions[FUNCTIONS];

/* ---- Types ---------------------------------------------------------------------------------- */

static inline ffi_type *foreign_type(const char *word) {
    static const struct {
        const char *word;
        ffi_type *type;
    } values[] = {{"void", &ffi_type_void},   {"i32", &ffi_type_sint32}, {"u32", &ffi_type_uint32},
                  {"i64", &ffi_type_sint64},  {"u64", &ffi_type_uint64}, {"size", &ffi_type_uint64}};
    _Static_assert(sizeof(size_t) == 8, "the table takes size_t for 64 bits");
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++)
        if (strcmp(word, values[i].word) == 0)
            return values[i].type;
    return &ffi_type_pointer;
}

/* Splits "log data size" and prepares a call; how many arguments there are. */
static inline unsigned foreign_prepare(const signature_t *signature, ffi_cif *cif, ffi_type **types,
                                       char words[][24]) {
    char text[200];
    unsigned count = 0;
    snprintf(text, sizeof text, "%s", signature->arguments);
    for (char *rest = text, *word; (word = strsep(&rest, " ")) != NULL;) {
        if (word[0] == 0)
            continue;
        CHECK(count < MOST_ARGUMENTS);
        if (words != NULL)
            snprintf(words[count], sizeof words[count], "%s", word);
        types[count++] = foreign_type(word);
    }
    if (ffi_prep_cif(cif, FFI_DEFAULT_ABI, count, foreign_type(signature->result), types) != FFI_OK)
        FAIL("libffi cannot express %s", signature->name);
    return count;
}

/* ---- Calls ---------------------------------------------------------------------------------- */

static inline void load(void) {
    alarm(WATCHDOG_SECONDS);
    const char *path = getenv("WALRUS_LIBRARY");
    void *library = dlopen(path != NULL ? path : "libwalrus.so.1", RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) {
        fprintf(stderr, "%s: %s\n", check_case_name, dlerror());
        _exit(1);
    }
    for (size_t i = 0; i < FUNCTIONS; i++) {
        foreign_function_t *function = &foreign_functions[i];
        function->signature = &function_signatures[i];
        void *symbol = dlsym(library, function->signature->name);
        memcpy(&function->address, &symbol, sizeof symbol); /* ISO C has no cast for this */
        function->count = foreign_prepare(function->signature, &function->cif, function->types, function->words);
    }
}

static inline uint64_t foreign_call_words(foreign_function_t *function, const uint64_t *words) {
    uint64_t storage[MOST_ARGUMENTS];
    void *arguments[MOST_ARGUMENTS];
    union {
        ffi_arg word;
        ffi_sarg signed_word;
        uint64_t wide;
        void *pointer;
    } result = {0};
    if (function->address == NULL) /* that it is missing is a failure of its own, and this case says nothing */
        SKIP("the library has no %s", function->signature->name);
    for (unsigned i = 0; i < function->count; i++) {
        if (function->types[i]->size == 4) {
            uint32_t narrow = (uint32_t)words[i];
            memcpy(&storage[i], &narrow, sizeof narrow);
        } else {
            storage[i] = words[i];
        }
        arguments[i] = &storage[i];
    }
    ffi_call(&function->cif, function->address, &result, arguments);
    ffi_type *type = function->cif.rtype;
    if (type == &ffi_type_sint32)
        return (uint64_t)(int64_t)(int32_t)result.signed_word;
    if (type == &ffi_type_uint32)
        return (uint32_t)result.word;
    if (type == &ffi_type_void)
        return 0;
    return result.wide;
}

static inline uint64_t foreign_call(const char *name, unsigned count, const uint64_t *words) {
    for (size_t i = 0; i < FUNCTIONS; i++)
        if (strcmp(foreign_functions[i].signature->name, name) == 0) {
            if (foreign_functions[i].count != count)
                FAIL("%s takes %u arguments, not %u", name, foreign_functions[i].count, count);
            return foreign_call_words(&foreign_functions[i], words);
        }
    FAIL("%s is not in the table", name);
    _exit(1);
}

#define W(x) (uint64_t)(x)
#define W0() 0
#define W1(a) W(a)
#define W2(a, b) W(a), W(b)
#define W3(a, b, c) W(a), W(b), W(c)
#define W4(a, b, c, d) W(a), W(b), W(c), W(d)
#define W5(a, b, c, d, e) W(a), W(b), W(c), W(d), W(e)
#define W6(a, b, c, d, e, f) W(a), W(b), W(c), W(d), W(e), W(f)
#define W7(a, b, c, d, e, f, g) W(a), W(b), W(c), W(d), W(e), W(f), W(g)
#define WORDS_COUNT_(zero, a, b, c, d, e, f, g, n, ...) n
#define WORDS_COUNT(...) WORDS_COUNT_(0, ##__VA_ARGS__, 7, 6, 5, 4, 3, 2, 1, 0)
#define WORDS_JOIN_(a, b) a##b
#define WORDS_JOIN(a, b) WORDS_JOIN_(a, b)
#define WORDS(...) WORDS_JOIN(W, WORDS_COUNT(__VA_ARGS__))(__VA_ARGS__)

/* CALL(append, log, "hello", 5, &index): walrus_append. The result as a word: a code with its sign, a number, a
 * pointer. */
#define CALL(name, ...)                                                                                                \
    foreign_call("walrus_" #name, WORDS_COUNT(__VA_ARGS__), (const uint64_t[]){WORDS(__VA_ARGS__)})
#define CODE(name, ...) ((int64_t)CALL(name, ##__VA_ARGS__))

/* check.h asks for the details of a failure: it gets them by the same way as everything else. */
int32_t walrus_last_error(walrus_error_t *out) { return (int32_t)CODE(last_error, out); }

/* ---- Closures ------------------------------------------------------------------------------- */

/* What a closure does with its state and the callback's arguments. The result counts where the callback has one. */
typedef int64_t (*closure_body_t)(void *state, const uint64_t *words);

typedef struct closure {
    void *code; /* what the library is given: an address as good as a function's */
    ffi_closure *memory;
    ffi_cif cif;
    ffi_type *types[MOST_ARGUMENTS];
    unsigned count;
    closure_body_t body;
    void *state;
} closure_t;

static inline void closure_called(ffi_cif *cif, void *result, void **arguments, void *user) {
    closure_t *closure = user;
    uint64_t words[MOST_ARGUMENTS];
    for (unsigned i = 0; i < closure->count; i++) {
        if (closure->types[i] == &ffi_type_sint32)
            words[i] = (uint64_t)(int64_t) * (int32_t *)arguments[i];
        else
            words[i] = *(uint64_t *)arguments[i];
    }
    int64_t value = closure->body(closure->state, words);
    if (cif->rtype != &ffi_type_void)
        *(ffi_sarg *)result = (ffi_sarg)value;
}

static inline closure_t *closure_new(const char *callback, closure_body_t body, void *state) {
    closure_t *closure = calloc(1, sizeof *closure);
    CHECK(closure != NULL);
    closure->memory = ffi_closure_alloc(sizeof *closure->memory, &closure->code);
    CHECK(closure->memory != NULL);
    closure->body = body;
    closure->state = state;
    const signature_t *signature = NULL;
    for (size_t i = 0; i < CALLBACKS; i++)
        if (strcmp(callback_signatures[i].name, callback) == 0)
            signature = &callback_signatures[i];
    CHECK(signature != NULL);
    closure->count = foreign_prepare(signature, &closure->cif, closure->types, NULL);
    CHECK(ffi_prep_closure_loc(closure->memory, &closure->cif, closure_called, closure, closure->code) == FFI_OK);
    return closure;
}

static inline void closure_free(closure_t *closure) {
    ffi_closure_free(closure->memory);
    free(closure);
}

/* ---- Logs ----------------------------------------------------------------------------------- */

/* A path in the case's own directory, in one of a few static places. */
__attribute__((format(printf, 1, 2))) static inline const char *at(const char *format, ...) {
    static _Thread_local char paths[4][1500];
    static _Thread_local unsigned turn;
    char name[400];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(name, sizeof name, format, arguments);
    va_end(arguments);
    char *path = paths[turn++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", check_directory, name);
    return path;
}

/* Opens the log in path with one option, or none if key is NULL. */
static inline walrus_t *open_foreign(const char *path, const char *key, const char *value) {
    walrus_options_t *options = (walrus_options_t *)CALL(options_new);
    CHECK(options != NULL);
    if (key != NULL)
        CHECK_OK(CODE(options_set, options, key, value));
    walrus_t *log = NULL;
    CHECK_OK(CODE(open, path, options, &log));
    CALL(options_free, options);
    return log;
}

static inline void append_many(walrus_t *log, size_t count) {
    for (size_t i = 0; i < count; i++)
        CHECK_OK(CODE(append, log, "payload", 7, NULL));
}

#endif /* FOREIGN_H */
